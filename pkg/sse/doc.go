// Package sse reads server-sent events, for the client, tests, measurements and the
// chaos suite: by the rules of the WHATWG HTML standard, section "Server-sent
// events", under "Parsing an event stream".
//
// Open makes the request and returns a Stream, or a RefusedError for an answer
// that is none. A Reader reads from anything else that has bytes.
package sse

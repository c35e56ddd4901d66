// Package explain says why a tenant's messages are not stored or not delivered, and
// what became of one of them: as causes, each with a kind, a sentence for a person and
// what would help.
//
// What is known comes from many places, and each may be away or silent just when
// somebody asks. So all are asked at once, each for a moment only, and what does not
// answer is a cause of its own; see gather. What follows from what is known is decided
// by methods without I/O: facts.storing for the way to the history, facts.endpoint for
// that to an endpoint, message for one message. What they say is put into words by
// sentences and endpointSentences, and nowhere else.
//
// Service has no goroutine beyond its calls, and keeps nothing between them.
package explain

// Package model holds what travels over HTTP, one file for each resource: the
// bodies of requests, each with a method Domain that checks it and makes a domain
// value of it, and answers, each made by a function From... of a domain value.
// JSON tags are here and nowhere else. The comments of exported types and fields
// are in the description of the API (docs/openapi.json), so they are written for
// callers.
//
// What is large, or written millions of times, is encoded by hand: pages and
// events of messages (event.go), and dead letters.
package model

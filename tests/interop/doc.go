// Package interop runs what docs/endpoints.md shows, against the whole service: its
// curl lines, and its receivers in Go, Node and Python, which verify signatures with
// the libraries of Standard Webhooks. `make interop` does it. Node's libraries come
// from npm, so the tests are behind the build tag interop, and make test does not
// need them.
package interop

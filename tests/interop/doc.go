// Package interop tries other people's tools against the whole service. It runs what
// docs/endpoints.md shows: its curl lines, and its receivers in Go, Node and Python,
// which verify signatures with the libraries of Standard Webhooks. Clients that others'
// generators make of docs/openapi.json go through the main flow, linters look at it,
// newman runs the tour of docs/postman, the TypeScript client its tests, and Prometheus
// its rules. `make interop` does it; docs/interop.md lists the tools. Most come from
// npm, so the tests are behind the build tag interop, and make test does not need them.
package interop

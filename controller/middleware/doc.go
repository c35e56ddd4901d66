// Package middleware holds what every request passes on its way to its
// handler, and the one place where errors become HTTP answers (problem.go).
// What only one handler needs is beside that handler, in package controller.
//
// For all requests, in this order:
//
//	UnreadBodies     a body that no handler reads holds up no answer for long
//	RequestID        an id for log, answer and problem document
//	AccessLog        one line and one observation a request
//	Recover          a panic becomes a 500
//	SecurityHeaders  what browsers may do with the answer
//	HeadLimit        paths and headers that are too long
//	PathValues       what stands in the path, unescaped
//	CrossOrigin      where origins are configured: what web pages may read
//	LoopbackOnly     in open mode: callers on this machine only
//
// For each route, as far as its line of the route table says so:
//
//	Route            the template of the path, for log and metrics
//	Deadline         how long the request may take
//	Compress         answers shorter on the wire, for clients that ask for it
//	Authenticate     the caller, and whether its role is enough
//	SelectTenant     the tenant, and whether the caller may access it
//	PathTenant       or where the path names it: its id for its external id
//	Body             how large a body may be, and its share of memory
//
// What they find out is kept in the gin.Context, under the keys of context.go,
// and read by functions of this package: Principal, Tenant, ReadBody. All of it
// belongs to the goroutine of the request.
package middleware

// Package controller answers HTTP requests. router.go has the route table, with
// the role, and the scope of API keys, that each route asks for, and what every
// request passes before its handler (package middleware). There is one file of
// handlers for each resource, which begins with the interface of the service that
// they call:
//
//	login.go users.go apikeys.go          tokens, users and API keys
//	tenants.go consumers.go               tenants, their consumers
//	messages.go batch.go                  publishing and the history
//	deadletters.go                        dead letters
//	streams.go                            realtime streams; streams_begin.go: where one begins,
//	                                      streams_write.go: its client, streams_tickets.go: tickets
//	system.go                             health, the description of the API, Swagger UI
//
// and a few that they share: body.go and decode.go read bodies strictly, params.go
// reads parameters, pages.go writes pages without holding them.
//
// Handlers read the request, call one method of a service, and write the answer;
// they decide nothing. An error that they return becomes a problem document in
// one place (middleware.Fail). The goroutine of the request owns all of it; only
// an open stream has two more, which end with it.
package controller

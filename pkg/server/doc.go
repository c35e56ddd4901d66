// Package server is the composition root: it wires the layers together, runs
// them and shuts them down in order. Tests boot the whole service through it.
//
// What is built, and with which settings:
//
//	assemble.go    parts: everything that runs, and who is handed whom
//	limits.go      what a process shares out: connections, memory, room at the broker
//	redis.go       Redis, where there is one
//	decorators.go  what tests put in front of ports
//
// How it runs and stops:
//
//	server.go      Server: takes the ports, starts private servers, serves, shuts down
//	run.go         the goroutines of the parts, and in which order they start and end
//	http.go        the HTTP servers; listen.go: their sockets; address.go: their names
//
// What it reports:
//
//	readiness.go   /readyz; consumers.go: what it and the metrics show of consumers
//	policies.go    policies of the broker by which messages go away
//	connections.go connections that were ended; refusals.go: answers to what is no request
//	notes.go       what a person sees who starts it by hand
//
// The commands of package cli that need no running service build the same parts, as
// far as they need them:
//
//	commands.go    serve, migrate, token, encrypt, healthcheck; doctor.go: doctor
//	users.go       user; keys.go: key; audit.go: audit
package server

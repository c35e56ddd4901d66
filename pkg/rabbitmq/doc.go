// Package rabbitmq keeps connections to RabbitMQ alive, and bounds everything that
// the client library does on them.
//
// A Connection dials with deadlines, dials again with backoff, and hands out
// Sessions. A Session is one AMQP connection that is thrown away whole when it
// breaks: nothing of it is opened again, and nothing acknowledged or confirmed on
// one counts on another. Automatic recovery of the library would reopen the same
// channel with tags that start at 1, so that a late ack could acknowledge another
// message.
//
//	Connection  away --dial--> live --closed--> away --backoff--> ...
//	Session     open ----------------> ended, with all of its channels
//	Channel     idle --step--> busy --answered--> idle --Close--> closed
//
// A Channel takes one step at a time, each within a context, although the library
// knows none: a step that is given up is left to the session, which sends nothing
// more on that channel and closes it when the step has returned.
//
// Below the library, each connection passes through a wire, which bounds writes,
// replaces headers that the library cannot read (a message with such headers would
// end the connection for everybody on it, again and again), and leaves out frames
// for channels that are closed (guard). Below that a gatherer writes at once what
// comes while a write is under way.
//
// Run of a Connection owns its session; a Session waits in Close for the goroutines
// of its steps, each of which ends with it.
//
// The packages below do one thing each with these: acks acknowledges with few
// frames, connpool spreads channels over connections, quota bounds them all,
// topology works on queues, publisher publishes with confirms, and management reads
// from the HTTP API.
package rabbitmq

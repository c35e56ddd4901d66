// Package httpconn keeps the connections of an HTTP server within bounds: how
// many there may be, in all and from one address, and how slowly their answers
// may be read. It sees what net/http answers by itself, too.
//
// Connections wraps the listener, and counts what it accepts:
//
//	accepted --below the bounds----------------------> idle <--> serving --> closed
//	accepted --at a bound, an idle one can be closed-> idle (the other: Reason)
//	accepted --at a bound, none can be---------------> refused (503, Reason)
//
// Where there is TLS it is below a Conn, not above: what is counted, paced and
// refused is what HTTP says, and net/http need not know. Hands are shaken by the
// connection's own goroutine, when it first reads.
//
// A Conn cuts itself off when its answer is not read at the Pace. It has no
// goroutine: all of it happens in that of the request, and in that of the
// listener. One mutex, of Connections, guards the counts; one of each Conn guards
// its answer.
package httpconn

// Package publisher publishes messages with confirms, so that one queue that does
// not confirm holds up nobody else.
//
// An Engine has a few confirm channels, each owned by one goroutine, which writes
// what it is handed and never waits for a confirm: the caller of Publish does that
// himself. A batch goes through one channel, in order, so its messages arrive in
// that order. Every message ends as
//
//	nil             confirmed by the broker, and not returned
//	ErrReturned     there is no such queue
//	ErrNacked       the broker refused it
//	ErrSilent       its queue confirms nothing at present; it was not published
//	ErrAway, ErrBlocked   nothing was published
//	anything else   unknown: it may have arrived
//
// # In flight
//
// A channel has at most 384 publications unconfirmed, and one queue at most twice
// as many of them as are free: 256 when it is alone (inflight, queueWindow). What
// finds no room waits in the order of its arrival for each queue; the queues take
// turns (waitQueue). A publication that its caller has given up keeps its place
// until it is confirmed, and its return, so that nobody else claims that.
//
// # Silent queues
//
// A queue that has publications unconfirmed and confirmed nothing for 2 s is
// silent. It is isolated: from then on it is published to on a channel that no
// other queue uses, of which there are 32, and the channel that it was on is
// replaced by a new one:
//
//	free --silent--> isolated, no channel --publication--> isolated, on its own channel
//	 ^                  |                                     |
//	 +--not used for a minute---------------------------------+
//	 +--a publication was confirmed---------------------------+
//
// The states of a confirm channel are described at its type.
//
// # Goroutines
//
// Run owns those of the connections and of the channels, and returns when all of
// them have ended; then requests are refused. It is ended after the last caller.
package publisher

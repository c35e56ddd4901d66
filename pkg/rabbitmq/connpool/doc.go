// Package connpool spreads channels over as many connections as they need.
//
// A Pool has at most 500 channels on one connection, which bounds what one lost
// connection hits, or seven eighths of what the broker allows one, if that is
// less. It makes connections as they are asked for and keeps them. A connection
// that turns out to have no number for another channel gets none for a moment.
//
//	Acquire --room on a connection--> that one, with one channel more
//	        --no room, or alone-----> a new one --Run runs it--> live
//	Release --shared--> one channel less; the connection stays
//	        --alone---> the connection ends
//
// Run owns the goroutines of all connections and waits for them; a connection is
// handed to it as soon as it is made. The lock guards the list and the counts, and
// is never held across I/O.
package connpool

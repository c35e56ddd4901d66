// Package stream sends the messages of tenants to realtime clients as they are
// stored.
//
// The database is the truth, and a wake-up only says "look". Per tenant that
// has clients there is one feed: it reads the tail of the history once for all
// of them, and puts the encoded events into a window that they share. A client
// has nothing but its cursor: it takes what follows it from the window, or
// reads the database itself when the window does not reach back that far. So
// there are no queues that a slow client could fill, and a client that comes
// back with its cursor goes on where it was.
//
//	commit -> Committed -> feed -> window -> Next of each client
//	             |                              ^
//	             v                              | (behind the window)
//	           Redis -> feeds of the others     database
//
// Those behind take turns, few at a time and one of a tenant, so that no tenant
// waits for what holds up another.
//
// Wake-ups may be lost: feeds look by themselves every second, or, while Redis
// delivers the wake-ups of other replicas, every few seconds.
package stream

// Package stream sends the messages of tenants to realtime clients as they are
// stored.
//
// The database is the truth. Per tenant that has clients there is one feed: it
// reads the tail of the history once for all of them, from memory or where that is
// behind from the database, and puts the encoded events into a window that they
// share. A client
// has nothing but its cursor: it takes what follows it from the window, or
// reads the database itself when the window does not reach back that far. So
// there are no queues that a slow client could fill, and a client that comes
// back with its cursor goes on where it was.
//
//	commit -> tail -> feed -> window -> Next of each client
//	 |         ^       ^                     ^
//	 |         |       | (behind the tail)   | (behind the window)
//	Redis -> tails    database              database
//	      of others
//
// Those behind take turns, few at a time and one of a tenant, so that no tenant
// waits for what holds up another.
//
// Redis carries wake-ups to the tails of other replicas. They may be lost: tails
// look by themselves every second.
package stream

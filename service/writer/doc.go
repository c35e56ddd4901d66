// Package writer stores the messages of all tenants by group commit: while one
// transaction is under way the rows for the next gather, so that the database
// commits once for what many consumers hand in.
//
// Consumers call Store, from any goroutine, and wait there. The goroutine of Run
// owns everything else: it takes what comes into the backlog,
// makes batches of it, tenant by tenant in turn, and runs one transaction at a
// time. A call whose context ends is dropped from the backlog; its messages are
// delivered again.
//
// # What an error of the store means
//
//	unavailable               all rows wait, with backoff; nothing is given up
//	refused                   the same, and tenants are tried on their own: once
//	                          one goes through, those that do not are parked
//	contended, no partition   that tenant is parked
//	rejected                  the batch is halved until the row stands alone;
//	                          one that is rejected alone, twice, is given up
//
// So one row or one tenant never stops the others, and while the store is away
// nothing is lost: what cannot be stored is held, and the consumers stop taking
// more (UnavailableSince).
//
// # States of a tenant
//
//	in turn --contended, no partition, refused--> parked
//	parked --its rows stored, or rejected--> in turn
//
// A parked tenant has a goroutine of its own (type parking), which tries its
// rows with backoff, so that waiting for a lock costs the others nothing. One
// parked tenant is tried at a time: a Writer uses two connections to the database
// at most. Run waits for these goroutines when it ends.
//
// # Bounds
//
// A batch has at most 1,024 rows and 8 MiB, and at most 64 rows of one tenant
// while others wait. What waits is bounded by the consumers' prefetch and their
// budget of bytes, because Store returns only when its messages have a result.
package writer

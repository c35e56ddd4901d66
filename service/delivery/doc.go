// Package delivery delivers the histories of tenants to their endpoints. ADR 22 has
// the states, and the reasons.
//
//	history -> window -> courier -> endpoint
//	   |                    |
//	 tail or database       v
//	                     ledger -> outbox -> settler -> cursor, rows, letters, attempts
//	                        ^
//	rows that are due ------+
//
// # Goroutines
//
//   - Service.Run is that of the keeper. It owns which tenants this replica delivers
//     for, and a lane for each, which is a claim and its dispatchers. It waits for
//     the heartbeat, which says in the database that this replica delivers, and for
//     the settler, which commits what became of deliveries.
//   - A dispatcher delivers to one endpoint. Its goroutine owns the ledger (what was
//     read, what became of it, which rows are known), the breaker, and the replay. It
//     starts goroutines that read, one at a time of each kind, and those that make
//     deliveries, about one for each under way, and waits for all before it ends.
//
// Dispatchers meet the settler in their outbox, and each other in slots, which bound
// what is under way in the process, for an owner, and to an address.
//
// # Bounds
//
// A dispatcher has read at most 1,024 messages that its cursor has not passed, or 1
// MiB; all together hold about 128 MiB. Of a process 4,096 deliveries are under way
// at most, and 512 results are not recorded at most: then nothing is begun.
//
// # What a crash repeats
//
// What was under way, and the results that were not recorded.
package delivery

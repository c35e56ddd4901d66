// Package deadletter has everything about the messages that were given up: it
// collects them from their queues, lists them, publishes them again, and deletes
// them.
//
//	consumer --publishes--> tenant_{id}_dlq --Collector--> table dead_letters
//	broker   --dead-letters----^                             |  |  |
//	                                     Service.List, Get <-+  |  +-> Janitor, Service.Delete
//	                          tenant_{id}_queue <--Service.Replay
//
// # The collector
//
// The tenant's consumer begins and ends the collecting, so it happens where the
// tenant is consumed. Each tenant has a goroutine, which Stop waits for:
//
//	idle --notified, or the queue has letters when it is polled--> session
//	session --no more letters, or the queue is missing--> idle
//	session --turn over--> session, after those of other tenants
//	session --error--> session, after a pause that grows
//
// A session is a subscription with a small prefetch. At most 4 are open at a
// time in a process, and one lasts 5 s at most, so letters of any number and size
// take little memory. A letter is acknowledged after it was recorded; while the
// store is away letters stay in their queues. What the broker dead-lettered only
// because it came back too often is published to the main queue again.
//
// # The janitor
//
// A Janitor, whose goroutines are those of its Run, deletes letters that are
// older than they are kept, and counts the others for the metrics.
//
// # The service
//
// Service is called by requests. It has no goroutines; everything ends within
// the time that a caller is promised.
package deadletter

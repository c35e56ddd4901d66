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
// tenant is consumed. A tenant has a timer, and a goroutine, which Stop waits for, while
// its queue is asked for letters or there are some:
//
//	idle --notified, or the queue has letters when it is asked--> session
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
// # Jobs
//
// What a call asks for more than 1,000 letters is a row in dead_letter_jobs, with the
// last letter that it is about. Each process has a JobRunner with four goroutines,
// which Run waits for. A job is worked on in turns of at most 5 s, of the owner whose
// last turn is longest ago, under a lease that each step renews; a step marks,
// reopens or deletes letters and says how far the job is in one transaction, which
// does nothing when another turn has begun. So it goes on 20 s after its replica was
// killed, and at once after one that ended in good order. What was published and not
// marked by then is published again, under the same ids.
//
// # The service
//
// Service is called by requests. It has no goroutines; everything ends within
// the time that a caller is promised.
package deadletter

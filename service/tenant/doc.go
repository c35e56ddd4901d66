// Package tenant creates, changes and deletes tenants, and keeps what exists
// of them in step with what the database says should exist.
//
// The tenant's row is the desired state. The Provisioner is the one place
// that compares it with the tenant's partition, queues and consumer, and moves
// those towards it; every step it takes may be repeated, so a crash between any two steps
// leaves something that the next attempt finishes:
//
//	row           partition  queues   consumer
//	provisioning  make       declare  -         then the row becomes active or inactive
//	active        make       declare  start     (not while the tenant is stopped)
//	inactive      keep       keep     stop
//	deleting      erase      delete   stop      then the row becomes deleted
//	deleted       -          -        -
//
// It is called by the Service within requests, and by the Reconciler for
// everything else: at start, for what requests left unfinished, and at regular
// intervals.
//
// The types, and which goroutine owns what:
//
//   - Service and ConsumerService are what callers may do. They start nothing.
//   - Provisioner moves one tenant on the goroutine of its caller.
//   - Reconciler has one goroutine, Run, that owns the work of all tenants. It
//     starts one job a tenant at most, and one for the resync, and waits for them.
//   - Directory answers from memory what is known of a tenant, and Follower has
//     it, and the Reconciler, follow changes made by other processes.
//   - Capacity says whether the broker has room for another tenant, and Doctor
//     compares rows with what exists.
//
// In a fleet each tenant is owned by one process, and that is where its
// consumer runs; partition, queues and row may be changed by any of them. What
// one changes, the others hear of and follow: Follower. A consumer that moves
// away drains before its channel closes, and the broker lets the new owner's
// consumer, which waits already, begin then. A deletion waits until the queue
// has no consumer, and until nothing is published to it any more, so that what it
// held can be counted.
//
// Two locks keep the attempts for one tenant apart. The tenantMutex covers its
// consumer, which lives in this process; the tenant's advisory
// lock in the database covers partition and queues, which the fleet shares.
// They are taken in this order. Different tenants do not wait for each other,
// but for some limits: how many are changed, or have their consumer started, at
// a time, and that one at a time is erased.
package tenant

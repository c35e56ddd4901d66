// Package consumer takes the messages of tenants from their queues to the store:
// a TenantManager with one consumer for each tenant that this process owns.
//
// # One consumer
//
// The goroutine of a consumer owns its state. It subscribes, works on the
// subscription until that is lost, and subscribes again, until it is told to stop;
// others reach it through its channel of commands.
//
//	starting --subscribed--> running --lost--> reconnecting --subscribed--> running
//	starting, reconnecting --queue missing--> failed --subscribed--> running
//	running --store away for 30 s--> waiting_for_store --store back--> reconnecting
//	any --stop--> draining --> stopped
//
// What happens on one subscription is a session. It has goroutines of its own,
// which have ended when it ends:
//
//	broker -> meteredSubscription -> worker pool -> MessageWriter -> acks
//
// The meteredSubscription counts bytes, which the broker cannot bound: when a
// consumer holds too many, it drains and subscribes with a smaller prefetch. Its
// goroutine reads the subscription and ends with it. The pool has at most as many
// workers as the tenant, goroutines for as long as there is something to store, and is
// resized while it runs. A worker takes what waits, up to 256 deliveries, and has it
// stored: a processor
// makes messages of deliveries, and dead letters of those that cannot be stored. What
// is stored already may have come back from an earlier version of the service, which
// delivered from the queue to endpoints: a delivery is opened for it then. The session's
// goroutine, which is the consumer's, acknowledges: what is stored waits up to 20 ms for
// others of the same queue.
//
// A session ends with everything that belongs to it. When it drains it finishes
// and acknowledges what it began, within 10 s, and then closes its channel; when
// its subscription is lost it drops its acknowledgements, because the broker
// delivers again.
//
// # All consumers
//
// TenantManager keeps the consumers by tenant, and waits for all of them in Close.
// One goroutine of it samples the depths of the queues, four at a time, and those of
// which nothing new can be learnt every sixth time; what it finds goes to the consumer's
// watchdog, which notices a subscription that the broker has forgotten. Another one
// tells all consumers when the store has been away for too long.
//
// # Bounds
//
// All consumers of a process together hold about 25,600 deliveries, and a quarter
// of the memory that the Go runtime may use. While the store is away a consumer
// holds what it has for 30 s and then leaves it to the queue.
package consumer

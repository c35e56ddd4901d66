// Package broker speaks RabbitMQ in the domain's words: the queues of tenants,
// publishing with confirms, and subscriptions. What knows nothing of tenants is in
// the leaves below pkg/rabbitmq.
//
// A Broker is a thin front of these parts, which implement the ports of the domain
// between them:
//
//	Queues      makes, inspects, drains and deletes the queues    pkg/rabbitmq/topology
//	Publisher   publishes messages and dead letters               pkg/rabbitmq/publisher
//	Subscriber  subscribes consumers, and says whether there is   pkg/rabbitmq/connpool,
//	            room for more                                     pkg/rabbitmq/quota
//	Users       makes and deletes users of the broker             pkg/rabbitmq/management
//
// # Queues of a tenant
//
// Each tenant has a main queue and a dead-letter queue (names.go). They are made
// in an order that shows every process how far another one got:
//
//	(missing) --declare--> made --barrier--> durable --probe--> usable --declare--> finished
//	              ^                             |                  ^   the dead-letter
//	              +--- cannot be consumed ------+                  |   queue
//	                   and was never used                       a probe, again
//	                                                            after a failure
//
// A broker that is killed may forget the queue that was declared last, or leave it
// behind so that it can neither be published to nor consumed. The durabilityBarrier
// prevents the one, and the prober finds the other by consuming the queue on a
// connection of its own; queueStates is what this process knows of each queue. Only
// a queue that cannot hold anything that was confirmed to anybody is replaced.
//
// Deleting closes the tenant's publishGate, purges the queue until nothing is added
// to it any more, and returns how many messages that were (drain.go).
//
// The exchange of dead letters is shared by all tenants; sharedTopology declares it,
// and again when it was deleted. retryTiers takes away what earlier versions shared
// besides (tiers.go).
//
// Where the service manages users of the broker (Users), a tenant has an exchange
// besides, tenant_{id}_exchange, a fanout bound to its main queue: what its own AMQP
// clients may write to. Permissions cannot tell one routing key of the default exchange
// from another.
//
// # Connections
//
// One is for topology, whose sessions begin with declaring what all share, one for
// probes, two for publishing, and as many for consuming as 500 channels each ask for;
// dead letters have some of their own, so that a queue that hangs takes no tenant's
// consumer along. Changes of queues run on a few that exist for a moment. All
// channels are counted by one quota.Quota.
//
// Broker.Run owns all goroutines. A subscription has none: who uses it reads it. It is ended after the consumers and the HTTP server.
package broker

// Package domain holds what Lanekeeper is about: tenants, users, messages, dead
// letters, endpoints, consumers and replicas, with the rules that bind them, and
// the ports through which the services reach the outside. It knows no JSON, SQL,
// AMQP or HTTP, and imports nothing but the standard library and uuid.
//
//	tenant.go      a tenant and its states, in a diagram; what a caller may change
//	message.go     what is published, delivered and stored; idempotency.go: keys
//	deadletter.go  messages that were given up, and why; deadletter_filter.go: some of them
//	endpoint_url.go which URLs an endpoint may have
//	consumer.go    a consumer as others see it; fleet.go: the replicas
//	user.go        users, roles, and who may do what
//	stream.go      realtime streams and their tickets
//	errors.go      the kinds of errors, by which callers decide
//	ports.go       repositories, publisher, topology, subscriber; context.go: what a
//	               context carries
//
// States change by methods that can refuse. Values belong to the goroutine that
// has them; implementations of the ports are safe for concurrent use.
package domain

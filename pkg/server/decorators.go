package server

import (
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"lanekeeper/domain"
)

// Decorators put something in front of ports of the service. Those that are
// nil change nothing.
type Decorators struct {
	// Messages is the store that the writer appends to.
	Messages   func(domain.MessageRepository) domain.MessageRepository
	Publisher  func(domain.Publisher) domain.Publisher
	Subscriber func(domain.Subscriber) domain.Subscriber

	// What tenants are created and deleted with.
	Tenants    func(domain.TenantRepository) domain.TenantRepository
	Partitions func(domain.PartitionRepository) domain.PartitionRepository
	Topology   func(domain.Topology) domain.Topology
	Consumers  func(domain.ConsumerManager) domain.ConsumerManager
	// Deliveries is where it is kept how far deliveries are.
	Deliveries func(domain.DeliveryRepository) domain.DeliveryRepository
	// Spans is where spans go, and not where the environment says.
	Spans sdktrace.SpanProcessor
}

// decorated returns the port with its decorator in front of it, if it has one.
func decorated[T any](port T, decorate func(T) T) T {
	if decorate == nil {
		return port
	}
	return decorate(port)
}

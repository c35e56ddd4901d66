package server

import (
	"context"

	"lanekeeper/config"
	"lanekeeper/service/tenant"
)

// newCapacity returns what knows how many tenants the broker has room for.
// Replicas returns how many processes share it; nil means this one alone. Room
// asks for the broker's other limits; it may be nil.
func newCapacity(c config.Config, count func(context.Context) (int, error), replicas func() int, room func(context.Context) error) *tenant.Capacity {
	options := brokerOptions(c)
	return tenant.NewCapacity(tenant.CapacityOptions{
		FileLimit: c.RabbitMQ.FileLimit, Footprint: options.Footprint(), Count: count, Replicas: replicas, Room: room,
	})
}

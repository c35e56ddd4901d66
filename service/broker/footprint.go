package broker

import (
	"lanekeeper/domain"
	"lanekeeper/pkg/rabbitmq/connpool"
	"lanekeeper/pkg/rabbitmq/publisher"
	"lanekeeper/pkg/rabbitmq/topology"
)

// Footprint returns what a process with these options takes of the broker's
// open files, its tenants' queues included.
func (o Options) Footprint() domain.Footprint {
	// One for topology, one for trying queues out, those for publishing, and
	// one for dead letters; for a moment those for changes of queues, and one to
	// try for more channels.
	f := domain.Footprint{
		ConnectionsPerReplica: 3 + topology.MaxExclusiveConnections + 1 + publisher.Connections(o.PublishChannels),
		TenantsPerConnection:  connpool.ChannelsPerConnection,
	}
	if o.QueueType == Quorum {
		f.QuorumPerTenant++
	}
	if o.DeadLetterQueueType == Quorum {
		f.QuorumPerTenant++
	}
	return f
}

package server

import (
	"lanekeeper/pkg/metrics"
	"lanekeeper/service/broker"
	"lanekeeper/service/consumer"
	"lanekeeper/service/deadletter"
)

// consumerReports says how the consumers of this process are doing.
type consumerReports struct {
	manager *consumer.TenantManager
	letters *deadletter.Janitor
}

// stats returns what the metrics show of each consumer.
func (r consumerReports) stats() []metrics.ConsumerStats {
	statuses := r.manager.Snapshot()
	stats := make([]metrics.ConsumerStats, len(statuses))
	for i, s := range statuses {
		letters, known := r.letters.Waiting(s.TenantID)
		if !known {
			letters = -1
		}
		stats[i] = metrics.ConsumerStats{
			TenantID: s.TenantID, State: string(s.State), Workers: s.Workers, Busy: s.Busy,
			Queue: broker.QueueName(s.TenantID), QueueDepth: s.Depth, DeadLetters: letters,
		}
	}
	return stats
}

// refused returns how many of the consumers of this process the
// broker's limits keep from subscribing, and how many there are.
func (r consumerReports) refused() (refused, all int) {
	statuses := r.manager.Snapshot()
	for i := range statuses {
		if statuses[i].Refused() {
			refused++
		}
	}
	return refused, len(statuses)
}

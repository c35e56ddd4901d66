package metrics

import (
	"sync/atomic"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
)

// ConsumerStats is how one consumer is doing.
type ConsumerStats struct {
	TenantID uuid.UUID
	// State is one of a fixed set: "running", "reconnecting" and so on.
	State   string
	Workers int
	Busy    int
	// Queue is the name of the tenant's queue, and QueueDepth how many
	// messages wait in it or are held by the consumer; -1 when not known.
	Queue      string
	QueueDepth int64
	// DeadLetters is how many recorded dead letters wait to be looked at; -1
	// when not known.
	DeadLetters int64
}

// consumers collects the gauges of all consumers at scrape time, so that they
// cost nothing in between and vanish with their consumer.
type consumers struct {
	tenants *tenants
	stats   atomic.Pointer[func() []ConsumerStats]
}

func (c *consumers) set(stats func() []ConsumerStats) { c.stats.Store(&stats) }

// Describe implements prometheus.Collector.
func (c *consumers) Describe(ch chan<- *prometheus.Desc) {
	d := describe()
	for _, desc := range []*prometheus.Desc{d.depth, d.workers, d.busy, d.states, d.letters} {
		ch <- desc
	}
}

// Collect implements prometheus.Collector. Consumers that share a label are
// added up.
func (c *consumers) Collect(ch chan<- prometheus.Metric) {
	stats := c.stats.Load()
	if stats == nil {
		return
	}
	type queue struct{ tenant, name string }
	workers, busy, states := make(map[string]int), make(map[string]int), make(map[string]int)
	depth, letters := make(map[queue]int64), make(map[string]int64)
	for _, s := range (*stats)() {
		label := c.tenants.label(s.TenantID)
		workers[label] += s.Workers
		busy[label] += s.Busy
		states[s.State]++
		if s.DeadLetters >= 0 {
			letters[label] += s.DeadLetters
		}
		if s.QueueDepth >= 0 {
			q := queue{label, s.Queue}
			if label == otherTenant || label == "" {
				q.name = label
			}
			depth[q] += s.QueueDepth
		}
	}
	d := describe()
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	for label, n := range workers {
		gauge(d.workers, float64(n), label)
	}
	for label, n := range busy {
		gauge(d.busy, float64(n), label)
	}
	for state, n := range states {
		gauge(d.states, float64(n), state)
	}
	for label, n := range letters {
		gauge(d.letters, float64(n), label)
	}
	for q, n := range depth {
		gauge(d.depth, float64(n), q.tenant, q.name)
	}
}

type descriptions struct{ depth, workers, busy, states, letters *prometheus.Desc }

func describe() descriptions {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
	}
	return descriptions{
		depth:   desc("queue_depth", "Messages that wait in the tenant's queue or are held by its consumer.", tenantLabel, "queue"),
		workers: desc("workers", "Workers of the tenant's consumer.", tenantLabel),
		busy:    desc("workers_busy", "Workers of the tenant's consumer that have a message in hand.", tenantLabel),
		letters: desc("dead_letters", "Recorded dead letters of the tenant that were not replayed.", tenantLabel),
		states:  desc("consumers", "Consumers in this process, by state.", "state"),
	}
}

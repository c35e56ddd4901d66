package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// scrapeTimeout bounds what a scrape asks of the servers.
const scrapeTimeout = 3 * time.Second

// Readiness is what the metrics show of /readyz.
type Readiness struct {
	// State is starting, ready, degraded, unavailable or draining.
	State string
	// Servers says of each server that the service needs whether it is there.
	Servers map[string]bool
}

// readiness asks at scrape time, so that a scrape and /readyz never differ.
type readiness struct {
	ask           func(context.Context) Readiness
	state, server *prometheus.Desc
}

func newReadiness(ask func(context.Context) Readiness) *readiness {
	return &readiness{
		ask:    ask,
		state:  prometheus.NewDesc(namespace+"_readiness", "What /readyz answers: 1 for the state that it is in, 0 for the others.", []string{"state"}, nil),
		server: prometheus.NewDesc(namespace+"_server_up", "Whether a server that the service needs is there, as /readyz says.", []string{"server"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (r *readiness) Describe(ch chan<- *prometheus.Desc) {
	ch <- r.state
	ch <- r.server
}

// Collect implements prometheus.Collector.
func (r *readiness) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	found := r.ask(ctx)
	for _, state := range []string{"starting", "ready", "degraded", "unavailable", "draining"} {
		ch <- prometheus.MustNewConstMetric(r.state, prometheus.GaugeValue, number(state == found.State), state)
	}
	for server, up := range found.Servers {
		ch <- prometheus.MustNewConstMetric(r.server, prometheus.GaugeValue, number(up), server)
	}
}

// number returns what a gauge says for a fact.
func number(fact bool) float64 {
	if fact {
		return 1
	}
	return 0
}

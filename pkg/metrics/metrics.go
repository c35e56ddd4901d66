package metrics

import (
	"context"
	"net/http"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	namespace   = "lanekeeper"
	tenantLabel = "tenant_id"
)

// Options configure New.
type Options struct {
	// TenantLabels is whether metrics have a label for each tenant. If not, it is
	// empty, and all are counted together.
	TenantLabels bool
	// MaxTenants is how many tenants have a label of their own at most; the rest
	// is counted as "_other".
	MaxTenants int
}

// Metrics are the service's metrics.
type Metrics struct {
	registry   *prometheus.Registry
	tenants    *tenants
	consumers  *consumers
	deliveries *deliveries

	messages  *prometheus.CounterVec
	published *prometheus.CounterVec
	publish   prometheus.Histogram
	batchRows prometheus.Histogram
	store     prometheus.Histogram
	endToEnd  prometheus.Histogram

	storeFailures *prometheus.CounterVec

	requests  *prometheus.HistogramVec
	deaths    *prometheus.CounterVec
	shortened *prometheus.GaugeVec

	streamsDropped   prometheus.Counter
	connectionsEnded *prometheus.CounterVec
	bodiesRefused    prometheus.Counter

	forgotten forgotten
	byOutcome cache[string, prometheus.Counter]
	byTenant  cache[tenantOutcome, prometheus.Counter]
	byRequest cache[request, prometheus.Observer]
	handler   http.Handler
}

type tenantOutcome struct{ tenant, outcome string }

type request struct {
	route, method string
	status        int
}

// New returns the metrics, registered, together with those of the Go runtime
// and of the process.
func New(o Options) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		tenants:  newTenants(o.TenantLabels, o.MaxTenants),
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "messages_total",
			Help: "Messages that consumers are done with, by what became of them.",
		}, []string{tenantLabel, "outcome"}),
		published: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "publish_total",
			Help: "Messages that callers wanted published, by the answer they got.",
		}, []string{"outcome"}),
		publish: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Name: "publish_seconds", Buckets: seconds(),
			Help: "Time from handing a call's messages to the broker until the last was confirmed or given up.",
		}),
		batchRows: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Name: "store_batch_rows", Buckets: prometheus.ExponentialBuckets(1, 2, 11),
			Help: "Messages stored in one transaction.",
		}),
		store: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Name: "store_seconds", Buckets: seconds(),
			Help: "Time one such transaction takes.",
		}),
		storeFailures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "store_failures_total",
			Help: "Transactions of the writer that failed, by the reason. Nothing is lost by one: what it had is tried again.",
		}, []string{"reason"}),
		endToEnd: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Name: "end_to_end_seconds", Buckets: append(seconds(), 30, 60, 300, 1800, 7200),
			Help: "Time from publication to the committed row.",
		}),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: "http_request_seconds", Buckets: seconds(),
			Help: "Time HTTP requests take, by route.",
		}, []string{"route", "method", "status"}),
		deaths: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "broker_deaths_total",
			Help: "Dead letters collected that the broker itself put there, by its reason.",
		}, []string{"reason"}),
		shortened: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: namespace, Name: "shortened_queues",
			Help: "Queues whose messages go away by a policy of the broker, by its setting; only with rabbitmq.management_url.",
		}, []string{"setting"}),
		streamsDropped: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace, Name: "stream_dropped_total",
			Help: "Realtime streams that were ended because their client did not read.",
		}),
		connectionsEnded: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "connections_ended_total",
			Help: "Connections that the service ended or did not let in, by the reason.",
		}, []string{"reason"}),
		bodiesRefused: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace, Name: "bodies_refused_total",
			Help: "Bodies that were refused because there was no memory for them, in all or for their owner.",
		}),
	}
	for _, reason := range []string{"unavailable", "contended", "partition_missing", "rejected"} {
		m.storeFailures.WithLabelValues(reason) // 0 is a value, too: a rate needs one before the first failure
	}
	m.consumers, m.deliveries = &consumers{tenants: m.tenants}, newDeliveries(m.tenants)
	m.registry.MustRegister(
		m.messages, m.published, m.publish, m.batchRows, m.store, m.storeFailures, m.endToEnd, m.requests, m.consumers, m.deliveries, m.streamsDropped,
		m.connectionsEnded, m.bodiesRefused, m.deaths, m.shortened,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	m.handler = promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
	return m
}

// Handler serves the metrics in the formats Prometheus asks for.
func (m *Metrics) Handler() http.Handler { return m.handler }

// Gatherer gives access to the registry, for tests.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

// RegisterConsumers sets the function that returns how the consumers are doing.
// It is called at every scrape and must return soon.
func (m *Metrics) RegisterConsumers(stats func() []ConsumerStats) { m.consumers.set(stats) }

// RegisterStreams sets the function that returns how many streams are open. Call
// it once, like the others.
func (m *Metrics) RegisterStreams(clients func() int) {
	m.registerGauge("stream_clients", "Realtime streams that are open.", func() float64 { return float64(clients()) })
}

// RegisterTails sets the functions that return how many bytes of what was stored
// last are in memory, and how often who reads that had to read the database.
func (m *Metrics) RegisterTails(bytes func() int64, misses func() uint64) {
	m.registerGauge("tail_memory_bytes", "Memory that holds what was stored last for its readers.", func() float64 { return float64(bytes()) })
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Namespace: namespace, Name: "tail_misses_total",
		Help: "How often who reads what was stored last did not find it in memory, and read the database.",
	}, func() float64 { return float64(misses()) }))
}

// RegisterConnections sets the function that returns how many connections are
// open.
func (m *Metrics) RegisterConnections(open func() int) {
	m.registerGauge("connections", "Connections of clients that are open.", func() float64 { return float64(open()) })
}

// RegisterBodies sets the function that returns how many bytes are reserved for
// bodies.
func (m *Metrics) RegisterBodies(used func() int64) {
	m.registerGauge("body_memory_bytes", "Memory that is reserved for the bodies of requests.", func() float64 { return float64(used()) })
}

// RegisterReadiness sets the function that returns how ready the service is. It is
// called at every scrape, with a context that ends after some seconds.
func (m *Metrics) RegisterReadiness(ask func(context.Context) Readiness) {
	m.registry.MustRegister(newReadiness(ask))
}

// registerGauge registers a gauge that is asked for at every scrape.
func (m *Metrics) registerGauge(name, help string, value func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, value))
}

// Forget removes the metrics of a tenant that is gone for good. What is
// counted for it later goes to "_other".
func (m *Metrics) Forget(tenant uuid.UUID) {
	label, known := m.tenants.forget(tenant)
	if !known {
		return
	}
	m.forgotten.mu.Lock()
	defer m.forgotten.mu.Unlock()
	m.forgotten.keep(m, label)
	m.byTenant.remove(func(key tenantOutcome) bool { return key.tenant == label })
	m.messages.DeletePartialMatch(prometheus.Labels{tenantLabel: label})
	m.deliveries.forget(label)
}

// seconds returns the histogram bounds from half a millisecond to ten
// seconds.
func seconds() []float64 {
	return []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
}

// Package metrics holds what the service measures, for Prometheus. Metrics
// live in a registry of their own; observing is cheap and safe for concurrent
// use.
package metrics

import (
	"net/http"
	"strconv"
	"sync"

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
	// TenantLabels tells whether metrics tell the tenants apart. If not, the
	// label is empty, and they are counted together.
	TenantLabels bool
	// MaxTenants is how many tenants are told apart at most; the rest is
	// counted as "_other".
	MaxTenants int
}

// Metrics are the service's metrics.
type Metrics struct {
	registry  *prometheus.Registry
	tenants   *tenants
	consumers *consumers

	messages    *prometheus.CounterVec
	transmitted *prometheus.CounterVec
	retries     *prometheus.CounterVec
	published   *prometheus.CounterVec
	publish     prometheus.Histogram
	batchRows   prometheus.Histogram
	store       prometheus.Histogram
	endToEnd    prometheus.Histogram
	requests    *prometheus.HistogramVec
	// streamsDropped counts streams whose clients did not read.
	deaths    *prometheus.CounterVec
	shortened *prometheus.GaugeVec

	streamsDropped prometheus.Counter
	http           httpMetrics
	byOutcome      cache[string, prometheus.Counter]
	byTenant       cache[tenantOutcome, prometheus.Counter]
	byRequest      cache[request, prometheus.Observer]
	handlerCache   http.Handler
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
		transmitted: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "transmit_total",
			Help: "Attempts to transmit a message to its tenant's endpoint, by what became of them.",
		}, []string{tenantLabel, "outcome"}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "retries_total",
			Help: "Messages that went to a retry tier.",
		}, []string{tenantLabel}),
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
		http: newHTTPMetrics(),
	}
	m.consumers = &consumers{tenants: m.tenants}
	m.registry.MustRegister(
		m.messages, m.transmitted, m.retries, m.published, m.publish, m.batchRows, m.store, m.endToEnd, m.requests, m.consumers, m.streamsDropped,
		m.http.connectionsEnded, m.http.bodiesRefused, m.deaths, m.shortened,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	m.handlerCache = promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
	return m
}

// Handler serves the metrics in the formats Prometheus asks for.
func (m *Metrics) Handler() http.Handler { return m.handlerCache }

// Gatherer gives access to the registry, for tests.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

// AddPublished counts n messages that got the same answer: "accepted",
// "unavailable" and so on. Outcomes must come from a fixed set.
func (m *Metrics) AddPublished(outcome string, n int) {
	m.byOutcome.get(outcome, func() prometheus.Counter { return m.published.WithLabelValues(outcome) }).Add(float64(n))
}

// ObservePublish records how long one call to the broker took.
func (m *Metrics) ObservePublish(seconds float64) { m.publish.Observe(seconds) }

// ObserveStoreBatch records one transaction of the writer.
func (m *Metrics) ObserveStoreBatch(rows int, seconds float64) {
	m.batchRows.Observe(float64(rows))
	m.store.Observe(seconds)
}

// ObserveEndToEnd records how long one message took from publication to the
// committed row.
func (m *Metrics) ObserveEndToEnd(seconds float64) { m.endToEnd.Observe(seconds) }

// AddMessages counts n messages of a tenant that a consumer is done with:
// "stored", "duplicate", "dead_lettered", "discarded" and so on. Outcomes must
// come from a fixed set.
func (m *Metrics) AddMessages(tenant uuid.UUID, outcome string, n int) {
	key := tenantOutcome{m.tenants.label(tenant), outcome}
	m.byTenant.get(key, func() prometheus.Counter {
		return m.messages.WithLabelValues(key.tenant, key.outcome)
	}).Add(float64(n))
}

// AddTransmissions counts n attempts of a tenant's to transmit: "succeeded",
// "retried", "failed" or "gone". It is not on a hot path: each attempt is an
// HTTP request.
func (m *Metrics) AddTransmissions(tenant uuid.UUID, outcome string, n int) {
	label := m.tenants.label(tenant)
	m.transmitted.WithLabelValues(label, outcome).Add(float64(n))
	if outcome == "retried" {
		m.retries.WithLabelValues(label).Add(float64(n))
	}
}

// ObserveRequest records one HTTP request. Route is the pattern that matched,
// "" for none; it is never the path, which callers could make up.
func (m *Metrics) ObserveRequest(route, method string, status int, seconds float64) {
	if route == "" {
		route = "none"
	}
	key := request{route, knownMethod(method), status}
	m.byRequest.get(key, func() prometheus.Observer {
		return m.requests.WithLabelValues(key.route, key.method, strconv.Itoa(key.status))
	}).Observe(seconds)
}

// AddBrokerDeath counts a dead letter that the broker itself put there.
func (m *Metrics) AddBrokerDeath(reason string) {
	switch reason { // anybody who may publish may have written it
	case "expired", "maxlen", "rejected", "delivery_limit":
	default:
		reason = "other"
	}
	m.deaths.WithLabelValues(reason).Inc()
}

// SetShortenedQueues takes how many queues have a policy with a setting by
// which messages go away, by setting; nil when that is not known.
func (m *Metrics) SetShortenedQueues(bySetting map[string]int) {
	m.shortened.Reset()
	for setting, n := range bySetting {
		m.shortened.WithLabelValues(setting).Set(float64(n))
	}
}

// RegisterConsumers sets the function that tells how the consumers are doing.
// It is called at every scrape and must return soon.
func (m *Metrics) RegisterConsumers(stats func() []ConsumerStats) { m.consumers.set(stats) }

// Forget removes the metrics of a tenant that is gone for good. What is
// counted for it later goes to "_other".
func (m *Metrics) Forget(tenant uuid.UUID) {
	label, known := m.tenants.forget(tenant)
	if !known {
		return
	}
	m.byTenant.remove(func(key tenantOutcome) bool { return key.tenant == label })
	for _, vec := range []*prometheus.CounterVec{m.messages, m.transmitted, m.retries} {
		vec.DeletePartialMatch(prometheus.Labels{tenantLabel: label})
	}
}

// knownMethod keeps callers from making up label values.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}

// seconds returns the histogram bounds from half a millisecond to ten
// seconds.
func seconds() []float64 {
	return []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
}

// cache keeps the children of a metric, so that looking one up allocates
// nothing.
type cache[K comparable, V any] struct {
	mu sync.RWMutex
	m  map[K]V // guarded by mu
}

func (c *cache[K, V]) get(key K, create func() V) V {
	c.mu.RLock()
	v, ok := c.m[key]
	c.mu.RUnlock()
	if ok {
		return v
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if v, ok = c.m[key]; ok {
		return v
	}
	if c.m == nil {
		c.m = make(map[K]V)
	}
	v = create()
	c.m[key] = v
	return v
}

func (c *cache[K, V]) remove(gone func(K) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key := range c.m {
		if gone(key) {
			delete(c.m, key)
		}
	}
}

package metrics

import (
	"net/http"
	"strconv"
	"sync"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
)

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

// AddStoreFailure counts a transaction of the writer that failed, by a word for the
// reason, which must come from a fixed set.
func (m *Metrics) AddStoreFailure(reason string) { m.storeFailures.WithLabelValues(reason).Inc() }

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

// AddConnectionsEnded counts n connections that were ended or not let in.
// Reasons must come from a fixed set.
func (m *Metrics) AddConnectionsEnded(reason string, n int) {
	m.connectionsEnded.WithLabelValues(reason).Add(float64(n))
}

// AddBodyRefused counts a body for which there was no memory.
func (m *Metrics) AddBodyRefused() { m.bodiesRefused.Inc() }

// AddStreamDropped counts a stream that was ended because its client did not
// read.
func (m *Metrics) AddStreamDropped() { m.streamsDropped.Inc() }

// knownMethod keeps callers from making up label values.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
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

// each calls fn for every child. Fn must return soon.
func (c *cache[K, V]) each(fn func(K, V)) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for key, v := range c.m {
		fn(key, v)
	}
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

// AddDeliveries counts n attempts of a tenant by their outcome, which must come from
// a fixed set.
func (m *Metrics) AddDeliveries(tenant uuid.UUID, outcome string, n int) {
	key := tenantOutcome{m.tenants.label(tenant), outcome}
	m.deliveries.byTenant.get(key, func() prometheus.Counter {
		return m.deliveries.attempts.WithLabelValues(key.tenant, key.outcome)
	}).Add(float64(n))
}

// ObserveDelivery records how long one attempt took.
func (m *Metrics) ObserveDelivery(seconds float64) { m.deliveries.seconds.Observe(seconds) }

// AddDeliveriesExpired counts messages of a tenant that became too old before an
// endpoint had got them.
func (m *Metrics) AddDeliveriesExpired(tenant uuid.UUID, n int64) {
	m.deliveries.expired.WithLabelValues(m.tenants.label(tenant)).Add(float64(n))
}

// RegisterEndpoints sets the function that returns how the endpoints are doing. It
// is called at every scrape and must return soon.
func (m *Metrics) RegisterEndpoints(stats func() Endpoints) { m.deliveries.stats.Store(&stats) }

// Totals adds up what the metrics have. It takes as long as there are tenants with a
// label, less than a microsecond each. What was counted for tenants that are gone stays
// in.
func (m *Metrics) Totals() Totals { return m.forgotten.add(m) }

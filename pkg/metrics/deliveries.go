package metrics

import (
	"sync/atomic"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
)

// EndpointStats is what the metrics show of an endpoint that is delivered to by this
// process.
type EndpointStats struct {
	TenantID, EndpointID uuid.UUID
	Lag                  int64
	BreakerOpen          bool
}

// Endpoints is what the metrics show of endpoints: of those that this process delivers
// to, and how many there are with each status, delivered to or not.
type Endpoints struct {
	Live     []EndpointStats
	ByStatus map[string]int
}

// deliveries are the metrics of deliveries to endpoints.
type deliveries struct {
	tenants *tenants
	stats   atomic.Pointer[func() Endpoints]

	attempts *prometheus.CounterVec
	seconds  prometheus.Histogram
	expired  *prometheus.CounterVec
	byTenant cache[tenantOutcome, prometheus.Counter]
	lag      *prometheus.Desc
	breakers *prometheus.Desc
	statuses *prometheus.Desc
}

func newDeliveries(tenants *tenants) *deliveries {
	return &deliveries{
		tenants: tenants,
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "deliveries_total",
			Help: "Attempts to deliver a message to an endpoint, by what became of them.",
		}, []string{tenantLabel, "outcome"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Name: "delivery_seconds", Buckets: append(seconds(), 15),
			Help: "Time an attempt takes.",
		}),
		expired: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "deliveries_expired_total",
			Help: "Messages that became too old before an endpoint had got them, at most.",
		}, []string{tenantLabel}),
		lag: prometheus.NewDesc(namespace+"_endpoint_lag", "Messages that the endpoint has not got yet.",
			[]string{tenantLabel, "endpoint_id"}, nil),
		statuses: prometheus.NewDesc(namespace+"_endpoints", "Endpoints of the tenants that this process delivers for, by status.", []string{"status"}, nil),
		breakers: prometheus.NewDesc(namespace+"_breakers_open", "Endpoints of this process whose breaker is open.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (d *deliveries) Describe(ch chan<- *prometheus.Desc) {
	d.attempts.Describe(ch)
	d.seconds.Describe(ch)
	d.expired.Describe(ch)
	ch <- d.lag
	ch <- d.breakers
	ch <- d.statuses
}

// Collect implements prometheus.Collector. Endpoints of tenants that share a label
// are added up.
func (d *deliveries) Collect(ch chan<- prometheus.Metric) {
	d.attempts.Collect(ch)
	d.seconds.Collect(ch)
	d.expired.Collect(ch)
	stats := d.stats.Load()
	if stats == nil {
		return
	}
	type endpoint struct{ tenant, id string }
	lags, open := make(map[endpoint]int64), 0
	endpoints := (*stats)()
	for _, s := range endpoints.Live {
		key := endpoint{tenant: d.tenants.label(s.TenantID), id: s.EndpointID.String()}
		if key.tenant == otherTenant || key.tenant == "" {
			key.id = key.tenant
		}
		lags[key] += s.Lag
		if s.BreakerOpen {
			open++
		}
	}
	for key, lag := range lags {
		ch <- prometheus.MustNewConstMetric(d.lag, prometheus.GaugeValue, float64(lag), key.tenant, key.id)
	}
	ch <- prometheus.MustNewConstMetric(d.breakers, prometheus.GaugeValue, float64(open))
	for status, n := range endpoints.ByStatus {
		ch <- prometheus.MustNewConstMetric(d.statuses, prometheus.GaugeValue, float64(n), status)
	}
}

// forget removes what is counted under a tenant's label.
func (d *deliveries) forget(label string) {
	d.byTenant.remove(func(key tenantOutcome) bool { return key.tenant == label })
	d.attempts.DeletePartialMatch(prometheus.Labels{tenantLabel: label})
	d.expired.DeletePartialMatch(prometheus.Labels{tenantLabel: label})
}

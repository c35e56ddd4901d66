package metrics

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Totals are what was counted since the process began.
type Totals struct {
	// Accepted, Stored and Delivered are messages: that callers published and the broker
	// took, that were committed, and that endpoints took.
	Accepted, Stored, Delivered float64
	// Publish and EndToEnd are those of publish_seconds and end_to_end_seconds.
	Publish, EndToEnd Distribution
}

// Distribution is how long things took.
type Distribution struct {
	// Bounds are seconds, in ascending order, and Counts how many things took at most so
	// long; Count is how many there were.
	Bounds []float64
	Counts []uint64
	Count  uint64
}

// Outcomes of the counters that Totals adds up.
const (
	outcomeAccepted  = "accepted"
	outcomeStored    = "stored"
	outcomeDelivered = "delivered"
)

// forgotten is what was counted for tenants that are gone.
type forgotten struct {
	// mu is held while counters are taken away, or added up.
	mu                sync.Mutex
	stored, delivered float64 // guarded by mu
}

// add adds up what the metrics have, and what is forgotten.
func (f *forgotten) add(m *Metrics) Totals {
	f.mu.Lock()
	defer f.mu.Unlock()
	accepted := m.byOutcome.get(outcomeAccepted, func() prometheus.Counter { return m.published.WithLabelValues(outcomeAccepted) })
	return Totals{
		Accepted:  valueOf(accepted),
		Stored:    f.stored + sumOf(&m.byTenant, outcomeStored, anyLabel),
		Delivered: f.delivered + sumOf(&m.deliveries.byTenant, outcomeDelivered, anyLabel),
		Publish:   distributionOf(m.publish), EndToEnd: distributionOf(m.endToEnd),
	}
}

// keep adds what was counted under a tenant's label to what stays in. The mutex must be
// held.
func (f *forgotten) keep(m *Metrics, label string) {
	of := func(tenant string) bool { return tenant == label }
	f.stored += sumOf(&m.byTenant, outcomeStored, of)
	f.delivered += sumOf(&m.deliveries.byTenant, outcomeDelivered, of)
}

func anyLabel(string) bool { return true }

// sumOf adds up the counters with an outcome, of tenants with some labels.
func sumOf(counters *cache[tenantOutcome, prometheus.Counter], outcome string, of func(label string) bool) (sum float64) {
	counters.each(func(key tenantOutcome, c prometheus.Counter) {
		if key.outcome == outcome && of(key.tenant) {
			sum += valueOf(c)
		}
	})
	return sum
}

func valueOf(c prometheus.Metric) float64 {
	var value dto.Metric
	if c.Write(&value) != nil {
		return 0 // only a metric that was made wrongly fails
	}
	return value.GetCounter().GetValue()
}

func distributionOf(h prometheus.Metric) Distribution {
	var value dto.Metric
	if h.Write(&value) != nil {
		return Distribution{}
	}
	buckets := value.GetHistogram().GetBucket()
	d := Distribution{Bounds: make([]float64, len(buckets)), Counts: make([]uint64, len(buckets)), Count: value.GetHistogram().GetSampleCount()}
	for i, b := range buckets {
		d.Bounds[i], d.Counts[i] = b.GetUpperBound(), b.GetCumulativeCount()
	}
	return d
}

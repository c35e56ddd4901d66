package metrics

import "github.com/prometheus/client_golang/prometheus"

// httpMetrics are those of connections and of bodies.
type httpMetrics struct {
	connectionsEnded *prometheus.CounterVec
	bodiesRefused    prometheus.Counter
}

func newHTTPMetrics() httpMetrics {
	return httpMetrics{
		connectionsEnded: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "connections_ended_total",
			Help: "Connections that the service ended or did not let in, by the reason.",
		}, []string{"reason"}),
		bodiesRefused: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace, Name: "bodies_refused_total",
			Help: "Bodies that were refused because there was no memory for them, in all or for their owner.",
		}),
	}
}

// RegisterConnections sets the function that tells how many connections are
// open.
func (m *Metrics) RegisterConnections(open func() int) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: namespace, Name: "connections",
		Help: "Connections of clients that are open.",
	}, func() float64 { return float64(open()) }))
}

// RegisterBodies sets the function that tells how many bytes are reserved for
// bodies.
func (m *Metrics) RegisterBodies(used func() int64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: namespace, Name: "body_memory_bytes",
		Help: "Memory that is reserved for the bodies of requests.",
	}, func() float64 { return float64(used()) }))
}

// AddConnectionsEnded counts n connections that were ended or not let in.
// Reasons must come from a fixed set.
func (m *Metrics) AddConnectionsEnded(reason string, n int) {
	m.http.connectionsEnded.WithLabelValues(reason).Add(float64(n))
}

// AddBodyRefused counts a body for which there was no memory.
func (m *Metrics) AddBodyRefused() { m.http.bodiesRefused.Inc() }

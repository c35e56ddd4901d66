package metrics

import "github.com/prometheus/client_golang/prometheus"

// RegisterStreams sets the function that tells how many streams are open. Call
// it once.
func (m *Metrics) RegisterStreams(clients func() int) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: namespace, Name: "stream_clients",
		Help: "Realtime streams that are open.",
	}, func() float64 { return float64(clients()) }))
}

// AddStreamDropped counts a stream that was ended because its client did not
// read.
func (m *Metrics) AddStreamDropped() { m.streamsDropped.Inc() }

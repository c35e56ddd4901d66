package apptest

import (
	"bytes"
	"net/http"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
)

// Metrics are all metrics at one moment.
type Metrics struct {
	t        testing.TB
	families map[string]*dto.MetricFamily
}

// Metrics scrapes the service.
func (c *Client) Metrics() Metrics {
	c.t.Helper()
	answer := c.Want(http.StatusOK, nil, "GET", "/metrics", nil)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(answer.Body))
	require.NoError(c.t, err)
	return Metrics{c.t, families}
}

// Value returns a counter, a gauge, or the number of observations of a
// histogram. Labels are names and values in turn; it adds up what they match.
// A metric that is not there ends the test.
func (m Metrics) Value(name string, labels ...string) float64 {
	m.t.Helper()
	found := m.find(name, labels)
	require.NotEmpty(m.t, found, "%s %v", name, labels)
	sum := 0.0
	for _, metric := range found {
		switch {
		case metric.Counter != nil:
			sum += metric.Counter.GetValue()
		case metric.Gauge != nil:
			sum += metric.Gauge.GetValue()
		case metric.Histogram != nil:
			sum += float64(metric.Histogram.GetSampleCount())
		}
	}
	return sum
}

// Is returns an error unless Value returns want.
func (m Metrics) Is(want float64, name string, labels ...string) error {
	m.t.Helper()
	if !m.Has(name, labels...) {
		return NotYet("%s %v is there", name, labels)
	}
	if got := m.Value(name, labels...); got != want {
		return NotYet("%s %v is %v: %v", name, labels, want, got)
	}
	return nil
}

// Has reports whether there is such a metric.
func (m Metrics) Has(name string, labels ...string) bool { return len(m.find(name, labels)) > 0 }

// HasLabel reports whether any metric has a label with this value.
func (m Metrics) HasLabel(value string) bool {
	for _, family := range m.families {
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				if label.GetValue() == value {
					return true
				}
			}
		}
	}
	return false
}

func (m Metrics) find(name string, labels []string) []*dto.Metric {
	var found []*dto.Metric
	for _, metric := range m.families[name].GetMetric() {
		if matches(metric, labels) {
			found = append(found, metric)
		}
	}
	return found
}

func matches(metric *dto.Metric, labels []string) bool {
	for i := 0; i < len(labels); i += 2 {
		ok := false
		for _, label := range metric.GetLabel() {
			ok = ok || label.GetName() == labels[i] && label.GetValue() == labels[i+1]
		}
		if !ok {
			return false
		}
	}
	return true
}

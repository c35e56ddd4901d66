package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// histogram is one of the service's, as Prometheus' text format gives it:
// how many observations were at most so many seconds.
type histogram struct {
	bounds []float64
	counts []float64
}

// metrics are the service's metrics in Prometheus' text format.
type metrics string

// readMetrics asks the service for them.
func (t *tenants) readMetrics(ctx context.Context) (metrics, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+t.address+"/metrics", http.NoBody)
	if err != nil {
		return "", fmt.Errorf("make request: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", fmt.Errorf("read metrics: %w", err)
	}
	text, err := io.ReadAll(response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return "", fmt.Errorf("read metrics: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%w: metrics: %s", errAnswer, response.Status)
	}
	return metrics(text), nil
}

// values yields the values of all lines that begin with prefix, with what
// stands between the prefix and the value.
func (m metrics) values(prefix string) iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		for line := range strings.Lines(string(m)) {
			rest, ok := strings.CutPrefix(line, prefix)
			if !ok {
				continue
			}
			rest = strings.TrimRight(rest, "\r\n")
			at := strings.LastIndexByte(rest, ' ')
			value, err := strconv.ParseFloat(rest[at+1:], 64)
			if err == nil && !yield(rest[:max(at, 0)], value) {
				return
			}
		}
	}
}

// value returns the value of a metric without labels, or zero.
func (m metrics) value(name string) float64 {
	for label, value := range m.values(name) {
		if label == "" {
			return value
		}
	}
	return 0
}

// endToEnd returns the time from publication to the committed row.
func (m metrics) endToEnd() histogram {
	var h histogram
	for label, count := range m.values(`lanekeeper_end_to_end_seconds_bucket{le="`) {
		bound, err := strconv.ParseFloat(strings.TrimSuffix(label, `"}`), 64)
		if err == nil {
			h.bounds, h.counts = append(h.bounds, bound), append(h.counts, count)
		}
	}
	return h
}

// commits are transactions that stored messages.
type commits struct{ number, rows, seconds float64 }

// commits returns all since the service was started.
func (m metrics) commits() commits {
	return commits{
		number: m.value("lanekeeper_store_seconds_count"), rows: m.value("lanekeeper_store_batch_rows_sum"),
		seconds: m.value("lanekeeper_store_seconds_sum"),
	}
}

// since returns those after earlier.
func (c commits) since(earlier commits) commits {
	return commits{number: c.number - earlier.number, rows: c.rows - earlier.rows, seconds: c.seconds - earlier.seconds}
}

// since returns what was observed after earlier.
func (h histogram) since(earlier histogram) histogram {
	d := histogram{bounds: h.bounds, counts: make([]float64, len(h.counts))}
	for i := range h.counts {
		d.counts[i] = h.counts[i]
		if i < len(earlier.counts) {
			d.counts[i] -= earlier.counts[i]
		}
	}
	return d
}

// quantile returns an estimate: linear within a bucket, as Prometheus does
// it. It is zero when nothing was observed.
func (h histogram) quantile(q float64) time.Duration {
	if len(h.counts) == 0 || h.counts[len(h.counts)-1] == 0 {
		return 0
	}
	rank := q * h.counts[len(h.counts)-1]
	low, below := 0.0, 0.0
	for i, count := range h.counts {
		if count >= rank {
			high := h.bounds[i]
			if math.IsInf(high, 1) {
				high = low
			}
			return time.Duration((low + (high-low)*(rank-below)/(count-below)) * float64(time.Second))
		}
		low, below = h.bounds[i], count
	}
	return 0
}

package delivery_test

import (
	"bytes"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkDrain prints how many messages of a backlog are delivered in a second to
// a receiver of this process, and how many bare POSTs of Go's client there are of as
// many goroutines, in turn.
func BenchmarkDrain(b *testing.B) {
	const messages, concurrency = 30_000, 32
	var got atomic.Int64
	server := newCounter(b, &got)
	for b.Loop() {
		bare := posts(b, server, messages, concurrency)
		b.ReportMetric(bare, "bare/s")
		w := newWorld(b)
		tenant := w.newTenant(concurrency)
		e := w.endpoint(tenant, server, nil)
		w.publish(tenant, 0, messages, nil)
		begun := time.Now()
		a := w.start("a", nil)
		w.awaitCaughtUp(e)
		rate := messages / time.Since(begun).Seconds()
		a.stop()
		b.ReportMetric(rate, "delivered/s")
		b.ReportMetric(rate/bare, "ratio")
	}
}

func newCounter(b *testing.B, got *atomic.Int64) string {
	b.Helper()
	r := newReceiver(b)
	r.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		_, _ = io.Copy(io.Discard, request.Body)
		got.Add(1)
		w.WriteHeader(http.StatusOK)
	})
	return r.URL
}

// posts returns how many POSTs a second there are.
func posts(b *testing.B, url string, n, goroutines int) float64 {
	b.Helper()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: goroutines}}
	defer client.CloseIdleConnections()
	begun := time.Now()
	var work sync.WaitGroup
	for range goroutines {
		work.Go(func() {
			for range n / goroutines {
				response, err := client.Post(url, "application/json", bytes.NewReader([]byte("12345")))
				if err != nil {
					b.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
			}
		})
	}
	work.Wait()
	require.False(b, b.Failed())
	return float64(n) / time.Since(begun).Seconds()
}

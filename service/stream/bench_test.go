package stream

import (
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// BenchmarkFanOut stores one message at a time and waits until every client
// has it. With many clients the time of an operation is the feed's pause, so
// what counts is the processor time that each client takes.
func BenchmarkFanOut(b *testing.B) {
	for _, clients := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			tenant := uuid.New()
			store := newMemory(tenant)
			const size = 200
			s := startWith(b, Options{Streams: store, Encode: func(*domain.Message) []byte { return make([]byte, size) }})
			got := make(chan struct{}, clients)
			var work sync.WaitGroup
			for range clients {
				stream := open(b, s, tenant, nil, 0).stream
				work.Go(func() {
					for {
						data, err := stream.Next(b.Context())
						if err != nil {
							return
						}
						for range len(data) / size {
							got <- struct{}{}
						}
					}
				})
			}
			before := processorTime(b)
			for b.Loop() {
				store.add(tenant, 1, 10)
				s.Committed([]uuid.UUID{tenant})
				for range clients {
					<-got
				}
			}
			used := processorTime(b) - before
			b.ReportMetric(float64(used.Nanoseconds())/float64(b.N)/float64(clients), "cpu-ns/event")
			s.Close()
			work.Wait()
		})
	}
}

// BenchmarkLatency is the time from the begin of storing a message in a real
// database until a client has it, from memory or because it is looked for, beside
// that of storing it alone.
func BenchmarkLatency(b *testing.B) {
	d := newDatabase(b, 1, false)
	store := func() ([]domain.Message, []domain.AppendResult) {
		batch := []domain.Message{{ID: uuid.New(), TenantID: d.tenants[0], Payload: []byte(`{"n": 1}`)}}
		appended, err := d.append(b.Context(), batch)
		require.NoError(b, err)
		return batch, appended
	}
	b.Run("stored", func(b *testing.B) {
		for b.Loop() {
			store()
		}
	})
	for name, committed := range map[string]func(*served, []domain.Message, []domain.AppendResult){
		"received": func(s *served, batch []domain.Message, appended []domain.AppendResult) {
			s.tails.Committed(batch, appended)
		},
		"received, looked": func(s *served, _ []domain.Message, _ []domain.AppendResult) { s.Committed(d.tenants) },
	} {
		b.Run(name, func(b *testing.B) {
			s := start(b, d.store)
			stream := open(b, s, d.tenants[0], nil, 0).stream
			for b.Loop() {
				batch, appended := store()
				committed(s, batch, appended)
				_, err := stream.Next(b.Context())
				require.NoError(b, err)
			}
		})
	}
}

// BenchmarkCommitted is what a commit of many tenants costs its writer.
func BenchmarkCommitted(b *testing.B) {
	for name, streaming := range map[string]int{"nobody": 0, "some": 10, "all": 100} {
		b.Run("streaming="+name, func(b *testing.B) {
			tenants := make([]uuid.UUID, 100)
			for i := range tenants {
				tenants[i] = uuid.New()
			}
			s := start(b, newMemory(tenants...))
			for _, id := range tenants[:streaming] {
				open(b, s, id, nil, 0)
			}
			for b.Loop() {
				s.Committed(tenants)
			}
		})
	}
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

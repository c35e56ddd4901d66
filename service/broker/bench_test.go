package broker_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/service/broker"
)

// What publishing costs, in calls for one tenant after the other: single
// messages by 64 callers, and batches of 1,000 by 2. One operation is one call.
func BenchmarkPublish(b *testing.B) {
	for _, c := range []struct{ size, callers int }{{1, 64}, {1000, 2}} {
		b.Run(fmt.Sprintf("size=%d", c.size), func(b *testing.B) {
			publisher := broker.New(broker.Options{
				URLs: []string{devtest.RabbitMQ(b)}, Replica: "bench", PublishChannels: 2,
				QueueType: broker.Quorum, DeadLetterQueueType: broker.Classic, Log: slog.New(slog.DiscardHandler),
			})
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan struct{})
			go func() { defer close(done); publisher.Run(ctx) }()
			b.Cleanup(func() { cancel(); <-done })
			require.NoError(b, publisher.AwaitReady(b.Context()))
			tenants := make([]uuid.UUID, 4)
			for i := range tenants {
				tenants[i] = uuid.New()
				require.NoError(b, publisher.DeclareQueues(b.Context(), tenants[i]))
			}
			var calls, failed atomic.Int64
			b.ReportAllocs()
			b.SetParallelism(c.callers / 2)
			b.ResetTimer()
			begun := time.Now()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					tenant := tenants[int(calls.Add(1))%len(tenants)]
					for _, err := range publisher.Publish(ctx, tenant, outgoing(c.size)) {
						if err != nil {
							failed.Add(1)
						}
					}
				}
			})
			b.ReportMetric(float64(b.N*c.size)/time.Since(begun).Seconds(), "messages/s")
			require.Zero(b, failed.Load())
		})
	}
}

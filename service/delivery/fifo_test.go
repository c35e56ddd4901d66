package delivery_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/service/delivery"
)

// asked counts questions for due rows.
type asked struct {
	domain.DeliveryRepository

	times atomic.Int32
}

func (a *asked) DueDeliveries(ctx context.Context, q domain.DueQuery) (domain.DueDeliveries, error) {
	a.times.Add(1)
	return a.DeliveryRepository.DueDeliveries(ctx, q)
}

// In fifo order a row that is not due holds those behind it that are, and they are not
// asked for again and again meanwhile.
func TestFIFOWaitsForTheFirstRow(t *testing.T) {
	t.Parallel()
	w, r := newWorld(t), newReceiver(t)
	tenant := w.newTenant(1)
	e := w.endpoint(tenant, r.URL, func(e *domain.Endpoint) { e.Ordering = domain.OrderingFIFO })
	w.publish(tenant, 1, 3, nil)
	_, err := w.pool.Exec(t.Context(), `
		INSERT INTO deliveries (tenant_id, endpoint_id, seq, message_id, attempts, next_at)
		SELECT $1, $2, m.seq, m.id, 1, now() + CASE m.seq WHEN 1 THEN interval '3 s' ELSE interval '0 s' END
		FROM messages m WHERE m.tenant_id = $1 AND m.seq < 3`, tenant.ID, e.ID)
	require.NoError(t, err)
	_, err = w.pool.Exec(t.Context(), `UPDATE endpoint_cursors SET settled_seq = 2`)
	require.NoError(t, err)
	questions := &asked{DeliveryRepository: w.store}
	begun := time.Now()
	w.start("a", func(o *delivery.Options) { o.Deliveries = questions })
	w.awaitCaughtUp(e)
	require.GreaterOrEqual(t, time.Since(begun), 2*time.Second)
	require.Equal(t, []int{1, 2, 3}, r.taken())
	require.Less(t, questions.times.Load(), int32(20))
}

package message_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/service/message"
)

// queues tells the depths of queues, and counts how often it is asked.
type queues struct {
	mu     sync.Mutex
	depth  int64
	err    error
	hang   bool
	asked  int
	atOnce int
	most   int
}

func (q *queues) QueueDepth(ctx context.Context, _ uuid.UUID) (int64, error) {
	q.mu.Lock()
	q.asked++
	q.atOnce++
	q.most = max(q.most, q.atOnce)
	depth, err, hang := q.depth, q.err, q.hang
	q.mu.Unlock()
	if hang {
		<-ctx.Done()
		err = ctx.Err()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.atOnce--
	return depth, err
}

func (q *queues) set(change func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	change()
}

// samples starts a service that knows no depth from consumers.
func samples(t *testing.T, q *queues) *fixture {
	t.Helper()
	f := newFixture(func(o *message.Options) {
		o.MaxBacklog, o.Queues = 10, q
		o.Depth = func(uuid.UUID) (int64, bool) { return 0, false }
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); f.RunDepths(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	return f
}

func pass(d time.Duration) { <-time.After(d) }

// The backlog of a tenant whose consumer is stopped is limited, too. Nobody
// waits for the broker to tell how large it is.
func TestBacklogLimitWithoutConsumer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := &queues{depth: 10}
		f := samples(t, q)
		begun := time.Now()
		require.NoError(t, f.Admit(t.Context(), f.tenant), "it is not known yet")
		for range 100 {
			synctest.Wait()
			require.ErrorIs(t, f.Admit(t.Context(), f.tenant), domain.ErrLimited)
		}
		require.Zero(t, time.Since(begun))
		q.set(func() {
			require.Equal(t, 1, q.asked)
			q.depth = 9
		})
		pass(4 * time.Second)
		require.Error(t, f.Admit(t.Context(), f.tenant))
		pass(time.Second)
		require.Error(t, f.Admit(t.Context(), f.tenant), "what was found last")
		synctest.Wait()
		require.NoError(t, f.Admit(t.Context(), f.tenant))
		q.set(func() { require.Equal(t, 2, q.asked) })

		// What was found long ago says nothing.
		q.set(func() { q.depth = 10 })
		pass(5 * time.Second)
		require.NoError(t, f.Admit(t.Context(), f.tenant))
		synctest.Wait()
		require.Error(t, f.Admit(t.Context(), f.tenant))
		pass(30 * time.Second)
		require.NoError(t, f.Admit(t.Context(), f.tenant))
		synctest.Wait()
		// Nor does a broker that is away.
		q.set(func() { q.err = domain.New(domain.ErrUnavailable, "away", "Away.") })
		pass(5 * time.Second)
		require.Error(t, f.Admit(t.Context(), f.tenant))
		synctest.Wait()
		require.NoError(t, f.Admit(t.Context(), f.tenant))
	})
}

// A broker that hangs holds up nobody, and few questions wait for it.
func TestDepthsWhileTheBrokerHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := &queues{depth: 10, hang: true}
		f := samples(t, q)
		begun := time.Now()
		for range 20_000 {
			other := f.tenant
			other.ID = uuid.New()
			require.NoError(t, f.Admit(t.Context(), other))
		}
		synctest.Wait()
		require.Zero(t, time.Since(begun))
		q.set(func() {
			require.Equal(t, 4, q.most)
			q.hang = false
		})
		pass(time.Minute)
		require.NoError(t, f.Admit(t.Context(), f.tenant))
		synctest.Wait()
		require.Error(t, f.Admit(t.Context(), f.tenant))
		q.set(func() { require.Less(t, q.asked, 400) })
	})
}

// What was published while the tenant was deleted is not accepted: its queue
// may have been counted before.
func TestDeletedWhilePublishing(t *testing.T) {
	t.Parallel()
	for _, kind := range []domain.Kind{domain.ErrNotFound, domain.ErrUnavailable} {
		var asked int
		var answer error
		f := newFixture(func(o *message.Options) {
			o.StillThere = func(_ context.Context, id uuid.UUID) error { asked++; return answer }
		})
		batch := []domain.Submission{sub(`1`, ""), sub(`nope`, ""), sub(`2`, "k"), sub(`2`, "k")}
		for _, r := range f.Publish(t.Context(), f.tenant, batch[2:3]) {
			require.NoError(t, r.Err)
		}
		require.Equal(t, 1, asked)
		answer = domain.New(kind, "gone", "Gone.")
		receipts := f.Publish(t.Context(), f.tenant, append(batch, sub(`3`, "other")))
		require.Equal(t, 2, asked)
		require.ErrorIs(t, receipts[0].Err, kind)
		require.ErrorIs(t, receipts[1].Err, domain.ErrInvalid)
		require.NoError(t, receipts[2].Err)
		require.True(t, receipts[2].Replayed, "it was accepted before")
		require.True(t, receipts[3].Replayed)
		require.ErrorIs(t, receipts[4].Err, kind)
		require.Equal(t, uuid.Nil, receipts[4].ID)
		require.Len(t, f.keys.confirmed, 1, "the key can be used again")

		f.broker.fail = func(domain.Outgoing) error { return domain.New(domain.ErrUnavailable, "away", "Away.") }
		f.Publish(t.Context(), f.tenant, []domain.Submission{sub(`1`, "")})
		require.Equal(t, 2, asked, "nothing was accepted")
	}
}

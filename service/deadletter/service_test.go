package deadletter

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"lanekeeper/domain"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestReplayAll(t *testing.T) {
	t.Parallel()
	w, tenant := newWorld(), active()
	w.die(tenant.ID, 10)
	w.die(uuid.New(), 5)
	w.letters[tenant.ID][3].MessageID = ""
	once := sync.OnceFunc(func() { w.die(tenant.ID, 2) }) // while the call runs
	w.publish = func(context.Context, domain.Outgoing) error { once(); return nil }
	s := w.service()
	result, err := s.Replay(t.Context(), tenant, domain.DeadLetterSelection{All: true})
	require.NoError(t, err)
	require.Equal(t, domain.ReplayResult{Replayed: 10}, result)
	require.Equal(t, []string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "10"}, w.bodies())
	require.Equal(t, domain.Outgoing{ID: w.letters[tenant.ID][0].ID, MessageID: "order 1", Body: []byte("1")}, w.published[0])
	require.Equal(t, tenant.ID, w.tenants[0])
	require.Empty(t, w.published[3].MessageID)
	require.Equal(t, w.letters[tenant.ID][3].ID, w.published[3].ID, "the letter's own id stands in, the same every time")

	result, err = s.Replay(t.Context(), tenant, domain.DeadLetterSelection{All: true})
	require.NoError(t, err)
	require.Equal(t, domain.ReplayResult{Replayed: 2}, result, "those that died meanwhile")
	result, err = s.Replay(t.Context(), tenant, domain.DeadLetterSelection{All: true})
	require.NoError(t, err)
	require.Equal(t, domain.ReplayResult{}, result)
	result, err = s.Replay(t.Context(), active(), domain.DeadLetterSelection{All: true})
	require.NoError(t, err)
	require.Equal(t, domain.ReplayResult{}, result)
}

// A letter is sent again with what a message can have of what it came with.
func TestReplayKeepsEnvelopes(t *testing.T) {
	t.Parallel()
	w, tenant := newWorld(), active()
	w.die(tenant.ID, 3)
	letters := w.letters[tenant.ID]
	letters[0].Type, letters[0].Headers = "order.created", map[string]any{"x-ordering-key": "k", "a": "1", "x-death": []any{}, "n": json.Number("2")}
	letters[1].Type, letters[1].Headers = "t\x00", map[string]any{"a": map[string]any{"base64": "AA=="}, "b": strings.Repeat("v", 1001), "c": "3"}
	result, err := w.service().Replay(t.Context(), tenant, domain.DeadLetterSelection{All: true})
	require.NoError(t, err)
	require.Equal(t, domain.ReplayResult{Replayed: 3}, result)
	want := []domain.Outgoing{
		{Type: "order.created", OrderingKey: "k", Headers: map[string]string{"a": "1", "n": "2"}}, {Headers: map[string]string{"c": "3"}}, {},
	}
	for i, m := range w.published {
		got := domain.Outgoing{Type: m.Type, OrderingKey: m.OrderingKey, Headers: m.Headers}
		require.Equal(t, want[i], got)
	}
}

func TestReplayByID(t *testing.T) {
	t.Parallel()
	w, tenant := newWorld(), active()
	mine, other := w.die(tenant.ID, 8), w.die(uuid.New(), 2)
	s := w.service()
	result, err := s.Replay(t.Context(), tenant, domain.DeadLetterSelection{Seqs: []int64{mine[5], 999, mine[1], mine[5], other[0], mine[0], mine[7], mine[2]}})
	require.NoError(t, err)
	require.Equal(t, domain.ReplayResult{Replayed: 5, Skipped: 2}, result)
	require.Equal(t, []string{"1", "2", "3", "6", "8"}, w.bodies())
	require.Equal(t, []int64{1, 2, 3, 6, 8}, w.replayed(tenant.ID))

	result, err = s.Replay(t.Context(), tenant, domain.DeadLetterSelection{Seqs: mine[:4]})
	require.NoError(t, err)
	require.Equal(t, domain.ReplayResult{Replayed: 1, Skipped: 3}, result)
	result, err = s.Replay(t.Context(), tenant, domain.DeadLetterSelection{Seqs: other})
	require.NoError(t, err)
	require.Equal(t, domain.ReplayResult{Skipped: 2}, result)
	require.Len(t, w.bodies(), 6)
}

// Letters of deliveries never go through the queue, whatever is chosen with them.
func TestReplayDeliveries(t *testing.T) {
	t.Parallel()
	w, tenant := newWorld(), active()
	queue := w.die(tenant.ID, 4)
	deliveries := w.dieAt(tenant.ID, uuid.New(), 300)
	nowhere := w.dieAt(tenant.ID, uuid.Nil, 2)
	queue = append(queue, w.die(tenant.ID, 1)...)
	s := w.service()
	result, err := s.Replay(t.Context(), tenant, domain.DeadLetterSelection{Seqs: []int64{queue[1], nowhere[0], deliveries[7], queue[0], deliveries[3], 999}})
	require.NoError(t, err)
	require.Equal(t, domain.ReplayResult{Replayed: 4, Skipped: 2}, result)
	require.Equal(t, []int64{deliveries[3], deliveries[7]}, w.reopened)
	require.Equal(t, []string{"1", "2"}, w.bodies())

	w.publish = func(context.Context, domain.Outgoing) error { return away() }
	result, err = s.Replay(t.Context(), tenant, domain.DeadLetterSelection{All: true})
	require.NoError(t, err)
	require.Equal(t, domain.ReplayResult{Replayed: 298, Skipped: 5}, result, "the broker is not needed")
	require.Len(t, w.reopened, 300)
	_, err = s.Replay(t.Context(), tenant, domain.DeadLetterSelection{All: true})
	require.Equal(t, "broker_unavailable", domain.CodeOf(err))
	w.publish = func(context.Context, domain.Outgoing) error { return nil }
	result, err = s.Replay(t.Context(), tenant, domain.DeadLetterSelection{All: true})
	require.NoError(t, err)
	require.Equal(t, domain.ReplayResult{Replayed: 3, Skipped: 2}, result)
	require.Equal(t, []string{"1", "2", "3", "4", fmt.Sprint(queue[4])}, w.bodies())
	require.Equal(t, nowhere, w.waiting(tenant.ID), "stays as it is")

	w.dieAt(tenant.ID, uuid.New(), 1)
	w.mark = away
	_, err = s.Replay(t.Context(), tenant, domain.DeadLetterSelection{All: true})
	require.ErrorIs(t, err, domain.ErrUnavailable)
}

// More ids than one batch has, most of which name nothing.
func TestReplayManyIDs(t *testing.T) {
	t.Parallel()
	w, tenant := newWorld(), active()
	w.die(uuid.New(), 700)
	mine := w.die(tenant.ID, 2)
	seqs := make([]int64, domain.MaxDeadLetterIDs)
	for i := range seqs {
		seqs[i] = int64(i + 1)
	}
	result, err := w.service().Replay(t.Context(), tenant, domain.DeadLetterSelection{Seqs: seqs})
	require.NoError(t, err)
	require.Equal(t, domain.ReplayResult{Replayed: 2, Skipped: 998}, result)
	require.Equal(t, mine, w.replayed(tenant.ID))
}

func TestReplayInPart(t *testing.T) {
	t.Parallel()
	w, tenant := newWorld(), active()
	w.die(tenant.ID, 10)
	w.publish = func(_ context.Context, m domain.Outgoing) error {
		if b := string(m.Body); b == "2" || b >= "4" {
			return away()
		}
		return nil
	}
	s := w.service()
	result, err := s.Replay(t.Context(), tenant, domain.DeadLetterSelection{All: true})
	require.NoError(t, err)
	require.Equal(t, domain.ReplayResult{Replayed: 2, Skipped: 8}, result)
	require.Equal(t, []int64{1, 3}, w.replayed(tenant.ID))

	w.publish = func(context.Context, domain.Outgoing) error { return nil }
	w.mark = away
	result, err = s.Replay(t.Context(), tenant, domain.DeadLetterSelection{All: true})
	require.NoError(t, err)
	require.Equal(t, domain.ReplayResult{Replayed: 3, Skipped: 5}, result, "what the broker has is counted, and nothing more begun")
	w.mark = func() error { return nil }
	result, err = s.Replay(t.Context(), tenant, domain.DeadLetterSelection{All: true})
	require.NoError(t, err)
	require.Equal(t, domain.ReplayResult{Replayed: 8}, result, "what was not marked is published again, under the same ids")
	require.Equal(t, w.published[2].MessageID, w.published[5].MessageID)
}

func TestReplayRefused(t *testing.T) {
	t.Parallel()
	w, tenant := newWorld(), active()
	w.die(tenant.ID, 3)
	s := w.service()
	for status, kind := range map[domain.TenantStatus]domain.Kind{
		domain.TenantInactive: domain.ErrConflict, domain.TenantProvisioning: domain.ErrUnavailable, domain.TenantDeleting: domain.ErrNotFound,
	} {
		refused := tenant
		refused.Status = status
		_, err := s.Replay(t.Context(), refused, domain.DeadLetterSelection{All: true})
		require.ErrorIs(t, err, kind)
	}
	w.publish = func(context.Context, domain.Outgoing) error { return away() }
	for _, selection := range []domain.DeadLetterSelection{{All: true}, {Seqs: []int64{1, 2}}} {
		_, err := s.Replay(t.Context(), tenant, selection)
		require.ErrorIs(t, err, domain.ErrUnavailable)
		require.Equal(t, "broker_unavailable", domain.CodeOf(err))
	}
	w.read = func(context.Context) error {
		return domain.New(domain.ErrUnavailable, "database_unavailable", "It is away.")
	}
	_, err := s.Replay(t.Context(), tenant, domain.DeadLetterSelection{All: true})
	require.Equal(t, "database_unavailable", domain.CodeOf(err))
	require.Empty(t, w.bodies())
	require.Empty(t, w.replayed(tenant.ID))
}

// A call answers in time, and reports how far it came.
func TestReplayEndsInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, tenant := newWorld(), active()
		w.die(tenant.ID, 30)
		w.publish = func(ctx context.Context, _ domain.Outgoing) error {
			select {
			case <-time.After(time.Second):
				return nil
			case <-ctx.Done():
				return away()
			}
		}
		begun := time.Now()
		result, err := w.service().Replay(t.Context(), tenant, domain.DeadLetterSelection{All: true})
		require.NoError(t, err)
		require.Equal(t, domain.ReplayResult{Replayed: 4, Skipped: 26}, result)
		require.Equal(t, callTimeout, time.Since(begun))
		require.Equal(t, []int64{1, 2, 3, 4}, w.replayed(tenant.ID), "marked although the time was over")

		w.read = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		_, err = w.service().Replay(t.Context(), tenant, domain.DeadLetterSelection{All: true})
		require.ErrorIs(t, err, domain.ErrUnavailable)
		require.Equal(t, "dead_letters_unavailable", domain.CodeOf(err))
	})
}

func TestDelete(t *testing.T) {
	t.Parallel()
	w, tenant := newWorld(), active()
	mine, other := w.die(tenant.ID, 5), w.die(uuid.New(), 2)
	s := w.service()
	deleted := func(selection domain.DeadLetterSelection) int64 {
		result, err := s.Delete(t.Context(), tenant.ID, selection)
		require.NoError(t, err)
		require.Nil(t, result.Job)
		return result.Deleted
	}
	require.EqualValues(t, 1, deleted(domain.DeadLetterSelection{Seqs: []int64{mine[0], mine[0], other[0], 99}}))
	require.Zero(t, deleted(domain.DeadLetterSelection{}), "nothing is not everything")
	endpoint := uuid.New()
	w.dieAt(tenant.ID, endpoint, 3)
	require.Zero(t, deleted(domain.DeadLetterSelection{Filter: domain.DeadLetterFilter{EndpointID: uuid.New()}}))
	require.NoError(t, w.MarkReplayed(t.Context(), tenant.ID, w.waiting(tenant.ID)[5:]))
	require.EqualValues(t, 3, deleted(domain.DeadLetterSelection{Filter: domain.DeadLetterFilter{EndpointID: endpoint}}), "replayed or not")
	require.Equal(t, mine[1:], w.waiting(tenant.ID))

	w.read = func(context.Context) error { return context.DeadlineExceeded }
	_, err := s.Delete(t.Context(), tenant.ID, domain.DeadLetterSelection{All: true})
	require.Equal(t, "purge_incomplete", domain.CodeOf(err))
	require.ErrorIs(t, err, domain.ErrUnavailable)
	_, err = s.Delete(t.Context(), tenant.ID, domain.DeadLetterSelection{All: true})
	require.Equal(t, "dead_letters_unavailable", domain.CodeOf(err))
}

func TestListAndGet(t *testing.T) {
	t.Parallel()
	w, tenant := newWorld(), active()
	mine := w.die(tenant.ID, 5)
	s := w.service()
	list := func(q domain.DeadLetterQuery) (letters []domain.DeadLetter, more bool, err error) {
		err = s.List(t.Context(), q, func(part domain.DeadLetterPage, _ bool) error {
			letters, more = append(letters, part.Letters...), part.More
			return nil
		})
		return letters, more, err
	}
	page, more, err := list(domain.DeadLetterQuery{TenantID: tenant.ID, Limit: 2, After: mine[0]})
	require.NoError(t, err)
	require.True(t, more)
	require.Equal(t, w.letters[tenant.ID][1:3], page)
	for _, q := range []domain.DeadLetterQuery{{Limit: 0}, {Limit: MaxPageSize + 1}, {Limit: 1, After: -1}} {
		_, _, err := list(q)
		require.ErrorIs(t, err, domain.ErrInvalid)
	}
	w.letters[tenant.ID][3].Body = make([]byte, 2*domain.SmallAnswer)
	var letter domain.DeadLetter
	get := func(tenantID uuid.UUID, seq int64) error {
		return s.Get(t.Context(), tenantID, seq, func(l domain.DeadLetter) error { letter = l; return nil })
	}
	for i := range mine[3:] {
		require.NoError(t, get(tenant.ID, mine[3+i]))
		require.Equal(t, w.letters[tenant.ID][3+i], letter)
	}
	require.ErrorIs(t, get(uuid.New(), mine[4]), domain.ErrNotFound)
	require.ErrorIs(t, get(tenant.ID, 0), domain.ErrNotFound)
	page, more, err = list(domain.DeadLetterQuery{TenantID: tenant.ID, Limit: 5})
	require.NoError(t, err)
	require.False(t, more)
	require.Equal(t, w.letters[tenant.ID], page, "in several parts")
	w.read = func(context.Context) error { return away() }
	_, _, err = list(domain.DeadLetterQuery{TenantID: tenant.ID, Limit: 2})
	require.ErrorIs(t, err, domain.ErrUnavailable)
}

func TestJanitor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, tenant := newWorld(), active()
		w.die(tenant.ID, 5)
		var gone atomic.Bool
		w.read = func(context.Context) error {
			if gone.Load() {
				return away()
			}
			return nil
		}
		j := NewJanitor(JanitorOptions{Letters: w, Jobs: newJobs(w), KeepReplayed: time.Hour, KeepOthers: 2 * time.Hour, Log: slog.New(slog.DiscardHandler)})
		_, known := j.Waiting(tenant.ID)
		require.False(t, known)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); j.Run(ctx) }()
		synctest.Wait()
		n, known := j.Waiting(tenant.ID)
		require.True(t, known)
		require.EqualValues(t, 5, n)
		n, known = j.Waiting(uuid.New())
		require.True(t, known)
		require.Zero(t, n)
		<-time.After(sweepEvery + time.Second)
		synctest.Wait()
		require.Equal(t, []time.Duration{time.Hour, 2 * time.Hour}, w.swept[:2])
		require.Equal(t, []int{0, 0, 2}, w.excepted, "again when a chunk was full, and without those that cannot be deleted")
		gone.Store(true)
		<-time.After(countEvery)
		synctest.Wait()
		_, known = j.Waiting(tenant.ID)
		require.False(t, known)
		cancel()
		<-done
	})
}

package delivery_test

import (
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// byKey is an endpoint with order by key, and retries after a second.
func byKey(e *domain.Endpoint) {
	e.Ordering = domain.OrderingKey
	e.Retry = domain.RetryPolicy{Schedule: slices.Repeat([]time.Duration{time.Second}, 30)}
}

// keyed returns a change that gives messages these keys, the last one to all that
// follow.
func keyed(first int, keys ...string) func(int, *domain.Message) {
	return func(i int, m *domain.Message) { m.OrderingKey = keys[min(i-first, len(keys)-1)] }
}

func answer(w http.ResponseWriter, ok bool) {
	if ok {
		w.WriteHeader(http.StatusOK)
		return
	}
	w.WriteHeader(http.StatusInternalServerError)
}

// The first message of a key ends while the breaker is open and others of its key
// have rows already that wait for it.
func TestFirstOfAKeyWaitsAgain(t *testing.T) {
	t.Parallel()
	w, r := newWorld(t), newReceiver(t)
	tenant := w.newTenant(2)
	e := w.endpoint(tenant, r.URL, byKey)
	var back, ended atomic.Bool
	r.does(func(w http.ResponseWriter, request *http.Request) {
		switch n := number(request); {
		case n < 2: // both slots, for as long as others become old
			<-time.After(1300 * time.Millisecond)
			answer(w, true)
		case n == 2:
			<-time.After(800 * time.Millisecond)
			answer(w, back.Load())
			ended.Store(true)
		default:
			answer(w, n == 4 || back.Load())
		}
	})
	keys := []string{"x", "y", "k", "k", "z"}
	for i := range 12 {
		keys = append(keys, string(rune('A'+i)))
	}
	w.publish(tenant, 0, len(keys), keyed(0, keys...))
	a := w.start("a", nil)
	w.awaitBreaker(e)
	await(t, func() error {
		if !ended.Load() || w.count(`SELECT count(*) FROM deliveries WHERE ordering_key = 'k'`) == 0 {
			return errNotYet
		}
		return nil
	})
	back.Store(true)
	w.awaitCaughtUp(e)
	a.stop()
	taken := r.taken()
	require.Less(t, slices.Index(taken, 2), slices.Index(taken, 3))
	require.Len(t, taken, len(keys))
}

// However many messages wait for one of their key that fails, the other keys go on.
func TestAKeyThatFailsLeavesRoomForOthers(t *testing.T) {
	t.Parallel()
	w, r := newWorld(t), newReceiver(t)
	tenant := w.newTenant(4)
	e := w.endpoint(tenant, r.URL, byKey)
	var back atomic.Bool
	const behind = 1100
	r.does(func(w http.ResponseWriter, request *http.Request) { answer(w, number(request) > behind || back.Load()) })
	w.publish(tenant, 0, behind+1, keyed(0, "k"))
	w.publish(tenant, behind+1, 10, keyed(behind+1, "other"))
	a := w.start("a", nil)
	r.awaitTaken(t, 10)
	require.Equal(t, sequence(behind+1, 10), r.taken())
	back.Store(true)
	w.awaitCaughtUp(e)
	a.stop()
	require.Equal(t, sequence(0, behind+1), r.taken()[10:])
}

// The breaker tries the newest message, but none before those of its key.
func TestProbesKeepTheOrder(t *testing.T) {
	t.Parallel()
	t.Run("key", func(t *testing.T) {
		t.Parallel()
		w, r := newWorld(t), newReceiver(t)
		tenant := w.newTenant(10)
		e := w.endpoint(tenant, r.URL, byKey)
		r.does(func(w http.ResponseWriter, request *http.Request) { answer(w, number(request) >= 10) })
		w.publish(tenant, 0, 10, keyed(0, "a", "b", "c", "d", "e", "f", "g", "h", "i", "j"))
		w.start("a", nil)
		w.awaitBreaker(e)
		w.awaitProgress(e, func(p *domain.EndpointProgress) bool { return p.Settled == 10 })
		w.publish(tenant, 10, 5, keyed(10, "z"))
		r.awaitTaken(t, 5)
		require.Equal(t, sequence(10, 5), r.taken())
	})
	t.Run("fifo", func(t *testing.T) {
		t.Parallel()
		w, r := newWorld(t), newReceiver(t)
		tenant := w.newTenant(1)
		e := w.endpoint(tenant, r.URL, func(e *domain.Endpoint) {
			e.Ordering, e.OnFailure, e.Retry = domain.OrderingFIFO, domain.FailureSkips, domain.RetryPolicy{Final: []int{http.StatusBadRequest}}
		})
		r.does(func(w http.ResponseWriter, request *http.Request) {
			if number(request) < 12 {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			answer(w, true)
		})
		w.publish(tenant, 0, 40, nil)
		w.start("a", nil)
		await(t, func() error { // some probes, the oldest and the newest in turn
			tries := 0
			for _, n := range r.times() {
				tries += n
			}
			if tries < 10+6 {
				return errNotYet
			}
			return nil
		})
		r.answers(http.StatusOK)
		w.awaitCaughtUp(e)
		require.True(t, slices.IsSorted(r.taken()), "%v", r.taken())
	})
}

// Rows that others deleted, as retention does, keep nothing of their key.
func TestRowsThatVanish(t *testing.T) {
	t.Parallel()
	w, r := newWorld(t), newReceiver(t)
	tenant := w.newTenant(4)
	e := w.endpoint(tenant, r.URL, func(e *domain.Endpoint) {
		byKey(e)
		e.Retry = domain.RetryPolicy{Schedule: []time.Duration{72 * time.Hour}}
	})
	r.does(func(w http.ResponseWriter, request *http.Request) { answer(w, number(request) > 0) })
	w.publish(tenant, 0, 3, keyed(0, "k"))
	w.publish(tenant, 3, 1, keyed(3, "other"))
	a := w.start("a", nil)
	w.awaitProgress(e, func(p *domain.EndpointProgress) bool { return p.Settled == 4 && p.Open == 3 })
	_, err := w.pool.Exec(t.Context(), `DELETE FROM deliveries WHERE seq < 3`)
	require.NoError(t, err)
	_, err = w.pool.Exec(t.Context(), `UPDATE deliveries SET next_at = now()`)
	require.NoError(t, err)
	a.Wake(tenant.ID)
	w.publish(tenant, 4, 2, keyed(4, "k"))
	r.awaitTaken(t, 4)
	require.Equal(t, []int{3, 2, 4, 5}, r.taken())
	w.awaitCaughtUp(e)
}

// A message that holds up an endpoint in order is skipped while many others come that
// are not for it.
func TestSkipBesideOthers(t *testing.T) {
	t.Parallel()
	w, r := newWorld(t), newReceiver(t)
	tenant := w.newTenant(1)
	e := w.endpoint(tenant, r.URL, func(e *domain.Endpoint) {
		e.Ordering, e.Types = domain.OrderingFIFO, []domain.TypePattern{"order.*"}
		e.Retry = domain.RetryPolicy{Schedule: []time.Duration{72 * time.Hour}}
	})
	r.does(func(w http.ResponseWriter, request *http.Request) { answer(w, number(request) > 0) })
	order := func(_ int, m *domain.Message) { m.Type = "order.created" }
	w.publish(tenant, 0, 1, order)
	a := w.start("a", nil)
	w.awaitProgress(e, func(p *domain.EndpointProgress) bool { return p.Open == 1 })
	for i := range 100 {
		if i == 50 {
			_, err := w.store.SkipBlocking(t.Context(), tenant.ID, e.ID)
			require.NoError(t, err)
			a.Wake(tenant.ID)
			w.publish(tenant, 1, 1, order)
		}
		w.publish(tenant, 100, 1, func(_ int, m *domain.Message) { m.Type = "note.taken" })
		<-time.After(5 * time.Millisecond)
	}
	w.awaitCaughtUp(e)
	require.Equal(t, []int{1}, r.taken())
}

// Rows of messages that the cursor has not come to: those are delivered by their rows,
// and once, after what is before them of their key.
func TestRowsBeyondTheCursor(t *testing.T) {
	t.Parallel()
	for name, types := range map[string][]domain.TypePattern{"first": nil, "alone": {"order.*"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, r := newWorld(t), newReceiver(t)
			tenant := w.newTenant(4)
			e := w.endpoint(tenant, r.URL, func(e *domain.Endpoint) { byKey(e); e.Types = types })
			w.publish(tenant, 1, 1, func(_ int, m *domain.Message) { m.OrderingKey, m.Type = "k", "note.taken" })
			w.publish(tenant, 2, 3, func(i int, m *domain.Message) {
				m.OrderingKey, m.Type = map[bool]string{true: "k", false: "other"}[i < 4], "order.created"
			})
			_, err := w.pool.Exec(t.Context(), `
				INSERT INTO deliveries (tenant_id, endpoint_id, seq, message_id, ordering_key, attempts, next_at)
				SELECT $1, $2, m.seq, m.id, m.ordering_key, 0, CASE m.ordering_key WHEN 'other' THEN now() END
				FROM messages m WHERE m.tenant_id = $1 AND m.seq IN (2, 4)`, tenant.ID, e.ID)
			require.NoError(t, err)
			w.start("a", nil)
			w.awaitCaughtUp(e)
			taken := slices.DeleteFunc(r.taken(), func(n int) bool { return n == 4 })
			want := []int{1, 2, 3}
			if types != nil {
				want = want[1:]
			}
			require.Equal(t, want, taken)
			require.Equal(t, 1, r.times()[4])
		})
	}
}

// A change while there are rows beyond the cursor counts none of them twice.
func TestChangeWithRowsBeyondTheCursor(t *testing.T) {
	t.Parallel()
	w, r := newWorld(t), newReceiver(t)
	tenant := w.newTenant(4)
	e := w.endpoint(tenant, r.URL, byKey)
	r.does(func(w http.ResponseWriter, request *http.Request) {
		switch n := number(request); n {
		case 0:
			<-time.After(900 * time.Millisecond)
			answer(w, true)
		case 1:
			answer(w, r.times()[1] > 1)
		default:
			answer(w, true)
		}
	})
	w.publish(tenant, 0, 2, keyed(0, "a", "k"))
	a := w.start("a", nil)
	await(t, func() error {
		if w.count(`SELECT count(*) FROM deliveries`) != 1 {
			return errNotYet
		}
		return nil
	})
	require.Zero(t, w.progress(e).Settled)
	w.change(e, func(e *domain.Endpoint) { e.Types = []domain.TypePattern{"*"} }, a)
	w.change(e, func(e *domain.Endpoint) { e.Types = nil }, a)
	w.publish(tenant, 2, 3, keyed(2, "k"))
	r.awaitTaken(t, 5)
	w.awaitCaughtUp(e)
	require.Equal(t, map[int]int{0: 1, 1: 2, 2: 1, 3: 1, 4: 1}, r.times())
}

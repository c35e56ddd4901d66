package delivery_test

import (
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// sequence returns first, first+1, ...
func sequence(first, n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = first + i
	}
	return list
}

// Every message of a matching type arrives, once, and its attempt is recorded.
func TestDelivers(t *testing.T) {
	t.Parallel()
	w, all, orders := newWorld(t), newReceiver(t), newReceiver(t)
	tenant := w.newTenant(5)
	w.publish(tenant, 0, 10, nil) // before there was an endpoint
	everything := w.endpoint(tenant, all.URL, nil)
	some := w.endpoint(tenant, orders.URL, func(e *domain.Endpoint) { e.Types = []domain.TypePattern{"order.*"} })
	w.publish(tenant, 1000, 700, func(i int, m *domain.Message) {
		if i%10 == 0 {
			m.Type = "order.created"
		}
	})
	w.start("a", nil)
	w.awaitCaughtUp(everything)
	w.awaitCaughtUp(some)
	require.ElementsMatch(t, sequence(1000, 700), all.taken())
	var tens []int
	for i := 1000; i < 1700; i += 10 {
		tens = append(tens, i)
	}
	require.ElementsMatch(t, tens, orders.taken())
	require.Equal(t, 770, w.count(`SELECT count(*) FROM attempts WHERE status = 200 AND number = 1`))
	require.Zero(t, w.count(`SELECT count(*) FROM deliveries`))
}

// A message that fails is tried again as the schedule says, and given up in the end:
// one dead letter, and everything else arrives meanwhile.
func TestRetriesAndGivesUp(t *testing.T) {
	t.Parallel()
	w, r := newWorld(t), newReceiver(t)
	tenant := w.newTenant(3)
	e := w.endpoint(tenant, r.URL, func(e *domain.Endpoint) {
		e.Retry = domain.RetryPolicy{Schedule: []time.Duration{time.Second, time.Second}, Final: []int{http.StatusTeapot}}
	})
	r.does(func(w http.ResponseWriter, request *http.Request) {
		switch n := number(request); {
		case n == 7:
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = w.Write([]byte("no\x00 way"))
		case n == 8:
			w.WriteHeader(http.StatusTeapot)
		case n == 9 && r.times()[9] < 3:
			w.WriteHeader(http.StatusNotFound)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	})
	w.publish(tenant, 0, 50, nil)
	w.start("a", nil)
	w.awaitCaughtUp(e)
	times := r.times()
	require.Equal(t, []int{3, 1, 3, 1}, []int{times[7], times[8], times[9], times[10]})
	letters := w.letters(tenant)
	require.Len(t, letters, 2)
	for _, l := range letters {
		require.Equal(t, domain.ReasonDeliveryFailed, l.Reason)
		attempts := map[string]int{"7": 3, "8": 1}[string(l.Body)]
		require.Equal(t, attempts, l.Attempts, "%s", l.Body)
	}
	require.Equal(t, 3, w.count(`SELECT count(*) FROM attempts WHERE status = 500 AND answer = '\x6e6f0020776179'`))
}

// An endpoint that answers 410 is disabled, the message is still open, and resuming
// goes on with it.
func TestGone(t *testing.T) {
	t.Parallel()
	w, r := newWorld(t), newReceiver(t)
	tenant := w.newTenant(1)
	e := w.endpoint(tenant, r.URL, nil)
	r.does(func(w http.ResponseWriter, request *http.Request) {
		if number(request) == 5 {
			w.WriteHeader(http.StatusGone)
			return
		}
		w.WriteHeader(http.StatusOK)
	})
	w.publish(tenant, 0, 20, nil)
	a := w.start("a", nil)
	await(t, func() error {
		if now, err := w.store.FindEndpoint(t.Context(), tenant.ID, e.ID); err != nil || now.Status != domain.EndpointDisabled {
			return errNotYet
		}
		return nil
	})
	a.Follow(tenant.ID)
	require.Empty(t, w.letters(tenant))
	require.Positive(t, w.progress(e).Lag())
	r.answers(http.StatusOK)
	w.change(e, func(e *domain.Endpoint) { e.Status = domain.EndpointActive }, a)
	w.awaitCaughtUp(e)
	require.ElementsMatch(t, sequence(0, 20), r.taken())
	require.Empty(t, w.letters(tenant))
}

// One that hangs, and one that waits for its next attempt, let the cursor pass
// within about a second, and a process that dies repeats only what was under way.
func TestOneDoesNotHoldUpOthers(t *testing.T) {
	t.Parallel()
	w, r := newWorld(t), newReceiver(t)
	tenant := w.newTenant(8)
	e := w.endpoint(tenant, r.URL, func(e *domain.Endpoint) { e.Timeout = 15 * time.Second })
	hang := make(chan struct{})
	t.Cleanup(sync.OnceFunc(func() { close(hang) }))
	r.does(func(w http.ResponseWriter, request *http.Request) {
		switch number(request) {
		case 0:
			select {
			case <-hang:
			case <-request.Context().Done():
			}
		case 1:
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusOK)
	})
	const n = 3000
	w.publish(tenant, 0, n, nil)
	first := w.start("a", nil)
	begun := time.Now()
	await(t, func() error {
		if p := w.progress(e); p.Settled != n || p.Open != 2 {
			return errNotYet
		}
		return nil
	})
	t.Logf("passed after %v", time.Since(begun))
	first.stop() // as good as killed for the one that hangs: it is aborted
	w.start("b", nil)
	await(t, func() error {
		if r.times()[0] < 2 {
			return errNotYet
		}
		return nil
	})
	for i, times := range r.times() {
		if i > 1 {
			require.Equal(t, 1, times, "%d", i)
		}
	}
}

// While an endpoint is down its breaker opens, no attempt is used up and nothing is
// given up; when it is back everything arrives.
func TestDownForLong(t *testing.T) {
	t.Parallel()
	w, r := newWorld(t), newReceiver(t)
	tenant := w.newTenant(16)
	e := w.endpoint(tenant, r.URL, func(e *domain.Endpoint) {
		e.Retry = domain.RetryPolicy{Schedule: []time.Duration{time.Second, time.Second}}
	})
	r.answers(http.StatusBadGateway)
	const n = 5000
	w.publish(tenant, 0, n, nil)
	a := w.start("a", nil)
	w.awaitBreaker(e)
	<-time.After(4 * time.Second) // several times the schedule
	require.Empty(t, w.letters(tenant))
	require.Less(t, w.count(`SELECT count(*) FROM deliveries`), 40)
	require.LessOrEqual(t, w.count(`SELECT coalesce(max(attempts), 0) FROM deliveries`), 1)
	a.stop()
	b := w.start("b", nil) // which spends none either
	<-time.After(time.Second)
	require.LessOrEqual(t, w.count(`SELECT coalesce(max(attempts), 0) FROM deliveries`), 1)
	r.answers(http.StatusOK)
	w.awaitCaughtUp(e)
	b.stop()
	require.Empty(t, w.letters(tenant))
	taken := r.taken()
	slices.Sort(taken)
	require.Equal(t, sequence(0, n), slices.Compact(taken))
	require.Zero(t, w.progress(e).Health.BreakerOpenedAt)
}

// In order, whatever fails; and within a key.
func TestOrder(t *testing.T) {
	t.Parallel()
	schedule := domain.RetryPolicy{Schedule: []time.Duration{time.Second}}
	t.Run("fifo", func(t *testing.T) {
		t.Parallel()
		w, r := newWorld(t), newReceiver(t)
		tenant := w.newTenant(16)
		e := w.endpoint(tenant, r.URL, func(e *domain.Endpoint) { e.Ordering, e.Retry = domain.OrderingFIFO, schedule })
		r.does(func(w http.ResponseWriter, request *http.Request) {
			if n := number(request); n%40 == 10 && r.times()[n] < 4 { // longer than its schedule
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			w.WriteHeader(http.StatusOK)
		})
		w.publish(tenant, 0, 60, nil)
		w.start("a", nil)
		w.awaitCaughtUp(e)
		require.Equal(t, sequence(0, 60), r.taken())
		require.Equal(t, 1, r.most())
		require.Empty(t, w.letters(tenant))
	})
	t.Run("key", func(t *testing.T) {
		t.Parallel()
		w, r := newWorld(t), newReceiver(t)
		tenant := w.newTenant(8)
		e := w.endpoint(tenant, r.URL, func(e *domain.Endpoint) { e.Ordering, e.Retry = domain.OrderingKey, schedule })
		var mu sync.Mutex
		seen := make(map[int][]int)
		r.does(func(w http.ResponseWriter, request *http.Request) {
			n := number(request)
			if n%97 == 13 && r.times()[n] < 2 {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			mu.Lock()
			seen[n%20] = append(seen[n%20], n)
			mu.Unlock()
			w.WriteHeader(http.StatusOK)
		})
		const n = 2000
		w.publish(tenant, 0, n, func(i int, m *domain.Message) { m.OrderingKey = "k" + strconv.Itoa(i%20) })
		w.start("a", nil)
		w.awaitCaughtUp(e)
		require.Equal(t, n, len(r.taken())) //nolint:testifylint // not to print them
		for key, list := range seen {
			require.True(t, slices.IsSorted(list), "%d: %v", key, list)
		}
		require.Greater(t, r.most(), 1)
	})
}

// Resizing takes effect within a second, and no more than that are under way.
func TestConcurrency(t *testing.T) {
	t.Parallel()
	w, r := newWorld(t), newReceiver(t)
	tenant := w.newTenant(5)
	e := w.endpoint(tenant, r.URL, nil)
	r.does(func(w http.ResponseWriter, _ *http.Request) {
		<-time.After(20 * time.Millisecond)
		w.WriteHeader(http.StatusOK)
	})
	w.publish(tenant, 0, 4000, nil)
	a := w.start("a", nil)
	for _, n := range []int{5, 20, 1} {
		_, err := w.store.ChangeTenant(t.Context(), tenant.ID, func(t *domain.Tenant) error { return t.SetWorkers(n) })
		require.NoError(t, err)
		a.Follow(tenant.ID)
		<-time.After(time.Second)
		r.most()
		await(t, func() error {
			if most := r.most(); most != n {
				require.Less(t, most, n+1, "never above it")
				return errNotYet
			}
			return nil
		})
	}
	require.Positive(t, w.progress(e).Lag(), "all the time")
}

// A tenant belongs to one replica at a time: one that leaves gives it up when its
// last answer is in, one that dies when it was not seen for 10 s.
func TestReplicas(t *testing.T) {
	t.Parallel()
	w, r := newWorld(t), newReceiver(t)
	var endpoints []domain.Endpoint
	for range 6 {
		endpoints = append(endpoints, w.endpoint(w.newTenant(1), r.URL, nil))
	}
	r.does(func(w http.ResponseWriter, _ *http.Request) {
		<-time.After(5 * time.Millisecond)
		w.WriteHeader(http.StatusOK)
	})
	replicas := []*replica{w.start("a", nil), w.start("b", nil), w.start("c", nil)}
	for i, e := range endpoints {
		w.publish(domain.Tenant{ID: e.TenantID}, 1000*i, 400, nil)
	}
	<-time.After(time.Second)
	replicas[0].stop()
	w.start("d", nil)
	for _, e := range endpoints {
		w.awaitCaughtUp(e)
	}
	for n, times := range r.times() {
		require.Equal(t, 1, times, "%d: nobody died", n)
	}
	require.LessOrEqual(t, r.most(), len(endpoints), "one of each at a time")
}

// A change of types while messages come: whatever matches the types of the moment
// at which it is settled arrives, and nothing that was delivered is delivered again
// for it.
func TestChangeOfTypes(t *testing.T) {
	t.Parallel()
	w, r := newWorld(t), newReceiver(t)
	tenant := w.newTenant(8)
	e := w.endpoint(tenant, r.URL, nil)
	a := w.start("a", nil)
	for i := range 40 {
		w.publish(tenant, 100*i, 100, func(_ int, m *domain.Message) { m.Type = "order.created" })
		w.change(e, func(e *domain.Endpoint) {
			e.Types = []domain.TypePattern{"order.*"}
			if i%2 == 0 {
				e.Types = append(e.Types, "invoice.*")
			}
		}, a)
	}
	w.awaitCaughtUp(e)
	for n, times := range r.times() {
		require.Equal(t, 1, times, "%d", n)
	}
	require.Equal(t, 4000, len(r.taken())) //nolint:testifylint // not to print them
}

// Deliveries to endpoints that hang keep no others from theirs.
func TestEndpointsThatHang(t *testing.T) {
	t.Parallel()
	w, hanging, r := newWorld(t), newReceiver(t), newReceiver(t)
	hanging.does(func(_ http.ResponseWriter, request *http.Request) { <-request.Context().Done() })
	bad := w.newTenant(100)
	for range 20 {
		w.endpoint(bad, hanging.URL, func(e *domain.Endpoint) { e.Timeout = 15 * time.Second })
	}
	w.publish(bad, 0, 500, nil)
	a := w.start("a", nil)
	await(t, func() error {
		if hanging.most() < 500 {
			return errNotYet
		}
		return nil
	})
	good := w.newTenant(5)
	e := w.endpoint(good, r.URL, nil)
	a.Follow(good.ID)
	w.publish(good, 0, 1000, nil)
	begun := time.Now()
	w.awaitCaughtUp(e)
	require.Less(t, time.Since(begun), 10*time.Second)
}

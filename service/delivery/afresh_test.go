package delivery_test

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/service/delivery"
)

// meddling is a repository that has something happen when settlements are made: before
// that, or after they took effect.
type meddling struct {
	domain.DeliveryRepository

	before, after func([]domain.Settlement) // nil for nothing
	targets       atomic.Int32              // how often endpoints were asked for
}

func (m *meddling) Settle(ctx context.Context, name string, settlements []domain.Settlement) ([]domain.SettleOutcome, error) {
	if m.before != nil {
		m.before(settlements)
	}
	outcomes, err := m.DeliveryRepository.Settle(ctx, name, settlements)
	if m.after != nil {
		m.after(settlements)
	}
	return outcomes, err
}

func (m *meddling) DeliveryTargets(ctx context.Context, tenantIDs []uuid.UUID) ([]domain.DeliveryTarget, error) {
	m.targets.Add(1)
	return m.DeliveryRepository.DeliveryTargets(ctx, tenantIDs)
}

// follow has the replica tell the tenant's dispatchers of their endpoints, once, and waits
// until it has: when it asks for those of another tenant.
func (m *meddling) follow(r *replica, tenant domain.Tenant) {
	r.w.t.Helper()
	for _, id := range []uuid.UUID{tenant.ID, uuid.New()} {
		asked := m.targets.Load()
		r.Follow(id)
		await(r.w.t, func() error {
			if m.targets.Load() == asked {
				return errNotYet
			}
			return nil
		})
	}
}

// disables reports whether the settlements disable an endpoint.
func disables(settlements []domain.Settlement) bool {
	return slices.ContainsFunc(settlements, func(s domain.Settlement) bool { return s.Disable != "" })
}

func (w *world) status(e domain.Endpoint) domain.EndpointStatus {
	w.t.Helper()
	now, err := w.store.FindEndpoint(w.t.Context(), e.TenantID, e.ID)
	require.NoError(w.t, err)
	return now.Status
}

// What failed at one URL says nothing of another one: its breaker is closed, and it has
// not been failing for days.
func TestAnotherURLStartsAfresh(t *testing.T) {
	t.Parallel()
	w, before, after := newWorld(t), newReceiver(t), newReceiver(t)
	tenant := w.newTenant(4)
	e := w.endpoint(tenant, before.URL, func(e *domain.Endpoint) {
		e.Retry = domain.RetryPolicy{Schedule: []time.Duration{time.Second, time.Second}}
	})
	before.answers(http.StatusBadGateway)
	after.does(func(w http.ResponseWriter, request *http.Request) {
		if n := number(request); n == 30 && after.times()[n] == 1 {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		w.WriteHeader(http.StatusOK)
	})
	const limit = 5 * 24 * time.Hour
	var later atomic.Int64
	a := w.start("a", func(o *delivery.Options) {
		o.ProbeEvery, o.DisableAfter = time.Hour, limit
		o.Now = func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	})
	w.publish(tenant, 0, 40, nil)
	await(t, func() error {
		open, tried := !w.progress(e).Health.BreakerOpenedAt.IsZero(), 0
		for _, times := range before.times() {
			tried += times
		}
		if !open || w.count(`SELECT count(*) FROM attempts`) != tried {
			return errNotYet
		}
		return nil
	})
	later.Store(int64(limit + time.Hour))
	w.change(e, func(e *domain.Endpoint) { e.URL = after.URL }, a)
	w.awaitCaughtUp(e)
	require.ElementsMatch(t, sequence(0, 40), after.taken())
	require.Equal(t, domain.EndpointActive, w.status(e))
	require.Equal(t, domain.EndpointHealth{}, w.progress(e).Health)
	live, _ := a.Stats()
	require.Len(t, live, 1)
	require.False(t, live[0].BreakerOpen)
}

// An endpoint that moves while a 410 of its old URL is about to be settled, or is still
// to come, is not disabled for it.
func TestGoneAtTheURLBefore(t *testing.T) {
	t.Parallel()
	t.Run("answered", func(t *testing.T) {
		t.Parallel()
		w, before, after := newWorld(t), newReceiver(t), newReceiver(t)
		before.answers(http.StatusGone)
		tenant := w.newTenant(2)
		e := w.endpoint(tenant, before.URL, nil)
		w.publish(tenant, 0, 20, nil)
		move := sync.OnceFunc(func() {
			_, err := w.store.ChangeEndpoint(t.Context(), tenant.ID, e.ID, func(e *domain.Endpoint) error { e.URL = after.URL; return nil })
			assert.NoError(t, err)
		})
		w.start("a", func(o *delivery.Options) {
			o.Deliveries = &meddling{DeliveryRepository: w.store, before: func(s []domain.Settlement) {
				if disables(s) {
					move()
				}
			}}
		})
		w.awaitCaughtUp(e)
		require.ElementsMatch(t, sequence(0, 20), after.taken())
		require.Equal(t, domain.EndpointActive, w.status(e))
	})
	t.Run("under way", func(t *testing.T) {
		t.Parallel()
		w, before, after := newWorld(t), newReceiver(t), newReceiver(t)
		hang := make(chan struct{})
		answer := sync.OnceFunc(func() { close(hang) })
		t.Cleanup(answer)
		before.does(func(w http.ResponseWriter, _ *http.Request) { <-hang; w.WriteHeader(http.StatusGone) })
		tenant := w.newTenant(2)
		e := w.endpoint(tenant, before.URL, nil)
		a := w.start("a", nil)
		w.publish(tenant, 0, 1, nil)
		await(t, func() error {
			if before.times()[0] == 0 {
				return errNotYet
			}
			return nil
		})
		w.change(e, func(e *domain.Endpoint) { e.URL = after.URL }, a)
		w.publish(tenant, 1, 1, nil)
		await(t, func() error {
			if len(after.taken()) == 0 {
				return errNotYet
			}
			return nil
		})
		answer()
		w.awaitCaughtUp(e)
		require.Equal(t, []int{1, 0}, after.taken())
		require.Equal(t, domain.EndpointActive, w.status(e))
		require.Equal(t, 1, w.count(`SELECT count(*) FROM attempts WHERE status = 410 AND probe`), "it uses up no attempt")
	})
}

// An endpoint that is resumed before anybody has noticed that it was disabled goes on,
// whether or not its dispatcher knows by then that this is settled.
func TestResumedAtOnce(t *testing.T) {
	t.Parallel()
	for name, settling := range map[string]bool{"settled": false, "settling": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, r := newWorld(t), newReceiver(t)
			r.answers(http.StatusGone)
			tenant := w.newTenant(1) // one answer: no later settlement finds the new version
			e := w.endpoint(tenant, r.URL, nil)
			w.publish(tenant, 0, 20, nil)
			resumed := make(chan struct{})
			resume := sync.OnceFunc(func() { close(resumed) })
			repository := &meddling{DeliveryRepository: w.store}
			if settling {
				repository.after = func(s []domain.Settlement) {
					if disables(s) {
						<-resumed
					}
				}
			}
			a := w.start("a", func(o *delivery.Options) { o.Deliveries = repository })
			t.Cleanup(resume)
			await(t, func() error {
				if w.status(e) != domain.EndpointDisabled {
					return errNotYet
				}
				return nil
			})
			r.answers(http.StatusOK)
			w.change(e, func(e *domain.Endpoint) { e.Status = domain.EndpointActive })
			repository.follow(a, tenant)
			begun := time.Now()
			resume()
			w.awaitCaughtUp(e)
			require.Less(t, time.Since(begun), long/2, "before everything is looked at again")
			require.ElementsMatch(t, sequence(0, 20), r.taken())
			require.Equal(t, domain.EndpointActive, w.status(e))
		})
	}
}

// A breaker that was open before a restart is shown to be open.
func TestBreakerIsShownAfterRestart(t *testing.T) {
	t.Parallel()
	w, r := newWorld(t), newReceiver(t)
	w.endpoint(w.newTenant(1), r.URL, nil)
	_, err := w.pool.Exec(t.Context(), `UPDATE endpoint_cursors SET breaker_opened_at = now()`)
	require.NoError(t, err)
	a := w.start("a", nil)
	await(t, func() error {
		if live, _ := a.Stats(); len(live) != 1 || !live[0].BreakerOpen {
			return errNotYet
		}
		return nil
	})
}

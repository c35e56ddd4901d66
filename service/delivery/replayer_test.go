package delivery_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/service/delivery"
)

// slowLook is a repository whose first look for a replay takes long after it has read.
type slowLook struct {
	asked

	proceed       chan struct{} // closed when it may return
	begun, looked atomic.Int32
}

func (s *slowLook) RunningReplay(ctx context.Context, tenantID, endpointID uuid.UUID) (*domain.Replay, error) {
	replay, err := s.DeliveryRepository.RunningReplay(ctx, tenantID, endpointID)
	if s.begun.Add(1) == 1 {
		<-s.proceed
	}
	s.looked.Add(1)
	return replay, err
}

// replay begins a replay of all that the endpoint has got.
func (w *world) replay(e domain.Endpoint, rate int) domain.Replay {
	w.t.Helper()
	replay, err := w.store.InsertReplay(w.t.Context(), domain.ReplayQuery{TenantID: e.TenantID, EndpointID: e.ID, Rate: rate})
	require.NoError(w.t, err)
	return replay
}

// awaitReplayed waits until a replay is done, and returns it.
func (w *world) awaitReplayed(replay domain.Replay) domain.Replay {
	w.t.Helper()
	await(w.t, func() (err error) {
		replay, err = w.store.FindReplay(w.t.Context(), replay.TenantID, replay.EndpointID, replay.ID)
		if err == nil && replay.State != domain.ReplayDone {
			err = fmt.Errorf("%w: %+v", errNotYet, replay)
		}
		return err
	})
	return replay
}

// A replay has those messages only that the endpoint wants, and they are counted.
func TestReplayIsOfTheEndpointsTypes(t *testing.T) {
	t.Parallel()
	w, r := newWorld(t), newReceiver(t)
	tenant := w.newTenant(4)
	e := w.endpoint(tenant, r.URL, func(e *domain.Endpoint) { e.Types = []domain.TypePattern{"order.*"} })
	w.publish(tenant, 0, 300, func(i int, m *domain.Message) { m.Type = []string{"order.created", "invoice.paid", ""}[i%3] })
	a := w.start("a", nil)
	w.awaitCaughtUp(e)
	replay := w.replay(e, 10_000)
	a.Wake(tenant.ID)
	replay = w.awaitReplayed(replay)
	require.EqualValues(t, 100, replay.Total)
	require.EqualValues(t, 100, replay.Done)
	times := r.times()
	for i := range 300 {
		require.Equal(t, []int{2, 0, 0}[i%3], times[i], "%d", i)
	}
}

// A member of a replay that fails holds up the replay, and nothing that is live, in
// fifo order either.
func TestReplayThatFailsDoesNotHoldFIFO(t *testing.T) {
	t.Parallel()
	for _, onFailure := range []domain.OnFailure{domain.FailureBlocks, domain.FailureSkips} {
		t.Run(string(onFailure), func(t *testing.T) {
			t.Parallel()
			w, r := newWorld(t), newReceiver(t)
			tenant := w.newTenant(1)
			e := w.endpoint(tenant, r.URL, func(e *domain.Endpoint) {
				e.Ordering, e.OnFailure, e.Retry = domain.OrderingFIFO, onFailure, domain.RetryPolicy{Schedule: []time.Duration{time.Second}}
			})
			w.publish(tenant, 0, 5, nil)
			a := w.start("a", nil)
			w.awaitCaughtUp(e)
			var fails atomic.Bool
			fails.Store(true)
			r.does(func(w http.ResponseWriter, request *http.Request) {
				if fails.Load() && number(request) == 2 && request.Header.Get("Lanekeeper-Replay") != "" {
					w.WriteHeader(http.StatusInternalServerError)
					return
				}
				w.WriteHeader(http.StatusOK)
			})
			replay := w.replay(e, 10_000)
			a.Wake(tenant.ID)
			tried := func(n int) func() error {
				return func() error {
					if r.times()[2] < n {
						return errNotYet
					}
					return nil
				}
			}
			await(t, tried(2))
			w.publish(tenant, 5, 10, nil)
			w.awaitCaughtUp(e)
			await(t, tried(3)) // as its schedule says
			if onFailure == domain.FailureBlocks {
				require.Empty(t, w.letters(tenant))
				await(t, tried(4))
				fails.Store(false)
			}
			replay = w.awaitReplayed(replay)
			require.EqualValues(t, 5, replay.Done)
			again := []int{0, 1, 2, 3, 4}
			if onFailure == domain.FailureSkips {
				again = slices.Delete(again, 2, 3)
				require.Len(t, w.letters(tenant), 1)
			}
			require.Equal(t, slices.Concat(sequence(0, 5), again), slices.DeleteFunc(r.taken(), func(n int) bool { return n >= 5 }))
		})
	}
}

// What happens to a replay while somebody looks for one is not missed.
func TestReplayChangesDuringALook(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]bool{"begins": false, "is canceled": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, r := newWorld(t), newReceiver(t)
			tenant := w.newTenant(1)
			e := w.endpoint(tenant, r.URL, nil)
			repository := &slowLook{asked: asked{DeliveryRepository: w.store}, proceed: make(chan struct{})}
			proceed := sync.OnceFunc(func() { close(repository.proceed) })
			a := w.start("a", func(o *delivery.Options) { o.Deliveries = repository })
			t.Cleanup(proceed)
			var replayed atomic.Int32
			r.does(func(w http.ResponseWriter, request *http.Request) {
				if request.Header.Get("Lanekeeper-Replay") != "" {
					replayed.Add(1)
				}
				w.WriteHeader(http.StatusOK)
			})
			w.publish(tenant, 0, 10, nil)
			w.awaitCaughtUp(e)
			// wake wakes the dispatcher, and waits until it has noticed: it asks for rows, too.
			wake := func() {
				questions := repository.times.Load()
				a.Wake(tenant.ID)
				await(t, func() error {
					if repository.times.Load() == questions || repository.begun.Load() == 0 {
						return errNotYet
					}
					return nil
				})
			}
			var replay domain.Replay
			if before {
				replay = w.replay(e, 1)
			}
			wake()
			if before {
				_, err := w.store.CancelReplay(t.Context(), tenant.ID, e.ID, replay.ID)
				require.NoError(t, err)
			} else {
				w.replay(e, 1)
			}
			wake()
			proceed()
			await(t, func() error {
				if repository.looked.Load() < 2 || !before && replayed.Load() < 2 {
					return errNotYet
				}
				return nil
			})
			if before {
				w.publish(tenant, 10, 1, nil)
				w.awaitCaughtUp(e)
				require.Less(t, replayed.Load(), int32(3))
			}
		})
	}
}

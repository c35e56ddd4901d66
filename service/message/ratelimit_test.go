package message_test

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/service/message"
)

// pacedAt is a fixture whose tenants may publish so many messages a second, and
// a quarter of that at once.
func pacedAt(perSecond int) *fixture {
	return newFixture(func(o *message.Options) { o.Rate = perSecond })
}

// payloads returns n messages of so many bytes each.
func payloads(n, size int) []domain.Submission {
	subs := make([]domain.Submission, n)
	for i := range subs {
		subs[i].Payload = append(append([]byte(`"`), bytes.Repeat([]byte("x"), size-2)...), '"')
	}
	return subs
}

// A tenant that publishes as fast as it is answered gets its rate, no error,
// and takes nothing from another one.
func TestPaceSlowsAFloodDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := pacedAt(100)
		ctx := t.Context()
		begun := time.Now()
		for range 1025 {
			require.NoError(t, f.Publish(ctx, f.tenant, payloads(1, 10))[0].Err)
		}
		require.Equal(t, 10*time.Second, time.Since(begun), "25 at once, and 100 a second from then on")

		other := domain.Tenant{ID: uuid.New(), Status: domain.TenantActive}
		begun = time.Now()
		for range 25 {
			require.NoError(t, f.Publish(ctx, other, payloads(1, 10))[0].Err)
		}
		require.Zero(t, time.Since(begun))
	})
}

// Calls that would have to wait for longer than half a second are refused at
// once, say when to come again, and cost nothing: nothing is published, no key
// is claimed, and no later call waits for them.
func TestPaceRefusesWhatWouldWaitTooLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := pacedAt(100)
		var mu sync.Mutex
		var calls sync.WaitGroup
		accepted, refused := 0, 0
		begun := time.Now()
		for range 200 {
			calls.Go(func() {
				r := f.Publish(t.Context(), f.tenant, []domain.Submission{{Payload: []byte(`1`), IdempotencyKey: uuid.NewString()}})[0]
				mu.Lock()
				defer mu.Unlock()
				if r.Err == nil {
					accepted++
					return
				}
				refused++
				var e *domain.Error
				if !errors.As(r.Err, &e) || !errors.Is(r.Err, domain.ErrLimited) || e.Code != "rate_exceeded" || e.RetryAfter < 500*time.Millisecond {
					t.Errorf("refused with %v", r.Err)
				}
				if time.Since(begun) > 0 {
					t.Errorf("refused after %v", time.Since(begun))
				}
			})
		}
		calls.Wait()
		require.Equal(t, 500*time.Millisecond, time.Since(begun))
		require.Equal(t, 75, accepted, "25 at once and 50 within half a second")
		require.Equal(t, 125, refused)
		require.Len(t, f.broker.published, 75)
		require.Equal(t, 75, f.keys.claims)
		require.Equal(t, map[string]int{"accepted": 75, "limited": 125}, f.observer.counts)

		pass(250 * time.Millisecond)
		require.NoError(t, f.Admit(t.Context(), f.tenant))
		begun = time.Now()
		require.NoError(t, f.Publish(t.Context(), f.tenant, payloads(25, 10))[0].Err)
		require.Zero(t, time.Since(begun), "the bucket filled up meanwhile")
	})
}

// All tenants of an owner together have the rate of one, however many there are; others
// have their own, and those without an owner only that of the tenant.
func TestPaceOfOwners(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		limits := owners{domain.Limits{PublishRate: 100}}
		f := newFixture(func(o *message.Options) { o.Rate, o.Limits = 200, &limits })
		tenantOf := func(owner uuid.UUID) domain.Tenant {
			return domain.Tenant{ID: uuid.New(), OwnerID: owner, Status: domain.TenantActive}
		}
		publish := func(t domain.Tenant, n int) error { return f.Publish(context.Background(), t, payloads(n, 10))[0].Err }
		greedy, other := uuid.New(), uuid.New()
		begun := time.Now()
		for range 75 {
			require.NoError(t, publish(tenantOf(greedy), 1))
		}
		require.Equal(t, 500*time.Millisecond, time.Since(begun), "25 at once, and 100 a second from then on")
		begun = time.Now()
		require.NoError(t, publish(tenantOf(greedy), 51))
		require.Equal(t, 250*time.Millisecond, time.Since(begun), "until the bucket is full")
		begun = time.Now()
		err := publish(tenantOf(greedy), 26)
		require.Equal(t, "limits.publish_rate", limitOf(t, err))
		require.ErrorIs(t, err, domain.ErrLimited)
		require.ErrorIs(t, f.Admit(t.Context(), tenantOf(greedy)), domain.ErrLimited)
		require.ErrorIs(t, publish(tenantOf(greedy), 1), domain.ErrLimited, "for a moment all are")
		for _, of := range []uuid.UUID{other, uuid.Nil, uuid.Nil} {
			require.NoError(t, publish(tenantOf(of), 25))
		}
		require.Zero(t, time.Since(begun), "nobody else waits")
		pass(100 * time.Millisecond)
		require.NoError(t, f.Admit(t.Context(), tenantOf(greedy)))
		require.NoError(t, publish(tenantOf(greedy), 1))

		// What a tenant may is charged as well, and what is refused is charged to nobody.
		limits.PublishRate = 1000
		one := tenantOf(other)
		require.NoError(t, publish(one, 50))
		require.NoError(t, publish(one, 101))
		require.Equal(t, "rate_exceeded", domain.CodeOf(publish(one, 60)))
		begun = time.Now()
		require.NoError(t, publish(tenantOf(other), 50))
		require.Zero(t, time.Since(begun))

		limits.PublishRate = 0 // as for an admin
		require.NoError(t, publish(tenantOf(greedy), 50))
		require.Zero(t, time.Since(begun))
	})
}

// Once a call was refused, others are for a moment without a look at what they
// bring; of the rate nothing is lost by that.
func TestPaceStaysClosedForAMoment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := pacedAt(100)
		var calls sync.WaitGroup
		for _, n := range []int{25, 25, 25} {
			calls.Go(func() { f.Publish(t.Context(), f.tenant, payloads(n, 10)) })
			synctest.Wait()
			require.NoError(t, f.Admit(t.Context(), f.tenant))
		}
		require.ErrorIs(t, f.Publish(t.Context(), f.tenant, payloads(1, 10))[0].Err, domain.ErrLimited)
		require.ErrorIs(t, f.Admit(t.Context(), f.tenant), domain.ErrLimited)
		require.NoError(t, f.Admit(t.Context(), domain.Tenant{ID: uuid.New(), Status: domain.TenantActive}))
		pass(99 * time.Millisecond)
		require.ErrorIs(t, f.Admit(t.Context(), f.tenant), domain.ErrLimited)
		pass(time.Millisecond)
		require.NoError(t, f.Admit(t.Context(), f.tenant))
		begun := time.Now()
		require.NoError(t, f.Publish(t.Context(), f.tenant, payloads(1, 10))[0].Err)
		require.Equal(t, 410*time.Millisecond, time.Since(begun), "behind those that waited all along")
		calls.Wait()
	})
}

// What a message costs goes with its size.
func TestPaceOfLargeMessages(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		subs []domain.Submission
		// takes is how long four such calls take.
		takes time.Duration
	}{
		"4 KiB":                 {payloads(10, 4<<10), 150 * time.Millisecond},
		"a byte more":           {payloads(10, 4<<10+1), 550 * time.Millisecond},
		"100 KiB":               {payloads(1, 100<<10), 750 * time.Millisecond},
		"not acceptable at all": {[]domain.Submission{{Payload: []byte(`{`)}}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := pacedAt(100)
				begun := time.Now()
				for range 4 {
					for _, r := range f.Publish(t.Context(), f.tenant, c.subs) {
						require.NotErrorIs(t, r.Err, domain.ErrLimited)
					}
				}
				require.Equal(t, c.takes, time.Since(begun))
			})
		})
	}
}

// A call that costs more than what may be published at once passes when the
// bucket is full, and is paid in full: later ones wait for what it owes, or are
// told when to come again, with whatever size they have.
func TestPaceOfCallsLargerThanTheBucket(t *testing.T) {
	t.Parallel()
	for name, subs := range map[string][]domain.Submission{
		"many small messages": payloads(1000, 10),
		"few large ones":      payloads(10, 400<<10),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := pacedAt(100) // 25 at once
				begun := time.Now()
				const calls = 5
				require.NoError(t, f.Publish(t.Context(), f.tenant, subs)[0].Err)
				for range calls - 1 {
					after := retryAfter(t, f.Publish(t.Context(), f.tenant, subs)[0].Err)
					require.InDelta(t, after.Seconds(), retryAfter(t, f.Admit(t.Context(), f.tenant)).Seconds(), 0.3, "also before a body is read")
					require.ErrorIs(t, f.Publish(t.Context(), f.tenant, payloads(1, 10))[0].Err, domain.ErrLimited)
					pass(after)
					begun := time.Now()
					require.NoError(t, f.Publish(t.Context(), f.tenant, subs)[0].Err, "as it was told")
					require.LessOrEqual(t, time.Since(begun), 500*time.Millisecond)
				}
				require.GreaterOrEqual(t, time.Since(begun), (calls-1)*9900*time.Millisecond)
				require.LessOrEqual(t, time.Since(begun), (calls-1)*10500*time.Millisecond)
			})
		})
	}
}

// What is not urgent, as a replay, waits for as long as it has time to, keeps to
// the rate together with the calls, and lets those in between.
func TestPaceOfWhatIsNotUrgent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := pacedAt(100)
		begun := time.Now()
		taken, published := 0, 0
		var work sync.WaitGroup
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		work.Go(func() {
			for {
				err := f.Pace(ctx, f.tenant, []int{10, 4096, 4097, 8192}) // 6 units
				if err != nil {
					if !errors.Is(err, domain.ErrLimited) {
						t.Errorf("refused with %v", err)
					}
					return
				}
				taken += 6
			}
		})
		work.Go(func() {
			for time.Since(begun) < 19*time.Second {
				if f.Publish(t.Context(), f.tenant, payloads(6, 10))[0].Err == nil {
					published += 6
				}
			}
		})
		work.Wait()
		require.InDelta(t, 20*time.Second, time.Since(begun), float64(time.Second))
		require.InDelta(t, 2000, taken+published, 150)
		require.Greater(t, taken, 300)
		require.Greater(t, published, 300)

		tenant := f.tenant
		tenant.Status = domain.TenantInactive
		require.ErrorIs(t, f.Pace(t.Context(), tenant, []int{1}), domain.ErrConflict)
		// More than the bucket holds passes, and is owed.
		pass(time.Second)
		require.NoError(t, f.Pace(t.Context(), f.tenant, []int{4 << 20}))
		require.ErrorIs(t, f.Admit(t.Context(), f.tenant), domain.ErrLimited)
	})
}

func retryAfter(t *testing.T, err error) time.Duration {
	t.Helper()
	var e *domain.Error
	require.ErrorIs(t, err, domain.ErrLimited)
	require.ErrorAs(t, err, &e)
	return e.RetryAfter
}

// Who has gone does not wait, and nothing of his is published.
func TestPaceEndsWithTheCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := pacedAt(100)
		require.NoError(t, f.Publish(t.Context(), f.tenant, payloads(25, 10))[0].Err)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		begun := time.Now()
		for _, r := range f.Publish(ctx, f.tenant, payloads(20, 10)) {
			require.ErrorIs(t, r.Err, domain.ErrUnavailable)
		}
		require.Equal(t, 10*time.Millisecond, time.Since(begun))
		require.Len(t, f.broker.published, 25)
	})
}

func TestNoPaceWithoutARate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := pacedAt(0)
		begun := time.Now()
		for range 100 {
			require.NoError(t, f.Publish(t.Context(), f.tenant, payloads(1000, 10))[0].Err)
		}
		require.Zero(t, time.Since(begun))
	})
}

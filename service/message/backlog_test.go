package message_test

import (
	"bytes"
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

// owners gives each the same limits, and notes who was asked for.
type owners struct {
	domain.Limits
}

func (o owners) LimitsOf(_ context.Context, owner uuid.UUID) domain.Limits {
	if owner == uuid.Nil {
		return domain.Limits{}
	}
	return o.Limits
}

// waiting are the depths of queues.
type waiting struct {
	mu     sync.Mutex
	depths map[uuid.UUID]int64
}

func (w *waiting) set(id uuid.UUID, depth int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.depths[id] = depth
}

func (w *waiting) Depth(id uuid.UUID) (int64, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	depth, known := w.depths[id]
	return depth, known
}

func limitOf(t *testing.T, err error) string {
	t.Helper()
	var e *domain.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, "quota_exceeded", e.Code)
	return e.Fields[0].Pointer
}

// What waits is limited in bytes: for a tenant, and for all of an owner's, however
// many it has.
func TestBacklogInBytes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &waiting{depths: make(map[uuid.UUID]int64)}
		f := newFixture(func(o *message.Options) {
			o.Depth, o.Limits = w.Depth, owners{domain.Limits{BacklogMiB: 10, BacklogMiBPerTenant: 4}}
		})
		owner := uuid.New()
		tenant := func() domain.Tenant {
			return domain.Tenant{ID: uuid.New(), Status: domain.TenantActive, OwnerID: owner}
		}
		const kib = 1 << 10
		body := string(append(append([]byte{'"'}, bytes.Repeat([]byte("x"), 256*kib-2)...), '"'))
		publish := func(to domain.Tenant, n int) error {
			for range n {
				if err := f.Publish(t.Context(), to, []domain.Submission{sub(body, "")})[0].Err; err != nil {
					return err
				}
			}
			return nil
		}

		// Also when nothing is known of the queue yet, or no longer.
		first := tenant()
		require.NoError(t, publish(first, 16), "4 MiB")
		err := publish(first, 1)
		require.Equal(t, "limits.backlog_mib_per_tenant", limitOf(t, err))
		var e *domain.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, 5*time.Second, e.RetryAfter)
		first.Stopped = true
		require.ErrorAs(t, f.Admit(t.Context(), first), &e)
		require.Equal(t, 30*time.Second, e.RetryAfter, "nothing takes messages out of it")

		// The broker says how many wait.
		pass(10 * time.Second)
		w.set(first.ID, 16)
		require.Error(t, f.Admit(t.Context(), first))
		w.set(first.ID, 15)
		require.NoError(t, f.Admit(t.Context(), first))

		// 3.75 MiB of this one, 4 of the next, 2.25 are left for all others.
		second, third := tenant(), tenant()
		require.NoError(t, publish(second, 16))
		require.NoError(t, publish(third, 9))
		require.Equal(t, "limits.backlog_mib", limitOf(t, publish(third, 1)))
		require.Equal(t, "limits.backlog_mib", limitOf(t, f.Admit(t.Context(), tenant())), "a further tenant does not help")
		stranger := tenant()
		stranger.OwnerID = uuid.New()
		require.NoError(t, publish(stranger, 16))
		require.NoError(t, publish(domain.Tenant{ID: uuid.New(), Status: domain.TenantActive}, 100), "without an owner there is no limit")

		// Those nobody publishes to any more are looked at again.
		w.set(first.ID, 1)
		pass(time.Second)
		require.NoError(t, publish(third, 1))
	})
}

// The mean follows what is published: few large ones after many small ones.
func TestBacklogFollowsTheSize(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &waiting{depths: make(map[uuid.UUID]int64)}
		f := newFixture(func(o *message.Options) { o.Depth, o.Limits = w.Depth, owners{domain.Limits{BacklogMiBPerTenant: 1}} })
		tenant := domain.Tenant{ID: uuid.New(), Status: domain.TenantActive, OwnerID: uuid.New()}
		small := make([]domain.Submission, 100)
		for i := range small {
			small[i] = sub(`"0123456789"`, "")
		}
		f.Publish(t.Context(), tenant, small)
		w.set(tenant.ID, 1000)
		require.NoError(t, f.Admit(t.Context(), tenant))
		large := `"` + string(bytes.Repeat([]byte("x"), 10_000)) + `"`
		for range 64 {
			require.NoError(t, f.Publish(t.Context(), tenant, []domain.Submission{sub(large, "")})[0].Err)
			pass(10 * time.Second)
			if f.Admit(t.Context(), tenant) != nil {
				return
			}
		}
		require.Fail(t, "1,000 of 10 kB wait")
	})
}

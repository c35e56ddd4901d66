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

// slowBroker takes its time for each batch, and for some tenants until they give up.
type slowBroker struct {
	domain.Publisher

	mu        sync.Mutex
	now, most int
	silent    map[uuid.UUID]bool
}

const brokerTakes = 10 * time.Millisecond

func (b *slowBroker) Publish(ctx context.Context, tenant uuid.UUID, batch []domain.Outgoing) []error {
	b.mu.Lock()
	b.now += len(batch)
	b.most = max(b.most, b.now)
	silent := b.silent[tenant]
	b.mu.Unlock()
	if silent {
		<-ctx.Done()
	} else {
		<-time.After(brokerTakes)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now -= len(batch)
	return make([]error, len(batch))
}

// However many queues an owner has, it does not take all the room on the way to the
// broker; and one that does not answer does not take all of the owner's.
func TestMessagesOfAnOwnerOnTheirWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &slowBroker{silent: make(map[uuid.UUID]bool)}
		limits := owners{domain.Limits{PublishRate: 1_000_000}}
		f := newFixture(func(o *message.Options) { o.Publisher, o.Limits = b, &limits })
		tenantOf := func(owner uuid.UUID) domain.Tenant {
			return domain.Tenant{ID: uuid.New(), OwnerID: owner, Status: domain.TenantActive}
		}
		publish := func(of domain.Tenant, n int) (took time.Duration) {
			begun := time.Now()
			f.Publish(context.Background(), of, payloads(n, 10))
			return time.Since(begun)
		}
		flood := func(owner uuid.UUID) (wait func()) {
			b.most = 0
			var calls sync.WaitGroup
			for range 40 {
				calls.Go(func() { publish(tenantOf(owner), 100) })
			}
			synctest.Wait()
			return calls.Wait
		}
		greedy := uuid.New()
		wait := flood(greedy)
		require.Equal(t, brokerTakes, publish(tenantOf(uuid.New()), 1), "others go on at once")
		wait()
		require.Equal(t, 201, b.most, "two calls of one, and the other's")

		wait = flood(greedy)
		require.Equal(t, brokerTakes, publish(tenantOf(uuid.New()), 1))
		wait()
		require.Equal(t, 101, b.most, "one call of one while others publish, and the other's")
		time.Sleep(time.Second) //nolint:forbidigo // the clock is the test's own
		require.Equal(t, brokerTakes, publish(tenantOf(greedy), 1000), "one call may have more")

		hangs := tenantOf(greedy)
		b.silent[hangs.ID] = true
		begun := time.Now()
		var silent sync.WaitGroup
		silent.Go(func() { publish(hangs, 1000) })
		synctest.Wait()
		require.Equal(t, 500*time.Millisecond+brokerTakes, publish(tenantOf(greedy), 1))
		require.Equal(t, brokerTakes, publish(tenantOf(greedy), 1))
		silent.Wait()
		require.Less(t, time.Since(begun), 6*time.Second)

		limits.PublishRate = 0 // as for an admin
		flood(greedy)()
		require.Equal(t, 4000, b.most)
	})
}

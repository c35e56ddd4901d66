package quota

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/pkg/rabbitmq"
)

func newTestQuota(t *testing.T, url string) *Quota {
	t.Helper()
	return New(func(ctx context.Context) (*rabbitmq.Session, error) {
		return rabbitmq.Open(ctx, rabbitmq.Options{URLs: []string{url}, Name: "test"})
	}, slog.New(slog.DiscardHandler))
}

// Many who want channels at once get as many as the user may have, but for
// those that are kept, and none is opened that ends a connection: neither where
// the limit is met by few that are opened one by one, nor by many at once.
func TestTheQuotaFindsTheLimitOfAUser(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{70, 230} {
		t.Run(strconv.Itoa(limit), func(t *testing.T) {
			t.Parallel()
			testQuotaLimit(t, limit)
		})
	}
}

func testQuotaLimit(t *testing.T, limit int) {
	t.Helper()
	v := devtest.NewVirtualHost(t)
	v.LimitUser("max-channels", limit)
	q := newTestQuota(t, v.URL)
	shared, err := rabbitmq.Open(t.Context(), rabbitmq.Options{URLs: []string{v.URL}, Name: "shared"})
	require.NoError(t, err)
	defer shared.Close()
	var mu sync.Mutex
	var slots []*Slot
	var wg sync.WaitGroup
	for range limit + 30 {
		wg.Go(func() {
			s, err := q.Take(t.Context(), true)
			if err != nil {
				require.ErrorIs(t, err, rabbitmq.ErrLimitReached)
				require.True(t, rabbitmq.IsNotAllowed(err), "it has the broker's words")
				return
			}
			_, err = shared.Channel(t.Context())
			s.Opened()
			require.NoError(t, err)
			mu.Lock()
			defer mu.Unlock()
			slots = append(slots, s)
		})
	}
	wg.Wait()
	require.Len(t, slots, limit-keptChannels-margin)
	require.Error(t, q.Refusal())
	for range keptChannels { // for those that come and go
		s, err := q.Take(t.Context(), false)
		require.NoError(t, err)
		_, err = shared.Channel(t.Context())
		require.NoError(t, err)
		s.Opened()
	}
	limited, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = q.Take(limited, false)
	require.ErrorIs(t, err, context.DeadlineExceeded, "then they wait")
	slots[0].Release()
	slots[0].Release()
	s, err := q.Take(t.Context(), false)
	require.NoError(t, err)
	s.Release()
	require.Eventually(t, func() bool { return q.Refusal() == nil }, 10*time.Second, 10*time.Millisecond)
}

// Where a connection may have few channels several are used to try.
func TestAQuotaWithFewChannelsOnAConnection(t *testing.T) {
	t.Parallel()
	q := newTestQuota(t, devtest.RabbitMQ(t)+"?channel_max=5")
	for range 100 {
		s, err := q.Take(t.Context(), true)
		require.NoError(t, err)
		s.Opened()
	}
}

// A lasting channel that finds all slots taken by channels that come and go waits
// for one of them: there is room for it.
func TestLastingChannelsWaitForThoseThatComeAndGo(t *testing.T) {
	t.Parallel()
	v := devtest.NewVirtualHost(t)
	v.LimitUser("max-channels", 25)
	q := newTestQuota(t, v.URL)
	take := func(lasting bool) (*Slot, error) {
		ctx, cancel := context.WithTimeout(t.Context(), trialTimeout)
		defer cancel()
		s, err := q.Take(ctx, lasting)
		if err == nil {
			s.Opened()
		}
		return s, err
	}
	var slots []*Slot
	for {
		s, err := take(false)
		if err != nil {
			require.ErrorIs(t, err, context.DeadlineExceeded)
			break
		}
		slots = append(slots, s)
	}
	_, err := take(true)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, q.Refusal())
	for _, s := range slots {
		s.Release() // counts for a moment longer
	}
	for range len(slots) - keptChannels {
		_, err := take(true)
		require.NoError(t, err)
	}
	_, err = take(true)
	require.ErrorIs(t, err, rabbitmq.ErrLimitReached)
}

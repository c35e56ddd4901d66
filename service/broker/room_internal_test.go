package broker

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

func newTestRoom(t *testing.T, url string) *room {
	t.Helper()
	return newRoom(func(ctx context.Context) (*rabbitmq.Session, error) {
		return rabbitmq.Open(ctx, rabbitmq.Options{URLs: []string{url}, Name: "test"})
	}, slog.New(slog.DiscardHandler))
}

// Many who want channels at once get as many as the user may have, but for
// those that are kept, and none is opened that ends a connection: neither where
// the limit is met by few that are opened one by one, nor by many at once.
func TestRoomFindsTheLimitOfAUser(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{70, 230} {
		t.Run(strconv.Itoa(limit), func(t *testing.T) {
			t.Parallel()
			testRoomLimit(t, limit)
		})
	}
}

func testRoomLimit(t *testing.T, limit int) {
	t.Helper()
	v := devtest.NewVirtualHost(t)
	v.LimitUser("max-channels", limit)
	r := newTestRoom(t, v.URL)
	shared, err := rabbitmq.Open(t.Context(), rabbitmq.Options{URLs: []string{v.URL}, Name: "shared"})
	require.NoError(t, err)
	defer shared.Close()
	var mu sync.Mutex
	var places []*place
	var wg sync.WaitGroup
	for range limit + 30 {
		wg.Go(func() {
			p, err := r.take(t.Context(), true)
			if err != nil {
				require.ErrorIs(t, err, errNoRoom)
				require.True(t, rabbitmq.IsNotAllowed(err), "it has the broker's words")
				return
			}
			_, err = shared.Channel(t.Context())
			p.settled()
			require.NoError(t, err)
			mu.Lock()
			defer mu.Unlock()
			places = append(places, p)
		})
	}
	wg.Wait()
	require.Len(t, places, limit-roomKept-roomMargin)
	require.Error(t, r.refuses())
	for range roomKept { // for those that come and go
		p, err := r.take(t.Context(), false)
		require.NoError(t, err)
		_, err = shared.Channel(t.Context())
		require.NoError(t, err)
		p.settled()
	}
	limited, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = r.take(limited, false)
	require.ErrorIs(t, err, context.DeadlineExceeded, "then they wait")
	places[0].release()
	places[0].release()
	p, err := r.take(t.Context(), false)
	require.NoError(t, err)
	p.release()
	require.Eventually(t, func() bool { return r.refuses() == nil }, 10*time.Second, 10*time.Millisecond)
}

// Where a connection may have few channels several are used to try.
func TestRoomWithFewChannelsOnAConnection(t *testing.T) {
	t.Parallel()
	r := newTestRoom(t, devtest.RabbitMQ(t)+"?channel_max=5")
	for range 100 {
		p, err := r.take(t.Context(), true)
		require.NoError(t, err)
		p.settled()
	}
}

package tests

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"lanekeeper/config"
	"lanekeeper/pkg/client"
	"lanekeeper/tests/apptest"
)

// keepPort makes the service answer at the same address after a restart.
func keepPort(t *testing.T, app *apptest.App) {
	t.Helper()
	u, err := url.Parse(app.URL())
	require.NoError(t, err)
	app.Config.AppPort, err = strconv.Atoi(u.Port())
	require.NoError(t, err)
}

// While the service is restarted, twice, everything that is published is stored, once,
// and a stream that is open has all of it, in order and once: neither caller sees an
// error.
func TestClientGoesOnThroughRestarts(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	keepPort(t, app)
	c := app.API(app.CreateTenant("restarted", 2).ID, client.WithRetryFor(2*apptest.Long))
	ctx, cancel := context.WithTimeout(t.Context(), 4*apptest.Long)
	defer cancel()

	var streamed []client.Message
	var streamEnd error
	streams := make(chan struct{})
	total := make(chan int, 1)
	go func() {
		defer close(streams)
		want := -1
		for m, err := range c.Stream(ctx, client.StreamOptions{}) {
			if err != nil {
				streamEnd = err
				return
			}
			streamed = append(streamed, m)
			if m.Type == "last" {
				want = <-total
			}
			if len(streamed) == want {
				return
			}
		}
	}()

	var results []client.Published // of the publisher's goroutine, until it is closed
	publisher := c.NewPublisher(ctx, client.PublisherOptions{
		MaxMessages: 50, InFlight: 3, OnResult: func(p client.Published) { results = append(results, p) },
	})
	restarted := make(chan struct{})
	var callers sync.WaitGroup
	published := make([]int, 2)
	single := make(map[string]string) // ids by payload
	running := func() bool {
		select {
		case <-restarted:
			return false
		default:
			return true
		}
	}
	callers.Go(func() { // in batches
		for i := 0; running(); i++ {
			if err := publisher.Publish(ctx, client.NewMessage{Payload: json.RawMessage(fmt.Sprintf(`"batch %d"`, i))}); err != nil {
				t.Error(err)
				return
			}
			published[0]++
		}
	})
	callers.Go(func() { // one by one
		for i := 0; running(); i++ {
			payload := fmt.Sprintf(`"single %d"`, i)
			receipt, err := c.Publish(ctx, client.NewMessage{Payload: json.RawMessage(payload)})
			if err != nil {
				t.Error(err)
				return
			}
			single[payload] = receipt.ID
			published[1]++
		}
	})
	for range 2 {
		before := publisher.Stats().Accepted
		apptest.Await(t, apptest.Long, func() error {
			if now := publisher.Stats().Accepted; now < before+200 {
				return apptest.NotYet("200 more accepted: %d", now-before)
			}
			return nil
		})
		app.Restart()
	}
	close(restarted)
	callers.Wait()
	require.NoError(t, publisher.Close(ctx))
	require.EqualValues(t, published[0], publisher.Stats().Accepted)
	all := published[0] + published[1] + 1
	total <- all
	_, err := c.Publish(ctx, client.NewMessage{Payload: json.RawMessage(`"last"`), Type: "last"})
	require.NoError(t, err)

	stored := historyOf(t, c, all)
	ids := make(map[string]string, all)
	for i, m := range stored {
		require.EqualValues(t, i+1, m.Seq)
		require.NotContains(t, ids, string(m.Payload), "stored twice")
		ids[string(m.Payload)] = m.ID
	}
	for _, r := range results {
		require.NoError(t, r.Err)
		require.Equal(t, r.ID, ids[fmt.Sprintf(`"batch %d"`, r.Index)])
	}
	for payload, id := range single {
		require.Equal(t, id, ids[payload])
	}
	select {
	case <-streams:
	case <-time.After(apptest.Long):
		cancel()
		<-streams
		require.FailNow(t, "the stream does not have all", "%d of %d: %v", len(streamed), all, streamEnd)
	}
	require.NoError(t, streamEnd)
	require.True(t, slices.EqualFunc(stored, streamed, func(a, b client.Message) bool { return a.ID == b.ID && a.Seq == b.Seq }))
}

// A tenant that may publish slowly is published to slowly, and no faster than it
// says: nothing is refused in the end, and nobody asks more often than need be.
func TestClientKeepsToTheRate(t *testing.T) {
	t.Parallel()
	const rate = 200
	app := apptest.Boot(t, func(c *config.Config) { c.PublishRate = rate })
	var mu sync.Mutex
	var waits []time.Duration
	c := app.API(app.CreateTenant("slow", 1).ID, client.WithRetryFor(apptest.Long), client.WithAttempts(func(a client.Attempted) {
		mu.Lock()
		defer mu.Unlock()
		waits = append(waits, a.Wait)
		assert.ErrorIs(t, a.Err, client.CodeRateExceeded)
	}))
	const total = 6 * rate
	p := c.NewPublisher(t.Context(), client.PublisherOptions{MaxMessages: rate / 2, InFlight: 6})
	begun := time.Now()
	for i := range total {
		require.NoError(t, p.Publish(t.Context(), client.NewMessage{Payload: json.RawMessage(strconv.Itoa(i))}))
	}
	require.NoError(t, p.Close(t.Context()))
	require.Greater(t, time.Since(begun), 3*time.Second)
	require.NotEmpty(t, waits)
	require.LessOrEqual(t, len(waits), 60, "of %d batches", total/(rate/2))
	for _, w := range waits {
		require.GreaterOrEqual(t, w, time.Second, "as Retry-After says")
	}
	numbers := make(map[string]bool)
	for _, m := range historyOf(t, c, total) {
		numbers[string(m.Payload)] = true
	}
	require.Len(t, numbers, total)
}

// What was broken off goes on with the same keys, and is stored once.
func TestClientGoesOnWithTheKeysOfBefore(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	c := app.API(app.CreateTenant("broken off", 1).ID)
	const total = 3000
	publish := func(ctx context.Context, until int64) client.PublisherStats {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		p := c.NewPublisher(ctx, client.PublisherOptions{MaxMessages: 100, KeyPrefix: "import-7"})
		for i := range total {
			if p.Publish(ctx, client.NewMessage{Payload: json.RawMessage(strconv.Itoa(i))}) != nil || p.Stats().Accepted >= until {
				cancel()
				break
			}
		}
		_ = p.Close(t.Context()) // it was broken off
		return p.Stats()
	}
	first := publish(t.Context(), total/4)
	require.GreaterOrEqual(t, first.Accepted, int64(total/4))
	require.Less(t, first.Accepted, int64(total))
	second := publish(t.Context(), total+1)
	require.Equal(t, client.PublisherStats{Taken: total, Accepted: total}, second)
	numbers := make(map[string]bool)
	for _, m := range historyOf(t, c, total) {
		numbers[string(m.Payload)] = true
	}
	require.Len(t, numbers, total)
}

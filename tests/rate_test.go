package tests

import (
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/config"
	"lanekeeper/tests/apptest"
)

// A tenant that publishes much faster than it may is refused in part, told when
// to come again, and gets exactly what was accepted; another one notices
// nothing.
func TestFloodIsRefused(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, func(c *config.Config) { c.PublishRate = 20 })
	flooding, other := app.CreateTenant("flooding", 2).ID, app.CreateTenant("other", 1).ID
	const calls = 200 // ten seconds' worth
	answers := make([]*apptest.Answer, calls)
	var work sync.WaitGroup
	for i := range answers {
		work.Go(func() { answers[i] = app.Call("POST", "/messages", `{"payload":1}`, apptest.ForTenant(flooding)) })
	}
	app.Publish(other, `"at once"`)
	work.Wait()
	accepted := 0
	for _, answer := range answers {
		if answer.Status == http.StatusAccepted {
			accepted++
			continue
		}
		problem, err := answer.Problem()
		require.NoError(t, err)
		require.Equal(t, http.StatusTooManyRequests, answer.Status)
		require.Equal(t, "rate_exceeded", problem.Code)
		require.Regexp(t, `^[1-9]$`, answer.Header.Get("Retry-After"))
	}
	require.GreaterOrEqual(t, accepted, 5, "what may be published at once")
	require.Less(t, accepted, calls)
	app.Stored(flooding, accepted)
	app.Stored(other, 1)

	batch := app.Call("POST", "/messages/batch", map[string]any{"messages": []map[string]any{{"payload": 1}}}, apptest.ForTenant(other))
	require.Equal(t, http.StatusAccepted, batch.Status)
}

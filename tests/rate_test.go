package tests

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

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

// A batch is paid for in full, whatever its form, and a replay is part of the
// rate, too: neither lets a tenant publish more than it may.
func TestNothingPassesTheRate(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, func(c *config.Config) { c.PublishRate = 100 })
	type form struct {
		contentType string
		body        any
	}
	payload := strings.Repeat("x", 400<<10)
	large := `"` + payload + `"`
	for name, f := range map[string]form{
		"batch":  {"application/json", map[string]any{"messages": []map[string]any{{"payload": payload}, {"payload": payload}}}},
		"ndjson": {"application/x-ndjson", large + "\n" + large + "\n"},
		"single": {"application/json", `{"payload":` + large + `}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tenant := app.CreateTenant(name, 1).ID
			send := func() *apptest.Answer {
				return app.Call("POST", map[bool]string{true: "/messages", false: "/messages/batch"}[name == "single"], f.body,
					apptest.ForTenant(tenant), apptest.Header{"Content-Type", f.contentType})
			}
			require.Equal(t, http.StatusAccepted, send().Status)
			answer := send()
			require.Equal(t, http.StatusTooManyRequests, answer.Status)
			require.Regexp(t, `^[123]$`, answer.Header.Get("Retry-After"), "100 or 200 units are owed, of 100 a second")
		})
	}
	t.Run("replay", func(t *testing.T) {
		t.Parallel()
		const letters = 900
		tenant := app.CreateTenant("replay", 2).ID
		app.Exec(fmt.Sprintf(`INSERT INTO dead_letters (tenant_id, letter_id, message_id, body, headers, reason, error, attempts, created_at)
			SELECT '%s', gen_random_uuid(), 'm-' || n, '1', '{}', 'unknown', '', 1, now() FROM generate_series(1, %d) AS n`, tenant, letters))
		var answer struct{ Replayed, Skipped int }
		begun := time.Now()
		app.Want(http.StatusAccepted, &answer, "POST", "/dead-letters/replay", `{"all":true}`, apptest.ForTenant(tenant))
		require.Less(t, time.Since(begun), 6*time.Second)
		require.Positive(t, answer.Skipped)
		require.Less(t, answer.Replayed, letters)
		require.LessOrEqual(t, float64(answer.Replayed), 256+100*(time.Since(begun).Seconds()+1))
		problem := app.Refused(http.StatusTooManyRequests, "rate_exceeded", "POST", "/messages", `{"payload":1}`, apptest.ForTenant(tenant))
		require.NotEmpty(t, problem.Detail, "live calls keep to what is left of the rate")
	})
}

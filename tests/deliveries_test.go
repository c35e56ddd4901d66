package tests

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

// awaitLag waits until an endpoint has got all but so many messages.
func awaitLag(t *testing.T, app *apptest.Client, e *apptest.Endpoint, lag int64) {
	t.Helper()
	apptest.Await(t, apptest.Long, func() error {
		if now := app.Endpoint(e); now.Lag != lag {
			return apptest.NotYet("lag %d: %+v", lag, now)
		}
		return nil
	})
}

// What is published arrives at every endpoint that wants it, signed, and its
// attempts can be looked at.
func TestDeliveries(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.Delivering())
	tenant := app.CreateTenant("Acme", 3).ID
	all, orders := apptest.NewReceiver(t, apptest.Answering(http.StatusNoContent)), apptest.NewReceiver(t, apptest.Answering(http.StatusOK))
	one := app.CreateEndpoint(tenant, all.URL(), nil)
	two := app.CreateEndpoint(tenant, orders.URL(), map[string]any{"types": []string{"order.*"}})
	for i := range 20 {
		body := map[string]any{"payload": i}
		if i%2 == 0 {
			body["type"] = "order.created"
		}
		app.Want(http.StatusAccepted, nil, "POST", "/api/messages", body, apptest.ForTenant(tenant))
	}
	app.Stored(tenant, 20)
	awaitLag(t, app.Client, &one, 0)
	awaitLag(t, app.Client, &two, 0)
	require.Len(t, all.Times(), 20)
	require.Len(t, orders.Times(), 10)
	for _, got := range all.Received() {
		require.Equal(t, 1, all.Times()[got.ID])
		for _, d := range app.Deliveries(tenant, got.ID) {
			require.Equal(t, "delivered", d.State)
			require.Equal(t, 1, d.Attempts)
		}
	}
}

// While an endpoint is held nothing is delivered and nothing lost; storing goes on.
func TestHold(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.Delivering())
	tenant := app.CreateTenant("Acme", 3).ID
	receiver := apptest.NewReceiver(t, apptest.Answering(http.StatusOK))
	e := app.CreateEndpoint(tenant, receiver.URL(), nil)
	require.Equal(t, "held", app.Tell(&e, "hold").Status)
	const n = 2000
	for i := range n / 500 {
		messages := make([]map[string]any, 500)
		for j := range messages {
			messages[j] = map[string]any{"payload": fmt.Sprint(i, j)}
		}
		app.Want(http.StatusAccepted, nil, "POST", "/api/messages/batch", map[string]any{"messages": messages}, apptest.ForTenant(tenant))
	}
	awaitLag(t, app.Client, &e, n)
	require.Empty(t, receiver.Received())
	app.Restart()
	require.Equal(t, "active", app.Tell(&e, "resume").Status)
	awaitLag(t, app.Client, &e, 0)
	require.Len(t, receiver.Times(), n)
	app.RequireNoDeadLetters(tenant)
}

// How an endpoint answers decides when it is tried again.
func TestAnswersOfEndpoints(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.Delivering())
	var checks []func()
	for name, c := range map[string]struct {
		answer   http.HandlerFunc
		status   string
		wait     time.Duration // until the next attempt, about
		attempts int
		letters  int
	}{
		"429":         {answer: after(http.StatusTooManyRequests, "60"), status: "active", wait: time.Minute, attempts: 1},
		"503, a date": {answer: after(http.StatusServiceUnavailable, time.Now().Add(10*time.Minute).UTC().Format(http.TimeFormat)), status: "active", wait: 10 * time.Minute, attempts: 1},
		"429, soon":   {answer: after(http.StatusTooManyRequests, "1"), status: "active", wait: 10 * time.Second, attempts: 1},
		"503, days":   {answer: after(http.StatusServiceUnavailable, strconv.Itoa(99*3600)), status: "active", wait: 2*time.Hour + 10*time.Second, attempts: 1},
		"500":         {answer: after(http.StatusInternalServerError, "60"), status: "active", wait: 10 * time.Second, attempts: 1},
		"400, final":  {answer: after(http.StatusBadRequest, ""), status: "active", attempts: 1, letters: 1},
		"302": {answer: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/")
			w.WriteHeader(http.StatusFound)
		}, status: "active", wait: 10 * time.Second, attempts: 1},
		"410": {answer: after(http.StatusGone, ""), status: "disabled", attempts: 1},
	} {
		tenant := app.CreateTenant(name, 3).ID
		e := app.CreateEndpoint(tenant, apptest.NewReceiver(t, c.answer).URL(), map[string]any{
			"retry": map[string]any{"schedule": []string{"10s"}, "final": []int{400}},
		})
		id := app.Publish(tenant, `1`)
		checks = append(checks, func() {
			var d apptest.MessageDelivery
			apptest.Await(t, apptest.Long, func() error {
				d = app.Deliveries(tenant, id)[0]
				begun := c.wait > 0 && d.NextAttemptAt == nil // and not done
				if now := app.Endpoint(&e); begun || d.Attempts != c.attempts && now.Status == "active" || now.Status != c.status {
					return apptest.NotYet("%s: %+v %+v", name, d, now)
				}
				return nil
			})
			deadLetters(t, app, tenant, "", c.letters)
			if c.wait > 0 {
				require.NotNil(t, d.NextAttemptAt, name)
				require.InDelta(t, c.wait.Seconds(), time.Until(*d.NextAttemptAt).Seconds(), 0.1*c.wait.Seconds()+9, name)
			}
		})
	}
	for _, check := range checks {
		check()
	}
}

// after answers with a status and a Retry-After; "" for none.
func after(status int, retryAfter string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		w.WriteHeader(status)
	}
}

package tests

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/config"
	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/tests/apptest"
	"lanekeeper/tests/proxy"
)

// A browser whose network fell silent comes back, and gets its stream although
// the service has not noticed anything and has room for a single one: on the
// same replica and on another one, while nothing is sent and while what is sent
// does not fit on the way any more.
func TestBrowserWhoseNetworkFellSilentGetsItsStreamBack(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ elsewhere, full bool }{
		"same replica":                 {},
		"another replica":              {elsewhere: true},
		"same replica, full socket":    {full: true},
		"another replica, full socket": {elsewhere: true, full: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fleet := apptest.BootFleet(t, 2, func(c *config.Config) { c.Streams.MaxClients = 1 })
			tenant := fleet[0].CreateTenant("tenant", 1).ID
			network, err := proxy.New(t.Context(), fleet[0].URL(), proxy.Bytes{}, nil)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, network.Close()) })
			query := "ticket=" + newTicket(fleet[0].Client, tenant)
			browser := fleet[0].At(network.URL()).EventSource(query)
			ctx, cancel := context.WithTimeout(t.Context(), 2*apptest.Long)
			defer cancel()
			var seq int64
			see := func(n int) {
				t.Helper()
				for range n {
					event, err := browser.Next(ctx)
					require.NoError(t, err)
					require.Equal(t, seq+1, event.Seq)
					seq = event.Seq
				}
			}
			opened := make(chan error, 1)
			go func() { // its stream begins with what is published from then on
				event, err := browser.Next(ctx)
				seq = event.Seq
				opened <- err
			}()
			clients := func(app *apptest.App, n float64) {
				t.Helper()
				apptest.Await(t, apptest.Long, func() error { return app.Metrics().Is(n, "lanekeeper_stream_clients") })
			}
			clients(fleet[0], 1)
			fleet[0].Publish(tenant, `"seen"`)
			require.NoError(t, <-opened)
			require.Equal(t, int64(1), seq)

			network.Silence()
			missed := 1
			if tc.full {
				missed = 12 // what the system takes for one connection is less
				publishLarge(t, fleet[0], tenant, missed)
			} else {
				fleet[0].Publish(tenant, `"missed"`)
			}
			fleet[0].Stored(tenant, 1+missed)
			if !tc.full { // else it may be dropped already
				clients(fleet[0], 1)
			}
			browser.Lose()
			at := fleet[0]
			if tc.elsewhere {
				at = fleet[1]
			}
			browser.At(at.Client, query)
			begun := time.Now()
			see(missed)
			t.Log("back after", time.Since(begun))
			require.Equal(t, 2, browser.Opened, "at the first time it asked")
			for _, app := range fleet {
				if app == at {
					clients(app, 1)
				} else {
					clients(app, 0)
				}
			}
			at.Publish(tenant, `"live"`)
			see(1)
			require.Equal(t, 2, browser.Opened)
			at.StreamRefused(http.StatusUnauthorized, "ticket_invalid", query) // without a place nothing is taken over
		})
	}
}

// newTicket returns a ticket for streams of a tenant.
func newTicket(c *apptest.Client, tenant string) string {
	var ticket struct{ Ticket string }
	c.Want(http.StatusCreated, &ticket, "POST", "/api/messages/stream/tickets", nil, apptest.ForTenant(tenant))
	return ticket.Ticket
}

// publishLarge publishes n messages of nearly a MiB each, however long the broker
// takes to confirm them.
func publishLarge(t *testing.T, app *apptest.App, tenant string, n int) {
	t.Helper()
	payload := `"` + strings.Repeat("x", 1<<20-10) + `"`
	for i := range n {
		key := apptest.WithKey("large-" + strconv.Itoa(i))
		apptest.Await(t, apptest.Long, func() error {
			_, err := app.TryPublish(t.Context(), tenant, payload, key)
			return err
		})
	}
}

// A browser that comes back while the database is away is not turned away for
// good: it comes again until it gets its stream, which goes on where it was.
func TestBrowserOutlivesTheDatabase(t *testing.T) {
	t.Parallel()
	server := devtest.PrivatePostgres(t)
	app := apptest.Boot(t, apptest.On(server.URL(), devtest.RabbitMQ(t)))
	tenant := app.CreateTenant("tenant", 1).ID
	app.Publish(tenant, `1`)
	app.Stored(tenant, 1)
	browser := app.EventSource("cursor=0&ticket=" + newTicket(app.Client, tenant))
	ctx, cancel := context.WithTimeout(t.Context(), 2*apptest.Long)
	defer cancel()
	event, err := browser.Next(ctx)
	require.NoError(t, err)
	require.Equal(t, int64(1), event.Seq)
	server.Kill()
	browser.Lose()
	app.Publish(tenant, `2`) // is accepted, and stored afterwards
	back := make(chan error, 1)
	go func() {
		var err error
		event, err = browser.Next(ctx)
		back <- err
	}()
	apptest.Await(t, apptest.Long, func() error {
		if !app.Metrics().Has("lanekeeper_http_request_seconds", "route", "/messages/stream", "status", "503") {
			return apptest.NotYet("asked to come back")
		}
		return nil
	})
	server.Start()
	require.NoError(t, <-back)
	require.Equal(t, int64(2), event.Seq)
	require.Greater(t, browser.Opened, 2)
}

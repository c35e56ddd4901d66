package tests

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"lanekeeper/config"
	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/tests/apptest"
)

// Every client sees every message exactly once and in order: those that stay,
// those that come late, and those that lose their connection again and again.
func TestStreamsSkipNothing(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant := app.CreateTenant("tenant", 8).ID
	// Commits take their time, and not all the same.
	app.Exec(`CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(random() * 0.004); RETURN NULL; END $$`)
	app.Exec(`CREATE TRIGGER dawdle AFTER INSERT ON ` + apptest.PartitionName(tenant) + ` FOR EACH STATEMENT EXECUTE FUNCTION dawdle()`)

	const writers, each, clients, restless = 8, 400, 16, 5
	const total = writers * each
	ctx, cancel := context.WithTimeout(t.Context(), 2*apptest.Long)
	defer cancel()
	var work errgroup.Group
	for i := range clients {
		steady := i >= restless
		work.Go(func() error { return follow(ctx, app.Client, tenant, total, steady) })
	}
	for w := range writers {
		work.Go(func() error {
			for n := 0; n < each; {
				var err error
				if (n+w)%3 == 0 {
					_, err = app.TryPublish(ctx, tenant, strconv.Itoa(n))
					n++
				} else {
					most := min(20, each-n)
					_, err = app.TryPublishAll(ctx, tenant, numbered(most))
					n += most
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, work.Wait())
	s := app.Stream(tenant, "cursor=0")
	events, err := s.Take(0, total)
	require.NoError(t, err)
	for i, stored := range app.Stored(tenant, total) {
		require.Equal(t, stored, events[i].Message, "the stream tells what the history has")
	}
}

// follow reads a tenant's stream from its beginning until total messages have
// come, and resumes when it breaks off. Unless it is steady it breaks off at
// random.
func follow(ctx context.Context, c *apptest.Client, tenant string, total int64, steady bool) error {
	var last int64
	for last < total {
		query, headers := "cursor=0", []apptest.Header{apptest.ForTenant(tenant)}
		if last > 0 {
			headers = append(headers, apptest.LastEventID(last))
		}
		s, err := c.TryStream(ctx, query, headers...)
		if err != nil {
			return err
		}
		most := int(total - last)
		if !steady {
			most = min(most, 1+rand.IntN(300))
		}
		events, err := s.Take(last, most)
		s.Close()
		last += int64(len(events))
		if err != nil && (steady || !errors.Is(err, io.EOF)) {
			return err
		}
	}
	return nil
}

func TestStreamBeginsWhereItIsTold(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant, other := app.CreateTenant("tenant", 1).ID, app.CreateTenant("other", 1).ID
	app.PublishAll(tenant, numbered(10))
	app.Stored(tenant, 10)

	now := app.Stream(tenant, "")
	require.Equal(t, "no-store", now.Header.Get("Cache-Control"))
	requireEvents(t, app.Stream(tenant, "cursor=0"), 0, 10)
	requireEvents(t, app.Stream(tenant, "cursor=7"), 7, 3)
	requireEvents(t, app.Stream(tenant, "cursor=0", apptest.LastEventID(8)), 8, 2)
	atTheEnd := app.Stream(tenant, "", apptest.LastEventID(10))
	begun := time.Now()
	app.Publish(tenant, `"new"`)
	app.Publish(other, `"not here"`)
	for _, s := range []*apptest.Stream{now, atTheEnd} {
		events := requireEvents(t, s, 10, 1)
		require.JSONEq(t, `"new"`, string(events[0].Message.Payload))
	}
	t.Log("published and seen after", time.Since(begun))

	for value, code := range map[string]string{"abc": "invalid_cursor", "-1": "invalid_cursor", "99999999999999999999": "invalid_cursor", "1.5": "invalid_cursor"} {
		app.StreamRefused(http.StatusBadRequest, code, "", apptest.ForTenant(tenant), apptest.Header{"Last-Event-ID", value})
		app.StreamRefused(http.StatusBadRequest, code, "cursor="+value, apptest.ForTenant(tenant))
	}
	app.StreamRefused(http.StatusConflict, "cursor_ahead", "", apptest.ForTenant(tenant), apptest.LastEventID(12))
	app.StreamRefused(http.StatusConflict, "cursor_ahead", "cursor=12", apptest.ForTenant(tenant))
	app.Exec(`UPDATE tenant_streams SET first_seq = 6 WHERE tenant_id = $1`, tenant)
	app.StreamRefused(http.StatusGone, "cursor_expired", "cursor=4", apptest.ForTenant(tenant))
	requireEvents(t, app.Stream(tenant, "cursor=5"), 5, 6)
	app.StreamRefused(http.StatusNotFound, "tenant_not_found", "", apptest.ForTenant("01890000-0000-7000-8000-000000000000"))
	app.StreamRefused(http.StatusBadRequest, "tenant_required", "")
}

func requireEvents(t *testing.T, s *apptest.Stream, after int64, n int) []apptest.Event {
	t.Helper()
	events, err := s.Take(after, n)
	require.NoError(t, err)
	return events
}

// A stream ends when its tenant is deleted, when its caller may not read any
// longer, and when the service ends: at once, and so that clients come back.
func TestStreamsEnd(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.WithSecret())
	app.AddUser("admin@example.com", "admin", "")
	admin := app.LoggedIn("admin@example.com")
	tenants := []string{admin.CreateTenant("left", 1).ID, admin.CreateTenant("deleted", 1).ID}
	gone := app.AddUser("gone@example.com", "viewer", tenants[0])
	viewer := app.LoggedIn("gone@example.com")
	viewer.StreamRefused(http.StatusNotFound, "tenant_not_found", "", apptest.ForTenant(tenants[1]))
	app.StreamRefused(http.StatusUnauthorized, "token_missing", "", apptest.ForTenant(tenants[0]))

	for name, end := range map[string]struct {
		open *apptest.Stream
		end  func()
	}{
		"user deleted":   {viewer.Stream(tenants[0], ""), func() { app.Exec(`DELETE FROM users WHERE user_id = $1`, gone) }},
		"tenant deleted": {admin.Stream(tenants[1], ""), func() { admin.Delete(tenants[1]) }},
	} {
		end.end()
		begun := time.Now()
		_, err := end.open.Next()
		require.ErrorIs(t, err, io.EOF, name)
		require.Less(t, time.Since(begun), 6*time.Second, name)
	}
	viewer.StreamRefused(http.StatusUnauthorized, "token_revoked", "")
	open := make([]*apptest.Stream, 20)
	for i := range open {
		open[i] = admin.Stream(tenants[0], "")
	}
	begun := time.Now()
	app.Stop()
	took := time.Since(begun)
	for _, s := range open {
		_, err := s.Next()
		require.ErrorIs(t, err, io.EOF)
	}
	require.Less(t, took, 10*time.Second, "streams hold nothing up")
}

// Tickets open streams where headers cannot be sent.
func TestStreamTickets(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.WithSecret())
	other := apptest.Boot(t, apptest.On(app.Config.Database.URL, app.Config.RabbitMQ.URL), apptest.WithSecret())
	app.AddUser("admin@example.com", "admin", "")
	admin := app.LoggedIn("admin@example.com")
	tenant, foreign := admin.CreateTenant("tenant", 1).ID, admin.CreateTenant("foreign", 1).ID
	admin.PublishAll(tenant, numbered(3))
	admin.Stored(tenant, 3)
	var ticket struct {
		Ticket    string    `json:"ticket"`
		ExpiresAt time.Time `json:"expires_at"`
	}
	admin.Want(http.StatusCreated, &ticket, "POST", "/api/messages/stream/tickets", nil, apptest.ForTenant(tenant))
	require.WithinDuration(t, time.Now().Add(app.Config.JWTLifetime), ticket.ExpiresAt, 5*time.Minute)

	query := "cursor=0&ticket=" + ticket.Ticket
	app.StreamRefused(http.StatusNotFound, "tenant_not_found", query+"&tenant_id="+foreign)
	first, err := other.TryStream(t.Context(), query) // any replica takes it
	require.NoError(t, err)
	requireEvents(t, first, 0, 3)
	app.StreamRefused(http.StatusUnauthorized, "ticket_invalid", query) // used, and not resumed
	resumed, err := app.TryStream(t.Context(), query, apptest.LastEventID(3))
	require.NoError(t, err, "who resumes takes over")
	defer resumed.Close()
	_, err = first.Next()
	require.ErrorIs(t, err, io.EOF)
	admin.Publish(tenant, `4`)
	requireEvents(t, resumed, 3, 1)
	app.StreamRefused(http.StatusUnauthorized, "ticket_invalid", "ticket=made-up")
	require.Zero(t, apptest.QueryRow[int](app.Probes, `SELECT count(*) FROM stream_tickets WHERE position($1 IN stream_tickets::text) > 0`, ticket.Ticket), "kept as a hash only")
	app.Exec(`DELETE FROM users WHERE email = 'admin@example.com'`)
	apptest.Await(t, apptest.Long, func() error {
		s, err := app.TryStream(t.Context(), query, apptest.LastEventID(4))
		if err == nil {
			s.Close()
			return apptest.NotYet("refused after its holder is gone")
		}
		return nil
	})
}

// A ticket whose stream was refused for the moment can be used a moment later.
func TestStreamTicketSurvivesRefusal(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, func(c *config.Config) { c.Streams.MaxClients = 1 })
	tenant, other := app.CreateTenant("tenant", 1).ID, app.CreateTenant("other", 1).ID
	blocking := app.Stream(other, "")
	var ticket struct{ Ticket string }
	app.Want(http.StatusCreated, &ticket, "POST", "/api/messages/stream/tickets", nil, apptest.ForTenant(tenant))
	query := "ticket=" + ticket.Ticket
	for range 2 {
		app.StreamRefused(http.StatusServiceUnavailable, "streams_full", query)
	}
	blocking.Close()
	var s *apptest.Stream
	apptest.Await(t, apptest.Long, func() error {
		var err error
		s, err = app.TryStream(t.Context(), query)
		return err
	})
	app.Publish(tenant, `"x"`)
	_, err := s.Take(0, 1)
	require.NoError(t, err)
	s.Close()
	app.StreamRefused(http.StatusUnauthorized, "ticket_invalid", query) // used now
}

// Somebody locks one tenant's partition, with many of its streams behind. The
// streams of others do not notice, and its own go on afterwards.
func TestStreamsOfLockedTenant(t *testing.T) {
	t.Parallel()
	const messages = 900
	app := apptest.Boot(t)
	locked, other := app.CreateTenant("locked", 1).ID, app.CreateTenant("other", 1).ID
	for _, id := range []string{locked, other} {
		app.PublishAll(id, numbered(messages))
		app.Stored(id, messages)
	}
	lock := app.NewSession()
	t.Cleanup(func() { _ = lock.Close(context.WithoutCancel(t.Context())) })
	_, err := lock.Exec(t.Context(), `BEGIN; LOCK TABLE `+apptest.PartitionName(locked)+` IN ACCESS EXCLUSIVE MODE`)
	require.NoError(t, err)
	var waiting []*apptest.Stream
	for range 8 {
		waiting = append(waiting, app.Stream(locked, "cursor=0"))
	}
	apptest.Await(t, apptest.Long, func() error {
		var n int
		if err := app.Database().QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE application_name = 'lanekeeper-stream' AND datname = current_database() AND wait_event_type = 'Lock'`).Scan(&n); err != nil {
			return err
		}
		if n == 0 {
			return apptest.NotYet("no stream waits for the lock")
		}
		return nil
	})
	begun := time.Now()
	s := app.Stream(other, "cursor=0")
	requireEvents(t, s, 0, messages)
	took := time.Since(begun)
	t.Log("the other tenant's", messages, "messages after", took)
	require.Less(t, took, 5*time.Second)

	_, err = lock.Exec(t.Context(), `ROLLBACK`)
	require.NoError(t, err)
	for _, s := range waiting {
		requireEvents(t, s, 0, messages)
	}
}

// What one replica stores, streams of another one tell: at once with Redis, by
// looking each second without; and Redis may go and come.
func TestStreamsAcrossReplicas(t *testing.T) {
	t.Parallel()
	redis := devtest.PrivateRedis(t)
	withRedis := func(c *config.Config) { c.Redis.URL = redis.URL() }
	one := apptest.Boot(t, withRedis)
	other := apptest.Boot(t, apptest.On(one.Config.Database.URL, one.Config.RabbitMQ.URL), withRedis)
	alone := apptest.Boot(t, apptest.On(one.Config.Database.URL, one.Config.RabbitMQ.URL))
	var tenants []string
	for range 6 {
		tenants = append(tenants, one.CreateTenant("tenant", 1).ID)
	}
	var streams []*apptest.Stream
	for _, tenant := range tenants {
		for _, app := range []*apptest.App{one, other, alone} {
			streams = append(streams, app.Stream(tenant, ""))
		}
	}
	var seq int64
	see := func(what string) {
		t.Helper()
		for _, tenant := range tenants {
			one.Publish(tenant, `"`+what+`"`)
		}
		begun := time.Now()
		var slowest sync.Map
		var reading errgroup.Group
		for i, s := range streams {
			reading.Go(func() error {
				_, err := s.Take(seq, 1)
				slowest.Store(i, time.Since(begun))
				return err
			})
		}
		require.NoError(t, reading.Wait(), what)
		seq++
		for i := range streams {
			took, _ := slowest.Load(i)
			t.Log(what, []string{"one", "other", "alone"}[i%3], took)
			require.Less(t, took, 10*time.Second)
		}
	}
	see("with Redis")
	redis.Pause()
	see("Redis frozen")
	redis.Resume()
	redis.Kill()
	see("Redis killed")
	redis.Start()
	see("Redis back")
}

package tests

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"lanekeeper/config"
	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/pkg/server"
	"lanekeeper/tests/apptest"
)

// Behind PgBouncer in session mode everything works as without: two replicas
// migrate, lock, listen to each other, publish and read.
func TestBehindPgBouncer(t *testing.T) {
	t.Parallel()
	pooled := devtest.PgBouncer(t, devtest.Postgres(t), "session")
	apps := apptest.BootFleet(t, 2, apptest.On(pooled, devtest.RabbitMQ(t)))
	for i, app := range apps {
		other := apps[1-i]
		tenant := app.CreateTenant("tenant", 3).ID
		id := other.Publish(tenant, `{"n":1}`, apptest.WithKey("once"))
		require.Equal(t, id, app.Publish(tenant, `{"n":1}`, apptest.WithKey("once")))
		app.PublishAll(tenant, numbered(100))
		other.Stored(tenant, 101)
		require.Len(t, app.History(tenant, 50), 101)
		other.Resize(tenant, 5)
		other.SetStatus(tenant, "inactive")
		apptest.Await(t, apptest.Long, func() error { // it listens
			answer := app.Call("POST", "/messages", `{"payload":1}`, apptest.ForTenant(tenant))
			if answer.Status != http.StatusConflict {
				return apptest.NotYet("inactive: %d", answer.Status)
			}
			return nil
		})
		other.Delete(tenant)
	}
}

// lines is a log that a test reads while it is written.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// launch starts the service and returns what it says, and how it ends.
func launch(t *testing.T, databaseURL string, options ...apptest.Option) (log *lines, ready <-chan struct{}, ended <-chan error, stop func()) {
	t.Helper()
	c := config.Default()
	c.AppPort, c.AppHost, c.AdminPort = 0, "127.0.0.1", 0
	c.Database.URL, c.RabbitMQ.URL, c.Database.MaxConnections = databaseURL, devtest.RabbitMQ(t), 5
	for _, change := range options {
		change(&c)
	}
	log = new(lines)
	s, err := server.New(c, slog.New(slog.NewTextHandler(log, nil)), io.Discard)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done, over := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(over)
		done <- s.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-over })
	return log, s.Ready(), done, cancel
}

// What only the configuration can mend ends the service, and says what it is.
func TestWhatWaitingDoesNotMendEndsTheService(t *testing.T) {
	t.Parallel()
	direct := devtest.Postgres(t)
	for name, c := range map[string]struct {
		url  func(t *testing.T) string
		says string
	}{
		"transaction mode":  {func(t *testing.T) string { t.Helper(); return devtest.PgBouncer(t, direct, "transaction") }, "pool_mode = session"},
		"statement mode":    {func(t *testing.T) string { t.Helper(); return devtest.PgBouncer(t, direct, "statement") }, "pool_mode = session"},
		"unknown parameter": {func(*testing.T) string { return direct + "&nonsense=hunter2" }, `"nonsense"`},
		"wrong value":       {func(*testing.T) string { return direct + "&statement_timeout=hunter2" }, `"statement_timeout"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log, _, ended, _ := launch(t, c.url(t))
			select {
			case err := <-ended:
				require.ErrorContains(t, err, c.says)
				require.ErrorContains(t, err, "DATABASE_URL")
				require.NotContains(t, err.Error()+log.String(), "hunter2")
			case <-time.After(apptest.Long):
				require.FailNow(t, "it goes on", log.String())
			}
		})
	}
}

// What can be mended at the server is waited for, and said loudly.
func TestARefusingDatabaseIsWaitedForLoudly(t *testing.T) {
	t.Parallel()
	direct := devtest.Postgres(t)
	location, err := url.Parse(direct)
	require.NoError(t, err)
	name := location.Path[1:] + "_later"
	location.Path = "/" + name
	log, ready, _, stop := launch(t, location.String())
	apptest.Await(t, apptest.Long, func() error {
		if !bytes.Contains([]byte(log.String()), []byte("level=ERROR")) {
			return apptest.NotYet("loud: %s", log.String())
		}
		return nil
	})
	require.Contains(t, log.String(), "there is no such database on the server")

	admin, err := pgx.Connect(t.Context(), direct)
	require.NoError(t, err)
	t.Cleanup(func() { _ = admin.Close(context.WithoutCancel(t.Context())) })
	quoted := pgx.Identifier{name}.Sanitize()
	_, err = admin.Exec(t.Context(), `CREATE DATABASE `+quoted)
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = admin.Exec(context.WithoutCancel(t.Context()), `DROP DATABASE `+quoted+` WITH (FORCE)`) })
	select {
	case <-ready:
	case <-time.After(apptest.Long):
		require.FailNow(t, "it is not ready", log.String())
	}
	stop()
}

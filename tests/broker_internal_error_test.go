package tests

import (
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/tests/apptest"
	"lanekeeper/tests/proxy"
)

// A purge, a delete or a declare that the broker answers with 541, which ends
// the connection, harms no one but the tenant it was for, and that one gets
// where it should.
func TestInternalErrorsOfTheBroker(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		method uint32
		times  int64
	}{
		"purge once":   {proxy.QueuePurge, 1},
		"purge always": {proxy.QueuePurge, 1 << 30},
		"delete":       {proxy.QueueDelete, 2},
		"declare":      {proxy.QueueDeclare, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			broker := devtest.RabbitMQ(t)
			var left, answered atomic.Int64
			x, err := proxy.NewAnswering(t.Context(), broker, proxy.AMQP{}, nil, func(frame []byte) []byte {
				method, arguments := proxy.Method(frame)
				if method != c.method || left.Load() <= 0 || passive(method, arguments) || !ofATenant(arguments) {
					return nil
				}
				left.Add(-1)
				answered.Add(1)
				return proxy.ConnectionClose(541, "INTERNAL_ERROR")
			})
			require.NoError(t, err)
			t.Cleanup(func() { _ = x.Close() })
			app := apptest.Boot(t, apptest.On(devtest.Postgres(t), x.URL()))
			app.UseServers(app.Config.Database.URL, broker)
			other := app.CreateTenant("other", 1).ID
			gone := app.CreateTenant("gone", 1).ID
			load := apptest.StartLoad(t, app.Client, []string{other}, 200)
			load.AwaitEnough()

			left.Store(c.times)
			var made string
			apptest.Await(t, apptest.Long, func() (err error) {
				if made == "" {
					made, err = app.TryCreate(t.Context(), "made meanwhile")
				}
				return err
			})
			answer := app.Call("DELETE", "/tenants/"+gone, nil)
			require.Contains(t, []int{202, 204}, answer.Status)
			apptest.Await(t, apptest.Long, func() error {
				if status := statusOf(app, gone); status != "deleted" {
					return apptest.NotYet("deleted: %s", status)
				}
				return nil
			})
			require.Positive(t, answered.Load())
			require.False(t, app.Queue(apptest.QueueName(gone)).Exists)
			apptest.Await(t, apptest.Long, func() error { return converged(app, made) })
			load.Stop()
			load.RequireStored(app.Probes)
			require.Empty(t, app.Warned(lostConnection))
		})
	}
}

// passive reports whether a declare only looks.
func passive(method uint32, arguments []byte) bool {
	if method != proxy.QueueDeclare {
		return false
	}
	_, rest := proxy.ShortString(arguments[2:])
	return rest[0]&1 != 0
}

func ofATenant(arguments []byte) bool {
	queue, _ := proxy.ShortString(arguments[2:])
	return strings.HasPrefix(queue, "tenant_")
}

package tests

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/tests/apptest"
	"lanekeeper/tests/proxy"
)

// An instance that alone has lost the database holds what was delivered to it
// for half a minute at most. Then the other one, which took its tenants over,
// gets it.
func TestFleetWithOneCutOffFromTheDatabase(t *testing.T) {
	t.Parallel()
	db, rabbit := devtest.Postgres(t), devtest.RabbitMQ(t)
	way, err := proxy.New(t.Context(), db, proxy.Postgres{}, nil)
	require.NoError(t, err)
	healthy := apptest.Boot(t, apptest.On(db, rabbit))
	cut := apptest.Boot(t, apptest.On(way.URL(), rabbit))
	cut.UseServers(db, rabbit)
	tenant := ownedBy(t, []*apptest.App{healthy, cut}, cut)
	healthy.Publish(tenant, `"before"`)
	healthy.Stored(tenant, 1)

	require.NoError(t, way.Close())
	healthy.Publish(tenant, `"after"`)
	apptest.Await(t, 90*time.Second, func() error {
		if n := apptest.QueryRow[int](healthy.Probes, `SELECT count(*) FROM messages`); n != 2 {
			return apptest.NotYet("2 stored: %d", n)
		}
		return nil
	})
}

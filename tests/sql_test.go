package tests

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

// Who works with SQL inserts tenants and users with what has to be said of them, and
// reads in two views what became of them.
func TestSQL(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	id := apptest.QueryRow[string](app.Probes, `INSERT INTO tenants (name, external_id, metadata) VALUES ('by hand', 'by-hand', '{"plan":"pro"}') RETURNING id::text`)
	apptest.Await(t, apptest.Long, func() error {
		var tenant apptest.Tenant
		app.Want(http.StatusOK, &tenant, "GET", "/api/tenants/ext:by-hand", nil)
		if tenant.Status != "active" {
			return apptest.NotYet("active: %s", tenant.Status)
		}
		return nil
	})
	app.Publish("ext:by-hand", `1`)
	app.Stored(id, 1)
	app.Put(apptest.QueueName(id), "", "größe")
	apptest.Await(t, apptest.Long, func() error {
		if n := apptest.QueryRow[int64](app.Probes, `SELECT dead_letters FROM tenant_overview WHERE external_id = 'by-hand'`); n != 1 {
			return apptest.NotYet("a dead letter: %d", n)
		}
		return nil
	})
	apptest.Await(t, apptest.Long, func() error { // replicas report within seconds
		line := apptest.QueryRow[string](app.Probes, `SELECT concat_ws(' ', status, consumer, messages_stored) FROM tenant_overview WHERE external_id = 'by-hand'`)
		if line != "active running 1" {
			return apptest.NotYet("active running 1: %s", line)
		}
		return nil
	})
	require.Equal(t, "by hand: invalid_payload: größe", apptest.QueryRow[string](app.Probes,
		`SELECT concat_ws(': ', tenant, reason, body) FROM dead_letters_readable WHERE tenant_external_id = 'by-hand'`))

	user := app.AddUser("ada@example.com", "", "")
	app.Exec(`INSERT INTO users (name, email, password) SELECT 'Bob', 'bob@example.com', password FROM users WHERE user_id = $1`, user)
	require.Equal(t, "member", app.Login("bob@example.com").User.Role)
}

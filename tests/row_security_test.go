package tests

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"lanekeeper/config"
	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/tests/apptest"
)

// The service reads as a role that sees nothing without a policy, although it logs in
// as a superuser.
func TestTheServiceActsAsItsRoles(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant := app.CreateTenant("a", 1).ID
	app.Publish(tenant, `1`)
	app.Stored(tenant, 1)
	app.Exec(`DROP POLICY "lanekeeper_app v1" ON messages`)
	require.Empty(t, app.History(tenant, 10))
	app.Publish(tenant, `2`) // the writer has a policy of its own
	var page apptest.Page
	require.Eventually(t, func() bool {
		page = app.Page(tenant, "?limit=10")
		return page.LastCursor == "2"
	}, 30*time.Second, 50*time.Millisecond)
	require.Empty(t, page.Data)
	app.Restart()
	require.Len(t, app.History(tenant, 10), 2, "a start makes what is missing")
}

// A user that may not make roles gets the service all the same, and is told what
// somebody else has to run.
func TestRowSecurityThatIsMissingIsToldOf(t *testing.T) {
	t.Parallel()
	admin, databaseURL := devtest.Postgres(t), devtest.Postgres(t)
	run := func(at string, statements ...string) {
		ctx := context.WithoutCancel(t.Context())
		conn, err := pgx.Connect(ctx, at)
		require.NoError(t, err)
		for _, sql := range statements {
			_, err = conn.Exec(ctx, sql)
			require.NoError(t, err)
		}
		require.NoError(t, conn.Close(ctx))
	}
	u, err := url.Parse(databaseURL)
	require.NoError(t, err)
	name := "test_" + strings.ReplaceAll(uuid.NewString(), "-", "")[:16]
	roles := []string{name, name + "_app", name + "_writer", name + "_system"}
	t.Cleanup(func() {
		// Databases are dropped in the reverse order: that of this test is still there.
		run(databaseURL, `REASSIGN OWNED BY `+name+` TO CURRENT_USER`, `DROP OWNED BY `+strings.Join(roles, ", "))
		for _, role := range roles {
			run(admin, `DROP ROLE IF EXISTS `+role)
		}
	})
	run(databaseURL, `CREATE ROLE `+name+` LOGIN PASSWORD 'secret'`, `ALTER DATABASE `+strings.TrimPrefix(u.Path, "/")+` OWNER TO `+name,
		`GRANT ALL ON SCHEMA public TO `+name)
	u.User = url.UserPassword(name, "secret")

	named := func(c *config.Config) {
		c.Database.Roles = config.DatabaseRoles{App: roles[1], Writer: roles[2], System: roles[3]}
	}
	started := func() string {
		log, ready, ended, stop := launch(t, u.String(), named)
		<-ready
		stop()
		require.NoError(t, <-ended)
		return log.String()
	}
	said := started()
	require.Contains(t, said, "there is no row-level security")
	require.Contains(t, said, "CREATE ROLE")
	app := apptest.New(t, apptest.On(u.String(), devtest.RabbitMQ(t)), named)
	app.Start()
	tenant := app.CreateTenant("a", 1).ID
	app.Publish(tenant, `1`)
	app.Stored(tenant, 1)
	app.Stop()

	examineText := func() (string, error) { return app.Command("doctor") }
	text, err := examineText()
	require.ErrorContains(t, err, "there are findings")
	_, sql, found := strings.Cut(text, "then start again:\n")
	require.True(t, found, text)
	run(admin, strings.TrimSpace(sql))

	require.NotContains(t, started(), "row-level security")
	app.Start()
	app.Publish(tenant, `2`)
	app.Stored(tenant, 2)
	app.Want(http.StatusOK, nil, http.MethodGet, "/api/consumers/"+tenant, nil)
	app.Stop()
	text, err = examineText()
	require.NoError(t, err)
	require.Equal(t, "nothing is amiss\n", text)
}

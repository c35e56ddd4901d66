package repository

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"lanekeeper/domain"
	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/pkg/postgres"
)

// cluster makes roles and users for a test, which are gone when it has ended.
type cluster struct {
	t     testing.TB
	url   string // of a superuser
	names []string
}

func newCluster(t testing.TB) *cluster {
	t.Helper()
	c := &cluster{t: t, url: devtest.Postgres(t)}
	// Databases that are made later are dropped before.
	t.Cleanup(func() {
		for _, name := range c.names {
			c.exec(`DROP ROLE IF EXISTS ` + name)
		}
	})
	return c
}

func (c *cluster) exec(sql string) {
	c.t.Helper()
	ctx := context.WithoutCancel(c.t.Context())
	conn, err := pgx.Connect(ctx, c.url)
	require.NoError(c.t, err)
	_, err = conn.Exec(ctx, sql)
	require.NoError(c.t, err)
	require.NoError(c.t, conn.Close(ctx))
}

func (c *cluster) name() string {
	name := "test_" + strings.ReplaceAll(uuid.NewString(), "-", "")[:16]
	c.names = append(c.names, name)
	return name
}

// roles returns names of roles that are not there.
func (c *cluster) roles() Roles { return Roles{App: c.name(), Writer: c.name(), System: c.name()} }

// user makes a user and returns its name, and the URL of the database for it.
func (c *cluster) user(databaseURL, attributes string) (name, userURL string) {
	c.t.Helper()
	name = c.name()
	c.exec(`CREATE ROLE ` + name + ` LOGIN PASSWORD 'secret' ` + attributes)
	u, err := url.Parse(databaseURL)
	require.NoError(c.t, err)
	u.User = url.UserPassword(name, "secret")
	return name, u.String()
}

// owned returns a database whose owner is a user, with the schema in it.
func (c *cluster) owned(attributes string) (owner, ownerURL, superURL string) {
	c.t.Helper()
	superURL = devtest.Postgres(c.t)
	owner, ownerURL = c.user(superURL, attributes)
	parsed, err := pgx.ParseConfig(superURL)
	require.NoError(c.t, err)
	c.exec(`ALTER DATABASE ` + parsed.Database + ` OWNER TO ` + owner)
	c.run(superURL, `GRANT ALL ON SCHEMA public TO `+owner)
	require.NoError(c.t, Migrate(c.t.Context(), ownerURL))
	return owner, ownerURL, superURL
}

func (c *cluster) run(databaseURL, sql string) {
	c.t.Helper()
	conn, err := pgx.Connect(c.t.Context(), databaseURL)
	require.NoError(c.t, err)
	_, err = conn.Exec(c.t.Context(), sql)
	require.NoError(c.t, err)
	require.NoError(c.t, conn.Close(c.t.Context()))
}

// requireWorks stores and reads a message of each of two tenants.
func requireWorks(t testing.TB, o Options) {
	t.Helper()
	store, err := Open(t.Context(), o)
	require.NoError(t, err)
	defer store.Close()
	tenants := []uuid.UUID{newID(t), newID(t)}
	for _, id := range tenants {
		require.NoError(t, store.InsertTenant(t.Context(), domain.Tenant{ID: id, Name: "n", Status: domain.TenantActive, Target: domain.TenantActive, Workers: 1}, nil))
		require.NoError(t, store.CreatePartition(t.Context(), id))
	}
	appended, err := store.AppendMessages(t.Context(), messagesFor(t, tenants, 2))
	require.NoError(t, err)
	require.Equal(t, []domain.AppendOutcome{domain.AppendStored, domain.AppendStored}, outcomesOf(appended))
	for _, id := range tenants {
		page, err := store.History(t.Context(), domain.HistoryQuery{TenantID: id, Limit: 10})
		require.NoError(t, err)
		require.Len(t, page.Messages, 1)
		_, err = store.FindTenant(t.Context(), id)
		require.NoError(t, err)
	}
	require.NoError(t, store.LockTenant(t.Context(), tenants[0], func(context.Context) error { return nil }))
	require.NoError(t, store.ErasePartition(t.Context(), tenants[0]))
}

// Who may not make roles is told what somebody else has to run, works without row-level
// security until then, and needs nothing else afterwards. A user of the database needs
// no rights of its own.
func TestRolesThatSomebodyElseMakes(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	owner, ownerURL, superURL := c.owned("")
	user, userURL := c.user(superURL, "")
	o := RowSecurityOptions{URL: userURL, AdminURL: ownerURL, Roles: c.roles()}
	missing, err := EnsureRowSecurity(t.Context(), o)
	require.NoError(t, err)
	require.Empty(t, missing.Roles)
	require.Contains(t, missing.Problem, "may not make the roles")
	for _, part := range []string{
		fmt.Sprintf("CREATE ROLE %q NOLOGIN;\n", o.Roles.App), fmt.Sprintf("CREATE ROLE %q NOLOGIN;\n", o.Roles.Writer),
		fmt.Sprintf("GRANT %q, %q, %q TO %q, %q;\n", o.Roles.App, o.Roles.Writer, o.Roles.System, owner, user),
	} {
		require.Contains(t, missing.SQL, part)
	}
	checked := o
	checked.CheckOnly = true
	found, err := EnsureRowSecurity(t.Context(), checked)
	require.NoError(t, err)
	require.Equal(t, missing.SQL, found.SQL, "whoever only looks says the same")
	requireWorks(t, Options{URL: ownerURL})

	c.exec(missing.SQL)
	found, err = EnsureRowSecurity(t.Context(), checked)
	require.NoError(t, err)
	require.Contains(t, found.SQL, "ENABLE ROW LEVEL SECURITY", "nothing was changed yet")
	require.NotContains(t, found.SQL, "CREATE ROLE")
	for range 2 {
		found, err = EnsureRowSecurity(t.Context(), o)
		require.NoError(t, err)
		require.Equal(t, RowSecurity{Roles: o.Roles}, found)
	}
	found, err = EnsureRowSecurity(t.Context(), checked)
	require.NoError(t, err)
	require.Equal(t, RowSecurity{Roles: o.Roles}, found, "nothing is left to do")
	requireWorks(t, Options{URL: userURL, AdminURL: ownerURL, Roles: o.Roles})

	// A user who may act as none of them: the store is refused, and says why.
	c.exec(`REVOKE ` + o.Roles.App + ` FROM ` + user)
	store, err := Open(t.Context(), Options{URL: userURL, AdminURL: ownerURL, Roles: o.Roles})
	require.NoError(t, err)
	defer store.Close()
	_, err = store.StreamBounds(t.Context(), newID(t))
	require.ErrorIs(t, err, domain.ErrUnavailable)
	require.Contains(t, postgres.Explain(err), `may not act as the role "`+o.Roles.App+`"`)
	missing, err = EnsureRowSecurity(t.Context(), o)
	require.NoError(t, err)
	require.Equal(t, fmt.Sprintf("GRANT %q TO %q;\n", o.Roles.App, user), missing.SQL)
}

// An owner that may make roles does so without a superuser, and passes no policy by.
func TestRolesThatTheOwnerMakes(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	_, ownerURL, _ := c.owned("CREATEROLE")
	o := RowSecurityOptions{URL: ownerURL, Roles: c.roles()}
	found, err := EnsureRowSecurity(t.Context(), o)
	require.NoError(t, err)
	require.Equal(t, RowSecurity{Roles: o.Roles}, found)
	requireWorks(t, Options{URL: ownerURL, Roles: o.Roles})
}

// Databases of one cluster have roles of the same names, and nothing comes of making
// them at the same time, also in the same database.
func TestRolesAreMadeSideBySide(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	roles := c.roles()
	var urls []string
	for range 3 {
		_, ownerURL, _ := c.owned("SUPERUSER")
		urls = append(urls, ownerURL, ownerURL, ownerURL)
	}
	begin := make(chan struct{})
	var g errgroup.Group
	for _, databaseURL := range urls {
		g.Go(func() error {
			<-begin
			found, err := EnsureRowSecurity(t.Context(), RowSecurityOptions{URL: databaseURL, Roles: roles})
			if err == nil && found.Roles != roles {
				err = fmt.Errorf("%s: %s", found.Problem, found.SQL)
			}
			return err
		})
	}
	close(begin)
	require.NoError(t, g.Wait())
}

// A role that no policy holds is none to act as.
func TestUnsafeRolesAreRefused(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	owner, _, superURL := c.owned("")
	for name, make := range map[string]func(role string){
		"superuser":            func(role string) { c.exec(`CREATE ROLE ` + role + ` SUPERUSER`) },
		"passes by":            func(role string) { c.exec(`CREATE ROLE ` + role + ` BYPASSRLS`) },
		"has the owner's":      func(role string) { c.exec(`CREATE ROLE ` + role + `; GRANT ` + owner + ` TO ` + role) },
		"has those of another": func(role string) { c.exec(`CREATE ROLE ` + role + `; GRANT pg_monitor TO ` + role) },
	} {
		roles := c.roles()
		make(roles.App)
		found, err := EnsureRowSecurity(t.Context(), RowSecurityOptions{URL: superURL, Roles: roles})
		require.NoError(t, err, name)
		require.Empty(t, found.Roles, name)
		require.Contains(t, found.Problem, "no policy holds "+roles.App+":", name)
		require.Empty(t, found.SQL, "%s: no SQL helps", name)
	}
	roles := c.roles()
	roles.Writer = owner
	found, err := EnsureRowSecurity(t.Context(), RowSecurityOptions{URL: superURL, Roles: roles})
	require.NoError(t, err)
	require.Contains(t, found.Problem, "no policy holds "+owner)
}

// Whoever was given rights before goes on seeing what he saw: an older version that logs
// in as such a user would take tenants that it does not see for gone.
func TestOthersGoOnSeeingTheirRows(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	_, ownerURL, superURL := c.owned("CREATEROLE")
	user, userURL := c.user(superURL, "")
	c.run(ownerURL, `GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO `+user)
	c.run(ownerURL, `GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO `+user)
	requireWorks(t, Options{URL: userURL, AdminURL: ownerURL})
	roles := c.roles()
	found, err := EnsureRowSecurity(t.Context(), RowSecurityOptions{URL: ownerURL, Roles: roles})
	require.NoError(t, err)
	require.Equal(t, roles, found.Roles)
	requireWorks(t, Options{URL: userURL, AdminURL: ownerURL})

	// Another installation's names, too: replicas with the old ones may still run.
	renamed := c.roles()
	found, err = EnsureRowSecurity(t.Context(), RowSecurityOptions{URL: ownerURL, Roles: renamed})
	require.NoError(t, err)
	require.Equal(t, renamed, found.Roles)
	requireWorks(t, Options{URL: ownerURL, Roles: roles})
	requireWorks(t, Options{URL: ownerURL, Roles: renamed})
}

// What somebody took away is there again after the next start.
func TestWhatIsMissingIsMadeAgain(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	for _, sql := range []string{
		`ALTER TABLE messages DISABLE ROW LEVEL SECURITY`, `DROP POLICY "lanekeeper_app v1" ON endpoints`,
		`REVOKE SELECT ON deliveries FROM lanekeeper_app`, `GRANT SELECT ON messages TO lanekeeper_writer`,
		`REVOKE USAGE ON SEQUENCE dead_letter_ids FROM lanekeeper_system`,
		`REVOKE USAGE ON SCHEMA public FROM PUBLIC`,
		`DROP POLICY "lanekeeper_system v1" ON users; CREATE POLICY "lanekeeper_system v1" ON users TO lanekeeper_app USING (true)`,
	} {
		for one := range strings.SplitSeq(sql, "; ") {
			d.exec(t, one)
		}
		o := RowSecurityOptions{URL: d.url, Roles: d.roles, CheckOnly: true}
		found, err := EnsureRowSecurity(t.Context(), o)
		require.NoError(t, err)
		require.NotEmpty(t, found.SQL, sql)
		d.secureRows(t)
	}
}

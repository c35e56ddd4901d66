package repository

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"lanekeeper/domain"
)

// newNamed inserts a tenant with an external id and metadata.
func (d *database) newNamed(t testing.TB, owner uuid.UUID, externalID string, metadata map[string]string) domain.Tenant {
	t.Helper()
	tenant := newTenant(t, owner)
	tenant.ExternalID, tenant.Metadata = externalID, metadata
	require.NoError(t, d.store.InsertTenant(t.Context(), tenant, nil))
	return tenant
}

func TestExternalIDsAreUniqueForAnOwner(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	owner := newID(t)
	one := d.newNamed(t, owner, "acme/1 ü", map[string]string{"plan": "pro", "": "", "a.b": "\n\"ü\""})
	found, err := d.store.FindTenant(t.Context(), one.ID)
	require.NoError(t, err)
	require.Equal(t, one, found)
	found, err = d.store.FindTenantByExternalID(t.Context(), owner, "acme/1 ü")
	require.NoError(t, err)
	require.Equal(t, one, found)
	d.newNamed(t, newID(t), "acme/1 ü", nil) // another owner's
	ownerless := d.newNamed(t, uuid.Nil, "acme/1 ü", nil)
	found, err = d.store.FindTenantByExternalID(t.Context(), uuid.Nil, "acme/1 ü")
	require.NoError(t, err)
	require.Equal(t, ownerless.ID, found.ID)

	taken := func(err error) {
		t.Helper()
		require.ErrorIs(t, err, domain.ErrConflict)
		require.ErrorIs(t, err, domain.ErrNameTaken)
		require.Equal(t, "external_id_taken", domain.CodeOf(err))
	}
	for _, owner := range []uuid.UUID{owner, uuid.Nil} {
		second := newTenant(t, owner)
		second.ExternalID = "acme/1 ü"
		taken(d.store.InsertTenant(t.Context(), second, nil))
	}
	other := d.newNamed(t, owner, "", nil)
	d.newNamed(t, owner, "", nil)
	rename := func(id uuid.UUID, to string) (domain.Tenant, error) {
		return d.store.ChangeTenant(t.Context(), id, func(c *domain.Tenant) error {
			c.ExternalID, c.Metadata = to, map[string]string{"n": to}
			return nil
		})
	}
	_, err = rename(other.ID, "acme/1 ü")
	taken(err)
	renamed, err := rename(other.ID, "b")
	require.NoError(t, err)
	require.Equal(t, []any{"b", map[string]string{"n": "b"}}, []any{renamed.ExternalID, renamed.Metadata})

	// A tenant that is being deleted has given it up.
	_, err = d.store.ChangeTenant(t.Context(), one.ID, func(c *domain.Tenant) error { return c.Transition(domain.TenantDeleting) })
	require.NoError(t, err)
	_, err = d.store.FindTenantByExternalID(t.Context(), owner, "acme/1 ü")
	require.ErrorIs(t, err, domain.ErrNotFound)
	_, err = rename(other.ID, "acme/1 ü")
	require.NoError(t, err)
	gone, err := d.store.ChangeTenant(t.Context(), one.ID, func(c *domain.Tenant) error { return c.Transition(domain.TenantDeleted) })
	require.NoError(t, err)
	require.Empty(t, gone.ExternalID)
	require.Empty(t, gone.Metadata)
}

// However many are made at once, there is one; and none of them is told anything else.
func TestExternalIDsAtOnce(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	owner := newID(t)
	results := make(chan error, 30)
	var work errgroup.Group
	for range cap(results) {
		tenant := newTenant(t, owner)
		tenant.ExternalID = "acme"
		work.Go(func() error {
			results <- d.store.InsertTenant(t.Context(), tenant, func(domain.OwnerUse) error { return nil })
			return nil
		})
	}
	require.NoError(t, work.Wait())
	made := 0
	for range cap(results) {
		if err := <-results; err == nil {
			made++
		} else {
			require.ErrorIs(t, err, domain.ErrNameTaken)
		}
	}
	require.Equal(t, 1, made)
}

func TestResolveTenant(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	ada, bob := newID(t), newID(t)
	ofAda, ofBob := d.newNamed(t, ada, "acme", nil), d.newNamed(t, bob, "acme", nil)
	alone := d.newNamed(t, bob, "alone", nil)
	ownerless := d.newNamed(t, uuid.Nil, "acme", nil)
	resolve := func(p domain.Principal, externalID string) (uuid.UUID, error) {
		return d.store.ResolveTenant(t.Context(), p, externalID)
	}
	for name, tt := range map[string]struct {
		caller     domain.Principal
		externalID string
		want       uuid.UUID
		code       string
	}{
		"its own":                       {domain.Principal{UserID: ada, Role: domain.RoleMember}, "acme", ofAda.ID, ""},
		"its own, of others too":        {domain.Principal{UserID: bob, Role: domain.RoleAdmin}, "acme", ofBob.ID, ""},
		"the only one":                  {domain.Principal{UserID: newID(t), Role: domain.RoleAdmin}, "alone", alone.ID, ""},
		"of several others":             {domain.Principal{UserID: newID(t), Role: domain.RoleAdmin}, "acme", uuid.Nil, "external_id_ambiguous"},
		"the built-in admin":            {domain.Principal{Role: domain.RoleAdmin}, "acme", ownerless.ID, ""},
		"the tenant that it belongs to": {domain.Principal{UserID: newID(t), Role: domain.RoleViewer, TenantID: ofBob.ID}, "acme", ofBob.ID, ""},
		"belongs to another":            {domain.Principal{UserID: ada, Role: domain.RoleMember, TenantID: ofBob.ID}, "acme", ofAda.ID, ""},
		"nobody's":                      {domain.Principal{UserID: ada, Role: domain.RoleMember}, "none", uuid.Nil, "tenant_not_found"},
		"a stranger's":                  {domain.Principal{UserID: ada, Role: domain.RoleMember}, "alone", uuid.Nil, "tenant_not_found"},
		"a key of a tenant":             {domain.Principal{UserID: ada, Role: domain.RoleMember, KeyID: newID(t), KeyTenant: ofAda.ID}, "acme", ofAda.ID, ""},
		"a key of another tenant":       {domain.Principal{UserID: bob, Role: domain.RoleMember, KeyID: newID(t), KeyTenant: alone.ID}, "acme", uuid.Nil, "tenant_not_found"},
		"an admin's key of a tenant":    {domain.Principal{UserID: ada, Role: domain.RoleAdmin, KeyID: newID(t), KeyTenant: ofBob.ID}, "acme", ofBob.ID, ""},
		"a key of open mode":            {domain.Principal{Role: domain.RoleMember, KeyID: newID(t)}, "acme", ownerless.ID, ""},
	} {
		id, err := resolve(tt.caller, tt.externalID)
		require.Equal(t, tt.code, domain.CodeOf(err), name)
		require.Equal(t, tt.want, id, name)
	}
}

func TestListTenantsByWhatTheyHave(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	owner := newID(t)
	pro := d.newNamed(t, owner, "a", map[string]string{"plan": "pro", "region": "eu"})
	alsoPro := d.newNamed(t, owner, "", map[string]string{"plan": "pro"})
	d.newNamed(t, owner, "c", map[string]string{"plan": "free", "region": "eu"})
	ofAnother := d.newNamed(t, newID(t), "a", map[string]string{"plan": "pro"})
	list := func(q domain.TenantQuery) []uuid.UUID {
		t.Helper()
		q.Limit = 10
		tenants, err := d.store.ListTenants(t.Context(), q)
		require.NoError(t, err)
		ids := make([]uuid.UUID, len(tenants))
		for i := range tenants {
			ids[i] = tenants[i].ID
		}
		return ids
	}
	who := &domain.Principal{UserID: owner, Role: domain.RoleMember}
	require.Equal(t, []uuid.UUID{pro.ID, alsoPro.ID}, list(domain.TenantQuery{VisibleTo: who, Metadata: map[string]string{"plan": "pro"}}))
	require.Equal(t, []uuid.UUID{pro.ID}, list(domain.TenantQuery{VisibleTo: who, Metadata: map[string]string{"plan": "pro", "region": "eu"}}))
	require.Equal(t, []uuid.UUID{alsoPro.ID}, list(domain.TenantQuery{VisibleTo: who, After: pro.ID, Metadata: map[string]string{"plan": "pro"}}))
	require.Empty(t, list(domain.TenantQuery{VisibleTo: who, Metadata: map[string]string{"plan": "p"}}))
	require.Equal(t, []uuid.UUID{pro.ID, ofAnother.ID}, list(domain.TenantQuery{ExternalID: "a"}))
	require.Equal(t, []uuid.UUID{pro.ID}, list(domain.TenantQuery{VisibleTo: who, ExternalID: "a", Metadata: map[string]string{"plan": "pro"}}))
	require.Empty(t, list(domain.TenantQuery{VisibleTo: who, ExternalID: "a", Metadata: map[string]string{"plan": "free"}}))
}

// With many tenants, external ids and metadata are looked up in their indexes.
func TestPlansOfTenants(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	conn := d.connect(t)
	_, err := conn.Exec(t.Context(), `
INSERT INTO tenants (id, name, status, workers, user_id, external_id, metadata)
SELECT gen_random_uuid(), n, 'active', 3, gen_random_uuid(), 'customer-' || n, jsonb_build_object('plan', 'p' || n % 1000) FROM generate_series(1, 20000) n`)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), `ANALYZE tenants`)
	require.NoError(t, err)
	for sql, index := range map[string]string{
		strings.NewReplacer("$1", `'customer-7'`, "$2", `'0197a3a2-7d2c-7c3e-8f7e-0242ac120002'::uuid`).Replace(findTenantByExternalIDSQL): "tenants_external_id_key",
		strings.NewReplacer("$1", `'customer-7'`, "$2", `'0197a3a2-7d2c-7c3e-8f7e-0242ac120002'::uuid`, "$3", "true", "$4", "NULL", "$5", "false", "$6", "NULL").
			Replace(resolveTenantSQL): "tenants_external_id_key",
		`SELECT id FROM tenants WHERE metadata @> '{"plan":"p7"}' ORDER BY id LIMIT 50`: "tenants_metadata_idx",
	} {
		rows, err := conn.Query(t.Context(), `EXPLAIN `+sql)
		require.NoError(t, err, sql)
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		require.Contains(t, fmt.Sprint(lines), index, sql)
	}
}

// The database refuses what the service would not understand, whoever writes it.
func TestTenantsByHand(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	conn := d.connect(t)
	for _, metadata := range []string{`[]`, `"a"`, `1`, `null`, `{"a": 1}`, `{"a": {"b": "c"}}`, `{"a": ["b"]}`, `{"a": null}`} {
		_, err := conn.Exec(t.Context(), `INSERT INTO tenants (id, name, status, workers, metadata) VALUES (gen_random_uuid(), 'a', 'active', 1, $1::text::jsonb)`, metadata)
		require.ErrorContains(t, err, "tenants_metadata_check", metadata)
	}
	for _, externalID := range []string{"", strings.Repeat("x", 256)} {
		_, err := conn.Exec(t.Context(), `INSERT INTO tenants (id, name, status, workers, external_id) VALUES (gen_random_uuid(), 'a', 'active', 1, $1)`, externalID)
		require.ErrorContains(t, err, "tenants_external_id_check", externalID)
	}
}

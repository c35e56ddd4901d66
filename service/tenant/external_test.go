package tenant_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/service/tenant"
)

func TestPut(t *testing.T) {
	t.Parallel()
	p := newProcess(newWorld())
	who := member()
	put := func(name string, c domain.TenantChange, workers *int) (domain.Tenant, bool, error) {
		c.Name, c.AllMetadata = &name, true
		return p.Put(t.Context(), who, "acme", domain.NewTenant{Name: name, Metadata: c.Metadata, Workers: workers}, c)
	}
	first, made, err := put("Acme", domain.TenantChange{}, new(7))
	require.NoError(t, err)
	require.True(t, made)
	require.Equal(t, "acme", first.ExternalID)
	require.Equal(t, domain.TenantActive, first.Status)

	again, made, err := put("Acme", domain.TenantChange{}, nil)
	require.NoError(t, err)
	require.False(t, made)
	require.Equal(t, first, again, "nothing is written where nothing differs")

	changed, made, err := put("Acme Ltd", domain.TenantChange{Status: new("inactive"), Metadata: metadata("plan", "pro")}, new(9))
	require.NoError(t, err)
	require.False(t, made)
	require.Equal(t, first.ID, changed.ID)
	require.Equal(t, []any{"Acme Ltd", domain.TenantInactive, 9, map[string]string{"plan": "pro"}}, []any{changed.Name, changed.Status, changed.Workers, changed.Metadata})
	require.Empty(t, p.there(first.ID))

	_, _, err = p.Create(t.Context(), who, domain.NewTenant{Name: "b", ExternalID: domain.SetTo("acme")}, domain.IdempotencyKey{Key: "k"})
	require.ErrorIs(t, err, domain.ErrNameTaken)
	require.Equal(t, "external_id_taken", domain.CodeOf(err))
	_, _, err = p.Create(t.Context(), who, domain.NewTenant{Name: "b", ExternalID: domain.SetTo("b")}, domain.IdempotencyKey{Key: "k"})
	require.NoError(t, err, "the key of a call that was refused is free")

	other, made, err := p.Put(t.Context(), member(), "acme", domain.NewTenant{Name: "of somebody else"}, domain.TenantChange{})
	require.NoError(t, err)
	require.True(t, made)
	require.NotEqual(t, first.ID, other.ID)

	for _, bad := range []string{"", "..", " "} {
		_, _, err = p.Put(t.Context(), who, bad, domain.NewTenant{Name: "b"}, domain.TenantChange{})
		require.ErrorIs(t, err, domain.ErrInvalid)
	}
	_, _, err = p.Put(t.Context(), who, "acme", domain.NewTenant{Name: "b", ExternalID: domain.SetTo("b")}, domain.TenantChange{})
	require.ErrorIs(t, err, domain.ErrInvalid)
	_, _, err = put("Acme", domain.TenantChange{}, new(101))
	require.ErrorIs(t, err, domain.ErrInvalid)

	key := domain.Principal{UserID: who.UserID, Role: domain.RoleMember, KeyID: uuid.New(), Scopes: domain.ScopeProvision}
	_, _, err = p.Put(t.Context(), key, "acme", domain.NewTenant{Name: "b"}, domain.TenantChange{Name: new("b")})
	require.Equal(t, "scope_insufficient", domain.CodeOf(err))
	_, _, err = p.Put(t.Context(), key, "acme", domain.NewTenant{Name: "Acme Ltd"}, domain.TenantChange{Name: new("Acme Ltd")})
	require.NoError(t, err, "it changes nothing")
	key.Scopes |= domain.ScopeManage
	_, _, err = p.Put(t.Context(), key, "acme", domain.NewTenant{Name: "b"}, domain.TenantChange{Name: new("b")})
	require.NoError(t, err)
}

func metadata(key, value string) domain.MetadataChange {
	return domain.SetTo(map[string]*string{key: &value})
}

// What is deleted between looking for a tenant and changing it is made anew.
func TestPutOfATenantThatIsDeletedMeanwhile(t *testing.T) {
	t.Parallel()
	p := newProcess(newWorld())
	who := member()
	stop := p.run(t)
	defer stop()
	first, _, err := p.Put(t.Context(), who, "acme", domain.NewTenant{Name: "a"}, domain.TenantChange{})
	require.NoError(t, err)
	p.once("change", func() {
		_, err := p.Delete(t.Context(), who, first.ID)
		require.NoError(t, err)
	})
	second, made, err := p.Put(t.Context(), who, "acme", domain.NewTenant{Name: "b"}, domain.TenantChange{Name: new("b")})
	require.NoError(t, err)
	require.True(t, made)
	require.NotEqual(t, first.ID, second.ID)
}

func TestPutAtOnceMakesOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newProcess(newWorld())
		who := member()
		var made atomic.Int32
		var group sync.WaitGroup
		for range 50 {
			group.Go(func() {
				one, fresh, err := p.Put(t.Context(), who, "acme", domain.NewTenant{Name: "a"}, domain.TenantChange{Name: new("a")})
				if err != nil || one.Status != domain.TenantActive {
					t.Errorf("%v, %v", one, err)
				}
				if fresh {
					made.Add(1)
				}
			})
		}
		group.Wait()
		require.Equal(t, int32(1), made.Load())
		require.Len(t, p.rows, 1)
	})
}

// acme returns a tenant with that as its external id.
func acme(owner uuid.UUID) domain.Tenant {
	return domain.Tenant{ID: uuid.New(), OwnerID: owner, ExternalID: "acme", Status: domain.TenantActive, UpdatedAt: time.Now()}
}

func TestLookupExternalIsCached(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		who, root := member(), admin()
		one := acme(who.UserID)
		b := newTable(one)
		d := tenant.NewDirectory(b)
		lookup := func(p domain.Principal, externalID string) (domain.Tenant, error) {
			return d.LookupExternal(t.Context(), p, externalID)
		}
		for range 10 {
			got, err := lookup(who, "acme")
			require.NoError(t, err)
			require.Equal(t, one, got)
		}
		require.Equal(t, []int{1, 1}, []int{b.loads, b.resolved})
		_, err := lookup(member(), "acme")
		require.ErrorIs(t, err, domain.ErrNotFound)
		require.Equal(t, "tenant_not_found", domain.CodeOf(err))

		// It goes to another tenant: the announcement of the change is enough.
		two := acme(who.UserID)
		b.set(func() {
			b.rows[two.ID] = two
			changed := one
			changed.ExternalID = "former"
			b.rows[one.ID] = changed
		})
		d.Forget(one.ID)
		got, err := lookup(who, "acme")
		require.NoError(t, err)
		require.Equal(t, two, got)
		got, err = lookup(who, "former")
		require.NoError(t, err)
		require.Equal(t, one.ID, got.ID)

		// It is deleted, and there is none; and one that was just made is found.
		two.Status = domain.TenantDeleting
		b.set(func() { b.rows[two.ID] = two })
		d.Put(two)
		_, err = lookup(who, "acme")
		require.ErrorIs(t, err, domain.ErrNotFound)
		three := acme(who.UserID)
		b.set(func() { b.rows[three.ID] = three })
		got, err = lookup(who, "acme")
		require.NoError(t, err)
		require.Equal(t, three, got)

		// Who sees those of several owners has to say which.
		_, err = lookup(root, "acme")
		require.NoError(t, err)
		four := acme(uuid.New())
		b.set(func() { b.rows[four.ID] = four })
		pass(6 * time.Second)
		_, err = lookup(root, "acme")
		require.ErrorIs(t, err, domain.ErrConflict)
		require.Equal(t, "external_id_ambiguous", domain.CodeOf(err))

		// While the database is away, what is known goes on being used.
		_, err = lookup(who, "acme")
		require.NoError(t, err)
		b.set(func() { b.err = away() })
		pass(time.Hour)
		got, err = lookup(who, "acme")
		require.NoError(t, err)
		require.Equal(t, three, got)
		_, err = lookup(who, "never seen")
		require.ErrorIs(t, err, domain.ErrUnavailable)
	})
}

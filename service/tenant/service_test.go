package tenant_test

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"lanekeeper/domain"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func create(t *testing.T, p *process, who domain.Principal, n domain.NewTenant) domain.Tenant {
	t.Helper()
	if n.Name == "" {
		n.Name = "a"
	}
	created, replayed, err := p.Create(t.Context(), who, n, domain.IdempotencyKey{})
	require.NoError(t, err)
	require.False(t, replayed)
	return created
}

func TestCreate(t *testing.T) {
	t.Parallel()
	p := newProcess(newWorld())
	who := member()
	created := create(t, p, who, domain.NewTenant{Name: "Acme", Description: "d"})
	require.Equal(t, domain.TenantActive, created.Status)
	require.Equal(t, who.UserID, created.OwnerID)
	require.Equal(t, 3, created.Workers, "the default")
	require.Equal(t, 9, created.RetentionDays, "the default")
	require.Empty(t, p.there(created.ID))
	known, err := p.directory.Lookup(t.Context(), created.ID)
	require.NoError(t, err)
	require.NoError(t, known.AcceptsMessages())

	workers := 7
	inactive := create(t, p, who, domain.NewTenant{Status: "inactive", Workers: &workers, RetentionDays: new(0)})
	require.Zero(t, inactive.RetentionDays)
	require.Equal(t, domain.TenantInactive, inactive.Status)
	require.Equal(t, 7, inactive.Workers)
	require.Empty(t, p.there(inactive.ID))

	_, _, err = p.Create(t.Context(), who, domain.NewTenant{}, domain.IdempotencyKey{})
	require.ErrorIs(t, err, domain.ErrInvalid)
	_, _, err = p.Create(t.Context(), domain.Principal{UserID: who.UserID, Role: domain.RoleViewer}, domain.NewTenant{Name: "a"}, domain.IdempotencyKey{})
	require.ErrorIs(t, err, domain.ErrForbidden)
	require.Len(t, p.rows, 2)
}

func TestCreateWithKey(t *testing.T) {
	t.Parallel()
	p := newProcess(newWorld())
	defer p.run(t)()
	who := member()
	key := domain.IdempotencyKey{Key: "k", Hash: [32]byte{1}}
	first, replayed, err := p.Create(t.Context(), who, domain.NewTenant{Name: "a"}, key)
	require.NoError(t, err)
	require.False(t, replayed)

	again, replayed, err := p.Create(t.Context(), who, domain.NewTenant{Name: "a"}, key)
	require.NoError(t, err)
	require.True(t, replayed)
	require.Equal(t, first.ID, again.ID)

	_, _, err = p.Create(t.Context(), who, domain.NewTenant{Name: "b"}, domain.IdempotencyKey{Key: "k", Hash: [32]byte{2}})
	require.Equal(t, "idempotency_key_reused", domain.CodeOf(err))
	_, _, err = p.Create(t.Context(), who, domain.NewTenant{Name: "b"}, domain.IdempotencyKey{Key: "\n"})
	require.ErrorIs(t, err, domain.ErrInvalid)

	other, replayed, err := p.Create(t.Context(), member(), domain.NewTenant{Name: "a"}, key)
	require.NoError(t, err)
	require.False(t, replayed, "a key belongs to its user")
	require.NotEqual(t, first.ID, other.ID)

	// The answer got lost before the key was confirmed.
	p.set(func() { clear(p.confirmed) })
	again, replayed, err = p.Create(t.Context(), who, domain.NewTenant{Name: "a"}, key)
	require.NoError(t, err)
	require.False(t, replayed)
	require.Equal(t, first.ID, again.ID)
	require.Len(t, p.rows, 2)

	for _, confirmed := range []bool{true, false} {
		_, err = p.Delete(t.Context(), who, first.ID)
		if confirmed {
			require.NoError(t, err)
		}
		p.set(func() {
			if !confirmed {
				clear(p.confirmed)
			}
		})
		_, _, err = p.Create(t.Context(), who, domain.NewTenant{Name: "a"}, key)
		require.ErrorIs(t, err, domain.ErrConflict)
		require.Equal(t, "tenant_deleted", domain.CodeOf(err))
	}
	require.Empty(t, p.gone(first.ID))
	require.Empty(t, p.violations)
}

func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	p := newProcess(newWorld())
	defer p.run(t)()
	owner := member()
	id := create(t, p, owner, domain.NewTenant{}).ID
	for name, c := range map[string]struct {
		who          domain.Principal
		read, change error
	}{
		"stranger":           {member(), domain.ErrNotFound, domain.ErrNotFound},
		"open mode":          {domain.Principal{Role: domain.RoleAdmin}, nil, nil},
		"admin":              {admin(), nil, nil},
		"owner":              {owner, nil, nil},
		"owner, now viewer":  {domain.Principal{UserID: owner.UserID, Role: domain.RoleViewer}, nil, domain.ErrForbidden},
		"member of it":       {domain.Principal{UserID: uuid.New(), Role: domain.RoleMember, TenantID: id}, nil, domain.ErrForbidden},
		"viewer of it":       {domain.Principal{UserID: uuid.New(), Role: domain.RoleViewer, TenantID: id}, nil, domain.ErrForbidden},
		"member of another":  {domain.Principal{UserID: uuid.New(), Role: domain.RoleMember, TenantID: uuid.New()}, domain.ErrNotFound, domain.ErrNotFound},
		"nobody with nobody": {domain.Principal{Role: domain.RoleMember}, domain.ErrNotFound, domain.ErrNotFound},
	} {
		_, err := p.Get(t.Context(), c.who, id)
		require.ErrorIs(t, err, c.read, name)
		tenants, _, err := p.List(t.Context(), c.who, domain.TenantQuery{Limit: 10})
		require.NoError(t, err)
		require.Equal(t, c.read == nil, len(tenants) == 1, name)
		_, err = p.Change(t.Context(), c.who, id, domain.TenantChange{Name: new("b")})
		require.ErrorIs(t, err, c.change, name)
		_, err = p.SetWorkers(t.Context(), c.who, id, 5)
		require.ErrorIs(t, err, c.change, name)
		if c.change != nil {
			_, err = p.Delete(t.Context(), c.who, id)
			require.ErrorIs(t, err, c.change, name)
			require.Equal(t, domain.CodeOf(err), map[error]string{domain.ErrNotFound: "tenant_not_found", domain.ErrForbidden: "forbidden"}[c.change])
		}
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	p := newProcess(newWorld())
	defer p.run(t)()
	var ids []uuid.UUID
	for range 5 {
		ids = append(ids, create(t, p, admin(), domain.NewTenant{}).ID)
	}
	_, err := p.Delete(t.Context(), admin(), ids[4])
	require.NoError(t, err)
	_, err = p.Change(t.Context(), admin(), ids[0], domain.TenantChange{Status: new("inactive")})
	require.NoError(t, err)

	list := func(q domain.TenantQuery) (got []uuid.UUID, more bool) {
		tenants, more, err := p.List(t.Context(), admin(), q)
		require.NoError(t, err)
		for _, one := range tenants {
			got = append(got, one.ID)
		}
		return got, more
	}
	got, more := list(domain.TenantQuery{Limit: 3})
	require.Equal(t, ids[:3], got)
	require.True(t, more)
	got, more = list(domain.TenantQuery{Limit: 1, After: ids[2]})
	require.Equal(t, ids[3:4], got)
	require.False(t, more)
	got, _ = list(domain.TenantQuery{Limit: 9, Statuses: []domain.TenantStatus{domain.TenantInactive}})
	require.Equal(t, ids[:1], got)
	got, _ = list(domain.TenantQuery{Limit: 9, Statuses: []domain.TenantStatus{domain.TenantDeleted}})
	require.Empty(t, got, "tombstones are not listed")
	for _, limit := range []int{0, -1, 1001} {
		_, _, err = p.List(t.Context(), admin(), domain.TenantQuery{Limit: limit})
		require.ErrorIs(t, err, domain.ErrInvalid)
	}
}

func TestChangeStatus(t *testing.T) {
	t.Parallel()
	p := newProcess(newWorld())
	id := create(t, p, admin(), domain.NewTenant{}).ID
	changed, err := p.Change(t.Context(), admin(), id, domain.TenantChange{Status: new("inactive"), Name: new("b")})
	require.NoError(t, err)
	require.Equal(t, domain.TenantInactive, changed.Status)
	require.Equal(t, "b", changed.Name)
	require.NotContains(t, p.consumers, id)
	require.Contains(t, p.queues, id, "the queue stays")
	require.True(t, p.partitions[id], "and so does the history")
	known, err := p.directory.Lookup(t.Context(), id)
	require.NoError(t, err)
	require.ErrorIs(t, known.AcceptsMessages(), domain.ErrConflict)

	_, err = p.Change(t.Context(), admin(), id, domain.TenantChange{Status: new("active")})
	require.NoError(t, err)
	require.Contains(t, p.consumers, id)
	_, err = p.Change(t.Context(), admin(), id, domain.TenantChange{Status: new("deleted")})
	require.ErrorIs(t, err, domain.ErrInvalid)
	_, err = p.Change(t.Context(), admin(), uuid.New(), domain.TenantChange{})
	require.ErrorIs(t, err, domain.ErrNotFound)
}

// A tenant that is still provisioning is sent to another target.
func TestChangeStatusWhileProvisioning(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newProcess(newWorld())
		defer p.run(t)()
		p.set(func() { p.brokerAway = true })
		created := create(t, p, admin(), domain.NewTenant{})
		require.Equal(t, domain.TenantProvisioning, created.Status)
		changed, err := p.Change(t.Context(), admin(), created.ID, domain.TenantChange{Status: new("inactive")})
		require.NoError(t, err)
		require.Equal(t, domain.TenantProvisioning, changed.Status)
		p.set(func() { p.brokerAway = false })
		pass(convergence)
		require.Equal(t, domain.TenantInactive, p.row(created.ID).Status)
		require.Empty(t, p.there(created.ID))
	})
}

func TestSetWorkers(t *testing.T) {
	t.Parallel()
	p := newProcess(newWorld())
	id := create(t, p, admin(), domain.NewTenant{}).ID
	changed, err := p.SetWorkers(t.Context(), admin(), id, 5)
	require.NoError(t, err)
	require.Equal(t, 5, changed.Workers)
	require.Empty(t, p.there(id))
	for _, n := range []int{-1, 0, 101} {
		_, err = p.SetWorkers(t.Context(), admin(), id, n)
		require.ErrorIs(t, err, domain.ErrInvalid)
	}
	require.Equal(t, 5, p.row(id).Workers)

	// Of many at once the last that the database saw wins in the pool too.
	var group sync.WaitGroup
	for n := 1; n <= 100; n++ {
		group.Go(func() {
			_, err := p.SetWorkers(t.Context(), admin(), id, n)
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	require.Empty(t, p.there(id))
	require.Equal(t, 2, p.starts+1, "no consumer was started again")
}

func TestDelete(t *testing.T) {
	t.Parallel()
	p := newProcess(newWorld())
	defer p.run(t)()
	id := create(t, p, admin(), domain.NewTenant{}).ID
	p.set(func() { p.queues[id] = 42 })
	deleted, err := p.Delete(t.Context(), admin(), id)
	require.NoError(t, err)
	require.Equal(t, domain.TenantDeleted, deleted.Status)
	require.EqualValues(t, 42, deleted.Discarded)
	require.Empty(t, p.gone(id))
	p.set(func() { require.Equal(t, []uuid.UUID{id}, slices.Compact(p.deleted)) })
	require.Empty(t, p.violations)

	_, err = p.Delete(t.Context(), admin(), id)
	require.ErrorIs(t, err, domain.ErrNotFound)
	_, err = p.Get(t.Context(), admin(), id)
	require.ErrorIs(t, err, domain.ErrNotFound)
	_, err = p.directory.Lookup(t.Context(), id)
	require.ErrorIs(t, err, domain.ErrNotFound)
}

// While twenty deletions are held up by a reader of the messages, everybody
// else goes on at once; and when it is through, so do they.
func TestBlockedDeletionsDelayNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newProcess(newWorld())
		defer p.run(t)()
		var ids []uuid.UUID
		for range 20 {
			ids = append(ids, create(t, p, admin(), domain.NewTenant{}).ID)
		}
		p.set(func() { p.partitionsBlocked = true })
		var group sync.WaitGroup
		for _, id := range ids {
			group.Go(func() {
				deleted, err := p.Delete(t.Context(), admin(), id)
				if err != nil || deleted.Status != domain.TenantDeleting {
					t.Errorf("%s, %v", deleted.Status, err)
				}
			})
		}
		pass(time.Second)
		begun := time.Now()
		created := create(t, p, admin(), domain.NewTenant{})
		require.Equal(t, domain.TenantActive, created.Status)
		_, err := p.SetWorkers(t.Context(), admin(), created.ID, 9)
		require.NoError(t, err)
		require.Zero(t, time.Since(begun))
		require.Len(t, p.Running(), 1)
		p.set(func() { require.Len(t, p.queues, 1, "their queues are gone at once") })
		group.Wait()

		p.set(func() { p.partitionsBlocked = false })
		pass(convergence)
		for _, id := range ids {
			require.Empty(t, p.gone(id))
		}
		require.Empty(t, p.there(created.ID))
		require.Empty(t, p.violations)
	})
}

// Whatever is done to one tenant at once, it ends as one of the orders would
// have left it.
func TestEverythingAtOnce(t *testing.T) {
	t.Parallel()
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			p := newProcess(newWorld())
			defer p.run(t)()
			key := domain.IdempotencyKey{Key: "k"}
			id := func() uuid.UUID {
				created, _, err := p.Create(t.Context(), admin(), domain.NewTenant{Name: "a"}, key)
				if err != nil {
					require.ErrorIs(t, err, domain.ErrConflict)
				}
				return created.ID
			}
			first := id()
			var group sync.WaitGroup
			for n := range 10 {
				group.Go(func() { id() })
				group.Go(func() { _, _ = p.SetWorkers(t.Context(), admin(), first, n+1) })
				group.Go(func() { _, _ = p.Change(t.Context(), admin(), first, domain.TenantChange{Status: new("inactive")}) })
				group.Go(func() { _, _ = p.Change(t.Context(), admin(), first, domain.TenantChange{Status: new("active")}) })
				group.Go(func() { p.reconciler.Enqueue(first) })
			}
			group.Go(func() { _, _ = p.Delete(t.Context(), admin(), first) })
			group.Wait()
			pass(convergence)
			require.Empty(t, p.gone(first))
			require.Empty(t, p.violations)
		})
	}
}

// Another replica deletes the tenant in the middle of what this one does.
func TestDeletedElsewhereMeanwhile(t *testing.T) {
	t.Parallel()
	for _, call := range []string{"lock", "declare", "change"} {
		t.Run("create, at "+call, func(t *testing.T) {
			t.Parallel()
			here := newProcess(newWorld())
			there := newProcess(here.world)
			here.once(call, func() {
				for id := range there.rows {
					_, err := there.ChangeTenant(t.Context(), id, func(t *domain.Tenant) error { return t.Transition(domain.TenantDeleting) })
					require.NoError(t, err)
					if call == "lock" {
						_, err = there.provisioner.Converge(t.Context(), id)
						require.NoError(t, err)
					}
				}
			})
			_, _, err := here.Create(t.Context(), admin(), domain.NewTenant{Name: "a"}, domain.IdempotencyKey{})
			require.Equal(t, "tenant_deleted", domain.CodeOf(err))
			for id := range here.rows {
				require.Empty(t, here.gone(id))
			}
			require.Empty(t, here.violations)
		})
	}
	t.Run("change", func(t *testing.T) {
		t.Parallel()
		here := newProcess(newWorld())
		there := newProcess(here.world)
		id := create(t, here, admin(), domain.NewTenant{}).ID
		here.once("change", func() {
			_, err := there.ChangeTenant(t.Context(), id, func(t *domain.Tenant) error { return t.Transition(domain.TenantDeleting) })
			require.NoError(t, err)
		})
		_, err := here.SetWorkers(t.Context(), admin(), id, 5)
		require.ErrorIs(t, err, domain.ErrNotFound)
	})
}

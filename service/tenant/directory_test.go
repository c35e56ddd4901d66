package tenant_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/service/tenant"
)

// table is a database with tenants, and counts how often it is asked.
type table struct {
	mu    sync.Mutex
	rows  map[uuid.UUID]domain.Tenant
	loads int
	// resolved counts the questions for external ids.
	resolved int
	err      error
	// gate, when set, is received from in the middle of a load, after the
	// row was read.
	gate chan struct{}
	hang bool
}

func newTable(tenants ...domain.Tenant) *table {
	rows := make(map[uuid.UUID]domain.Tenant)
	for _, t := range tenants {
		rows[t.ID] = t
	}
	return &table{rows: rows}
}

func (b *table) FindTenant(ctx context.Context, id uuid.UUID) (domain.Tenant, error) {
	b.mu.Lock()
	b.loads++
	t, exists := b.rows[id]
	err, gate, hang := b.err, b.gate, b.hang
	b.mu.Unlock()
	if hang {
		<-ctx.Done()
		return domain.Tenant{}, ctx.Err()
	}
	if gate != nil {
		<-gate
	}
	switch {
	case err != nil:
		return domain.Tenant{}, err
	case !exists:
		return domain.Tenant{}, domain.TenantNotFound()
	}
	return t, nil
}

func (b *table) ResolveTenant(_ context.Context, p domain.Principal, externalID string) (uuid.UUID, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.resolved++
	if b.err != nil {
		return uuid.Nil, b.err
	}
	var found []uuid.UUID
	for _, t := range b.rows {
		if t.ExternalID == externalID && !t.Gone() && p.MayAccess(&t) {
			found = append(found, t.ID)
		}
	}
	switch len(found) {
	case 0:
		return uuid.Nil, domain.TenantNotFound()
	case 1:
		return found[0], nil
	}
	return uuid.Nil, domain.ExternalIDAmbiguous()
}

func (b *table) set(change func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change()
}

func away() error { return domain.New(domain.ErrUnavailable, "away", "Away.") }

func active() domain.Tenant {
	return domain.Tenant{ID: uuid.New(), Name: "1", Status: domain.TenantActive}
}

func TestLookupIsCachedForFiveSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := active()
		b := newTable(one)
		d := tenant.NewDirectory(b)
		for range 10 {
			got, err := d.Lookup(t.Context(), one.ID)
			require.NoError(t, err)
			require.Equal(t, one, got)
		}
		require.Equal(t, 1, b.loads)
		one.Name = "2"
		b.set(func() { b.rows[one.ID] = one })
		pass(5 * time.Second)
		got, err := d.Lookup(t.Context(), one.ID)
		require.NoError(t, err)
		require.Equal(t, "2", got.Name)
		require.Equal(t, 2, b.loads)
	})
}

// Who saw in the database that a tenant is active by now may publish to it.
func TestLookupDoesNotRememberThatATenantIsProvisioned(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := active()
		one.Status = domain.TenantProvisioning
		b := newTable(one)
		d := tenant.NewDirectory(b)
		for range 2 {
			got, err := d.Lookup(t.Context(), one.ID)
			require.NoError(t, err)
			require.Equal(t, domain.TenantProvisioning, got.Status)
		}
		b.set(func() { b.err = away() })
		got, err := d.Lookup(t.Context(), one.ID)
		require.NoError(t, err)
		require.Equal(t, domain.TenantProvisioning, got.Status, "while the database is away it is all that is known")
		pass(2 * time.Second)
		one.Status = domain.TenantActive
		b.set(func() { b.rows[one.ID], b.err = one, nil })
		got, err = d.Lookup(t.Context(), one.ID)
		require.NoError(t, err)
		require.Equal(t, domain.TenantActive, got.Status)
	})
}

func TestLookupOfWhatDoesNotExist(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := active()
		b := newTable()
		d := tenant.NewDirectory(b)
		for range 10 {
			_, err := d.Lookup(t.Context(), one.ID)
			require.ErrorIs(t, err, domain.ErrNotFound)
		}
		require.Equal(t, 1, b.loads)
		b.set(func() { b.rows[one.ID] = one })
		pass(time.Second)
		_, err := d.Lookup(t.Context(), one.ID)
		require.NoError(t, err, "created elsewhere")

		other := active()
		_, err = d.Lookup(t.Context(), other.ID)
		require.ErrorIs(t, err, domain.ErrNotFound)
		b.set(func() { b.rows[other.ID] = other })
		d.Put(other)
		_, err = d.Lookup(t.Context(), other.ID)
		require.NoError(t, err, "created here")

		other.Status = domain.TenantDeleting
		b.set(func() { b.rows[other.ID] = other })
		d.Put(other)
		_, err = d.Lookup(t.Context(), other.ID)
		require.ErrorIs(t, err, domain.ErrNotFound)
	})
}

// An attacker who makes up ids drives out nothing that is known.
func TestMadeUpIDsDisplaceNothing(t *testing.T) {
	t.Parallel()
	one := active()
	b := newTable(one)
	d := tenant.NewDirectory(b)
	_, err := d.Lookup(t.Context(), one.ID)
	require.NoError(t, err)
	for range 30_000 {
		_, err := d.Lookup(t.Context(), uuid.New())
		require.ErrorIs(t, err, domain.ErrNotFound)
	}
	b.err = away()
	_, err = d.Lookup(t.Context(), one.ID)
	require.NoError(t, err)
}

func TestLookupWhileTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := active()
		b := newTable(one)
		d := tenant.NewDirectory(b)
		_, err := d.Lookup(t.Context(), one.ID)
		require.NoError(t, err)
		b.set(func() { b.err = away() })
		for range 1000 {
			pass(time.Minute)
			got, err := d.Lookup(t.Context(), one.ID)
			require.NoError(t, err)
			require.Equal(t, one, got)
		}
		_, err = d.Lookup(t.Context(), uuid.New())
		require.ErrorIs(t, err, domain.ErrUnavailable)

		b.set(func() {
			b.err, one.Name, b.rows[one.ID] = nil, "2", domain.Tenant{ID: one.ID, Name: "2", Status: domain.TenantActive}
		})
		pass(5 * time.Second)
		got, err := d.Lookup(t.Context(), one.ID)
		require.NoError(t, err)
		require.Equal(t, "2", got.Name, "it is back")
	})
}

// A database that does not answer at all delays one caller by a second every
// two seconds, and nobody else.
func TestLookupWhileTheDatabaseHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := active()
		b := newTable(one)
		d := tenant.NewDirectory(b)
		_, err := d.Lookup(t.Context(), one.ID)
		require.NoError(t, err)
		b.set(func() { b.hang = true })
		pass(10 * time.Second)
		begun := time.Now()
		_, err = d.Lookup(t.Context(), one.ID)
		require.NoError(t, err)
		require.Equal(t, time.Second, time.Since(begun))

		pass(10 * time.Second)
		var mu sync.Mutex
		delayed := 0
		var group sync.WaitGroup
		begun = time.Now()
		for range 100 {
			group.Go(func() {
				_, err := d.Lookup(t.Context(), one.ID)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				if time.Since(begun) > 0 {
					delayed++
				}
			})
		}
		group.Wait()
		require.Equal(t, 1, delayed)

		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		unknown := uuid.New()
		group.Go(func() {
			if _, err := d.Lookup(t.Context(), unknown); err == nil {
				t.Error("it cannot be known")
			}
		})
		synctest.Wait()
		begun = time.Now()
		_, err = d.Lookup(ctx, unknown)
		require.ErrorIs(t, err, domain.ErrUnavailable)
		require.Equal(t, 100*time.Millisecond, time.Since(begun), "waiting for another's load ends with the context")
		group.Wait()
	})
}

// Many callers that miss at once are one question to the database.
func TestLookupsShareALoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := active()
		b := newTable(one)
		b.gate = make(chan struct{})
		d := tenant.NewDirectory(b)
		var group sync.WaitGroup
		for range 100 {
			group.Go(func() {
				got, err := d.Lookup(t.Context(), one.ID)
				if err != nil || got.ID != one.ID {
					t.Errorf("%v, %v", got, err)
				}
			})
		}
		synctest.Wait()
		close(b.gate)
		group.Wait()
		require.Equal(t, 1, b.loads)
	})
}

// A load that read the row before a change must not bring the old row back
// after it.
func TestChangeDuringALoad(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*tenant.Directory, domain.Tenant){
		"Put":       func(d *tenant.Directory, t domain.Tenant) { d.Put(t) },
		"Forget":    func(d *tenant.Directory, t domain.Tenant) { d.Forget(t.ID) },
		"ForgetAll": func(d *tenant.Directory, _ domain.Tenant) { d.ForgetAll() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				one := active()
				b := newTable(one)
				gate := make(chan struct{})
				b.gate = gate
				d := tenant.NewDirectory(b)
				var group sync.WaitGroup
				group.Go(func() { _, _ = d.Lookup(t.Context(), one.ID) })
				synctest.Wait() // it has read the old row
				one.Name = "2"
				b.set(func() { b.rows[one.ID], b.gate = one, nil })
				change(d, one)
				got, err := d.Lookup(t.Context(), one.ID)
				require.NoError(t, err)
				require.Equal(t, "2", got.Name, "while the load is under way")
				close(gate)
				group.Wait()
				got, err = d.Lookup(t.Context(), one.ID)
				require.NoError(t, err)
				require.Equal(t, "2", got.Name, "after it")
			})
		})
	}
}

// Of two changes at once, told in the wrong order, the later one holds.
func TestPutOutOfOrder(t *testing.T) {
	t.Parallel()
	one := active()
	one.UpdatedAt = time.Now()
	older := one
	older.Name, older.UpdatedAt = "0", one.UpdatedAt.Add(-time.Second)
	b := newTable(one)
	d := tenant.NewDirectory(b)
	d.Put(one)
	d.Put(older)
	got, err := d.Lookup(t.Context(), one.ID)
	require.NoError(t, err)
	require.Equal(t, one, got)
	d.Put(one)
	d.Put(older)
	b.err = away()
	got, err = d.Lookup(t.Context(), one.ID)
	require.NoError(t, err)
	require.Equal(t, one, got)
}

func TestLookupAllocatesNothing(t *testing.T) {
	one := active()
	d := tenant.NewDirectory(newTable(one))
	ctx := t.Context()
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if _, err := d.Lookup(ctx, one.ID); err != nil {
			t.Error(err)
		}
	}))
}

func BenchmarkLookup(b *testing.B) {
	one := active()
	d := tenant.NewDirectory(newTable(one))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := d.Lookup(b.Context(), one.ID); err != nil {
				b.Error(err)
			}
		}
	})
}

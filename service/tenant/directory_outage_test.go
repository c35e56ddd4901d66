package tenant_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/service/tenant"
)

// What is announced to have changed is asked for again; if the database is
// away by then, the last known state goes on being used.
func TestForgetBeforeAnOutage(t *testing.T) {
	t.Parallel()
	for name, forget := range map[string]func(*tenant.Directory, uuid.UUID){
		"one": (*tenant.Directory).Forget,
		"all": func(d *tenant.Directory, _ uuid.UUID) { d.ForgetAll() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				one := active()
				b := newTable(one)
				d := tenant.NewDirectory(b)
				_, err := d.Lookup(t.Context(), one.ID)
				require.NoError(t, err)
				changed := one
				changed.Name = "2"
				b.set(func() { b.rows[one.ID] = changed })
				forget(d, one.ID)
				got, err := d.Lookup(t.Context(), one.ID)
				require.NoError(t, err)
				require.Equal(t, changed, got)

				forget(d, one.ID)
				b.set(func() { b.err = away() })
				for range 3 {
					got, err = d.Lookup(t.Context(), one.ID)
					require.NoError(t, err)
					require.Equal(t, changed, got)
					forget(d, one.ID)
					pass(time.Minute)
				}
				b.set(func() { b.err, b.hang = nil, true })
				got, err = d.Lookup(t.Context(), one.ID)
				require.NoError(t, err)
				require.Equal(t, changed, got)

				unknown := active()
				b.set(func() { b.hang = false })
				_, err = d.Lookup(t.Context(), unknown.ID)
				require.ErrorIs(t, err, domain.ErrNotFound)
				b.set(func() { b.rows[unknown.ID] = unknown })
				forget(d, unknown.ID)
				_, err = d.Lookup(t.Context(), unknown.ID)
				require.NoError(t, err, "it is there by now")
			})
		})
	}
}

func TestStillThere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := active()
		b := newTable(one)
		d := tenant.NewDirectory(b)
		_, err := d.Lookup(t.Context(), one.ID)
		require.NoError(t, err)
		pass(time.Hour)
		gone := one
		gone.Status = domain.TenantDeleting
		b.set(func() { b.rows[one.ID] = gone })
		require.NoError(t, d.StillThere(t.Context(), one.ID))
		require.Equal(t, 1, b.loads, "nothing was announced")

		d.Forget(one.ID)
		short, cancel := context.WithTimeout(t.Context(), 900*time.Millisecond)
		defer cancel()
		require.ErrorIs(t, d.StillThere(short, one.ID), domain.ErrUnavailable, "there is no time")
		require.Equal(t, 1, b.loads)
		b.set(func() { b.err = away() })
		require.NoError(t, d.StillThere(t.Context(), one.ID), "the last known state")
		b.set(func() { b.err = nil })
		d.Forget(one.ID)
		require.ErrorIs(t, d.StillThere(t.Context(), one.ID), domain.ErrNotFound)
		loads := b.loads
		for range 3 {
			require.ErrorIs(t, d.StillThere(short, one.ID), domain.ErrNotFound)
		}
		require.Equal(t, loads, b.loads)

		// Deleted through this process.
		other := active()
		b.set(func() { b.rows[other.ID] = other })
		_, err = d.Lookup(t.Context(), other.ID)
		require.NoError(t, err)
		other.Status = domain.TenantDeleting
		d.Put(other)
		b.set(func() { b.err = away() })
		require.ErrorIs(t, d.StillThere(short, other.ID), domain.ErrNotFound)
	})
}

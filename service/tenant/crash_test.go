package tenant_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// convergence is how long an interrupted change may take to be finished.
const convergence = 30 * time.Second

// TestCrashDuringCreate lets the process die at each of its calls to the
// database and the broker, before and after the call takes effect. The next
// process must find the tenant fully there, or nothing of it.
func TestCrashDuringCreate(t *testing.T) {
	t.Parallel()
	crashAtEachStep(t, func(t *testing.T, p *process, arm func()) {
		arm()
		_, _, _ = p.Create(t.Context(), admin(), domain.NewTenant{Name: "a"}, domain.IdempotencyKey{Key: "k"})
	}, func(t *testing.T, p *process) {
		for id := range p.rows {
			require.Empty(t, p.there(id))
		}
	})
}

// TestCrashDuringDelete does the same for deleting: what has begun ends with
// nothing left but the tombstone, which still tells how many messages were
// discarded.
func TestCrashDuringDelete(t *testing.T) {
	t.Parallel()
	crashAtEachStep(t, func(t *testing.T, p *process, arm func()) {
		created, _, err := p.Create(t.Context(), admin(), domain.NewTenant{Name: "a"}, domain.IdempotencyKey{})
		require.NoError(t, err)
		p.set(func() { p.queues[created.ID] = 17 })
		arm()
		defer p.run(t)()
		_, _ = p.Delete(t.Context(), admin(), created.ID)
	}, func(t *testing.T, p *process) {
		for id, row := range p.rows {
			if row.Status == domain.TenantActive {
				require.Empty(t, p.there(id), "it had not begun")
				continue
			}
			require.Empty(t, p.gone(id))
			require.EqualValues(t, 17, row.Discarded)
			require.Empty(t, row.Name)
		}
	})
}

// crashAtEachStep lets act run with a crash at the first step after arm, then
// at the second and so on until there are no more.
func crashAtEachStep(t *testing.T, act func(t *testing.T, p *process, arm func()), check func(*testing.T, *process)) {
	t.Helper()
	for step := 1; ; step++ {
		crashed := false
		for _, half := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				first := newProcess(newWorld())
				act(t, first, func() {
					first.set(func() { first.crashAt, first.half = first.steps+step, half })
				})
				first.set(func() { crashed = crashed || first.crashed })

				second := newProcess(first.world)
				stop := second.run(t)
				pass(convergence)
				stop()
				check(t, second)
				require.Empty(t, second.violations)
			})
		}
		if !crashed {
			require.Greater(t, step, 8, "the crashes were not looked for")
			return
		}
	}
}

// TestOutagesDuringCreateAndDelete keeps a server away while a tenant is
// created or deleted. Afterwards the change is finished without help.
func TestOutagesDuringCreateAndDelete(t *testing.T) {
	t.Parallel()
	for name, cause := range map[string]func(w *world, on bool){
		"broker":     func(w *world, on bool) { w.brokerAway = on },
		"database":   func(w *world, on bool) { w.databaseAway = on },
		"partitions": func(w *world, on bool) { w.partitionsBlocked = on },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newProcess(newWorld())
				defer p.run(t)()
				old, _, err := p.Create(t.Context(), admin(), domain.NewTenant{Name: "old"}, domain.IdempotencyKey{})
				require.NoError(t, err)
				require.Equal(t, domain.TenantActive, old.Status)

				p.set(func() { cause(p.world, true) })
				created, _, createErr := p.Create(t.Context(), admin(), domain.NewTenant{Name: "new"}, domain.IdempotencyKey{})
				begun := time.Now()
				deleted, deleteErr := p.Delete(t.Context(), admin(), old.ID)
				require.LessOrEqual(t, time.Since(begun), 5*time.Second)
				if name == "database" {
					require.ErrorIs(t, createErr, domain.ErrUnavailable)
					require.ErrorIs(t, deleteErr, domain.ErrUnavailable)
				} else {
					require.NoError(t, createErr)
					require.NoError(t, deleteErr)
					require.Equal(t, domain.TenantDeleting, deleted.Status)
					_, err = p.Delete(t.Context(), admin(), old.ID)
					require.ErrorIs(t, err, domain.ErrNotFound)
				}
				pass(10 * time.Minute)
				const warning = "tenant is not as it should be yet"
				require.LessOrEqual(t, p.log.count(warning)+p.log.count("tenants cannot be listed"), 2, "the log is not flooded")

				p.set(func() { cause(p.world, false) })
				pass(convergence)
				if name == "database" {
					require.Empty(t, p.there(old.ID))
				} else {
					require.Empty(t, p.there(created.ID))
					require.Empty(t, p.gone(old.ID))
					require.Equal(t, p.deleted[0], old.ID)
				}
				require.Empty(t, p.violations)
			})
		})
	}
}

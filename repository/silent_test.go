package repository

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/tests/proxy"
)

// A server that falls silent, as behind a cut network, holds no call for longer
// than its context and a moment: a request has 5.2 s of the 6 s that are
// promised.
func TestSilentServerHoldsNoCall(t *testing.T) {
	t.Parallel()
	const given, moment = 500 * time.Millisecond, 400 * time.Millisecond
	d := newDatabase(t)
	silenced := func(t *testing.T) (*Store, *atomic.Bool) {
		t.Helper()
		silent := new(atomic.Bool)
		way, err := proxy.New(t.Context(), d.url, proxy.Postgres{}, func([]byte, proxy.Side) proxy.Verdict {
			if silent.Load() {
				return proxy.Drop
			}
			return proxy.Pass
		})
		require.NoError(t, err)
		t.Cleanup(func() { _ = way.Close() })
		return d.open(t, Options{URL: way.URL()}), silent
	}
	tenant := domain.Tenant{ID: uuid.New(), Status: domain.TenantActive}
	for name, call := range map[string]func(context.Context, *Store, *atomic.Bool) error{
		"a statement": func(ctx context.Context, s *Store, silent *atomic.Bool) error {
			silent.Store(true)
			return s.InsertTenant(ctx, tenant, nil)
		},
		"a transaction": func(ctx context.Context, s *Store, silent *atomic.Bool) error {
			_, err := s.ChangeTenant(ctx, d.newTenants(t, 1)[0], func(*domain.Tenant) error {
				silent.Store(true)
				return nil
			})
			return err
		},
		"a lock": func(ctx context.Context, s *Store, silent *atomic.Bool) error {
			return s.LockTenant(ctx, uuid.New(), func(ctx context.Context) error {
				silent.Store(true)
				<-ctx.Done()
				return ctx.Err()
			})
		},
		"a batch": func(ctx context.Context, s *Store, silent *atomic.Bool) error {
			silent.Store(true)
			_, err := s.AppendMessages(ctx, messagesFor(t, d.newTenants(t, 1), 1))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, silent := silenced(t)
			require.NoError(t, s.Ping(t.Context()))
			require.NoError(t, s.writers.Ping(t.Context()))
			require.NoError(t, s.locks.Ping(t.Context()))
			ctx, cancel := context.WithTimeout(t.Context(), given)
			defer cancel()
			begun := time.Now()
			require.Error(t, call(ctx, s, silent))
			require.Less(t, time.Since(begun), given+moment)
		})
	}
}

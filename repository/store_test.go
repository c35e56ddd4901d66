package repository

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

func TestOpenNeedsNoServer(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), Options{URL: "postgres://app:hunter2@127.0.0.1:1/none"})
	require.NoError(t, err)
	defer s.Close()

	err = s.Ping(t.Context())
	require.ErrorIs(t, err, domain.ErrUnavailable)
	require.NotContains(t, err.Error(), "hunter2")

	for name, call := range map[string]func() error{
		"find tenant": func() error { _, err := s.FindTenant(t.Context(), uuid.New()); return err },
		"insert tenant": func() error {
			return s.InsertTenant(t.Context(), domain.Tenant{ID: uuid.New(), Status: domain.TenantActive}, nil)
		},
		"change tenant": func() error {
			_, err := s.ChangeTenant(t.Context(), uuid.New(), func(*domain.Tenant) error { return nil })
			return err
		},
		"list tenants": func() error { _, err := s.ListTenants(t.Context(), domain.TenantQuery{Limit: 1}); return err },
		"lock tenant": func() error {
			return s.LockTenant(t.Context(), uuid.New(), func(context.Context) error { return nil })
		},
		"create partition": func() error { return s.CreatePartition(t.Context(), uuid.New()) },
		"erase partition":  func() error { return s.ErasePartition(t.Context(), uuid.New()) },
		"append": func() error {
			_, err := s.AppendMessages(t.Context(), messagesFor(t, []uuid.UUID{uuid.New()}, 1))
			return err
		},
		"history": func() error {
			_, err := s.History(t.Context(), domain.HistoryQuery{TenantID: uuid.New(), Limit: 1})
			return err
		},
		"find message": func() error { _, _, err := s.FindMessage(t.Context(), uuid.New(), uuid.New(), 1); return err },
		"claim": func() error {
			_, err := s.ClaimKeys(t.Context(), []domain.IdempotencyClaim{{Scope: uuid.New(), Key: "k"}})
			return err
		},
		"set all stopped": func() error { _, err := s.SetAllStopped(t.Context(), true); return err },
		"list retentions": func() error { _, err := s.ListRetentions(t.Context()); return err },
		"expire messages": func() error { _, err := s.ExpireMessages(t.Context(), domain.Retention{}, 1); return err },
		"alone": func() error {
			_, err := s.Alone(t.Context(), "p", func(context.Context) error { return nil })
			return err
		},
		"find user": func() error { _, err := s.FindUser(t.Context(), uuid.New()); return err },
		"secret":    func() error { _, err := s.EnsureSecret(t.Context(), "s", []byte("x")); return err },
		"migrate":   func() error { return Migrate(t.Context(), "postgres://app:hunter2@127.0.0.1:1/none") },
	} {
		err := call()
		require.ErrorIs(t, err, domain.ErrUnavailable, name)
		require.NotContains(t, err.Error(), "hunter2", name)
		var known *domain.Error
		require.ErrorAs(t, err, &known, name)
		require.Equal(t, 2*time.Second, known.RetryAfter, name)
	}
}

func TestErrorsHideThePassword(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"postgres://app:hunter2@127.0.0.1:nan/none",
		"postgres://app:hunter2 x@127.0.0.1/none",
		"postgres://app:%hunter2@127.0.0.1/none",
		"postgres://app:hunter2@127.0.0.1/none?sslmode=hunter2",
		"postgres://app:hunter2@127.0.0.1/none?pool_max_conns=hunter2",
		"password='hunter2 host=x",
		"hunter2",
	} {
		_, err := Open(t.Context(), Options{URL: url})
		require.Error(t, err, "%q", url)
		require.NotContains(t, fmt.Sprintf("%v %+v", err, err), "hunter2")
		require.Error(t, Migrate(t.Context(), url))
		require.NotContains(t, Migrate(t.Context(), url).Error(), "hunter2")
	}
}

func TestPoolsKeepTheirLimits(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	read := func(on session, setting string) string {
		var value string
		require.NoError(t, on.QueryRow(t.Context(), `SELECT current_setting($1)`, setting).Scan(&value))
		return value
	}
	writer := d.store.writersSession(t)
	require.Equal(t, "force_generic_plan", read(writer, "plan_cache_mode"))
	require.Equal(t, "10s", read(writer, "statement_timeout"))
	require.Equal(t, "100ms", read(writer, "lock_timeout"))
	err := d.store.WithTenant(t.Context(), queryAccess, []uuid.UUID{uuid.New()}, func(on session) error {
		require.Equal(t, "force_custom_plan", read(on, "plan_cache_mode"))
		require.Equal(t, "10s", read(on, "statement_timeout"))
		require.Equal(t, "1s", read(on, "lock_timeout"))
		require.Equal(t, "15s", read(on, "idle_in_transaction_session_timeout"))
		require.Equal(t, "lanekeeper", read(on, "application_name"))
		require.Equal(t, "off", read(on, "jit"))
		// What a replica holds is free soon after it has vanished without a word.
		require.Equal(t, "10", read(on, "tcp_keepalives_idle"))
		require.Equal(t, "5", read(on, "tcp_keepalives_interval"))
		require.Equal(t, "3", read(on, "tcp_keepalives_count"))
		require.Equal(t, "25000", read(on, "tcp_user_timeout"))
		return nil
	})
	require.NoError(t, err)

	// What the URL says goes first.
	own := d.open(t, Options{URL: d.withParams(t, "statement_timeout", "1234")})
	err = own.WithTenant(t.Context(), queryAccess, []uuid.UUID{uuid.New()}, func(on session) error {
		require.Equal(t, "1234ms", read(on, "statement_timeout"))
		return nil
	})
	require.NoError(t, err)
}

func TestWithTenantPassesErrorsOn(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	boom := errors.New("boom")
	for _, how := range []access{queryAccess, appendAccess} {
		err := d.store.WithTenant(t.Context(), how, []uuid.UUID{uuid.New()}, func(session) error { return boom })
		require.ErrorIs(t, err, boom)
		require.NoError(t, d.store.WithTenant(t.Context(), how, nil, func(session) error { return boom }))
	}
}

// A transaction that was begun and not committed is rolled back, and its
// connection is used again: whether the server refused a statement in it, fn
// failed, or the caller has gone.
func TestAppendAccessRollsBack(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	store := d.open(t, Options{WriterConns: 1})
	ids := d.newTenants(t, 1)
	ctx, cancel := context.WithCancel(t.Context())
	var backend int
	for name, fail := range map[string]func(session) error{
		"refused": func(on session) error { _, err := on.Exec(ctx, `SELECT 1/0`); return err },
		"failed":  func(session) error { return errors.New("boom") },
		"gone":    func(session) error { cancel(); return ctx.Err() },
	} {
		ctx, cancel = context.WithCancel(t.Context())
		require.Error(t, store.WithTenant(ctx, appendAccess, ids, func(on session) error {
			for _, sql := range []string{beginSQL, `UPDATE tenant_streams SET last_seq = 99`} {
				_, err := on.Exec(ctx, sql)
				require.NoError(t, err)
			}
			return fail(on)
		}), name)
		cancel()
		require.NoError(t, store.WithTenant(t.Context(), appendAccess, ids, func(on session) error {
			var pid, seq int
			require.NoError(t, on.QueryRow(t.Context(), `SELECT pg_backend_pid(), max(last_seq) FROM tenant_streams`).Scan(&pid, &seq))
			require.Zero(t, seq, name)
			require.True(t, backend == 0 || backend == pid, "%s: the connection is another one", name)
			backend = pid
			return nil
		}))
	}
}

func (s *Store) writersSession(t testing.TB) session {
	t.Helper()
	conn, err := s.writers.Acquire(t.Context())
	require.NoError(t, err)
	t.Cleanup(conn.Release)
	return conn
}

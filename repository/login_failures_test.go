package repository

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"lanekeeper/domain"
)

func failure(key string, step time.Duration, burst int) domain.LoginFailure {
	return domain.LoginFailure{Key: []byte(key), Step: step, Most: time.Duration(burst) * step}
}

// requireCounters requires that counters are as expected, less some seconds.
func requireCounters(t *testing.T, want, got []time.Duration) {
	t.Helper()
	require.Len(t, got, len(want))
	for i := range want {
		require.LessOrEqual(t, got[i], want[i], i)
		require.Greater(t, got[i], want[i]-10*time.Second, i)
	}
}

func TestLoginFailuresAreCounted(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	ctx := t.Context()
	pair, address := failure("b", time.Minute, 3), failure("a", time.Hour, 10)
	keys := [][]byte{pair.Key, address.Key, []byte("c")}
	counters, err := d.store.LoginFailures(ctx, keys)
	require.NoError(t, err)
	require.Equal(t, []time.Duration{0, 0, 0}, counters)

	for n := 1; n <= 5; n++ {
		counters, err = d.store.AddLoginFailures(ctx, []domain.LoginFailure{pair, address})
		require.NoError(t, err)
		requireCounters(t, []time.Duration{time.Duration(min(n, 3)) * time.Minute, time.Duration(n) * time.Hour}, counters)
	}
	counters, err = d.store.LoginFailures(ctx, keys)
	require.NoError(t, err)
	requireCounters(t, []time.Duration{3 * time.Minute, 5 * time.Hour, 0}, counters)

	require.NoError(t, d.store.ForgiveLoginFailures(ctx, []domain.LoginFailure{pair, address, failure("unknown", time.Hour, 1)}))
	counters, err = d.store.LoginFailures(ctx, keys)
	require.NoError(t, err)
	requireCounters(t, []time.Duration{2 * time.Minute, 4 * time.Hour, 0}, counters)

	require.NoError(t, d.store.ForgiveLoginFailures(ctx, []domain.LoginFailure{{Key: pair.Key, Step: 24 * time.Hour}}))
	counters, err = d.store.AddLoginFailures(ctx, []domain.LoginFailure{pair})
	require.NoError(t, err)
	requireCounters(t, []time.Duration{time.Minute}, counters)
}

func TestForgottenLoginFailuresAreDeleted(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	for i := range 5 {
		_, err := d.store.AddLoginFailures(t.Context(), []domain.LoginFailure{failure(fmt.Sprint(i), time.Hour, 2)})
		require.NoError(t, err)
	}
	n, err := d.store.DeleteForgottenLoginFailures(t.Context(), 10)
	require.NoError(t, err)
	require.Zero(t, n)
	for i := range 4 {
		require.NoError(t, d.store.ForgiveLoginFailures(t.Context(), []domain.LoginFailure{failure(fmt.Sprint(i), 2*time.Hour, 2)}))
	}
	for _, want := range []int{3, 1, 0} {
		n, err = d.store.DeleteForgottenLoginFailures(t.Context(), 3)
		require.NoError(t, err)
		require.Equal(t, want, n)
	}
	counters, err := d.store.LoginFailures(t.Context(), [][]byte{[]byte("4")})
	require.NoError(t, err)
	require.NotZero(t, counters[0])
}

// Logins on all replicas count under keys that they share, named in any order, and
// none is lost and none fails because of the others.
func TestLoginFailuresAtOnce(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	other, err := Open(t.Context(), Options{URL: d.url})
	require.NoError(t, err)
	t.Cleanup(other.Close)
	all, address := failure("all", time.Hour, 1000), failure("address", time.Hour, 1000)
	const clients, times = 8, 20
	var g errgroup.Group
	for i := range clients {
		g.Go(func() error {
			counted := []domain.LoginFailure{all, failure(fmt.Sprint(i), time.Hour, 1000), address}
			if i%2 == 0 {
				counted[0], counted[2] = address, all
			}
			store := []*Store{d.store, other}[i/2%2]
			for n := range times {
				if _, err := store.AddLoginFailures(t.Context(), counted); err != nil {
					return err
				}
				if n%2 == 0 {
					if err := store.ForgiveLoginFailures(t.Context(), counted); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())
	counters, err := d.store.LoginFailures(t.Context(), [][]byte{all.Key, address.Key, []byte("0")})
	require.NoError(t, err)
	requireCounters(t, []time.Duration{clients * times / 2 * time.Hour, clients * times / 2 * time.Hour, times / 2 * time.Hour}, counters)
}

// Whatever takes all other connections, logins have theirs, and tokens are checked
// while logins have all of those.
func TestLoginsAndTokensDoNotWaitForOthers(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	ann := newUser(t, "ann@example.com")
	require.NoError(t, d.store.InsertUser(t.Context(), ann))
	login := func(ctx context.Context) error {
		if _, err := d.store.FindUserByEmail(ctx, ann.Email); err != nil {
			return err
		}
		_, err := d.store.AddLoginFailures(ctx, []domain.LoginFailure{failure("a", time.Hour, 1000)})
		return err
	}
	check := func(ctx context.Context) error {
		_, err := d.store.FindUser(ctx, ann.ID)
		return err
	}
	for name, tc := range map[string]struct {
		pools []*pgxpool.Pool
		call  func(ctx context.Context) error
	}{
		"login":       {[]*pgxpool.Pool{d.store.general, d.store.streams, d.store.callers, d.store.tokens, d.store.deliveries, d.store.writers}, login},
		"token check": {[]*pgxpool.Pool{d.store.general, d.store.streams, d.store.callers, d.store.logins, d.store.deliveries, d.store.writers}, check},
	} {
		var taken []*pgxpool.Conn
		for _, pool := range tc.pools {
			for range pool.Config().MaxConns {
				conn, err := pool.Acquire(t.Context())
				require.NoError(t, err)
				taken = append(taken, conn)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		require.NoError(t, tc.call(ctx), name)
		cancel()
		for _, conn := range taken {
			conn.Release()
		}
	}
}

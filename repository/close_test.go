package repository

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"lanekeeper/tests/proxy"
)

// A server that does not answer any more, on connections of every pool.
func TestShutdownDoesNotWaitForASilentServer(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	var silent atomic.Bool
	way, err := proxy.New(t.Context(), d.url, proxy.Postgres{}, func([]byte, proxy.Side) proxy.Verdict {
		if silent.Load() {
			return proxy.Drop
		}
		return proxy.Pass
	})
	require.NoError(t, err)
	defer way.Close()
	s, err := Open(t.Context(), Options{URL: way.URL()})
	require.NoError(t, err)
	pools := []*pgxpool.Pool{s.general, s.writers, s.ddl, s.locks, s.streams, s.fleet}
	for _, pool := range pools {
		require.NoError(t, pool.Ping(t.Context()))
	}
	silent.Store(true)
	begun := make(chan error)
	for _, pool := range pools {
		go func() { begun <- pool.Ping(context.WithoutCancel(t.Context())) }()
	}
	limit, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	before := time.Now()
	s.Shutdown(limit)
	require.Less(t, time.Since(before), 4*time.Second)
	for range pools {
		require.Error(t, <-begun, "cut")
	}
}

package verify

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"lanekeeper/tests/chaos/env"
	"lanekeeper/tests/chaos/load"
	"lanekeeper/tests/chaos/wait"
)

// AwaitStored waits until a tenant's history has n messages.
func AwaitStored(ctx context.Context, e *env.Env, tenant string, n int64, limit time.Duration) error {
	return e.InDatabase(ctx, func(conn *pgx.Conn) error {
		return wait.Until(ctx, limit, fmt.Sprintf("%d messages of a tenant are stored", n), func() error {
			var last int64
			if err := conn.QueryRow(ctx, `SELECT last_seq FROM tenant_streams WHERE tenant_id = $1::uuid`, tenant).Scan(&last); err != nil {
				return fmt.Errorf("read a stream: %w", err)
			}
			if last < n {
				return fmt.Errorf("%w: %d", wait.ErrNotReady, last)
			}
			return nil
		})
	})
}

// AwaitStoring waits until more messages are stored than now, and returns how
// long that took. There has to be a load.
func AwaitStoring(ctx context.Context, e *env.Env) (time.Duration, error) {
	begun := time.Now()
	var took time.Duration
	err := e.InDatabase(ctx, func(conn *pgx.Conn) error {
		first := int64(-1)
		return wait.Until(ctx, load.RecoverLimit, "messages are stored again", func() error {
			var stored int64
			if err := conn.QueryRow(ctx, `SELECT coalesce(sum(last_seq), 0)::bigint FROM tenant_streams`).Scan(&stored); err != nil {
				return fmt.Errorf("count stored messages: %w", err)
			}
			if first < 0 {
				first = stored
			}
			if stored == first {
				return wait.ErrNotReady
			}
			took = time.Since(begun)
			return nil
		})
	})
	return took, err
}

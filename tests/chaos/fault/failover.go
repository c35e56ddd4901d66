package fault

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"lanekeeper/tests/chaos/env"
	"lanekeeper/tests/chaos/load"
	"lanekeeper/tests/chaos/wait"
)

const (
	// LagBehind is by how much the standby is behind when the primary fails.
	LagBehind = time.Second
	// unnoticed is how long nothing is done about the failure.
	unnoticed = 2 * time.Second
)

// FailOver ends the primary of a pair, after the standby has been cut off for a
// moment, and promotes the standby. A primary that freezes is like a machine that
// no longer answers: connections to it stay open, and new ones get no answer. It
// has to be ended after the promotion, by the caller. While nothing is done about the
// failure, meanwhile is called.
func FailOver(ctx context.Context, p *env.Pair, freeze bool, meanwhile func()) error {
	var receivers []int
	err := p.Standby.Do(ctx, "postgres", func(conn *pgx.Conn) error {
		rows, _ := conn.Query(ctx, `SELECT pid FROM pg_stat_wal_receiver`)
		var err error
		receivers, err = pgx.CollectRows(rows, pgx.RowTo[int])
		return err
	})
	if err != nil || len(receivers) == 0 {
		return errors.Join(fmt.Errorf("%w: the standby receives nothing", load.ErrUnexpected), err)
	}
	for _, process := range receivers {
		_ = syscall.Kill(process, syscall.SIGSTOP)
		defer func() { _ = syscall.Kill(process, syscall.SIGCONT) }()
	}
	if !wait.For(ctx, LagBehind) {
		return ctx.Err()
	}
	if freeze {
		p.Primary.Signal(syscall.SIGSTOP)
	} else {
		p.Primary.Kill()
	}
	for _, process := range receivers {
		// It would still read what has arrived at the machine.
		_ = syscall.Kill(process, syscall.SIGKILL)
	}
	failed := time.Now()
	meanwhile()
	if !wait.For(ctx, unnoticed-time.Since(failed)) {
		return ctx.Err()
	}
	// A killed process makes the standby restart its own.
	err = wait.Until(ctx, env.DatabaseLimit, "the standby is promoted", func() error {
		return p.Standby.Exec(ctx, "SELECT pg_promote(true, 30)")
	})
	if err != nil {
		return err
	}
	return wait.Until(ctx, env.DatabaseLimit, "the standby takes writes", func() error {
		return p.Standby.Do(ctx, p.Name, func(conn *pgx.Conn) error {
			var standby bool
			if err := conn.QueryRow(ctx, `SELECT pg_is_in_recovery()`).Scan(&standby); err != nil || standby {
				return errors.Join(wait.ErrNotReady, err)
			}
			return nil
		})
	})
}

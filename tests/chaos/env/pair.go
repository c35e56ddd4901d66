package env

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"lanekeeper/tests/chaos/wait"
)

// Pair is a primary and its standby. One goroutine at a time uses it.
type Pair struct {
	Name             string // of the database
	Primary, Standby *DatabaseNode
	Synchronous      bool
}

// start starts both, and returns when the standby streams.
func (p *Pair) start(ctx context.Context) error {
	if err := p.Primary.Initialise(ctx); err != nil {
		return err
	}
	if err := p.Primary.Start(ctx); err != nil {
		return err
	}
	if err := p.Primary.Database(ctx, p.Name); err != nil {
		return err
	}
	if err := p.Standby.follow(ctx, p.Primary); err != nil {
		return err
	}
	if err := p.Standby.Start(ctx); err != nil {
		return err
	}
	if p.Synchronous {
		// Not replicated, so the standby will not wait for another one once it is primary.
		for _, statement := range []string{"ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"} {
			if err := p.Primary.Exec(ctx, statement); err != nil {
				return fmt.Errorf("replicate synchronously: %w", err)
			}
		}
	}
	state := "async"
	if p.Synchronous {
		state = "sync"
	}
	return wait.Until(ctx, DatabaseLimit, "the standby streams", func() error {
		var found string
		err := p.Primary.Do(ctx, "postgres", func(conn *pgx.Conn) error {
			return conn.QueryRow(ctx, `SELECT sync_state FROM pg_stat_replication WHERE state = 'streaming'`).Scan(&found)
		})
		if err != nil || found != state {
			return errors.Join(fmt.Errorf("%w: %q", wait.ErrNotReady, found), err)
		}
		return nil
	})
}

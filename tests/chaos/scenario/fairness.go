package scenario

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"lanekeeper/tests/chaos/fault"
	"lanekeeper/tests/chaos/load"
	"lanekeeper/tests/chaos/verify"
	"lanekeeper/tests/chaos/wait"
)

// partitionLock locks one tenant's partition, as a careless administrator
// would, while that tenant is being published to.
func partitionLock(ctx context.Context, t *trial) error {
	locked, p, err := t.quietAndOther(ctx)
	if err != nil {
		return err
	}
	err = t.undisturbed(ctx, p, t.locked, func(ctx context.Context, meanwhile func() error) error {
		return t.InDatabase(ctx, func(conn *pgx.Conn) error {
			tx, err := conn.Begin(ctx)
			if err != nil {
				return fmt.Errorf("begin: %w", err)
			}
			defer tx.Rollback(ctx) //nolint:errcheck // nothing was changed
			if _, err := tx.Exec(ctx, "LOCK TABLE messages_"+strings.ReplaceAll(locked, "-", "_")+" IN ACCESS EXCLUSIVE MODE"); err != nil {
				return fmt.Errorf("lock a partition: %w", err)
			}
			return fault.While(ctx, 2, func() error {
				err := meanwhile()
				explains(ctx, t, "the partition is locked by another session", locked, "partition_locked")
				return err
			}, func(ctx context.Context) {
				l := t.newLoad()
				l.Send(ctx, locked, 1, false)
				wait.For(ctx, 200*time.Millisecond)
			})
		})
	})
	return errors.Join(err, t.check(ctx))
}

// floodClients is how many publish batches at a time in a flood: more than the
// service lets wait, so that some are refused, too.
const floodClients = 40

// noisyFlood has one tenant publish batches as fast as it can.
func noisyFlood(ctx context.Context, t *trial) error {
	noisy, p, err := t.quietAndOther(ctx)
	if err != nil {
		return err
	}
	l := t.newLoad()
	begun := time.Now()
	err = t.undisturbed(ctx, p, t.measure, func(ctx context.Context, meanwhile func() error) error {
		return fault.While(ctx, floodClients, func() error {
			err := meanwhile()
			explains(ctx, t, "one tenant publishes faster than it may", noisy, "rate_exceeded")
			return err
		}, func(ctx context.Context) {
			l.Send(ctx, noisy, 4*load.BatchSize, false)
		})
	})
	t.Show("flood", "%d messages within %.0f s", l.Accepted.Load(), time.Since(begun).Seconds())
	return errors.Join(err, t.check(ctx))
}

// noisyBacklog lets one tenant become active that has a long queue.
func noisyBacklog(ctx context.Context, t *trial) error {
	noisy, p, err := t.quietAndOther(ctx)
	if err != nil {
		return err
	}
	err = t.undisturbed(ctx, p, t.measure, func(ctx context.Context, meanwhile func() error) error {
		if err := fillQueue(ctx, t, noisy, t.backlog); err != nil {
			return err
		}
		if r := t.client.SetStatus(ctx, noisy, "active"); r.Status != http.StatusOK {
			return errors.Join(fmt.Errorf("%w: activate a tenant: %s", load.ErrUnexpected, r.Text()), r.Err)
		}
		var predicting sync.WaitGroup
		defer predicting.Wait()
		predicting.Go(func() {
			p, ok := predict(ctx, t, noisy, "backlog")
			if ok && verify.AwaitStored(ctx, t.Env, noisy, int64(t.backlog), load.RecoverLimit) == nil {
				t.Predicted("the backlog stored", p.expected, time.Since(p.at))
			}
		})
		return meanwhile()
	})
	return errors.Join(err, t.check(ctx))
}

// noisyPoison has one tenant get nothing but messages that cannot be stored.
func noisyPoison(ctx context.Context, t *trial) error {
	noisy, p, err := t.quietAndOther(ctx)
	if err != nil {
		return err
	}
	err = t.undisturbed(ctx, p, t.measure, func(ctx context.Context, meanwhile func() error) error {
		return fault.While(ctx, 2, meanwhile, func(ctx context.Context) {
			if err := load.PublishDirectly(ctx, t.Env, t.ledger, noisy, 100, true); err != nil && ctx.Err() == nil {
				t.Fail("publish poison: %v", err)
			}
			wait.For(ctx, 50*time.Millisecond)
		})
	})
	if id, found := firstLetter(t); found && t.checker().AwaitDrained(ctx) == nil {
		explainsMessage(ctx, t, "a message that is no JSON", noisy, id, "dead_letter")
	}
	return errors.Join(err, t.check(ctx))
}

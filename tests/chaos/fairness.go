package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// quietAndOther starts the service with one tenant that will disturb, and
// others that are measured.
func (st *stage) quietAndOther(ctx context.Context) (noisy string, p *probe, err error) {
	if err := st.bootDirect(ctx, st.others+1); err != nil {
		return "", nil, err
	}
	p = newProbe(st, st.tenants[1:])
	// Connections, plans and caches are warm before anything is measured.
	if _, err := p.measure(ctx, 2*time.Second); err != nil {
		return "", nil, err
	}
	return st.tenants[0], p, nil
}

// partitionLock locks one tenant's partition, as a careless administrator
// would, while that tenant is being published to.
func partitionLock(ctx context.Context, st *stage) error {
	locked, p, err := st.quietAndOther(ctx)
	if err != nil {
		return err
	}
	err = st.undisturbed(ctx, p, st.locked, func(ctx context.Context, meanwhile func() error) error {
		return st.inDatabase(ctx, func(conn *pgx.Conn) error {
			tx, err := conn.Begin(ctx)
			if err != nil {
				return fmt.Errorf("begin: %w", err)
			}
			defer tx.Rollback(ctx) //nolint:errcheck // nothing was changed
			if _, err := tx.Exec(ctx, "LOCK TABLE messages_"+strings.ReplaceAll(locked, "-", "_")+" IN ACCESS EXCLUSIVE MODE"); err != nil {
				return fmt.Errorf("lock a partition: %w", err)
			}
			return st.while(ctx, 2, meanwhile, func(ctx context.Context) {
				l := &load{st: st}
				l.send(ctx, locked, 1, false)
				rest(ctx, 200*time.Millisecond)
			})
		})
	})
	return errors.Join(err, st.check(ctx))
}

// floodClients is how many publish batches at a time in a flood: more than the
// service lets wait, so that some are refused, too.
const floodClients = 40

// noisyFlood has one tenant publish batches as fast as it can.
func noisyFlood(ctx context.Context, st *stage) error {
	noisy, p, err := st.quietAndOther(ctx)
	if err != nil {
		return err
	}
	l := &load{st: st}
	begun := time.Now()
	err = st.undisturbed(ctx, p, st.measure, func(ctx context.Context, meanwhile func() error) error {
		return st.while(ctx, floodClients, meanwhile, func(ctx context.Context) {
			l.send(ctx, noisy, 4*batchSize, false)
		})
	})
	st.show("flood", "%d messages within %.0f s", l.accepted.Load(), time.Since(begun).Seconds())
	return errors.Join(err, st.check(ctx))
}

// noisyBacklog lets one tenant become active that has a long queue.
func noisyBacklog(ctx context.Context, st *stage) error {
	noisy, p, err := st.quietAndOther(ctx)
	if err != nil {
		return err
	}
	err = st.undisturbed(ctx, p, st.measure, func(ctx context.Context, meanwhile func() error) error {
		if err := st.fillQueue(ctx, noisy, st.backlog); err != nil {
			return err
		}
		if r := st.client.setStatus(ctx, noisy, "active"); r.status != http.StatusOK {
			return errors.Join(fmt.Errorf("%w: activate a tenant: %s", errUnexpected, r.text()), r.err)
		}
		return meanwhile()
	})
	return errors.Join(err, st.check(ctx))
}

// noisyPoison has one tenant get nothing but messages that cannot be stored.
func noisyPoison(ctx context.Context, st *stage) error {
	noisy, p, err := st.quietAndOther(ctx)
	if err != nil {
		return err
	}
	err = st.undisturbed(ctx, p, st.measure, func(ctx context.Context, meanwhile func() error) error {
		return st.while(ctx, 2, meanwhile, func(ctx context.Context) {
			if err := st.publishDirectly(ctx, noisy, 100, true); err != nil && ctx.Err() == nil {
				st.fail("publish poison: %v", err)
			}
			rest(ctx, 50*time.Millisecond)
		})
	})
	return errors.Join(err, st.check(ctx))
}

// while runs disturb again and again, so many times at a time, for as long as
// meanwhile takes.
func (st *stage) while(ctx context.Context, atOnce int, meanwhile func() error, disturb func(context.Context)) error {
	quit := make(chan struct{})
	var work sync.WaitGroup
	for range atOnce {
		work.Go(func() {
			for {
				select {
				case <-quit:
					return
				default:
					disturb(ctx)
				}
			}
		})
	}
	err := meanwhile()
	close(quit)
	work.Wait()
	return err
}

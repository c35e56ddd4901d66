package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"golang.org/x/sync/errgroup"
)

// consumed returns nil when every queue has a consumer.
func (st *stage) consumed(queues []string) error {
	return st.eachQueue(queues, func(q amqp.Queue) error {
		if q.Consumers == 0 {
			return fmt.Errorf("%w: %s has no consumer", errNotReady, q.Name)
		}
		return nil
	})
}

func (st *stage) awaitSettled(ctx context.Context) error {
	return await(ctx, st.converging(), "every tenant is fully there or fully gone", func() error {
		rest(ctx, 2*lookEvery)
		return st.settled(ctx)
	})
}

// brokerKillDuringCreate kills the broker while tenants are being created.
// Queues that were declared within a second of that may be broken for good.
func brokerKillDuringCreate(ctx context.Context, st *stage) error {
	if err := st.bootDirect(ctx, 0); err != nil {
		return err
	}
	var longest time.Duration
	for round := range st.createRounds {
		wanted, err := st.createAndKill(ctx, round)
		if err != nil {
			return err
		}
		back := time.Now()
		if err := st.awaitSettled(ctx); err != nil {
			st.fail("round %d: %v", round+1, err)
		}
		if err := st.acceptAndStore(ctx, wanted, st.converging()-time.Since(back)); err != nil {
			st.fail("round %d: %v", round+1, err)
		}
		longest = max(longest, time.Since(back))
	}
	st.show("converged and stored", "%.1f s after the broker's return at most", longest.Seconds())
	return st.check(ctx)
}

// createAndKill creates tenants, kills the broker meanwhile, starts it again,
// and returns the tenants.
func (st *stage) createAndKill(ctx context.Context, round int) ([]string, error) {
	var mu sync.Mutex
	var ids []string
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(10)
	when := time.Duration(st.random.IntN(50*st.newTenants)) * time.Millisecond
	killed := make(chan error, 1)
	go func() {
		rest(ctx, when)
		st.servers.rabbitmq.Kill()
		killed <- st.servers.rabbitmq.Start(ctx)
	}()
	for i := range st.newTenants {
		name := fmt.Sprintf("round %d tenant %d", round, i)
		group.Go(func() error {
			return await(groupCtx, time.Minute, "a tenant is created", func() error {
				id, r := st.client.createTenant(groupCtx, name, name)
				if id == "" {
					return errors.Join(fmt.Errorf("%w: %s", errUnexpected, r.text()), r.err)
				}
				mu.Lock()
				ids = append(ids, id)
				mu.Unlock()
				// One that is accepted by a queue this young counts as well.
				attempts := st.ledger.open(id, 1, true)
				st.ledger.close(attempts, st.client.publish(groupCtx, attempts))
				return nil
			})
		})
	}
	return ids, errors.Join(group.Wait(), <-killed)
}

// acceptAndStore publishes a message to each tenant and waits until all are
// stored.
func (st *stage) acceptAndStore(ctx context.Context, tenants []string, limit time.Duration) error {
	limit = max(limit, time.Second)
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(10)
	for _, tenant := range tenants {
		group.Go(func() error {
			attempts := st.ledger.open(tenant, 1, true)
			return await(groupCtx, limit, "tenant "+tenant+" accepts a message", func() error {
				outcomes := st.client.publish(groupCtx, attempts)
				st.ledger.close(attempts, outcomes)
				if outcomes[0].state != accepted202 {
					return fmt.Errorf("%w: %s", errUnexpected, outcomes[0].why)
				}
				return nil
			})
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, tenant := range tenants {
		if err := st.awaitStored(ctx, tenant, 1, limit); err != nil {
			return fmt.Errorf("tenant %s: %w", tenant, err)
		}
	}
	return nil
}

// createDeleteCrash kills the service at random moments of creating and
// deleting tenants.
func createDeleteCrash(ctx context.Context, st *stage) error {
	if err := st.bootDirect(ctx, 0); err != nil {
		return err
	}
	var longest time.Duration
	for crash := range st.crashes {
		st.storm(ctx, crash, time.Duration(100+st.random.IntN(900))*time.Millisecond)
		begun := time.Now()
		if err := st.service.launch(); err != nil {
			return err
		}
		if err := st.awaitSettled(ctx); err != nil {
			st.fail("crash %d: %v", crash+1, err)
		}
		longest = max(longest, time.Since(begun))
		if err := st.service.ready(ctx); err != nil {
			return err
		}
	}
	st.show("converged", "%.1f s after the start at most", longest.Seconds())
	lanes, err := st.lanes(ctx)
	if err != nil {
		return err
	}
	active := 0
	for _, l := range lanes {
		if l.status == "active" {
			active++
			st.tenants = append(st.tenants, l.tenant)
		}
	}
	st.show("tenants", "%d, %d of them there at the end", len(lanes), active)
	if err := st.acceptAndStore(ctx, st.tenants, st.converging()); err != nil {
		st.fail("%v", err)
	}
	return st.check(ctx)
}

// storm creates and deletes tenants without pause until the service is killed.
func (st *stage) storm(ctx context.Context, crash int, length time.Duration) {
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	for lane := range 8 {
		work.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				id, _ := st.client.createTenant(ctx, fmt.Sprintf("crash %d lane %d tenant %d", crash, lane, i), "")
				// Every third stays.
				if id != "" && i%3 != 0 {
					st.client.deleteTenant(ctx, id)
				}
			}
		})
	}
	rest(ctx, length)
	st.service.kill()
	cancel()
	work.Wait()
}

// converging is how long creating and deleting may take to end.
func (st *stage) converging() time.Duration {
	return time.Duration(float64(convergeLimit) * st.slack)
}

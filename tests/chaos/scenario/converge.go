package scenario

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"lanekeeper/tests/chaos/ledger"
	"lanekeeper/tests/chaos/load"
	"lanekeeper/tests/chaos/verify"
	"lanekeeper/tests/chaos/wait"
)

// brokerKillDuringCreate kills the broker while tenants are being created.
// Queues that were declared within a second of that may be broken for good.
func brokerKillDuringCreate(ctx context.Context, t *trial) error {
	if err := t.bootDirect(ctx, 0); err != nil {
		return err
	}
	var longest time.Duration
	for round := range t.createRounds {
		wanted, err := createAndKill(ctx, t, round)
		if err != nil {
			return err
		}
		back := time.Now()
		if err := t.awaitSettled(ctx); err != nil {
			t.Fail("round %d: %v", round+1, err)
		}
		if err := acceptAndStore(ctx, t, wanted, t.converging()-time.Since(back)); err != nil {
			t.Fail("round %d: %v", round+1, err)
		}
		longest = max(longest, time.Since(back))
	}
	t.Show("converged and stored", "%.1f s after the broker's return at most", longest.Seconds())
	return t.check(ctx)
}

// createAndKill creates tenants, kills the broker meanwhile, starts it again,
// and returns the tenants.
func createAndKill(ctx context.Context, t *trial, round int) ([]string, error) {
	var mu sync.Mutex
	var ids []string
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(10)
	when := time.Duration(t.random.IntN(50*t.newTenants)) * time.Millisecond
	killed := make(chan error, 1)
	go func() {
		wait.For(ctx, when)
		t.Servers.RabbitMQ.Kill()
		killed <- t.Servers.RabbitMQ.Start(ctx)
	}()
	for i := range t.newTenants {
		name := fmt.Sprintf("round %d tenant %d", round, i)
		group.Go(func() error {
			return wait.Until(groupCtx, time.Minute, "a tenant is created", func() error {
				id, r := t.client.CreateTenant(groupCtx, name, name)
				if id == "" {
					return errors.Join(fmt.Errorf("%w: %s", load.ErrUnexpected, r.Text()), r.Err)
				}
				mu.Lock()
				ids = append(ids, id)
				mu.Unlock()
				// One that is accepted by a queue this young counts as well.
				attempts := t.ledger.Open(id, 1, true)
				t.ledger.Close(attempts, t.client.Publish(groupCtx, attempts))
				return nil
			})
		})
	}
	return ids, errors.Join(group.Wait(), <-killed)
}

// acceptAndStore publishes a message to each tenant and waits until all are
// stored.
func acceptAndStore(ctx context.Context, t *trial, tenants []string, limit time.Duration) error {
	limit = max(limit, time.Second)
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(10)
	for _, tenant := range tenants {
		group.Go(func() error {
			attempts := t.ledger.Open(tenant, 1, true)
			return wait.Until(groupCtx, limit, "tenant "+tenant+" accepts a message", func() error {
				outcomes := t.client.Publish(groupCtx, attempts)
				t.ledger.Close(attempts, outcomes)
				if outcomes[0].State != ledger.Accepted {
					return fmt.Errorf("%w: %s", load.ErrUnexpected, outcomes[0].Why)
				}
				return nil
			})
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, tenant := range tenants {
		if err := verify.AwaitStored(ctx, t.Env, tenant, 1, limit); err != nil {
			return fmt.Errorf("tenant %s: %w", tenant, err)
		}
	}
	return nil
}

// createDeleteCrash kills the service at random moments of creating and
// deleting tenants.
func createDeleteCrash(ctx context.Context, t *trial) error {
	if err := t.bootDirect(ctx, 0); err != nil {
		return err
	}
	var longest time.Duration
	for crash := range t.crashes {
		createAndDelete(ctx, t, crash, time.Duration(100+t.random.IntN(900))*time.Millisecond)
		begun := time.Now()
		if err := t.Service.Launch(); err != nil {
			return err
		}
		if err := t.awaitSettled(ctx); err != nil {
			t.Fail("crash %d: %v", crash+1, err)
		}
		longest = max(longest, time.Since(begun))
		if err := t.Service.Ready(ctx); err != nil {
			return err
		}
	}
	t.Show("converged", "%.1f s after the start at most", longest.Seconds())
	parts, err := verify.Tenants(ctx, t.Env)
	if err != nil {
		return err
	}
	active := 0
	for _, l := range parts {
		if l.Status == "active" {
			active++
			t.tenants = append(t.tenants, l.Tenant)
		}
	}
	t.Show("tenants", "%d, %d of them there at the end", len(parts), active)
	if err := acceptAndStore(ctx, t, t.tenants, t.converging()); err != nil {
		t.Fail("%v", err)
	}
	return t.check(ctx)
}

// createAndDelete creates and deletes tenants without a pause until the service is
// killed.
func createAndDelete(ctx context.Context, t *trial, crash int, length time.Duration) {
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	for worker := range 8 {
		work.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				id, _ := t.client.CreateTenant(ctx, fmt.Sprintf("crash %d client %d tenant %d", crash, worker, i), "")
				// Every third stays.
				if id != "" && i%3 != 0 {
					t.client.DeleteTenant(ctx, id)
				}
			}
		})
	}
	wait.For(ctx, length)
	t.Service.Kill()
	cancel()
	work.Wait()
}

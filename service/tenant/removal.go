package tenant

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/semaphore"

	"lanekeeper/domain"
)

const (
	// leavingAtATime bounds the deletions that wait for consumers to leave,
	// because they ask the broker again and again.
	leavingAtATime = 64
	// leaveTimeout is how long they wait: a consumer may drain for 10 s, and
	// the broker needs about as long to miss a replica that hangs.
	leaveTimeout = 12 * time.Second
	// hearTime is how long other replicas have at least to hear that a tenant
	// is being deleted. What is published to it through them later than that is
	// not accepted.
	hearTime = 300 * time.Millisecond
)

// remove takes a deleting tenant apart: first its consumer, wherever it runs,
// then its queues, then, one tenant at a time, its messages.
func (p *Provisioner) remove(ctx context.Context, t domain.Tenant) (domain.Tenant, error) {
	stopping, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	if err := p.stop(stopping, t.ID); err != nil {
		return t, err
	}
	if err := p.awaitFleet(ctx, t.ID); err != nil {
		return t, err
	}
	t, err := p.whileDeleting(ctx, p.changing, t, p.deleteQueues)
	if err != nil {
		return t, err
	}
	t, err = p.whileDeleting(ctx, p.erasing, t, p.erase)
	if err != nil || t.Status != domain.TenantDeleted {
		return t, err
	}
	p.o.Directory.Put(t)
	p.o.Log.InfoContext(domain.WithTenantID(ctx, t.ID), "tenant deleted", slog.Int64("discarded", t.Discarded))
	return t, nil
}

// awaitFleet waits until no consumer of the tenant's queue is left: only then
// are all of its messages in it, and what is not stored can be counted. Other
// replicas stop their consumers and refuse publications once they hear of the
// deletion. Those that do not follow in time, because they hang or because the
// consumer is none of ours, are not waited for.
func (p *Provisioner) awaitFleet(ctx context.Context, id uuid.UUID) error {
	if err := p.leaving.Acquire(ctx, 1); err != nil {
		return fmt.Errorf("wait for a turn: %w", err)
	}
	defer p.leaving.Release(1)
	ctx = domain.WithTenantID(ctx, id)
	heard := time.NewTimer(hearTime)
	defer heard.Stop()
	limited, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	err := p.o.Topology.AwaitNoConsumers(limited, id)
	switch {
	case err != nil && limited.Err() != nil && ctx.Err() == nil:
		p.o.Log.WarnContext(ctx, "queue of a tenant that is being deleted is still consumed, deleting it nevertheless")
	case err != nil:
		return fmt.Errorf("wait until the queue has no consumer: %w", err)
	}
	if p.o.Peers == nil || !p.o.Peers() {
		return nil
	}
	select {
	case <-heard.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for other replicas: %w", ctx.Err())
	}
}

// whileDeleting runs a step under the tenant's lock, unless the tenant was
// deleted by another process while waiting for it.
func (p *Provisioner) whileDeleting(ctx context.Context, turns *semaphore.Weighted, t domain.Tenant, step func(context.Context, *domain.Tenant) error) (domain.Tenant, error) {
	err := p.locked(ctx, turns, t.ID, func(ctx context.Context) error {
		current, err := p.o.Tenants.FindTenant(ctx, t.ID)
		if err != nil {
			return fmt.Errorf("read tenant: %w", err)
		}
		t = current
		if t.Status != domain.TenantDeleting {
			return nil
		}
		return step(ctx, &t)
	})
	return t, err
}

// deleteQueues revokes the tenant's AMQP credentials, deletes the queues and records how many messages went with
// them. It records what it sees before, too: after a crash in between the
// queue could no longer tell.
func (p *Provisioner) deleteQueues(ctx context.Context, t *domain.Tenant) error {
	if p.o.Revoke != nil {
		p.o.Revoke(ctx, t.ID) // before what waits is counted
	}
	if waiting, err := p.o.Topology.QueueDepth(ctx, t.ID); err == nil {
		if err := p.recordDiscarded(ctx, t, waiting); err != nil {
			return err
		}
	}
	dropped, err := p.o.Topology.DeleteQueues(ctx, t.ID)
	if err != nil {
		return fmt.Errorf("delete queues: %w", err)
	}
	return p.recordDiscarded(ctx, t, dropped)
}

func (p *Provisioner) recordDiscarded(ctx context.Context, t *domain.Tenant, n int64) error {
	if n <= t.Discarded {
		return nil
	}
	changed, err := p.o.Tenants.ChangeTenant(ctx, t.ID, func(t *domain.Tenant) error {
		t.Discarded = max(t.Discarded, n)
		return nil
	})
	if err != nil {
		return fmt.Errorf("record discarded messages: %w", err)
	}
	*t = changed
	return nil
}

func (p *Provisioner) erase(ctx context.Context, t *domain.Tenant) error {
	if err := p.o.Partitions.ErasePartition(ctx, t.ID); err != nil {
		return fmt.Errorf("erase partition: %w", err)
	}
	changed, err := p.o.Tenants.ChangeTenant(ctx, t.ID, func(t *domain.Tenant) error {
		return t.Transition(domain.TenantDeleted)
	})
	if err != nil {
		return fmt.Errorf("record that the tenant is deleted: %w", err)
	}
	*t = changed
	return nil
}

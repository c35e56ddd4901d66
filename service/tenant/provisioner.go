package tenant

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/semaphore"

	"lanekeeper/domain"
)

const (
	// changesAtATime is how many tenants are provisioned, or lose their
	// queues, at a time. Each takes a connection for its lock.
	changesAtATime = 6
	// stepTimeout is how long one stretch of work on a tenant may take.
	stepTimeout = 20 * time.Second
	// startWait is how long a consumer that starts is waited for. It goes on
	// trying without being waited for.
	startWait = 2 * time.Second
)

// ProvisionerOptions configure NewProvisioner.
type ProvisionerOptions struct {
	Tenants    domain.TenantRepository
	Partitions domain.PartitionRepository
	Topology   domain.Topology
	Consumers  domain.ConsumerManager
	Directory  *Directory
	// Deleted is called when a tenant is gone for good, so that others can
	// forget it. It must not block; it may be nil.
	Deleted func(id uuid.UUID)
	Log     *slog.Logger
}

// Provisioner moves tenants towards their desired state. All of its methods
// may be repeated, and are safe for concurrent use.
type Provisioner struct {
	o     ProvisionerOptions
	local keyedLock
	// changing and erasing hand out their turns first come, first served.
	changing *semaphore.Weighted
	erasing  *semaphore.Weighted
}

// NewProvisioner returns a Provisioner.
func NewProvisioner(o ProvisionerOptions) *Provisioner {
	return &Provisioner{o: o, changing: semaphore.NewWeighted(changesAtATime), erasing: semaphore.NewWeighted(1)}
}

// Converge does whatever the tenant needs to be in its desired state, as the
// package comment draws it, and returns the tenant as it is then. On error it
// returns the tenant as far as it is known; try again later. Errors are
// ErrNotFound for an id without a row, ErrUnavailable, and ErrContended when
// others keep the partition from being erased.
func (p *Provisioner) Converge(ctx context.Context, id uuid.UUID) (domain.Tenant, error) {
	unlock, err := p.local.lock(ctx, id)
	if err != nil {
		return domain.Tenant{}, err
	}
	defer unlock()
	t, err := p.find(ctx, id)
	if err != nil {
		return domain.Tenant{}, err
	}
	if t.Status == domain.TenantProvisioning || t.Status == domain.TenantActive {
		if t, err = p.provision(ctx, t); err != nil {
			return t, err
		}
	}
	if t.Status == domain.TenantDeleting {
		if t, err = p.remove(ctx, t); err != nil {
			return t, err
		}
	}
	if err = p.settle(ctx, t); errors.Is(err, domain.ErrNotFound) {
		err = nil // the queue was just declared; the consumer will find it
	}
	return t, err
}

// Settle starts, resizes or stops the tenant's consumer, and touches nothing
// else. ErrNotFound means that the tenant has no row, or no queue and needs
// Converge.
func (p *Provisioner) Settle(ctx context.Context, id uuid.UUID) error {
	unlock, err := p.local.lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	t, err := p.find(ctx, id)
	if err != nil {
		return err
	}
	return p.settle(ctx, t)
}

// Resize gives the tenant's consumer, if it is running, the number of workers
// that the row says. Reading it again makes the last of several changes at
// once win here as it did in the database.
func (p *Provisioner) Resize(ctx context.Context, id uuid.UUID) error {
	unlock, err := p.local.lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	t, err := p.find(ctx, id)
	if err != nil {
		return err
	}
	if err := p.o.Consumers.Resize(ctx, id, t.Workers); err != nil {
		return fmt.Errorf("resize consumer: %w", err)
	}
	return nil
}

// find reads the tenant, and makes sure that one without a row has no
// consumer either.
func (p *Provisioner) find(ctx context.Context, id uuid.UUID) (domain.Tenant, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	t, err := p.o.Tenants.FindTenant(ctx, id)
	if errors.Is(err, domain.ErrNotFound) {
		err = errors.Join(err, p.o.Consumers.Stop(ctx, id))
	}
	if err != nil {
		return domain.Tenant{}, fmt.Errorf("read tenant: %w", err)
	}
	return t, nil
}

func (p *Provisioner) settle(ctx context.Context, t domain.Tenant) error {
	ctx, cancel := context.WithTimeout(domain.WithTenantID(ctx, t.ID), stepTimeout)
	defer cancel()
	if !t.Consuming() {
		if err := p.o.Consumers.Stop(ctx, t.ID); err != nil {
			return fmt.Errorf("stop consumer: %w", err)
		}
		return nil
	}
	waiting, stop := context.WithTimeout(ctx, startWait)
	defer stop()
	err := p.o.Consumers.Start(waiting, t)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil, errors.Is(err, domain.ErrNotFound):
		return fmt.Errorf("start consumer: %w", err)
	}
	p.o.Log.DebugContext(ctx, "consumer is not subscribed yet", slog.Any("error", err))
	return nil // it goes on trying
}

// provision makes the partition and the queues and then moves a provisioning
// tenant to its target. When the tenant has meanwhile become something else
// it returns that.
func (p *Provisioner) provision(ctx context.Context, t domain.Tenant) (domain.Tenant, error) {
	before := t.Status
	err := p.locked(ctx, p.changing, t.ID, func(ctx context.Context) error {
		current, err := p.o.Tenants.FindTenant(ctx, t.ID)
		if err != nil {
			return fmt.Errorf("read tenant: %w", err)
		}
		t = current
		if t.Status != domain.TenantProvisioning && t.Status != domain.TenantActive {
			return nil
		}
		if err := p.o.Partitions.CreatePartition(ctx, t.ID); err != nil {
			return fmt.Errorf("create partition: %w", err)
		}
		if err := p.o.Topology.DeclareQueues(ctx, t.ID); err != nil {
			return fmt.Errorf("declare queues: %w", err)
		}
		if t.Status == domain.TenantActive {
			return nil
		}
		changed, err := p.o.Tenants.ChangeTenant(ctx, t.ID, func(t *domain.Tenant) error {
			if t.Status != domain.TenantProvisioning {
				return nil // it is being deleted
			}
			return t.Transition(t.Target)
		})
		if err != nil {
			return fmt.Errorf("record that the tenant is %s: %w", t.Target, err)
		}
		t = changed
		return nil
	})
	if t.Status != before {
		p.o.Directory.Put(t)
	}
	return t, err
}

// remove takes a deleting tenant apart: first its consumer, then its queues,
// then, one tenant at a time, its messages.
func (p *Provisioner) remove(ctx context.Context, t domain.Tenant) (domain.Tenant, error) {
	stopping, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	if err := p.o.Consumers.Stop(stopping, t.ID); err != nil {
		return t, fmt.Errorf("stop consumer: %w", err)
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
	if p.o.Deleted != nil {
		p.o.Deleted(t.ID)
	}
	p.o.Log.InfoContext(domain.WithTenantID(ctx, t.ID), "tenant deleted", slog.Int64("discarded", t.Discarded))
	return t, nil
}

// whileDeleting runs a step under the tenant's lock, unless the tenant was
// deleted by somebody else while waiting for it.
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

// deleteQueues deletes the queues and records how many messages went with
// them. It records what it sees before, too: after a crash in between the
// queue could no longer tell.
func (p *Provisioner) deleteQueues(ctx context.Context, t *domain.Tenant) error {
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

// locked waits for a turn and then runs work under the tenant's lock.
func (p *Provisioner) locked(ctx context.Context, turns *semaphore.Weighted, id uuid.UUID, work func(context.Context) error) error {
	if err := turns.Acquire(ctx, 1); err != nil {
		return fmt.Errorf("wait for a turn: %w", err)
	}
	defer turns.Release(1)
	ctx, cancel := context.WithTimeout(domain.WithTenantID(ctx, id), stepTimeout)
	defer cancel()
	return p.o.Tenants.LockTenant(ctx, id, work)
}

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
	// readingAtATime and startingAtATime are how many tenants are read, and
	// how many consumers started, at a time in the background. Starting one is
	// some ten questions to the broker, one after the other, so this is what
	// decides how long thousands take on a broker that others keep busy. Any
	// number may stop: a consumer that drains needs nothing of this process but
	// time.
	readingAtATime  = 16
	startingAtATime = 64
	// checkingAtATime is how many tenants' queues are checked at a time, and
	// checkTimeout is for one of them.
	checkingAtATime = 4
	checkTimeout    = 5 * time.Second
)

// owner knows which tenants have their consumer in this process.
type owner interface{ Owns(id uuid.UUID) bool }

// ProvisionerOptions configure NewProvisioner.
type ProvisionerOptions struct {
	Tenants    domain.TenantRepository
	Partitions domain.PartitionRepository
	Topology   domain.Topology
	Consumers  domain.ConsumerManager
	Directory  *Directory
	// Owner knows which tenants have their consumer here. Nil owns all: right
	// for tests, and for a process that shares its servers with no other.
	Owner owner
	// Peers reports whether other replicas are live, which a deletion gives the
	// time to hear of it. Nil means that there are none.
	Peers func() bool
	// Revoke ends the credentials with which a tenant's own clients publish, while it is
	// being deleted and its lock is held; it returns within seconds, done or not. It may
	// be nil.
	Revoke func(ctx context.Context, id uuid.UUID)
	// Deleted is called when a tenant is found to be gone for good, whoever
	// deleted it, so that others can forget it. It may be called more than
	// once for a tenant, and must not block; it may be nil.
	Deleted func(id uuid.UUID)
	Log     *slog.Logger
}

// Provisioner moves tenants towards their desired state. All of its methods
// may be repeated, and are safe for concurrent use.
type Provisioner struct {
	o     ProvisionerOptions
	local tenantMutex
	// These hand out their turns first come, first served.
	changing, erasing, leaving *semaphore.Weighted
	reading, starting          *semaphore.Weighted
	checking                   *semaphore.Weighted
}

// NewProvisioner returns a Provisioner.
func NewProvisioner(o ProvisionerOptions) *Provisioner {
	return &Provisioner{
		o: o, local: newTenantMutex(), changing: semaphore.NewWeighted(changesAtATime), erasing: semaphore.NewWeighted(1),
		leaving: semaphore.NewWeighted(leavingAtATime),
		reading: semaphore.NewWeighted(readingAtATime), starting: semaphore.NewWeighted(startingAtATime),
		checking: semaphore.NewWeighted(checkingAtATime),
	}
}

// Converge does whatever the tenant needs to be in its desired state, as the
// package comment draws it, and returns the tenant as it is then. On error it
// returns the tenant as far as it is known; try again later. Errors are
// ErrNotFound for an id without a row, ErrUnavailable, and ErrContended when
// others keep the partition from being erased.
func (p *Provisioner) Converge(ctx context.Context, id uuid.UUID) (domain.Tenant, error) {
	t, err := p.converge(ctx, id)
	return t, unlessRefused(err)
}

// ConvergeNew is Converge for a tenant that a caller has just asked for. That
// the broker allows no queues for it, or no consumer here, is an ErrNoCapacity:
// then nobody would store what is published to it.
func (p *Provisioner) ConvergeNew(ctx context.Context, id uuid.UUID) (domain.Tenant, error) {
	return p.converge(ctx, id)
}

// unlessRefused drops the error of a consumer that the broker does not allow:
// it goes on trying by itself, and says so.
func unlessRefused(err error) error {
	if errors.Is(err, errNoConsumer) {
		return nil
	}
	return err
}

// errNoConsumer: the consumer is there and the broker does not let it
// subscribe.
var errNoConsumer = errors.New("the consumer cannot subscribe")

func (p *Provisioner) converge(ctx context.Context, id uuid.UUID) (domain.Tenant, error) {
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

// Settle starts, resizes or stops the tenant's consumer in this process, and
// touches nothing else. ErrNotFound means that the tenant has no row, or no
// queue and needs Converge.
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
	return unlessRefused(p.settle(ctx, t))
}

// settleInTurn is Settle for many tenants at once. It waits for its turns, and
// has none while a consumer drains. The tenant's lock comes first, so that
// no holder of a turn waits for it.
func (p *Provisioner) settleInTurn(ctx context.Context, id uuid.UUID) error {
	unlock, err := p.local.lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	if err := p.reading.Acquire(ctx, 1); err != nil {
		return fmt.Errorf("wait for a turn: %w", err)
	}
	t, err := p.find(ctx, id)
	p.reading.Release(1)
	if err != nil {
		return err
	}
	if p.consumes(&t) {
		if err := p.starting.Acquire(ctx, 1); err != nil {
			return fmt.Errorf("wait for a turn: %w", err)
		}
		defer p.starting.Release(1)
	}
	return unlessRefused(p.settle(ctx, t))
}

// checkInTurn makes sure that the queues of an active tenant are there and
// bound. ErrNotFound means that it needs Converge; that the broker does not
// answer says nothing about them.
func (p *Provisioner) checkInTurn(ctx context.Context, id uuid.UUID) error {
	if err := p.checking.Acquire(ctx, 1); err != nil {
		return fmt.Errorf("wait for a turn: %w", err)
	}
	defer p.checking.Release(1)
	ctx, cancel := context.WithTimeout(domain.WithTenantID(ctx, id), checkTimeout)
	defer cancel()
	err := p.o.Topology.CheckQueues(ctx, id)
	if errors.Is(err, domain.ErrNotFound) {
		return fmt.Errorf("check queues: %w", err)
	}
	if err != nil {
		p.o.Log.DebugContext(ctx, "queues of the tenant cannot be checked", slog.Any("error", err))
	}
	return nil
}

// owns reports whether the tenant's consumer, if it has one, is to run here.
func (p *Provisioner) owns(id uuid.UUID) bool { return p.o.Owner == nil || p.o.Owner.Owns(id) }

// consumes reports whether the tenant is to have a consumer, and it is to run
// here.
func (p *Provisioner) consumes(t *domain.Tenant) bool { return t.Consuming() && p.owns(t.ID) }

// Resize gives the tenant's consumer, if it runs here, the number of workers
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
	if !p.consumes(&t) {
		err := p.stop(ctx, t.ID)
		if err == nil && t.Status == domain.TenantDeleted && p.o.Deleted != nil {
			p.o.Deleted(t.ID)
		}
		return err
	}
	waiting, stop := context.WithTimeout(ctx, startWait)
	defer stop()
	err := p.o.Consumers.Start(waiting, t)
	switch {
	case !p.owns(t.ID): // it moved meanwhile
		return p.stop(ctx, t.ID)
	case err == nil:
		return nil
	case ctx.Err() != nil, errors.Is(err, domain.ErrNotFound):
		return fmt.Errorf("start consumer: %w", err)
	case errors.Is(err, domain.ErrNoCapacity):
		return fmt.Errorf("%w: %w", errNoConsumer, err)
	}
	p.o.Log.DebugContext(ctx, "consumer is not subscribed yet", slog.Any("error", err))
	return nil // it goes on trying
}

func (p *Provisioner) stop(ctx context.Context, id uuid.UUID) error {
	if err := p.o.Consumers.Stop(ctx, id); err != nil {
		return fmt.Errorf("stop consumer: %w", err)
	}
	return nil
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

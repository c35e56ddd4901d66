package tenant

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

// DoctorOptions configure a Doctor.
type DoctorOptions struct {
	Tenants    domain.TenantRepository
	Partitions interface {
		domain.PartitionRepository
		domain.PartitionInspector
	}
	Topology interface {
		domain.Topology
		domain.QueueInspector
	}
	// Capacity knows how full the broker is; nil says nothing.
	Capacity *Capacity
	// Shortened returns the queues whose messages go away by a policy; nil where
	// that cannot be asked.
	Shortened func(ctx context.Context) ([]domain.ShortenedQueue, error)
	// Credentials knows AMQP credentials that should not be there, or are not; nil says
	// nothing.
	Credentials func(ctx context.Context, fix bool, report func(domain.AMQPFinding)) error
	// Deaths returns what the broker itself has put to the dead letters for their
	// age or their number; nil says nothing.
	Deaths func(ctx context.Context) ([]domain.BrokerDeaths, error)
}

// Doctor compares what the tenants' rows say with the partitions and queues
// that exist. It starts and stops no consumers; that is for the service to do.
type Doctor struct{ o DoctorOptions }

// NewDoctor returns a Doctor.
func NewDoctor(o DoctorOptions) *Doctor { return &Doctor{o: o} }

// Finding is one thing that is not as it should be.
type Finding struct {
	TenantID uuid.UUID           // zero for what is about the broker
	Status   domain.TenantStatus // empty for a tenant without a row
	Problem  string
	// Repaired says that it was put right; Err why it could not be. Both are
	// unset for what was not tried, or cannot be put right without losing
	// messages.
	Repaired bool
	Err      error
}

// Examine looks at every tenant and calls report for each finding, in the
// order of the tenants' ids. With fix it puts right what can be put right
// without losing messages: missing partitions and queues are made, what is
// left of deleted tenants is removed, and a queue that cannot be consumed and
// seems empty is replaced. The error is about examining.
func (d *Doctor) Examine(ctx context.Context, fix bool, report func(Finding)) error {
	if err := d.examineCapacity(ctx, report); err != nil {
		return err
	}
	if d.o.Credentials != nil {
		err := d.o.Credentials(ctx, fix, func(f domain.AMQPFinding) {
			report(Finding{TenantID: f.TenantID, Problem: f.Problem, Repaired: f.Repaired, Err: f.Err})
		})
		if err != nil {
			return fmt.Errorf("examine AMQP credentials: %w", err)
		}
	}
	if err := d.examinePolicies(ctx, report); err != nil {
		return err
	}
	partitions, err := d.o.Partitions.ListPartitions(ctx)
	if err != nil {
		return fmt.Errorf("list partitions: %w", err)
	}
	everyStatus := []domain.TenantStatus{
		domain.TenantProvisioning, domain.TenantActive, domain.TenantInactive, domain.TenantDeleting, domain.TenantDeleted,
	}
	query := domain.TenantQuery{Limit: listPage, Statuses: everyStatus}
	for {
		tenants, err := d.o.Tenants.ListTenants(ctx, query)
		if err != nil {
			return fmt.Errorf("list tenants: %w", err)
		}
		for _, t := range tenants {
			if err := d.examine(ctx, t, partitions, fix, report); err != nil {
				return err
			}
			delete(partitions, t.ID)
			query.After = t.ID
		}
		if len(tenants) < query.Limit {
			break
		}
	}
	for id := range partitions {
		f := Finding{TenantID: id, Problem: "partition of a tenant that does not exist"}
		d.repair(ctx, &f, fix, d.o.Partitions.ErasePartition)
		report(f)
	}
	return nil
}

// examineCapacity reports when it is time to allow the broker more open files.
func (d *Doctor) examineCapacity(ctx context.Context, report func(Finding)) error {
	use, err := d.o.Capacity.Use(ctx)
	if err != nil {
		return err
	}
	if use.NearlyFull() {
		report(Finding{Problem: fmt.Sprintf("the tenants need %d of the %d open files that rabbitmq.file_limit says the broker may have", use.Need, use.Limit)})
	}
	return nil
}

// examine looks at one tenant. A service that runs meanwhile may just be making
// or removing something: then both sides are looked at again.
func (d *Doctor) examine(ctx context.Context, t domain.Tenant, partitions map[uuid.UUID]bool, fix bool, report func(Finding)) error {
	queues, err := d.inspectQueues(ctx, t.ID)
	if err != nil {
		return err
	}
	problems := d.problems(t, partitions, queues)
	if len(problems) > 0 {
		if t, err = d.o.Tenants.FindTenant(ctx, t.ID); err != nil {
			return fmt.Errorf("read tenant: %w", err)
		}
		if partitions, err = d.o.Partitions.ListPartitions(ctx); err != nil {
			return fmt.Errorf("list partitions: %w", err)
		}
		if queues, err = d.inspectQueues(ctx, t.ID); err != nil {
			return err
		}
		problems = d.problems(t, partitions, queues)
	}
	for _, p := range problems {
		f := Finding{TenantID: t.ID, Status: t.Status, Problem: p.text}
		d.repair(ctx, &f, fix, p.mend)
		report(f)
	}
	return nil
}

func (d *Doctor) inspectQueues(ctx context.Context, id uuid.UUID) (domain.QueueReport, error) {
	queues, err := d.o.Topology.InspectQueues(ctx, id)
	if err != nil {
		return queues, fmt.Errorf("inspect queues of %s: %w", id, err)
	}
	return queues, nil
}

// problem is what is wrong, and what puts it right; nil for nothing.
type problem struct {
	text string
	mend func(context.Context, uuid.UUID) error
}

// problems compares a tenant's row with what there is of it.
func (d *Doctor) problems(t domain.Tenant, partitions map[uuid.UUID]bool, queues domain.QueueReport) []problem {
	attached, exists := partitions[t.ID]
	hasMain, hasLetters := queues.Main != domain.QueueMissing, queues.DeadLetter != domain.QueueMissing
	var found []problem
	switch t.Status {
	case domain.TenantProvisioning, domain.TenantDeleting:
		return []problem{{"still " + string(t.Status) + "; the service finishes that when it runs", nil}}
	case domain.TenantDeleted:
		if exists {
			found = append(found, problem{"partition of a deleted tenant", d.o.Partitions.ErasePartition})
		}
		if hasMain || hasLetters {
			found = append(found, problem{"queue of a deleted tenant", d.deleteQueues})
		}
		return found
	case domain.TenantActive, domain.TenantInactive:
	}
	switch {
	case !exists:
		found = append(found, problem{"partition is missing", d.o.Partitions.CreatePartition})
	case !attached:
		found = append(found, problem{"partition is not attached", d.o.Partitions.CreatePartition})
	}
	switch queues.Main {
	case domain.QueueMissing:
		found = append(found, problem{"main queue is missing", d.o.Topology.DeclareQueues})
	case domain.QueueStuck:
		found = append(found, problem{"main queue cannot be consumed", d.replace})
	case domain.QueueDiffers:
		found = append(found, problem{"main queue" + differs, nil})
	case domain.QueueReady:
	}
	switch queues.DeadLetter {
	case domain.QueueMissing:
		found = append(found, problem{"dead-letter queue is missing", d.o.Topology.DeclareQueues})
	case domain.QueueDiffers:
		found = append(found, problem{"dead-letter queue" + differs, nil})
	case domain.QueueReady, domain.QueueStuck: // it is not tried out
	}
	return found
}

const differs = " has other arguments than configured; it is used as it is"

func (d *Doctor) deleteQueues(ctx context.Context, id uuid.UUID) error {
	_, err := d.o.Topology.DeleteQueues(ctx, id)
	return err //nolint:wrapcheck // says what failed
}

// replace replaces a queue that cannot be consumed, unless the broker says
// that there are messages in it.
func (d *Doctor) replace(ctx context.Context, id uuid.UUID) error {
	depth, err := d.o.Topology.QueueDepth(ctx, id)
	switch {
	case err != nil:
		return fmt.Errorf("read depth: %w", err)
	case depth > 0:
		return errors.New("there are messages in it; look at the broker")
	}
	return d.o.Topology.ReplaceQueue(ctx, id) //nolint:wrapcheck // says what failed
}

// errChanged: the service was faster.
var errChanged = errors.New("the tenant was changed meanwhile; run the doctor again")

// repair mends under the tenant's lock, if it may and can, unless the tenant
// is no longer what the finding says.
func (d *Doctor) repair(ctx context.Context, f *Finding, fix bool, mend func(context.Context, uuid.UUID) error) {
	if !fix || mend == nil {
		return
	}
	f.Err = d.o.Tenants.LockTenant(ctx, f.TenantID, func(ctx context.Context) error {
		t, err := d.o.Tenants.FindTenant(ctx, f.TenantID)
		switch {
		case errors.Is(err, domain.ErrNotFound) && f.Status == "":
		case err != nil:
			return fmt.Errorf("read tenant: %w", err)
		case t.Gone() != (f.Status == domain.TenantDeleted) || f.Status == "":
			return errChanged
		}
		return mend(ctx, f.TenantID)
	})
	f.Repaired = f.Err == nil
}

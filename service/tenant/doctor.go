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
}

// Doctor compares what the tenants' rows say with the partitions and queues
// that exist. It starts and stops no consumers; that is for the service to do.
type Doctor struct{ o DoctorOptions }

// NewDoctor returns a Doctor.
func NewDoctor(o DoctorOptions) *Doctor { return &Doctor{o: o} }

// Finding is one thing that is not as it should be.
type Finding struct {
	TenantID uuid.UUID
	Status   domain.TenantStatus // empty for a tenant without a row
	Problem  string
	// Repaired tells that it was put right; Err why it could not be. Both are
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
			attached, exists := partitions[t.ID]
			delete(partitions, t.ID)
			if err := d.examine(ctx, t, exists, attached, fix, report); err != nil {
				return err
			}
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

func (d *Doctor) examine(ctx context.Context, t domain.Tenant, exists, attached, fix bool, report func(Finding)) error {
	queues, err := d.o.Topology.InspectQueues(ctx, t.ID)
	if err != nil {
		return fmt.Errorf("inspect queues of %s: %w", t.ID, err)
	}
	found := func(problem string, mend func(context.Context, uuid.UUID) error) {
		f := Finding{TenantID: t.ID, Status: t.Status, Problem: problem}
		d.repair(ctx, &f, fix, mend)
		report(f)
	}
	gone := t.Status == domain.TenantDeleted
	switch {
	case t.Status == domain.TenantProvisioning, t.Status == domain.TenantDeleting:
		found("still "+string(t.Status)+"; the service finishes that when it runs", nil)
		return nil
	case gone && exists:
		found("partition of a deleted tenant", d.o.Partitions.ErasePartition)
	case !gone && !exists:
		found("partition is missing", d.o.Partitions.CreatePartition)
	case !gone && !attached:
		found("partition is not attached", d.o.Partitions.CreatePartition)
	}
	there := func(s domain.QueueState) bool { return s != domain.QueueMissing }
	switch {
	case gone && (there(queues.Main) || there(queues.DeadLetter)):
		found("queue of a deleted tenant", d.deleteQueues)
	case gone:
	case !there(queues.Main) || !there(queues.DeadLetter):
		found("queue is missing", d.o.Topology.DeclareQueues)
	case queues.Main == domain.QueueStuck:
		found("main queue cannot be consumed", d.replace)
	}
	for name, state := range map[string]domain.QueueState{"main": queues.Main, "dead-letter": queues.DeadLetter} {
		if state == domain.QueueDiffers {
			found(name+" queue has other arguments than configured; it is used as it is", nil)
		}
	}
	return nil
}

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

// repair mends under the tenant's lock, if it may and can.
func (d *Doctor) repair(ctx context.Context, f *Finding, fix bool, mend func(context.Context, uuid.UUID) error) {
	if !fix || mend == nil {
		return
	}
	f.Err = d.o.Tenants.LockTenant(ctx, f.TenantID, func(ctx context.Context) error { return mend(ctx, f.TenantID) })
	f.Repaired = f.Err == nil
}

package main

import (
	"context"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

type tenants struct {
	domain.TenantRepository

	steps *steps
}

// InsertTenant implements domain.TenantRepository.
func (r *tenants) InsertTenant(ctx context.Context, t domain.Tenant, admit func(domain.OwnerUse) error) error {
	r.steps.begin(&t)
	return r.steps.around(t.ID, "InsertTenant", func() error { return r.TenantRepository.InsertTenant(ctx, t, admit) })
}

// ChangeTenant implements domain.TenantRepository. The step before a change of
// the status is inside of its transaction.
func (r *tenants) ChangeTenant(ctx context.Context, id uuid.UUID, change func(*domain.Tenant) error) (domain.Tenant, error) {
	var name string
	t, err := r.TenantRepository.ChangeTenant(ctx, id, func(t *domain.Tenant) error {
		before := *t
		if err := change(t); err != nil || t.Status == before.Status {
			return err
		}
		if t.Status == domain.TenantDeleting {
			r.steps.begin(&before) // its name, if the change takes it away
		}
		name = "ChangeTenant(" + string(t.Status) + ")"
		r.steps.at(id, "before:"+name)
		return nil
	})
	if err == nil && name != "" {
		r.steps.at(id, "after:"+name)
	}
	return t, err //nolint:wrapcheck // passed on
}

type partitions struct {
	domain.PartitionRepository

	steps *steps
}

// CreatePartition implements domain.PartitionRepository.
func (p *partitions) CreatePartition(ctx context.Context, id uuid.UUID) error {
	return p.steps.around(id, "CreatePartition", func() error { return p.PartitionRepository.CreatePartition(ctx, id) })
}

// ErasePartition implements domain.PartitionRepository.
func (p *partitions) ErasePartition(ctx context.Context, id uuid.UUID) error {
	return p.steps.around(id, "ErasePartition", func() error { return p.PartitionRepository.ErasePartition(ctx, id) })
}

type topology struct {
	domain.Topology

	steps *steps
}

// DeclareQueues implements domain.Topology.
func (t *topology) DeclareQueues(ctx context.Context, id uuid.UUID) error {
	return t.steps.around(id, "DeclareQueues", func() error { return t.Topology.DeclareQueues(ctx, id) })
}

// DeleteQueues implements domain.Topology.
func (t *topology) DeleteQueues(ctx context.Context, id uuid.UUID) (n int64, err error) {
	err = t.steps.around(id, "DeleteQueues", func() error {
		n, err = t.Topology.DeleteQueues(ctx, id)
		return err //nolint:wrapcheck // passed on
	})
	return n, err
}

// QueueDepth implements domain.Topology.
func (t *topology) QueueDepth(ctx context.Context, id uuid.UUID) (n int64, err error) {
	err = t.steps.around(id, "QueueDepth", func() error {
		n, err = t.Topology.QueueDepth(ctx, id)
		return err //nolint:wrapcheck // passed on
	})
	return n, err
}

type consumers struct {
	domain.ConsumerManager

	steps *steps
}

// Start implements domain.ConsumerManager.
func (c *consumers) Start(ctx context.Context, t domain.Tenant) error {
	return c.steps.around(t.ID, "Start", func() error { return c.ConsumerManager.Start(ctx, t) })
}

// Stop implements domain.ConsumerManager.
func (c *consumers) Stop(ctx context.Context, id uuid.UUID) error {
	return c.steps.around(id, "Stop", func() error { return c.ConsumerManager.Stop(ctx, id) })
}

package server

import (
	"context"

	"github.com/google/uuid"

	"lanekeeper/config"
	"lanekeeper/domain"
	"lanekeeper/pkg/metrics"
	"lanekeeper/service/delivery"
)

// assembleDeliveries builds what delivers the histories of tenants to their
// endpoints.
func (p *parts) assembleDeliveries(publisher domain.Publisher, d Decorators) {
	o := delivery.Options{
		Replica: p.replica, Deliveries: decorated[domain.DeliveryRepository](p.store, d.Deliveries), Tails: databaseTails{}, Sender: p.endpoints.client,
		Metrics: p.metrics, Keep: keepAttempts(p.config.Attempts.Keep), DisableAfter: p.config.Delivery.DisableAfter,
		ProbeEvery: p.config.Delivery.ProbeInterval, Now: p.clock.Now, Log: p.log,
	}
	if !p.config.DeadLetters.Collect {
		o.Letters = publisher
	}
	p.deliveries = delivery.New(o)
	p.metrics.RegisterEndpoints(func() []metrics.EndpointStats {
		all := p.deliveries.Stats()
		stats := make([]metrics.EndpointStats, len(all))
		for i, s := range all {
			stats[i] = metrics.EndpointStats(s)
		}
		return stats
	})
	p.attemptDays = delivery.NewAttemptDays(p.store, p.config.Attempts.KeepDays, p.log)
}

// keepAttempts returns which attempts are recorded.
func keepAttempts(which string) func(*domain.Attempt) bool {
	return func(a *domain.Attempt) bool {
		return which == config.KeepAllAttempts || which == config.KeepFailedAttempts && !a.Succeeded()
	}
}

// runDeliveries delivers until ctx ends, and gives the tenants up then. The days of
// attempts come first: what is recorded needs them.
func (p *parts) runDeliveries(ctx context.Context) {
	select {
	case <-p.migrated:
	case <-ctx.Done():
		return
	}
	p.attemptDays.Once(ctx)
	p.deliveries.Run(ctx)
}

// followDeliveries takes a change into account that some replica made.
func (p *parts) followDeliveries(c domain.Change) {
	switch c.Kind {
	case domain.TenantChanged:
		p.deliveries.Follow(c.ID)
	case domain.TenantsChanged, domain.AnythingChanged:
		p.deliveries.FollowAll()
	case domain.DeliveriesChanged:
		p.deliveries.Wake(c.ID)
	case domain.UserChanged, domain.ReplicasChanged:
	}
}

// databaseTails has readers read the database for everything.
type databaseTails struct{}

func (databaseTails) Open(uuid.UUID) domain.Tail { return databaseTails{} }

func (databaseTails) After(cursor int64, _, _ int) domain.TailView {
	return domain.TailView{Behind: true, Last: cursor}
}

func (databaseTails) Close() {}

package server

import (
	"context"

	"lanekeeper/config"
	"lanekeeper/domain"
	"lanekeeper/pkg/metrics"
	"lanekeeper/service/delivery"
)

// deliveries delivers the histories of tenants to their endpoints.
type deliveries struct {
	service *delivery.Service
	days    *delivery.AttemptDays
}

// newDeliveries returns deliveries for the parts that are there already.
func newDeliveries(p *parts, publisher domain.Publisher, d Decorators) *deliveries {
	o := delivery.Options{
		Replica: p.replica, Deliveries: decorated[domain.DeliveryRepository](p.store, d.Deliveries), Tails: p.tails, Sender: p.endpoints.client,
		Metrics: p.metrics, Keep: keepAttempts(p.config.Attempts.Keep), DisableAfter: p.config.Delivery.DisableAfter,
		ProbeEvery: p.config.Delivery.ProbeInterval, Now: p.clock.Now, Traces: p.traces, Log: p.log,
	}
	if !p.config.DeadLetters.Collect {
		o.Letters = publisher
	}
	ds := &deliveries{delivery.New(o), delivery.NewAttemptDays(p.store, p.config.Attempts.KeepDays, p.log)}
	p.metrics.RegisterEndpoints(ds.stats)
	return ds
}

// keepAttempts returns which attempts are recorded.
func keepAttempts(which string) func(*domain.Attempt) bool {
	return func(a *domain.Attempt) bool {
		return which == config.KeepAllAttempts || which == config.KeepFailedAttempts && !a.Succeeded()
	}
}

// run delivers once migrated is closed, until ctx ends, and gives the tenants up
// then. The days of attempts come first: what is recorded needs them.
func (d *deliveries) run(ctx context.Context, migrated <-chan struct{}) {
	select {
	case <-migrated:
	case <-ctx.Done():
		return
	}
	d.days.Once(ctx)
	d.service.Run(ctx)
}

// follow takes a change into account that some replica made.
func (d *deliveries) follow(c domain.Change) {
	switch c.Kind {
	case domain.TenantChanged:
		d.service.Follow(c.ID)
	case domain.TenantsChanged, domain.AnythingChanged:
		d.service.FollowAll()
	case domain.DeliveriesChanged:
		d.service.Wake(c.ID)
	case domain.UserChanged, domain.APIKeyChanged, domain.ReplicasChanged:
	}
}

// stats returns what the metrics show of endpoints.
func (d *deliveries) stats() metrics.Endpoints {
	live, statuses := d.service.Stats()
	e := metrics.Endpoints{Live: make([]metrics.EndpointStats, len(live)), ByStatus: make(map[string]int, len(statuses))}
	for i, s := range live {
		e.Live[i] = metrics.EndpointStats(s)
	}
	for status, n := range statuses {
		e.ByStatus[string(status)] = n
	}
	return e
}

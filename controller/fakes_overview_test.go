package controller

import (
	"context"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

// fakeOverview has the tenant of someTenant, and a replica that runs it.
type fakeOverview struct{ *fakeServices }

func someOverview() domain.TenantOverview {
	rate := 212.4
	return domain.TenantOverview{
		TenantSight: domain.TenantSight{
			Tenant: someTenant(), LastSeq: 1842, LastStoredAt: someTime, DeadLetters: 3,
			Endpoints: domain.EndpointCounts{Total: 2, Active: 2, BreakerOpen: 1, Lag: 12},
			Consumer:  domain.ConsumerRunning, Replica: "host-1", Busy: 1, Backlog: 5, OldestAt: someTime.Add(-2 * time.Second),
		},
		Seen: someTime, State: domain.StateFails, Rate: &rate,
	}
}

func (f fakeOverview) Overview(_ context.Context, p domain.Principal) (domain.Overview, error) {
	some := someOverview()
	o := domain.Overview{
		At: someTime, Age: 400 * time.Millisecond, Status: "ready", Backlog: 5, Oldest: 2 * time.Second, Stored: 1842, DeadLetters: 3, Endpoints: some.Endpoints,
		Attention: []domain.Attention{
			{
				Kind: domain.AttentionBreaker, TenantID: tenantID, TenantName: "Acme", EndpointID: endpointID, Sentence: "Acme's endpoint has failed.", Messages: 12,
				Since: someTime, Action: &domain.Action{Label: "Use 6 workers", Method: "PUT", Path: "/x", Body: map[string]any{"workers": 6}},
			},
			{Kind: domain.AttentionQuota, Sentence: "You have 95 of at most 100 tenants."},
		},
	}
	o.Tenants.Add(domain.StateFails)
	if p.IsAdmin() {
		rate, took := 3.456, 12345*time.Microsecond
		o.Service = &domain.ServiceOverview{
			Version: "1.2.3", Servers: map[string]string{"broker": "ready"}, Replicas: 1,
			Rates: []domain.Rate{{At: someTime}, {At: someTime.Add(domain.RateInterval), Accepted: &rate, PublishP99: &took}},
		}
	}
	return o, f.record(func() {})
}

func (f fakeOverview) Tenants(_ context.Context, _ domain.Principal, q domain.OverviewQuery) (domain.OverviewPage, error) {
	err := f.record(func() { f.overviewQuery = q })
	return domain.OverviewPage{At: someTime, Tenants: []domain.TenantOverview{someOverview()}, Total: 7, Next: "next"}, err
}

func (f fakeOverview) Tenant(context.Context, domain.Principal, uuid.UUID) (domain.TenantOverview, error) {
	return someOverview(), f.record(func() {})
}

func (f fakeOverview) Fleet(context.Context, domain.Principal) (domain.FleetOverview, error) {
	return domain.FleetOverview{
		At:       someTime,
		Replicas: []domain.ReplicaSight{{Name: "host-1", Version: "1.2.3", StartedAt: someTime, SeenAt: someTime, ReachesBroker: true, Tenants: 1}},
		Moves:    []domain.TenantMove{{Move: domain.Move{TenantID: tenantID, From: "host-0", To: "host-1", At: someTime}, TenantName: "Acme"}},
	}, f.record(func() {})
}

func (f fakeOverview) ReplicaTenants(ctx context.Context, p domain.Principal, replica string, q domain.OverviewQuery) (domain.OverviewPage, error) {
	q.Replica = replica
	return f.Tenants(ctx, p, q)
}

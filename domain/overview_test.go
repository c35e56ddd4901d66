package domain_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// What is worse hides what is better, one rule after the other.
func TestTenantState(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	flows := domain.TenantSight{
		Tenant:   domain.Tenant{Status: domain.TenantActive, Workers: 3, UpdatedAt: now.Add(-time.Hour)},
		Consumer: domain.ConsumerRunning, LastSeq: 10, LastStoredAt: now,
	}
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	// Each of them is worse than those before it, and all of them are true in the end.
	worst := flows
	for _, step := range []struct {
		what  string
		state domain.TenantState
		worse func(*domain.TenantSight)
	}{
		{"nothing is wrong", domain.StateFlows, func(*domain.TenantSight) {}},
		{"some messages wait a moment", domain.StateFlows, func(s *domain.TenantSight) { s.Backlog, s.OldestAt = 3, ago(domain.WaitsAfter-time.Second) }},
		{"an endpoint is held that has all", domain.StateFlows, func(s *domain.TenantSight) { s.Endpoints.Held = 1 }},
		{"the oldest waits for a minute", domain.StateWaits, func(s *domain.TenantSight) { s.OldestAt = ago(domain.WaitsAfter) }},
		{"stopped", domain.StateStopped, func(s *domain.TenantSight) { s.Stopped = true }},
		{"inactive", domain.StateInactive, func(s *domain.TenantSight) { s.Status = domain.TenantInactive }},
		{"a breaker is open", domain.StateFails, func(s *domain.TenantSight) { s.Endpoints.BreakerOpen = 1 }},
		{"deleting", domain.StateDeleting, func(s *domain.TenantSight) { s.Status = domain.TenantDeleting }},
	} {
		step.worse(&worst)
		require.Equal(t, step.state, worst.State(now), step.what)
	}
	for what, c := range map[string]struct {
		state domain.TenantState
		is    func(*domain.TenantSight)
	}{
		"it is made":                          {domain.StateProvisioning, func(s *domain.TenantSight) { s.Status = domain.TenantProvisioning }},
		"it is deleted":                       {domain.StateDeleting, func(s *domain.TenantSight) { s.Status = domain.TenantDeleted }},
		"its queue is missing":                {domain.StateFails, func(s *domain.TenantSight) { s.Consumer = domain.ConsumerFailed }},
		"no replica runs it":                  {domain.StateFails, func(s *domain.TenantSight) { s.Consumer = "" }},
		"no replica runs it yet":              {domain.StateWaits, func(s *domain.TenantSight) { s.Consumer, s.UpdatedAt = "", ago(domain.AppearsWithin-time.Second) }},
		"no replica runs it, as it should be": {domain.StateStopped, func(s *domain.TenantSight) { s.Consumer, s.Stopped = "", true }},
		"an inactive one has none":            {domain.StateInactive, func(s *domain.TenantSight) { s.Consumer, s.Status = "", domain.TenantInactive }},
		"an endpoint is disabled":             {domain.StateFails, func(s *domain.TenantSight) { s.Endpoints.Disabled = 1 }},
		"it waits for the store":              {domain.StateWaits, func(s *domain.TenantSight) { s.Consumer = domain.ConsumerWaitingForStore }},
		"it has no subscription":              {domain.StateWaits, func(s *domain.TenantSight) { s.Consumer = domain.ConsumerReconnecting }},
		"an endpoint is held":                 {domain.StateWaits, func(s *domain.TenantSight) { s.Endpoints.Held, s.Endpoints.HeldLag = 1, 5 }},
		"nothing was stored for a while":      {domain.StateWaits, func(s *domain.TenantSight) { s.Backlog, s.LastStoredAt = 1, ago(domain.StallsAfter) }},
		"the only one came a moment ago": {domain.StateFlows, func(s *domain.TenantSight) {
			s.Backlog, s.LastStoredAt, s.OldestAt = 1, ago(time.Hour), ago(time.Second)
		}},
		"nothing was stored, and nothing waits":   {domain.StateFlows, func(s *domain.TenantSight) { s.LastStoredAt = ago(time.Hour) }},
		"how much waits is not known":             {domain.StateFlows, func(s *domain.TenantSight) { s.Backlog, s.LastStoredAt = -1, ago(time.Hour) }},
		"the clock of a replica is ahead":         {domain.StateFlows, func(s *domain.TenantSight) { s.Backlog, s.OldestAt = 1, now.Add(time.Hour) }},
		"the first message was not stored so far": {domain.StateFlows, func(s *domain.TenantSight) { s.Backlog, s.LastStoredAt = 1, time.Time{} }},
	} {
		sight := flows
		c.is(&sight)
		require.Equal(t, c.state, sight.State(now), what)
	}
}

func TestTenantCounts(t *testing.T) {
	t.Parallel()
	var c domain.TenantCounts
	for _, s := range []domain.TenantState{
		domain.StateFlows, domain.StateFlows, domain.StateWaits, domain.StateFails, domain.StateStopped, domain.StateInactive, domain.StateProvisioning, domain.StateDeleting,
	} {
		c.Add(s)
	}
	require.Equal(t, domain.TenantCounts{Total: 8, Flowing: 2, Waiting: 1, Failing: 1, Stopped: 1, Inactive: 1, Provisioning: 1, Deleting: 1}, c)
}

package model

import (
	"time"

	"lanekeeper/domain"
)

// TenantOverview is how a tenant does.
type TenantOverview struct {
	TenantID string `json:"tenant_id" validate:"required" format:"uuid" example:"0197a3a2-7d2c-7c3e-8f7e-0242ac120002"`
	Name     string `json:"name" validate:"required" example:"Acme"`
	// ExternalID is the owner's own id of it; null for none.
	ExternalID *string `json:"external_id" validate:"required" extensions:"x-nullable" example:"customer-4711"`
	Status     string  `json:"status" validate:"required" enums:"provisioning,active,inactive,deleting" example:"active"`
	// State is how it does, in a word; the first of these that is true: provisioning, deleting; fails, when its consumer has failed or no replica has one, an active endpoint's breaker is open, or an endpoint is disabled; inactive; stopped; waits, when its consumer has no subscription or waits for the database, the oldest message has waited for a minute, messages wait and nothing was stored for 15 seconds, or messages wait for an endpoint that is held; flows.
	State string `json:"state" validate:"required" enums:"flows,waits,fails,stopped,inactive,provisioning,deleting" example:"flows"`
	// Consumer is the state of its consumer; null where no live replica has one.
	Consumer *string `json:"consumer" validate:"required" enums:"starting,running,reconnecting,waiting_for_store,draining,stopped,failed" extensions:"x-nullable" example:"running"`
	// Stopped: its consumer was stopped on purpose.
	Stopped bool `json:"stopped" validate:"required" example:"false"`
	// Workers is how many were asked for, and busy how many of them process messages.
	Workers int `json:"workers" validate:"required" example:"5"`
	Busy    int `json:"busy" validate:"required" example:"1"`
	// Backlog is how many messages wait in the queue, or are in the consumer's hands, as last seen; null when that is not known.
	Backlog *int64 `json:"backlog" validate:"required" extensions:"x-nullable" example:"3"`
	// OldestSeconds is how long the oldest of them has waited, at most and give or take a few seconds; null when that is not known, or nothing waits.
	OldestSeconds *float64 `json:"oldest_seconds" validate:"required" extensions:"x-nullable" example:"0.4"`
	// LastSeq is how many messages were ever stored.
	LastSeq int64 `json:"last_seq" validate:"required" example:"1842"`
	// Rate is how many were stored in a second of late; null when that is not known.
	Rate *float64 `json:"rate" validate:"required" extensions:"x-nullable" example:"212.4"`
	// LastStoredAt is when the last one was stored; null when that is not known.
	LastStoredAt *time.Time `json:"last_stored_at" validate:"required" format:"date-time" extensions:"x-nullable" example:"2026-11-21T10:00:00Z"`
	DeadLetters  int64      `json:"dead_letters" validate:"required" example:"0"`
	// Endpoints is how many it has, and endpoints_failing how many of them are disabled, or active with an open breaker.
	Endpoints        int `json:"endpoints" validate:"required" example:"2"`
	EndpointsFailing int `json:"endpoints_failing" validate:"required" example:"0"`
	// Lag is how many messages the endpoints have not got, together.
	Lag int64 `json:"lag" validate:"required" example:"12"`
} //@name TenantOverview

// FromTenantOverview returns how a tenant does, as callers see it.
func FromTenantOverview(t *domain.TenantOverview) TenantOverview {
	answer := TenantOverview{
		TenantID: t.ID.String(), Name: t.Name, ExternalID: optionalText(t.ExternalID), Status: string(t.Status), State: string(t.State),
		Consumer: optionalText(string(t.Consumer)), Stopped: t.Stopped,
		Workers: t.Workers, Busy: t.Busy, OldestSeconds: waited(t.Oldest(t.Seen)), LastSeq: t.LastSeq, Rate: rounded(t.Rate),
		LastStoredAt: optionalTime(t.LastStoredAt), DeadLetters: t.DeadLetters, Endpoints: t.Endpoints.Total, EndpointsFailing: t.Endpoints.Failing(),
		Lag: t.Endpoints.Lag,
	}
	if t.Backlog >= 0 {
		answer.Backlog = &t.Backlog
	}
	return answer
}

// TenantOverviewPage is a page of how tenants do.
type TenantOverviewPage struct {
	// At is when it was so.
	At   time.Time        `json:"at" validate:"required" format:"date-time" example:"2026-11-21T10:00:00Z"`
	Data []TenantOverview `json:"data" validate:"required"`
	// NextCursor begins the next page; "" at the end.
	NextCursor string `json:"next_cursor" validate:"required" example:""`
	// Total is how many there are on all pages.
	Total int `json:"total" validate:"required" example:"40"`
} //@name TenantOverviewPage

// FromTenantOverviews returns a page as callers see it.
func FromTenantOverviews(p *domain.OverviewPage) TenantOverviewPage {
	page := TenantOverviewPage{At: p.At, Data: make([]TenantOverview, len(p.Tenants)), NextCursor: p.Next, Total: p.Total}
	for i := range p.Tenants {
		page.Data[i] = FromTenantOverview(&p.Tenants[i])
	}
	return page
}

// Fleet is how the replicas do.
type Fleet struct {
	// At is when it was so.
	At       time.Time `json:"at" validate:"required" format:"date-time" example:"2026-11-21T10:00:00Z"`
	Replicas []Replica `json:"replicas" validate:"required"`
	// Moves are the last moves of tenants, the latest first; of each tenant the last one, and at most 100.
	Moves []TenantMove `json:"moves" validate:"required"`
} //@name Fleet

// Replica is a process of the service.
type Replica struct {
	ID string `json:"id" validate:"required" example:"host-1c2d3e4f"`
	// Version is that of its build; "" for one that does not say.
	Version   string    `json:"version" validate:"required" example:"1.0.0"`
	StartedAt time.Time `json:"started_at" validate:"required" format:"date-time" example:"2026-11-21T08:00:00Z"`
	// BeatAt is when it showed last that it lives.
	BeatAt time.Time `json:"beat_at" validate:"required" format:"date-time" example:"2026-11-21T10:00:00Z"`
	// State is suspect after 6 seconds without a heartbeat and gone after 10; no_broker means that it lives and does not reach the broker.
	State string `json:"state" validate:"required" enums:"live,no_broker,suspect,gone" example:"live"`
	// Tenants is how many consumers it runs.
	Tenants int `json:"tenants" validate:"required" example:"14"`
} //@name Replica

// TenantMove is that another replica runs a tenant's consumer than before.
type TenantMove struct {
	TenantID string `json:"tenant_id" validate:"required" format:"uuid" example:"0197a3a2-7d2c-7c3e-8f7e-0242ac120002"`
	// TenantName is "" for a tenant that is gone.
	TenantName string    `json:"tenant_name" validate:"required" example:"Acme"`
	From       string    `json:"from" validate:"required" example:"host-0a1b2c3d"`
	To         string    `json:"to" validate:"required" example:"host-1c2d3e4f"`
	At         time.Time `json:"at" validate:"required" format:"date-time" example:"2026-11-21T08:00:00Z"`
} //@name TenantMove

// FromFleet returns how the replicas do, as callers see it.
func FromFleet(f *domain.FleetOverview) Fleet {
	answer := Fleet{At: f.At, Replicas: make([]Replica, len(f.Replicas)), Moves: make([]TenantMove, len(f.Moves))}
	for i := range f.Replicas {
		r := &f.Replicas[i]
		answer.Replicas[i] = Replica{
			ID: r.Name, Version: r.Version, StartedAt: r.StartedAt.UTC(), BeatAt: r.SeenAt.UTC(), State: string(r.State(f.At)), Tenants: r.Tenants,
		}
	}
	for i, m := range f.Moves {
		answer.Moves[i] = TenantMove{TenantID: m.TenantID.String(), TenantName: m.TenantName, From: m.From, To: m.To, At: m.At.UTC()}
	}
	return answer
}

package model

import (
	"math"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

// Overview is how all tenants that the caller may see do, together.
type Overview struct {
	// At is when it was so, by the database's clock.
	At time.Time `json:"at" validate:"required" format:"date-time" example:"2026-11-21T10:00:00Z"`
	// AgeSeconds is how long ago that is: more than some seconds mean that the database cannot be read, and that this is what was known last.
	AgeSeconds float64 `json:"age_seconds" validate:"required" example:"0.4"`
	// Status is what /readyz says.
	Status string `json:"status" validate:"required" enums:"ready,degraded,unavailable,starting,draining" example:"ready"`
	// OpenMode: nobody needs a token.
	OpenMode    bool             `json:"open_mode" validate:"required" example:"false"`
	Tenants     OverviewTenants  `json:"tenants" validate:"required"`
	Backlog     OverviewBacklog  `json:"backlog" validate:"required"`
	StoredTotal int64            `json:"stored_total" validate:"required" example:"1842000"`
	DeadLetters int64            `json:"dead_letters" validate:"required" example:"127"`
	Endpoints   OverviewEndpoint `json:"endpoints" validate:"required"`
	// Attention is what should be looked at, what most messages wait for first; at most 50.
	Attention []Attention `json:"attention" validate:"required"`
	// Version is that of this replica. This and what follows is for admins only, and not there for others.
	Version string `json:"version,omitempty" example:"1.0.0"`
	// Servers are the states of the servers, as /readyz has them.
	Servers map[string]string `json:"servers,omitempty" example:"database:ready,broker:ready,redis:ready"`
	// Replicas is how many live.
	Replicas *int `json:"replicas,omitempty" example:"3"`
	// Rates are those of this replica, for 15 minutes, one for each 5 seconds.
	Rates []OverviewRate `json:"rates,omitempty"`
} //@name Overview

// OverviewTenants is how many tenants there are in each state.
type OverviewTenants struct {
	Total        int `json:"total" validate:"required" example:"40"`
	Flowing      int `json:"flowing" validate:"required" example:"37"`
	Waiting      int `json:"waiting" validate:"required" example:"1"`
	Failing      int `json:"failing" validate:"required" example:"1"`
	Stopped      int `json:"stopped" validate:"required" example:"1"`
	Inactive     int `json:"inactive" validate:"required" example:"0"`
	Provisioning int `json:"provisioning" validate:"required" example:"0"`
	Deleting     int `json:"deleting" validate:"required" example:"0"`
} //@name OverviewTenants

// OverviewBacklog is how much waits in all queues, as far as that is known.
type OverviewBacklog struct {
	Messages int64 `json:"messages" validate:"required" example:"1240"`
	// OldestSeconds is the longest that one of them has waited, at most; null when that is not known, or nothing waits.
	OldestSeconds *float64 `json:"oldest_seconds" validate:"required" extensions:"x-nullable" example:"3.2"`
} //@name OverviewBacklog

// OverviewEndpoint is how many endpoints there are, and how they do.
type OverviewEndpoint struct {
	Total       int   `json:"total" validate:"required" example:"52"`
	Active      int   `json:"active" validate:"required" example:"50"`
	Held        int   `json:"held" validate:"required" example:"1"`
	Disabled    int   `json:"disabled" validate:"required" example:"1"`
	BreakerOpen int   `json:"breaker_open" validate:"required" example:"1"`
	Lag         int64 `json:"lag" validate:"required" example:"312"`
} //@name OverviewEndpoints

// OverviewRate is what was done in 5 seconds, in a second. What was not measured is null.
type OverviewRate struct {
	// At is the end of the 5 seconds.
	At        time.Time `json:"at" validate:"required" format:"date-time" example:"2026-11-21T10:00:00Z"`
	Accepted  *float64  `json:"accepted" validate:"required" extensions:"x-nullable" example:"212.4"`
	Stored    *float64  `json:"stored" validate:"required" extensions:"x-nullable" example:"212.2"`
	Delivered *float64  `json:"delivered" validate:"required" extensions:"x-nullable" example:"180"`
	// What took how long is estimated from histograms; null when there was none.
	PublishP50MS  *float64 `json:"publish_p50_ms" validate:"required" extensions:"x-nullable" example:"3.1"`
	PublishP99MS  *float64 `json:"publish_p99_ms" validate:"required" extensions:"x-nullable" example:"9.8"`
	EndToEndP99MS *float64 `json:"end_to_end_p99_ms" validate:"required" extensions:"x-nullable" example:"24.5"`
} //@name OverviewRate

// Attention is something that should be looked at.
type Attention struct {
	// TenantID and TenantName are null where it is about an owner.
	TenantID   *string `json:"tenant_id" validate:"required" format:"uuid" extensions:"x-nullable" example:"0197a3a2-7d2c-7c3e-8f7e-0242ac120002"`
	TenantName *string `json:"tenant_name" validate:"required" extensions:"x-nullable" example:"Acme"`
	Kind       string  `json:"kind" validate:"required" enums:"consumer_stopped,tenant_inactive,no_consumer,consumer_failed,no_subscription,waiting_for_store,backlog_old,backlog_near_limit,breaker_open,endpoint_disabled,endpoint_held,dead_letters,quota" example:"consumer_stopped"`
	Sentence   string  `json:"sentence" validate:"required" example:"Acme's consumer was stopped by ops@example.com 2 h ago; 1,240 messages wait."`
	// Messages is how many messages it is about.
	Messages int64 `json:"messages" validate:"required" example:"1240"`
	// Since is since when it is so; null when that is not known.
	Since *time.Time `json:"since" validate:"required" format:"date-time" extensions:"x-nullable" example:"2026-11-21T08:00:00Z"`
	// EndpointID is the endpoint that it is about.
	EndpointID *string `json:"endpoint_id,omitempty" format:"uuid" example:"0197a3a2-7d2c-7c3e-8f7e-0242ac120004"`
	// Action is a call that helps, where there is one that the caller may make.
	Action *AttentionAction `json:"action,omitempty"`
} //@name Attention

// AttentionAction is a call of this API.
type AttentionAction struct {
	// Label says what it does, for a button.
	Label  string `json:"label" validate:"required" example:"Start the consumer"`
	Method string `json:"method" validate:"required" enums:"GET,POST,PUT,PATCH" example:"POST"`
	// Path comes after /api.
	Path string `json:"path" validate:"required" example:"/consumers/0197a3a2-7d2c-7c3e-8f7e-0242ac120002"`
	// Body is what to send, where something is.
	Body map[string]any `json:"body,omitempty" swaggertype:"object"`
} //@name AttentionAction

// FromOverview returns an overview as callers see it.
func FromOverview(o *domain.Overview) Overview {
	answer := Overview{
		At: o.At, AgeSeconds: round(o.Age.Seconds(), 1), Status: o.Status, OpenMode: o.OpenMode,
		Tenants: OverviewTenants{
			Total: o.Tenants.Total, Flowing: o.Tenants.Flowing, Waiting: o.Tenants.Waiting, Failing: o.Tenants.Failing,
			Stopped: o.Tenants.Stopped, Inactive: o.Tenants.Inactive, Provisioning: o.Tenants.Provisioning, Deleting: o.Tenants.Deleting,
		},
		Backlog: OverviewBacklog{Messages: o.Backlog, OldestSeconds: waited(o.Oldest)}, StoredTotal: o.Stored, DeadLetters: o.DeadLetters,
		Endpoints: OverviewEndpoint{
			Total: o.Endpoints.Total, Active: o.Endpoints.Active, Held: o.Endpoints.Held, Disabled: o.Endpoints.Disabled,
			BreakerOpen: o.Endpoints.BreakerOpen, Lag: o.Endpoints.Lag,
		},
		Attention: make([]Attention, len(o.Attention)),
	}
	for i := range o.Attention {
		answer.Attention[i] = fromAttention(&o.Attention[i])
	}
	if s := o.Service; s != nil {
		answer.Version, answer.Servers, answer.Replicas = s.Version, s.Servers, &s.Replicas
		answer.Rates = make([]OverviewRate, len(s.Rates))
		for i, r := range s.Rates {
			answer.Rates[i] = OverviewRate{
				At: r.At, Accepted: rounded(r.Accepted), Stored: rounded(r.Stored), Delivered: rounded(r.Delivered),
				PublishP50MS: milliseconds(r.PublishMedian), PublishP99MS: milliseconds(r.PublishP99), EndToEndP99MS: milliseconds(r.EndToEndP99),
			}
		}
	}
	return answer
}

func fromAttention(a *domain.Attention) Attention {
	answer := Attention{
		TenantID: optionalID(a.TenantID), Kind: string(a.Kind), Sentence: a.Sentence, Messages: a.Messages,
		Since: optionalTime(a.Since), EndpointID: optionalID(a.EndpointID),
	}
	if a.TenantID != uuid.Nil {
		answer.TenantName = &a.TenantName
	}
	if a.Action != nil {
		answer.Action = &AttentionAction{Label: a.Action.Label, Method: a.Action.Method, Path: a.Action.Path, Body: a.Action.Body}
	}
	return answer
}

// round rounds to so many digits after the point.
func round(x float64, digits int) float64 {
	unit := math.Pow10(digits)
	return math.Round(x*unit) / unit
}

// rounded rounds what there is to hundredths.
func rounded(x *float64) *float64 {
	if x == nil {
		return nil
	}
	n := round(*x, 2)
	return &n
}

func milliseconds(d *time.Duration) *float64 {
	if d == nil {
		return nil
	}
	n := round(d.Seconds()*1000, 2)
	return &n
}

// waited returns seconds, or nil for none.
func waited(d time.Duration) *float64 {
	if d <= 0 {
		return nil
	}
	n := round(d.Seconds(), 1)
	return &n
}

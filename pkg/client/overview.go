package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Overview is how all tenants that the caller may see do, together.
type Overview struct {
	// At is when it was so, and AgeSeconds how long ago that is.
	At         time.Time `json:"at"`
	AgeSeconds float64   `json:"age_seconds"`
	// Status is ready, degraded, unavailable, starting or draining.
	Status   string `json:"status"`
	OpenMode bool   `json:"open_mode"`
	// Tenants is how many there are in each state.
	Tenants struct {
		Total        int `json:"total"`
		Flowing      int `json:"flowing"`
		Waiting      int `json:"waiting"`
		Failing      int `json:"failing"`
		Stopped      int `json:"stopped"`
		Inactive     int `json:"inactive"`
		Provisioning int `json:"provisioning"`
		Deleting     int `json:"deleting"`
	} `json:"tenants"`
	// Backlog is how much waits in all queues, as far as that is known.
	Backlog struct {
		Messages int64 `json:"messages"`
		// OldestSeconds is nil when that is not known, or nothing waits.
		OldestSeconds *float64 `json:"oldest_seconds"`
	} `json:"backlog"`
	StoredTotal int64 `json:"stored_total"`
	DeadLetters int64 `json:"dead_letters"`
	Endpoints   struct {
		Total       int   `json:"total"`
		Active      int   `json:"active"`
		Held        int   `json:"held"`
		Disabled    int   `json:"disabled"`
		BreakerOpen int   `json:"breaker_open"`
		Lag         int64 `json:"lag"`
	} `json:"endpoints"`
	// Attention is what should be looked at, what most messages wait for first.
	Attention []Attention `json:"attention"`

	// What follows is for admins only.

	Version string `json:"version,omitempty"`
	// Servers are the states of the servers by their names.
	Servers  map[string]string `json:"servers,omitempty"`
	Replicas *int              `json:"replicas,omitempty"`
	// Rates are those of the replica that answered, for 15 minutes.
	Rates []OverviewRate `json:"rates,omitempty"`
}

// OverviewRate is what was done in 5 seconds, in a second; nil where that was not
// measured.
type OverviewRate struct {
	At            time.Time `json:"at"`
	Accepted      *float64  `json:"accepted"`
	Stored        *float64  `json:"stored"`
	Delivered     *float64  `json:"delivered"`
	PublishP50MS  *float64  `json:"publish_p50_ms"`
	PublishP99MS  *float64  `json:"publish_p99_ms"`
	EndToEndP99MS *float64  `json:"end_to_end_p99_ms"`
}

// Attention is something that should be looked at.
type Attention struct {
	TenantID   *string    `json:"tenant_id"`
	TenantName *string    `json:"tenant_name"`
	Kind       string     `json:"kind"`
	Sentence   string     `json:"sentence"`
	Messages   int64      `json:"messages"`
	Since      *time.Time `json:"since"`
	EndpointID *string    `json:"endpoint_id,omitempty"`
	// Action is a call that helps; nil where there is none.
	Action *AttentionAction `json:"action,omitempty"`
}

// AttentionAction is a call of the API.
type AttentionAction struct {
	Label  string         `json:"label"`
	Method string         `json:"method"`
	Path   string         `json:"path"`
	Body   map[string]any `json:"body,omitempty"`
}

// TenantOverview is how a tenant does.
type TenantOverview struct {
	TenantID   string  `json:"tenant_id"`
	Name       string  `json:"name"`
	ExternalID *string `json:"external_id"`
	Status     string  `json:"status"`
	// State is flows, waits, fails, stopped, inactive, provisioning or deleting.
	State string `json:"state"`
	// Consumer is nil where no live replica runs one.
	Consumer *string `json:"consumer"`
	Stopped  bool    `json:"stopped"`
	Workers  int     `json:"workers"`
	Busy     int     `json:"busy"`
	// Backlog, OldestSeconds, Rate and LastStoredAt are nil when they are not known.
	Backlog          *int64     `json:"backlog"`
	OldestSeconds    *float64   `json:"oldest_seconds"`
	LastSeq          int64      `json:"last_seq"`
	Rate             *float64   `json:"rate"`
	LastStoredAt     *time.Time `json:"last_stored_at"`
	DeadLetters      int64      `json:"dead_letters"`
	Endpoints        int        `json:"endpoints"`
	EndpointsFailing int        `json:"endpoints_failing"`
	Lag              int64      `json:"lag"`
}

// ListTenantOverviews says which tenants, and in which order; zero values do not.
type ListTenantOverviews struct {
	// Search is text in the name or the external id, or at the beginning of the id.
	Search string
	State  string
	// Sort is created, name, state, backlog, oldest, rate, stored, lag or dead_letters.
	Sort     string
	PageSize int
}

func (l *ListTenantOverviews) query() url.Values {
	query := make(url.Values)
	for name, value := range map[string]string{"q": l.Search, "state": l.State, "sort": l.Sort} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if l.PageSize > 0 {
		query.Set("limit", strconv.Itoa(l.PageSize))
	}
	return query
}

// Fleet is how the replicas do.
type Fleet struct {
	At       time.Time `json:"at"`
	Replicas []Replica `json:"replicas"`
	// Moves are the last moves of tenants, the latest first.
	Moves []TenantMove `json:"moves"`
}

// Replica is a process of the service.
type Replica struct {
	ID        string    `json:"id"`
	Version   string    `json:"version"`
	StartedAt time.Time `json:"started_at"`
	BeatAt    time.Time `json:"beat_at"`
	// State is live, no_broker, suspect or gone.
	State   string `json:"state"`
	Tenants int    `json:"tenants"`
}

// TenantMove is that another replica runs a tenant's consumer than before.
type TenantMove struct {
	TenantID   string    `json:"tenant_id"`
	TenantName string    `json:"tenant_name"`
	From       string    `json:"from"`
	To         string    `json:"to"`
	At         time.Time `json:"at"`
}

// Overviews say how tenants and replicas do.
type Overviews struct{ api *caller }

// Get returns how all tenants that the caller may see do, together.
func (o *Overviews) Get(ctx context.Context) (*Overview, error) {
	return fetch[Overview](ctx, o.api, &call{method: http.MethodGet, path: "/overview", again: always})
}

// Tenants yields how the tenants do that the caller may see. A tenant that changes its
// place in the order meanwhile may be missing, or come twice.
func (o *Overviews) Tenants(ctx context.Context, which ListTenantOverviews) iter.Seq2[TenantOverview, error] {
	return pages[TenantOverview](ctx, o.api, &call{path: "/overview/tenants", query: which.query()})
}

// Tenant returns how a tenant does.
func (o *Overviews) Tenant(ctx context.Context, tenantID string) (*TenantOverview, error) {
	return fetch[TenantOverview](ctx, o.api, &call{method: http.MethodGet, path: join("overview", "tenants", tenantID), again: always})
}

// Fleet returns how the replicas do. It is for admins.
func (o *Overviews) Fleet(ctx context.Context) (*Fleet, error) {
	return fetch[Fleet](ctx, o.api, &call{method: http.MethodGet, path: "/fleet", again: always})
}

// OfReplica yields how those tenants do whose consumers a replica runs. It is for admins.
func (o *Overviews) OfReplica(ctx context.Context, replica string) iter.Seq2[TenantOverview, error] {
	return pages[TenantOverview](ctx, o.api, &call{path: join("fleet", replica, "tenants")})
}

package client

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Tenant is one customer: a queue, a consumer, a history and endpoints.
type Tenant struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description"`
	// Status is one of the TenantStatus constants.
	Status string `json:"status"`
	// Workers is how many messages may be in processing at a time.
	Workers int `json:"workers"`
	// Stopped: the consumer was stopped on purpose.
	Stopped bool `json:"stopped"`
	// RetentionDays is for how many days messages are kept; 0 for ever.
	RetentionDays int `json:"retention_days"`
	// UserID is who created it; nil when it was made without a token.
	UserID *string `json:"user_id"`
	// ExternalID is a name of the caller's own; nil for none.
	ExternalID *string           `json:"external_id,omitempty"`
	Metadata   map[string]string `json:"metadata,omitempty"`
	CreatedAt  time.Time         `json:"created_at"`
	UpdatedAt  time.Time         `json:"updated_at"`
}

// States of a tenant.
const (
	TenantProvisioning = "provisioning"
	TenantActive       = "active"
	TenantInactive     = "inactive"
	TenantDeleting     = "deleting"
)

// CreateTenant is a tenant to be made. What is left out is as the service is
// configured.
type CreateTenant struct {
	Name        string            `json:"name"`
	Description string            `json:"description,omitempty"`
	Status      string            `json:"status,omitempty"`
	Workers     int               `json:"workers,omitempty"`
	ExternalID  string            `json:"external_id,omitempty"`
	Metadata    map[string]string `json:"metadata,omitempty"`
	// RetentionDays is for how many days messages are kept, 0 for ever.
	RetentionDays *int `json:"retention_days,omitempty"`
	// IdempotencyKey makes the call safe to repeat beyond this client's own attempts;
	// without one it is given one.
	IdempotencyKey string `json:"-"`
}

// ChangeTenant is what is to change; nil leaves a field as it is.
type ChangeTenant struct {
	Name          *string `json:"name,omitempty"`
	Description   *string `json:"description,omitempty"`
	Status        *string `json:"status,omitempty"`
	RetentionDays *int    `json:"retention_days,omitempty"`
	ExternalID    *string `json:"external_id,omitempty"`
	// Metadata is added to what there is; nil takes a key away.
	Metadata map[string]*string `json:"metadata,omitempty"`
}

// PutTenant is what the tenant with an external id is to be. What is nil is as the
// service is configured when the tenant is made, and stays as it is else.
type PutTenant struct {
	Name          string  `json:"name"`
	Description   *string `json:"description,omitempty"`
	Status        *string `json:"status,omitempty"`
	Workers       *int    `json:"workers,omitempty"`
	RetentionDays *int    `json:"retention_days,omitempty"`
	// Metadata takes the place of what there is.
	Metadata map[string]string `json:"metadata,omitzero"`
}

// ListTenants says which tenants to list. The zero value is for all.
type ListTenants struct {
	Status string
	// ExternalID is that of the tenant.
	ExternalID string
	// Metadata are pairs that a tenant must have.
	Metadata map[string]string
	// PageSize is how many are fetched at a time, 1 to 1000; 0 for as the service likes.
	PageSize int
	// Cursor is where to begin: after the tenant with this id.
	Cursor string
}

// Tenants manages tenants. Wherever it takes an id, "ext:" and an external id is one
// too.
type Tenants struct{ api *caller }

// Create makes a tenant. While the broker is away its Status is provisioning, and it
// becomes active by itself.
func (t *Tenants) Create(ctx context.Context, n CreateTenant) (*Tenant, error) {
	r := call{method: http.MethodPost, path: "/tenants", key: t.api.keyFor(n.IdempotencyKey), body: n}
	r.again = r.repeatable()
	return fetch[Tenant](ctx, t.api, &r)
}

// PutByExternalID makes the caller's tenant with this external id, or changes what
// differs, and says whether it was made. While the broker is away the Status of a tenant
// is provisioning, created is false, and it becomes active by itself.
func (t *Tenants) PutByExternalID(ctx context.Context, externalID string, wanted PutTenant) (tenant *Tenant, created bool, err error) {
	tenant = new(Tenant)
	got, err := t.api.exchange(ctx, &call{method: http.MethodPut, path: "/tenants/by-external-id" + join(externalID), body: wanted, again: always}, tenant)
	if err != nil {
		return nil, false, err
	}
	return tenant, got.status == http.StatusCreated, nil
}

// List yields tenants by id.
func (t *Tenants) List(ctx context.Context, o ListTenants) iter.Seq2[Tenant, error] {
	q := listing(o.Cursor, o.PageSize)
	set(q, "status", o.Status)
	set(q, "external_id", o.ExternalID)
	for name, value := range o.Metadata {
		q.Set("metadata."+name, value)
	}
	return pages[Tenant](ctx, t.api, &call{path: "/tenants", query: q})
}

// Get returns a tenant. One that is not there, or not the caller's, is
// CodeTenantNotFound.
func (t *Tenants) Get(ctx context.Context, id string) (*Tenant, error) {
	return fetch[Tenant](ctx, t.api, &call{method: http.MethodGet, path: join("tenants", id), again: always})
}

// Change changes a tenant and returns what it is then.
func (t *Tenants) Change(ctx context.Context, id string, change ChangeTenant) (*Tenant, error) {
	return fetch[Tenant](ctx, t.api, &call{method: http.MethodPatch, path: join("tenants", id), body: change, again: always})
}

// SetWorkers changes how many messages may be in processing at a time, 1 to 100, while
// the consumer runs.
func (t *Tenants) SetWorkers(ctx context.Context, id string, workers int) error {
	body := struct {
		Workers int `json:"workers"`
	}{workers}
	return t.api.do(ctx, &call{method: http.MethodPut, path: join("tenants", id, "config", "concurrency"), body: body, again: always}, nil)
}

// Deletion is what became of a tenant.
type Deletion struct {
	// Done: the tenant is gone. Else it is being deleted, which goes on by itself.
	Done bool
	// Discarded is how many messages went with it that were not stored; 0 until Done.
	Discarded int64
}

// Delete deletes a tenant with all that it has. Of an attempt whose answer was lost,
// another one reports CodeTenantNotFound.
func (t *Tenants) Delete(ctx context.Context, id string) (Deletion, error) {
	got, err := t.api.exchange(ctx, &call{method: http.MethodDelete, path: join("tenants", id), again: always}, nil)
	if err != nil {
		return Deletion{}, err
	}
	if got.status != http.StatusNoContent {
		return Deletion{}, nil
	}
	d := Deletion{Done: true}
	if text := got.header.Get("Lanekeeper-Discarded"); text != "" {
		if d.Discarded, err = strconv.ParseInt(text, 10, 64); err != nil {
			return d, fmt.Errorf("read how many messages were discarded: %w", err)
		}
	}
	return d, nil
}

// listing returns the query of a list.
func listing(cursor string, pageSize int) url.Values {
	q := make(url.Values)
	set(q, "cursor", cursor)
	if pageSize > 0 {
		q.Set("limit", strconv.Itoa(pageSize))
	}
	return q
}

// set sets a parameter that has a value.
func set(q url.Values, name, value string) {
	if value != "" {
		q.Set(name, value)
	}
}

// setTime sets a parameter that has a time.
func setTime(q url.Values, name string, at time.Time) {
	if !at.IsZero() {
		q.Set(name, at.UTC().Format(time.RFC3339Nano))
	}
}

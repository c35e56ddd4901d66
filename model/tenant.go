package model

import (
	"encoding/json"
	"time"

	"lanekeeper/domain"
)

// CreateTenant is the body of POST /tenants.
type CreateTenant struct {
	// Name has 1 to 200 characters; names may repeat.
	Name *string `json:"name" validate:"required" example:"Acme"`
	// TenantName is another word for name.
	TenantName *string `json:"tenant_name" swaggerignore:"true"`
	// Description has at most 2000 characters.
	Description *string `json:"description" example:"Orders of Acme"`
	// Status is active unless said otherwise.
	Status *string `json:"status" enums:"active,inactive" default:"active" example:"active"`
	// Workers is how many messages may be in processing at a time; the
	// default is configured.
	Workers *int `json:"workers" minimum:"1" maximum:"100" example:"3"`
	// RetentionDays is for how many days messages are kept, 0 for ever; the
	// default is configured.
	RetentionDays *int `json:"retention_days" minimum:"0" maximum:"3650" example:"0"`
	// ExternalID is your own id of the tenant, 1 to 255 printable characters, which no other tenant of yours has; null for none. Wherever a tenant's id is taken, `ext:` and this is taken too.
	ExternalID json.RawMessage `json:"external_id" swaggertype:"string" maxLength:"255" extensions:"x-nullable" example:"customer-4711"`
	// Metadata is text of your own, under at most 50 keys of at most 40 characters, with at most 500 characters each.
	Metadata json.RawMessage `json:"metadata" swaggertype:"object,string" extensions:"x-nullable" example:"plan:pro,region:eu"`
} //@name CreateTenant

// Domain returns what the caller asks for, or an ErrInvalid.
func (r *CreateTenant) Domain() (domain.NewTenant, error) {
	name, err := oneName(r.Name, r.TenantName)
	if err != nil {
		return domain.NewTenant{}, err
	}
	var f fieldReader
	n := domain.NewTenant{
		Workers: r.Workers, RetentionDays: r.RetentionDays,
		ExternalID: f.text("/external_id", r.ExternalID), Metadata: f.texts("/metadata", r.Metadata),
	}
	if err := f.err(); err != nil {
		return domain.NewTenant{}, err
	}
	if name != nil {
		n.Name = *name
	}
	if r.Description != nil {
		n.Description = *r.Description
	}
	if r.Status != nil {
		if _, err := domain.ParseTenantStatus(*r.Status); err != nil {
			return domain.NewTenant{}, err
		}
		n.Status = *r.Status
	}
	return n, nil
}

// Change returns the same as a change of a tenant that is there already; what is left
// out stays as it is.
func (r *CreateTenant) Change() (domain.TenantChange, error) {
	change := ChangeTenant{
		Name: r.Name, TenantName: r.TenantName, Description: r.Description, Status: r.Status, RetentionDays: r.RetentionDays,
		ExternalID: r.ExternalID, Metadata: r.Metadata,
	}
	c, err := change.Domain()
	c.AllMetadata = true
	return c, err
}

// ChangeTenant is the body of PATCH /tenants/{id}; what is left out stays as
// it is.
type ChangeTenant struct {
	// Name has 1 to 200 characters.
	Name *string `json:"name" example:"Acme Ltd"`
	// TenantName is another word for name.
	TenantName *string `json:"tenant_name" swaggerignore:"true"`
	// Description has at most 2000 characters.
	Description *string `json:"description" example:"Orders of Acme Ltd"`
	// Status inactive stops consuming and publishing; queue and history stay.
	Status *string `json:"status" enums:"active,inactive" example:"inactive"`
	// RetentionDays is for how many days messages are kept; 0 for ever.
	RetentionDays *int `json:"retention_days" minimum:"0" maximum:"3650" example:"30"`
	// ExternalID is your own id of the tenant; null takes it away.
	ExternalID json.RawMessage `json:"external_id" swaggertype:"string" maxLength:"255" extensions:"x-nullable" example:"customer-4711"`
	// Metadata is added to what there is; null takes a key away, and in the place of the object all of them.
	Metadata json.RawMessage `json:"metadata" swaggertype:"object,string" extensions:"x-nullable" example:"plan:pro"`
} //@name ChangeTenant

// Domain returns what the caller wants changed, or an ErrInvalid.
func (r *ChangeTenant) Domain() (domain.TenantChange, error) {
	name, err := oneName(r.Name, r.TenantName)
	if err != nil {
		return domain.TenantChange{}, err
	}
	var f fieldReader
	c := domain.TenantChange{
		Name: name, Description: r.Description, Status: r.Status, RetentionDays: r.RetentionDays,
		ExternalID: f.text("/external_id", r.ExternalID), Metadata: f.texts("/metadata", r.Metadata),
	}
	return c, f.err()
}

func oneName(name, tenantName *string) (*string, error) {
	if name != nil && tenantName != nil {
		return nil, domain.WithFields(domain.FieldError{Pointer: "/tenant_name", Message: "is another word for name; give one of them"})
	}
	if name == nil {
		return tenantName, nil
	}
	return name, nil
}

// SetConcurrency is the body of PUT /tenants/{id}/config/concurrency.
type SetConcurrency struct {
	// Workers is how many messages may be in processing at a time.
	Workers *int `json:"workers" validate:"required" minimum:"1" maximum:"100" example:"5"`
} //@name SetConcurrency

// Domain returns the number of workers, or an ErrInvalid when there is none.
func (r *SetConcurrency) Domain() (int, error) {
	if r.Workers == nil {
		return 0, domain.WithFields(domain.FieldError{Pointer: "/workers", Message: "is required"})
	}
	return *r.Workers, nil
}

// Concurrency is the answer to PUT /tenants/{id}/config/concurrency.
type Concurrency struct {
	TenantID string `json:"tenant_id" validate:"required" format:"uuid" example:"0197a3a2-7d2c-7c3e-8f7e-0242ac120002"`
	Workers  int    `json:"workers" validate:"required" example:"5"`
} //@name Concurrency

// FromConcurrency returns the number of workers of a tenant.
func FromConcurrency(t *domain.Tenant) Concurrency {
	return Concurrency{TenantID: t.ID.String(), Workers: t.Workers}
}

// Tenant is a tenant as callers see it.
type Tenant struct {
	ID string `json:"id" validate:"required" format:"uuid" example:"0197a3a2-7d2c-7c3e-8f7e-0242ac120002"`
	// TenantID is id again, under the name that other answers use.
	TenantID    string `json:"tenant_id" validate:"required" format:"uuid" example:"0197a3a2-7d2c-7c3e-8f7e-0242ac120002"`
	Name        string `json:"name" validate:"required" example:"Acme"`
	Description string `json:"description" validate:"required" example:"Orders of Acme"`
	Status      string `json:"status" validate:"required" enums:"provisioning,active,inactive,deleting" example:"active"`
	Workers     int    `json:"workers" validate:"required" example:"3"`
	// Stopped is true when the consumer was stopped on purpose.
	Stopped bool `json:"stopped" validate:"required" example:"false"`
	// RetentionDays is for how many days messages are kept; 0 for ever.
	RetentionDays int `json:"retention_days" validate:"required" example:"0"`
	// ExternalID is the owner's own id of the tenant; null for none.
	ExternalID *string `json:"external_id" validate:"required" extensions:"x-nullable" example:"customer-4711"`
	// Metadata is what the owner keeps with the tenant.
	Metadata map[string]string `json:"metadata" validate:"required" example:"plan:pro,region:eu"`
	// UserID is the user who created the tenant; null when it was made without a
	// token.
	UserID    *string   `json:"user_id" validate:"required" format:"uuid" extensions:"x-nullable" example:"0197a3a2-0000-7000-8000-000000000001"`
	CreatedAt time.Time `json:"created_at" validate:"required" format:"date-time" example:"2026-11-21T10:00:00Z"`
	UpdatedAt time.Time `json:"updated_at" validate:"required" format:"date-time" example:"2026-11-21T10:00:00Z"`
} //@name Tenant

// FromTenant returns a tenant as callers see it.
func FromTenant(t *domain.Tenant) Tenant {
	metadata := t.Metadata
	if metadata == nil {
		metadata = map[string]string{}
	}
	return Tenant{
		ID: t.ID.String(), TenantID: t.ID.String(),
		Name: t.Name, Description: t.Description,
		Status: string(t.Status), Workers: t.Workers, Stopped: t.Stopped, RetentionDays: t.RetentionDays,
		ExternalID: optionalText(t.ExternalID), Metadata: metadata,
		UserID:    optionalID(t.OwnerID),
		CreatedAt: t.CreatedAt.UTC(), UpdatedAt: t.UpdatedAt.UTC(),
	}
}

// TenantPage is a page of tenants.
type TenantPage struct {
	Data []Tenant `json:"data" validate:"required"`
	// NextCursor begins the next page; "" at the end.
	NextCursor string `json:"next_cursor" validate:"required" example:""`
	// LastCursor says where to go on later.
	LastCursor string `json:"last_cursor" validate:"required" example:"0197a3a2-7d2c-7c3e-8f7e-0242ac120002"`
} //@name TenantPage

// FromTenants returns a page of tenants; sent is the cursor of the request.
func FromTenants(tenants []domain.Tenant, more bool, sent string) TenantPage {
	page := TenantPage{Data: make([]Tenant, len(tenants))}
	for i := range tenants {
		page.Data[i] = FromTenant(&tenants[i])
	}
	last := ""
	if n := len(tenants); n > 0 {
		last = page.Data[n-1].ID
	}
	page.NextCursor, page.LastCursor = cursors(last, more, sent)
	return page
}

package domain

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Limits of a tenant's fields.
const (
	MaxTenantNameLength        = 200  // characters
	MaxTenantDescriptionLength = 2000 // characters
	MinWorkers                 = 1
	MaxWorkers                 = 100
	MaxRetentionDays           = 3650
)

// TenantStatus is the state of a tenant.
//
//	provisioning --> active <--> inactive
//	     |             |            |
//	     +-------------+------------+--> deleting --> deleted
//
// A tenant that was asked for as inactive goes from provisioning to inactive
// directly. Nothing leaves deleted: the tombstone stays, its id is never used
// again.
type TenantStatus string

// The states of a tenant.
const (
	TenantProvisioning TenantStatus = "provisioning"
	TenantActive       TenantStatus = "active"
	TenantInactive     TenantStatus = "inactive"
	TenantDeleting     TenantStatus = "deleting"
	TenantDeleted      TenantStatus = "deleted"
)

// ParseTenantStatus returns the status a caller may ask for: active or
// inactive. Any other text is an ErrInvalid for the field /status.
func ParseTenantStatus(s string) (TenantStatus, error) {
	switch status := TenantStatus(s); status {
	case TenantActive, TenantInactive:
		return status, nil
	case TenantProvisioning, TenantDeleting, TenantDeleted:
	}
	return "", WithFields(FieldError{Pointer: "/status", Message: `must be "active" or "inactive"`})
}

// Tenant is one customer of the product.
type Tenant struct {
	ID          uuid.UUID
	Name        string
	Description string
	Status      TenantStatus
	// Target is the state a provisioning tenant is on its way to.
	Target TenantStatus
	// Workers is the number of messages the tenant may have in processing at
	// a time.
	Workers int
	// Stopped reports that the consumer was stopped on purpose.
	Stopped bool
	// OwnerID is the user who created the tenant; the zero UUID for none.
	OwnerID uuid.UUID
	// RetentionDays is for how many days messages are kept; 0 for ever.
	RetentionDays int
	// ExternalID is the owner's own id of the tenant, which no other tenant has that
	// the owner has and that is not being deleted; "" for none.
	ExternalID string
	// Metadata is what the owner keeps with the tenant, by its keys. It is never
	// changed in place.
	Metadata map[string]string
	// PortalVersion is raised to end the portal links of the tenant.
	PortalVersion int
	// Discarded counts the messages that were dropped with a deleted tenant.
	Discarded int64
	CreatedAt time.Time
	UpdatedAt time.Time
	DeletedAt time.Time
}

// NewTenant is what a caller says of a tenant to be created.
type NewTenant struct {
	Name        string
	Description string
	// Status is active, inactive, or empty for active.
	Status string
	// Workers is nil for the configured default.
	Workers *int
	// RetentionDays is nil for the configured default, and 0 for ever.
	RetentionDays *int
	// ExternalID is text or nothing.
	ExternalID Setting[string]
	Metadata   MetadataChange
}

// Build checks the fields and returns the tenant in state provisioning, with
// a fresh id. The error names every field that is wrong.
func (n NewTenant) Build(owner uuid.UUID, defaultWorkers int, now time.Time) (Tenant, error) {
	var fields []FieldError
	fields = append(fields, checkTenantName(n.Name)...)
	fields = append(fields, checkTenantDescription(n.Description)...)
	target := TenantActive
	if n.Status != "" {
		status, err := ParseTenantStatus(n.Status)
		if err != nil {
			fields = append(fields, FieldError{Pointer: "/status", Message: `must be "active" or "inactive"`})
		}
		target = status
	}
	workers := defaultWorkers
	if n.Workers != nil {
		workers = *n.Workers
		fields = append(fields, checkWorkers(workers)...)
	}
	retention := 0
	if n.RetentionDays != nil {
		retention = *n.RetentionDays
		fields = append(fields, checkRetention(retention)...)
	}
	externalID, given := n.ExternalID.value()
	if problem := externalIDProblem(externalID); given && problem != "" {
		fields = append(fields, FieldError{"/external_id", problem})
	}
	metadata, problems := applyMetadata(nil, n.Metadata, true)
	if fields = append(fields, problems...); len(fields) > 0 {
		return Tenant{}, WithFields(fields...)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return Tenant{}, fmt.Errorf("make tenant id: %w", err)
	}
	return Tenant{
		ID: id, Name: n.Name, Description: n.Description,
		Status: TenantProvisioning, Target: target, Workers: workers,
		OwnerID: owner, RetentionDays: retention, ExternalID: externalID, Metadata: metadata, CreatedAt: now, UpdatedAt: now,
	}, nil
}

// TenantChange is what a caller wants changed; nil leaves a field as it is.
type TenantChange struct {
	Name        *string
	Description *string
	Status      *string
	// RetentionDays is 0 for ever.
	RetentionDays *int
	// ExternalID is text or nothing.
	ExternalID Setting[string]
	// Metadata is added to what there is; with AllMetadata it is all that there is to
	// be.
	Metadata    MetadataChange
	AllMetadata bool
}

// Apply checks and applies the change to t. On error t is unchanged.
func (c TenantChange) Apply(t *Tenant) error {
	changed := *t
	var fields []FieldError
	if c.Name != nil {
		fields = append(fields, checkTenantName(*c.Name)...)
		changed.Name = *c.Name
	}
	if c.Description != nil {
		fields = append(fields, checkTenantDescription(*c.Description)...)
		changed.Description = *c.Description
	}
	var status TenantStatus
	if c.Status != nil {
		var err error
		if status, err = ParseTenantStatus(*c.Status); err != nil {
			fields = append(fields, FieldError{Pointer: "/status", Message: `must be "active" or "inactive"`})
		}
	}
	if c.RetentionDays != nil {
		fields = append(fields, checkRetention(*c.RetentionDays)...)
		changed.RetentionDays = *c.RetentionDays
	}
	if text, given := c.ExternalID.value(); given {
		if problem := externalIDProblem(text); problem != "" {
			fields = append(fields, FieldError{"/external_id", problem})
		}
	}
	c.ExternalID.apply(&changed.ExternalID, "")
	var problems []FieldError
	changed.Metadata, problems = applyMetadata(changed.Metadata, c.Metadata, c.AllMetadata)
	if fields = append(fields, problems...); len(fields) > 0 {
		return WithFields(fields...)
	}
	if c.Status != nil && status != changed.Status {
		if changed.Status == TenantProvisioning {
			changed.Target = status
		} else if err := changed.Transition(status); err != nil {
			return err
		}
	}
	*t = changed
	return nil
}

// Transition moves the tenant to another state. It returns an ErrConflict
// when the state machine has no such edge; moving to the current state is
// allowed and does nothing.
func (t *Tenant) Transition(to TenantStatus) error {
	if t.Status == to {
		return nil
	}
	if !t.canBecome(to) {
		return New(ErrConflict, "tenant_"+string(t.Status), fmt.Sprintf("A tenant that is %s cannot become %s.", t.Status, to))
	}
	t.Status = to
	if to == TenantDeleted {
		t.Name, t.Description, t.ExternalID, t.Metadata = "", "", "", nil
	}
	return nil
}

func (t *Tenant) canBecome(to TenantStatus) bool {
	switch t.Status {
	case TenantProvisioning:
		return to == TenantActive || to == TenantInactive || to == TenantDeleting
	case TenantActive:
		return to == TenantInactive || to == TenantDeleting
	case TenantInactive:
		return to == TenantActive || to == TenantDeleting
	case TenantDeleting:
		return to == TenantDeleted
	case TenantDeleted:
	}
	return false
}

// Gone reports whether callers see the tenant as not existing.
func (t *Tenant) Gone() bool {
	return t.Status == TenantDeleting || t.Status == TenantDeleted
}

// Consuming reports whether the tenant should have a running consumer.
func (t *Tenant) Consuming() bool {
	return t.Status == TenantActive && !t.Stopped
}

// AcceptsMessages returns nil when messages may be published to the tenant,
// else the error that says why not.
func (t *Tenant) AcceptsMessages() error {
	switch t.Status {
	case TenantActive:
		return nil
	case TenantInactive:
		return New(ErrConflict, "tenant_inactive", "The tenant is inactive; set its status to active to publish.")
	case TenantProvisioning:
		return New(ErrUnavailable, "tenant_provisioning", "The tenant is still being provisioned; try again shortly.").After(2 * time.Second)
	case TenantDeleting, TenantDeleted:
	}
	return TenantNotFound()
}

// SetWorkers changes the number of workers, or returns an ErrInvalid.
func (t *Tenant) SetWorkers(n int) error {
	if fields := checkWorkers(n); fields != nil {
		return WithFields(fields...)
	}
	t.Workers = n
	return nil
}

// StopConsumer stops the tenant's consumer until StartConsumer. It works in
// every state: a tenant that is stopped while inactive is still stopped when it
// becomes active again.
func (t *Tenant) StopConsumer() { t.Stopped = true }

// StartConsumer lets the tenant have a consumer again. It returns an
// ErrConflict for an inactive tenant, whose consumer would not run.
func (t *Tenant) StartConsumer() error {
	if t.Status == TenantInactive {
		return New(ErrConflict, "tenant_inactive", "The tenant is inactive; set its status to active to have a consumer.")
	}
	t.Stopped = false
	return nil
}

// TenantNotFound is the one answer for a tenant that does not exist and for
// one that the caller may not access.
func TenantNotFound() error {
	return New(ErrNotFound, "tenant_not_found", "There is no such tenant.")
}

// TenantFinder finds a tenant, whoever asks; ErrNotFound where there is none.
type TenantFinder interface {
	FindTenant(ctx context.Context, id uuid.UUID) (Tenant, error)
}

// Accessible returns a tenant if the caller may access it. Errors are TenantNotFound,
// also for one that is gone, and those of finding it.
func Accessible(ctx context.Context, tenants TenantFinder, p Principal, id uuid.UUID) (Tenant, error) {
	t, err := tenants.FindTenant(ctx, id)
	switch {
	case errors.Is(err, ErrNotFound):
		return Tenant{}, TenantNotFound()
	case err != nil:
		return Tenant{}, fmt.Errorf("read tenant: %w", err)
	case t.Gone() || !p.MayAccess(&t):
		return Tenant{}, TenantNotFound()
	}
	return t, nil
}

// Manageable is Accessible for a caller who is about to change the tenant, or what it
// has. The error is Forbidden, with the tenant, when the caller may not.
func Manageable(ctx context.Context, tenants TenantFinder, p Principal, id uuid.UUID) (Tenant, error) {
	t, err := Accessible(ctx, tenants, p, id)
	if err == nil && !p.MayManage(&t) {
		err = Forbidden()
	}
	return t, err
}

// Forbidden is the answer to a caller who may see something and not change it.
func Forbidden() error { return New(ErrForbidden, "forbidden", "You may not do this.") }

func checkTenantName(name string) []FieldError {
	const pointer = "/name"
	switch {
	case strings.TrimSpace(name) == "":
		return []FieldError{{pointer, "must not be empty"}}
	case utf8.RuneCountInString(name) > MaxTenantNameLength:
		return []FieldError{{pointer, fmt.Sprintf("must have at most %d characters", MaxTenantNameLength)}}
	case !storableText(name):
		return []FieldError{{pointer, "must be valid UTF-8 without control characters"}}
	}
	return nil
}

func checkTenantDescription(text string) []FieldError {
	const pointer = "/description"
	switch {
	case utf8.RuneCountInString(text) > MaxTenantDescriptionLength:
		return []FieldError{{pointer, fmt.Sprintf("must have at most %d characters", MaxTenantDescriptionLength)}}
	case !storableText(strings.NewReplacer("\n", "", "\r", "", "\t", "").Replace(text)):
		return []FieldError{{pointer, "must be valid UTF-8 without control characters"}}
	}
	return nil
}

func checkWorkers(n int) []FieldError {
	if n < MinWorkers || n > MaxWorkers {
		return []FieldError{{"/workers", fmt.Sprintf("must be between %d and %d", MinWorkers, MaxWorkers)}}
	}
	return nil
}

func checkRetention(days int) []FieldError {
	if days < 0 || days > MaxRetentionDays {
		return []FieldError{{"/retention_days", fmt.Sprintf("must be between 0 and %d", MaxRetentionDays)}}
	}
	return nil
}

// storableText reports whether Postgres can hold s as text and a terminal can
// show it.
func storableText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f })
}

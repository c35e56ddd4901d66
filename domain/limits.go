package domain

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Limits are the shares of one owner: of all tenants that a user has created. 0 is
// any number.
type Limits struct {
	// Tenants is how many there may be, those being deleted included, and
	// TenantsPerMinute how many may be created in a minute, those deleted since
	// included.
	Tenants, TenantsPerMinute int
	// Workers is how many the tenants may have together.
	Workers int
	// EndpointsPerTenant is how many endpoints each tenant may have.
	EndpointsPerTenant int
	// Streams is how many streams of the tenants may be open together, in one
	// replica.
	Streams int
	// BacklogMiB is how much may wait in the queues of all tenants, and
	// BacklogMiBPerTenant in the queue of one, in MiB.
	BacklogMiB, BacklogMiBPerTenant int
	// PublishRate is how many messages a second may be published to all tenants
	// through one replica, where one counts for each 4 KiB begun.
	PublishRate int
}

// UserLimits are the limits that are set for one user; nil is as for everybody.
type UserLimits struct {
	Tenants, TenantsPerMinute, Workers, EndpointsPerTenant, Streams, BacklogMiB, BacklogMiBPerTenant, PublishRate *int
}

// limitField is a limit by its name.
type limitField struct {
	name string
	of   func(*Limits) *int
	set  func(*UserLimits) **int
}

// limitFields returns all limits, in the order in which they are shown.
func limitFields() []limitField {
	return []limitField{
		{"tenants", func(l *Limits) *int { return &l.Tenants }, func(l *UserLimits) **int { return &l.Tenants }},
		{"tenants_per_minute", func(l *Limits) *int { return &l.TenantsPerMinute }, func(l *UserLimits) **int { return &l.TenantsPerMinute }},
		{"workers", func(l *Limits) *int { return &l.Workers }, func(l *UserLimits) **int { return &l.Workers }},
		{"endpoints_per_tenant", func(l *Limits) *int { return &l.EndpointsPerTenant }, func(l *UserLimits) **int { return &l.EndpointsPerTenant }},
		{"streams", func(l *Limits) *int { return &l.Streams }, func(l *UserLimits) **int { return &l.Streams }},
		{"backlog_mib", func(l *Limits) *int { return &l.BacklogMiB }, func(l *UserLimits) **int { return &l.BacklogMiB }},
		{"backlog_mib_per_tenant", func(l *Limits) *int { return &l.BacklogMiBPerTenant }, func(l *UserLimits) **int { return &l.BacklogMiBPerTenant }},
		{"publish_rate", func(l *Limits) *int { return &l.PublishRate }, func(l *UserLimits) **int { return &l.PublishRate }},
	}
}

// LimitNames names the limits, as configuration and API do, in the order in which
// they are shown.
func LimitNames() []string {
	var names []string
	for _, f := range limitFields() {
		names = append(names, f.name)
	}
	return names
}

// Field returns the limit of a name of LimitNames, or nil.
func (l *UserLimits) Field(name string) **int {
	for _, f := range limitFields() {
		if f.name == name {
			return f.set(l)
		}
	}
	return nil
}

// apply sets limits by their names, and returns what is wrong with them.
func (l *UserLimits) apply(set map[string]*int) []FieldError {
	var fields []FieldError
	for _, name := range slices.Sorted(maps.Keys(set)) {
		field, n := l.Field(name), set[name]
		switch {
		case field == nil:
			fields = append(fields, FieldError{Pointer("limits", name), "must be one of " + strings.Join(LimitNames(), ", ")})
		case n != nil && (*n < 0 || *n > MaxLimit):
			fields = append(fields, FieldError{Pointer("limits", name), fmt.Sprintf("must be between 0 and %d, or null", MaxLimit)})
		default:
			*field = n
		}
	}
	return fields
}

// Field returns the limit of a name of LimitNames, or nil.
func (l *Limits) Field(name string) *int {
	for _, f := range limitFields() {
		if f.name == name {
			return f.of(l)
		}
	}
	return nil
}

// MaxLimit is the largest number that a limit may be set to.
const MaxLimit = 1_000_000_000

// Of returns the limits of a user, where l are those of everybody: what is set for
// the user, and else none for an admin.
func (l Limits) Of(role Role, set UserLimits) Limits {
	if role == RoleAdmin {
		l = Limits{}
	}
	if set == (UserLimits{}) {
		return l
	}
	for _, f := range limitFields() {
		if own := *f.set(&set); own != nil {
			*f.of(&l) = *own
		}
	}
	return l
}

// OwnerUse is what an owner has, as long as no other tenant of it is made or grows.
type OwnerUse struct {
	// Role and Limits are those of the user.
	Role   Role
	Limits UserLimits
	// Tenants is how many it has, Created how many were created within a minute,
	// and Workers how many all but the tenant in question have together.
	Tenants, Created, Workers int
}

// quotaWait is what callers are told to wait for what does not free itself.
const quotaWait = time.Minute

// AdmitTenant returns an ErrLimited when the owner may have no further tenant with so
// many workers.
func (l Limits) AdmitTenant(use OwnerUse, workers int) error {
	own := l.Of(use.Role, use.Limits)
	switch {
	case own.Tenants > 0 && use.Tenants >= own.Tenants:
		return QuotaExceeded("tenants", "The owner has %d tenants, and may not have more.", own.Tenants)
	case own.TenantsPerMinute > 0 && use.Created >= own.TenantsPerMinute:
		return QuotaExceeded("tenants_per_minute", "The owner may create %d tenants a minute.", own.TenantsPerMinute)
	}
	return l.AdmitWorkers(use, workers)
}

// AdmitWorkers returns an ErrLimited when a tenant of the owner may not have so many
// workers.
func (l Limits) AdmitWorkers(use OwnerUse, workers int) error {
	if own := l.Of(use.Role, use.Limits).Workers; own > 0 && use.Workers+workers > own {
		return QuotaExceeded("workers", "The tenants of the owner may have %d workers together.", own)
	}
	return nil
}

// QuotaExceeded returns an ErrLimited about a limit of LimitNames. Format has a verb
// for what is allowed.
func QuotaExceeded(limit, format string, allowed int) *Error {
	e := New(ErrLimited, "quota_exceeded", fmt.Sprintf(format, allowed)).After(quotaWait)
	e.Fields = []FieldError{{Pointer: "limits." + limit, Message: fmt.Sprintf("is %d", allowed)}}
	return e
}

// LimitFinder knows the limits of owners.
type LimitFinder interface {
	// LimitsOf returns the limits of an owner. A tenant without one has that of
	// endpoints, and no other. What
	// cannot be found out at the moment is as for everybody.
	LimitsOf(ctx context.Context, ownerID uuid.UUID) Limits
}

// NoLimits is a LimitFinder without limits.
type NoLimits struct{}

// LimitsOf implements LimitFinder.
func (NoLimits) LimitsOf(context.Context, uuid.UUID) Limits { return Limits{} }

package domain

import (
	"context"

	"github.com/google/uuid"
)

// Call is the context of a call of the API. It carries the id of the request, and what
// WithTenantID, WithOwner and WithActor do: whoever finds it out says so here, in place
// of making one context more for each. Only the goroutine that has the call may do that,
// before it hands the context to another one.
type Call struct {
	context.Context //nolint:containedctx // it is one

	requestID string
	tenantID  uuid.UUID
	userID    uuid.UUID
	address   string
	actor     Actor
}

// NewCall returns the context of a call with this id.
func NewCall(parent context.Context, requestID string) *Call {
	return &Call{Context: parent, requestID: requestID}
}

// SetTenant says which tenant the call is for.
func (c *Call) SetTenant(id uuid.UUID) { c.tenantID = id }

// SetActor says who makes the call.
func (c *Call) SetActor(a Actor) { c.actor = a }

// CountTowards says whose share of the process the call counts towards: that of a user,
// or, where there is none, of the address that it came from.
func (c *Call) CountTowards(userID uuid.UUID, address string) { c.userID, c.address = userID, address }

func (c *Call) owner() string {
	switch {
	case c.userID != uuid.Nil:
		return "user " + c.userID.String()
	case c.address != "":
		return "address " + c.address
	}
	return ""
}

// Value implements context.Context.
func (c *Call) Value(key any) any {
	own := false
	switch key {
	case requestIDKey:
		own = true
	case tenantIDKey:
		own = c.tenantID != uuid.Nil
	case ownerKey:
		own = c.userID != uuid.Nil || c.address != ""
	case actorKey:
		own = c.actor.Kind != ""
	}
	if own {
		return c
	}
	return c.Context.Value(key)
}

package domain

import (
	"context"

	"github.com/google/uuid"
)

type contextKey int

const (
	requestIDKey contextKey = iota
	tenantIDKey
	ownerKey
	actorKey
)

// RequestID returns the id of the request, or "".
func RequestID(ctx context.Context) string {
	if call, ok := ctx.Value(requestIDKey).(*Call); ok {
		return call.requestID
	}
	return ""
}

// WithTenantID returns a context that carries the tenant the work is for.
func WithTenantID(ctx context.Context, id uuid.UUID) context.Context {
	return context.WithValue(ctx, tenantIDKey, id)
}

// TenantID returns the tenant the work is for, and whether there is one.
func TenantID(ctx context.Context) (uuid.UUID, bool) {
	switch v := ctx.Value(tenantIDKey).(type) {
	case uuid.UUID:
		return v, true
	case *Call:
		return v.tenantID, true
	}
	return uuid.Nil, false
}

// WithOwner returns a context that carries whose share of the process the work
// counts towards: a name for the owner of the tenant that it is for, or for
// where the call came from.
func WithOwner(ctx context.Context, owner string) context.Context {
	return context.WithValue(ctx, ownerKey, owner)
}

// Owner returns whose share the work counts towards, or "" when no caller asked
// for it.
func Owner(ctx context.Context) string {
	switch v := ctx.Value(ownerKey).(type) {
	case string:
		return v
	case *Call:
		return v.owner()
	}
	return ""
}

package middleware

import (
	"context"
	"errors"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"lanekeeper/domain"
)

const (
	tenantHeader = "X-Tenant-ID"
	tenantQuery  = "tenant_id"
)

// directory knows the tenants. Lookup returns ErrNotFound for an unknown one.
type directory interface {
	Lookup(ctx context.Context, id uuid.UUID) (domain.Tenant, error)
}

// SelectTenant finds the tenant the call is for: the one that BindTenant was
// given, else the one X-Tenant-ID or ?tenant_id= names, else the one the caller
// belongs to. A tenant the caller may not access is answered like one that does
// not exist. It goes after Authenticate.
func SelectTenant(tenants directory) gin.HandlerFunc {
	return func(c *gin.Context) {
		p := Principal(c)
		id, err := RequestedTenant(c)
		if err != nil {
			Fail(c, err)
			return
		}
		if bound, ok := c.Value(boundKey).(uuid.UUID); ok {
			id = bound
		}
		if id == uuid.Nil {
			id = p.TenantID
		}
		if id == uuid.Nil {
			Fail(c, domain.New(domain.ErrMalformed, "tenant_required", "Name the tenant in the header X-Tenant-ID."))
			return
		}
		t, err := tenants.Lookup(c.Request.Context(), id)
		switch {
		case errors.Is(err, domain.ErrNotFound):
			err = domain.TenantNotFound()
		case err == nil && (t.Gone() || !p.MayAccess(&t)):
			err = domain.TenantNotFound()
		}
		if err != nil {
			Fail(c, err)
			return
		}
		c.Set(tenantKey, t)
		c.Request = c.Request.WithContext(domain.WithTenantID(c.Request.Context(), t.ID))
		countTowards(c, t.OwnerID)
	}
}

// BindTenant makes the request be for this tenant. Whoever calls it has to
// refuse a request that names another one.
func BindTenant(c *gin.Context, id uuid.UUID) { c.Set(boundKey, id) }

// RequestedTenant returns the tenant the request names, or the zero UUID.
func RequestedTenant(c *gin.Context) (uuid.UUID, error) {
	fromHeader, inHeader, err := Header(c, tenantHeader)
	if err != nil {
		return uuid.Nil, err
	}
	fromQuery, inQuery, err := Query(c, tenantQuery)
	if err != nil {
		return uuid.Nil, err
	}
	var header, query uuid.UUID
	if inHeader {
		if header, err = parseTenantID(fromHeader, tenantHeader); err != nil {
			return uuid.Nil, err
		}
	}
	if inQuery {
		if query, err = parseTenantID(fromQuery, tenantQuery); err != nil {
			return uuid.Nil, err
		}
	}
	switch {
	case !inHeader:
		return query, nil
	case inQuery && header != query:
		return uuid.Nil, domain.New(domain.ErrMalformed, "tenant_mismatch", "X-Tenant-ID and tenant_id name different tenants.")
	}
	return header, nil
}

func parseTenantID(text, name string) (uuid.UUID, error) {
	id, err := domain.ParseID(text)
	if err != nil || id == uuid.Nil {
		e := domain.New(domain.ErrMalformed, "invalid_id", "The tenant's id is not a UUID.")
		e.Fields = []domain.FieldError{{Pointer: name, Message: "must be a UUID"}}
		return uuid.Nil, e
	}
	return id, nil
}

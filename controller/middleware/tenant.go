package middleware

import (
	"context"
	"errors"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"lanekeeper/domain"
)

const (
	tenantHeader = "X-Tenant-ID"
	tenantQuery  = "tenant_id"
)

// directory knows the tenants. Lookup returns ErrNotFound for an unknown one, and
// LookupExternal for an external id that none has which the caller may access.
type directory interface {
	Lookup(ctx context.Context, id uuid.UUID) (domain.Tenant, error)
	LookupExternal(ctx context.Context, p domain.Principal, externalID string) (domain.Tenant, error)
}

// SelectTenant finds the tenant the call is for: the one that BindTenant was
// given, else the one X-Tenant-ID or ?tenant_id= names, else the one the caller
// belongs to, or its API key is for. A tenant the caller may not access is answered like one that does
// not exist. It goes after Authenticate.
func SelectTenant(tenants directory) gin.HandlerFunc {
	return func(c *gin.Context) {
		t, err := selected(c, tenants)
		if p := Principal(c); err == nil && (t.Gone() || !p.MayAccess(&t)) {
			err = domain.TenantNotFound()
		}
		if err != nil {
			Fail(c, err)
			return
		}
		of(c).tenant = t
		callOf(c).SetTenant(t.ID)
		countTowards(c, t.OwnerID)
	}
}

// selected returns the tenant the call is for, which the caller may not be allowed to
// access.
func selected(c *gin.Context, tenants directory) (domain.Tenant, error) {
	name, err := RequestedTenant(c, tenants)
	if err != nil {
		return domain.Tenant{}, err
	}
	if bound := of(c).boundTenant; bound != uuid.Nil {
		t, err := LookupTenant(c, tenants, domain.TenantName{ID: bound})
		if err == nil && name.ExternalID != "" && name.ExternalID != t.ExternalID {
			err = domain.TenantNotFound()
		}
		return t, err
	}
	if name == (domain.TenantName{}) {
		name.ID = Principal(c).Home()
	}
	if name == (domain.TenantName{}) {
		return domain.Tenant{}, domain.New(domain.ErrMalformed, "tenant_required", "Name the tenant in the header X-Tenant-ID.")
	}
	return LookupTenant(c, tenants, name)
}

// LookupTenant returns the tenant with this name, or TenantNotFound. With an id it may
// be one that the caller may not access.
func LookupTenant(c *gin.Context, tenants directory, name domain.TenantName) (t domain.Tenant, err error) {
	if name.ExternalID != "" {
		t, err = tenants.LookupExternal(c.Request.Context(), Principal(c), name.ExternalID)
	} else {
		t, err = tenants.Lookup(c.Request.Context(), name.ID)
	}
	if errors.Is(err, domain.ErrNotFound) {
		err = domain.TenantNotFound()
	}
	return t, err
}

// PathTenant has a parameter of the path that names a tenant by its external id be the
// tenant's id, for whatever comes after it. It goes after Authenticate.
func PathTenant(tenants directory, param string) gin.HandlerFunc {
	return func(c *gin.Context) {
		for i := range c.Params {
			if c.Params[i].Key != param || !strings.HasPrefix(c.Params[i].Value, domain.ExternalIDPrefix) {
				continue
			}
			name, err := domain.ParseTenantName(c.Params[i].Value)
			var t domain.Tenant
			if err == nil {
				t, err = LookupTenant(c, tenants, name)
			}
			if err != nil {
				Fail(c, err)
				return
			}
			c.Params[i].Value = t.ID.String()
		}
	}
}

// BindTenant makes the request be for this tenant. Whoever calls it has to
// refuse a request whose header or query has another one's id.
func BindTenant(c *gin.Context, id uuid.UUID) { of(c).boundTenant = id }

// RequestedTenant returns which tenant the request names; the zero TenantName for none.
func RequestedTenant(c *gin.Context, tenants directory) (domain.TenantName, error) {
	var none domain.TenantName
	fromHeader, inHeader, err := Header(c, tenantHeader)
	if err != nil {
		return none, err
	}
	fromQuery, inQuery, err := Query(c, tenantQuery)
	if err != nil {
		return none, err
	}
	var header, query domain.TenantName
	if inHeader {
		if header, err = parseTenantName(fromHeader, tenantHeader); err != nil {
			return none, err
		}
	}
	if inQuery {
		if query, err = parseTenantName(fromQuery, tenantQuery); err != nil {
			return none, err
		}
	}
	switch {
	case !inHeader:
		return query, nil
	case inQuery && header != query && !sameTenant(c, tenants, header, query):
		return none, domain.New(domain.ErrMalformed, "tenant_mismatch", "X-Tenant-ID and tenant_id name different tenants.")
	}
	return header, nil
}

// sameTenant reports whether two names, of which one is an external id, are of one
// tenant, as far as the caller may know.
func sameTenant(c *gin.Context, tenants directory, a, b domain.TenantName) bool {
	if a.ExternalID == "" {
		a, b = b, a
	}
	if a.ExternalID == "" || b.ExternalID != "" {
		return false
	}
	t, err := LookupTenant(c, tenants, a)
	return err == nil && t.ID == b.ID
}

func parseTenantName(text, name string) (domain.TenantName, error) {
	parsed, err := domain.ParseTenantName(text)
	if err == nil && parsed != (domain.TenantName{}) {
		return parsed, nil
	}
	e := domain.New(domain.ErrMalformed, "invalid_id", "The tenant's id is not a UUID, or ext: and an external id.")
	e.Fields = []domain.FieldError{{Pointer: name, Message: "must be a UUID, or ext: and an external id"}}
	return domain.TenantName{}, e
}

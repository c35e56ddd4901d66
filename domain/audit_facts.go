package domain

import (
	"bytes"
	"maps"
	"net/url"
	"slices"
	"time"

	"github.com/google/uuid"
)

// FactsOfTenant returns what the audit log says of a tenant.
func FactsOfTenant(t *Tenant) Facts {
	return Facts{
		"name": t.Name, "description": t.Description, "status": string(t.Status), "workers": t.Workers,
		"stopped": t.Stopped, "retention_days": t.RetentionDays, "external_id": t.ExternalID, "metadata": t.Metadata,
	}
}

// AuditOf returns what was done to a tenant, as far as callers do it; "" when nothing
// of that was: steps between the states that callers ask for are the service's own.
func AuditOf(before, after *Tenant) AuditAction {
	switch {
	case before.Status != after.Status && after.Status == TenantDeleting:
		return AuditTenantDelete
	case before.Status != after.Status && (before.Status == TenantProvisioning || after.Status == TenantDeleted):
		return ""
	case before.Stopped != after.Stopped && after.Stopped:
		return AuditConsumerStop
	case before.Stopped != after.Stopped:
		return AuditConsumerStart
	case before.Workers != after.Workers:
		return AuditTenantWorkers
	case before.PortalVersion != after.PortalVersion:
		return AuditLinksRevoke
	case before.Status != after.Status, before.Target != after.Target, before.Name != after.Name,
		before.Description != after.Description, before.RetentionDays != after.RetentionDays,
		before.ExternalID != after.ExternalID, !maps.Equal(before.Metadata, after.Metadata):
		return AuditTenantChange
	}
	return ""
}

// FactsOfEndpoint returns what the audit log says of an endpoint: of headers their names, and of
// the URL what carries no secrets.
func FactsOfEndpoint(e *Endpoint) Facts {
	types := make([]string, len(e.Types))
	for i, t := range e.Types {
		types[i] = string(t)
	}
	schedule := make([]string, len(e.Retry.Schedule))
	for i, d := range e.Retry.Schedule {
		schedule[i] = d.String()
	}
	return Facts{
		"external_id": e.ExternalID, "url": PublicURL(e.URL), "description": e.Description, "types": types,
		"timeout_ms": e.Timeout.Milliseconds(), "concurrency": e.Concurrency, "rate": e.Rate, "ordering": string(e.Ordering),
		"on_failure": string(e.OnFailure), "retry_schedule": schedule, "retry_final": slices.Clone(e.Retry.Final),
		"header_names": slices.Sorted(maps.Keys(e.Headers)), "status": string(e.Status), "status_reason": e.StatusReason,
	}
}

// PublicURL returns a URL without user and query, which may be secrets.
func PublicURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	u.User, u.Fragment = nil, ""
	if u.RawQuery != "" {
		u.RawQuery = "..."
	}
	return u.String()
}

// AuditOfEndpoint returns what was done to an endpoint.
func AuditOfEndpoint(before, after *Endpoint) AuditAction {
	switch {
	case !bytes.Equal(before.Secret, after.Secret):
		return AuditEndpointRotate
	case before.Status != after.Status && after.Status == EndpointHeld:
		return AuditEndpointHold
	case before.Status != after.Status && after.Status == EndpointActive:
		return AuditEndpointResume
	}
	return AuditEndpointChange
}

// FactsOfUser returns what the audit log says of a user, without its password.
func FactsOfUser(u *User) Facts {
	facts := Facts{"name": u.Name, "email": u.Email, "role": string(u.Role)}
	if u.TenantID != uuid.Nil {
		facts["tenant_id"] = u.TenantID.String()
	}
	if u.Disabled() {
		facts["disabled"] = true
	}
	for _, name := range LimitNames() {
		if n := *u.Limits.Field(name); n != nil {
			facts["limits."+name] = *n
		}
	}
	return facts
}

// AuditOfUser returns what was done to a user; "" when nothing was that is on record:
// another hash of the same password ends no tokens.
func AuditOfUser(before, after *User) AuditAction {
	was, is := Changes(FactsOfUser(before), FactsOfUser(after))
	switch {
	case len(was) > 0 || len(is) > 0:
		return AuditUserChange
	case before.TokenVersion == after.TokenVersion:
		return ""
	case before.PasswordHash != after.PasswordHash:
		return AuditPassword
	}
	return AuditLogout
}

// FactsOfAPIKey returns what the audit log says of a key, which is no part of it.
func FactsOfAPIKey(k *APIKey) Facts {
	facts := Facts{"name": k.Name, "scopes": k.Scopes.Names()}
	if !k.ExpiresAt.IsZero() {
		facts["expires_at"] = k.ExpiresAt.UTC().Format(time.RFC3339)
	}
	return facts
}

// FactsOfPortalLink returns what the audit log says of a portal link, which is no part of
// it.
func FactsOfPortalLink(l *PortalLink) Facts {
	return Facts{"scopes": l.Scopes.Names(), "expires_at": l.ExpiresAt.UTC().Format(time.RFC3339)}
}

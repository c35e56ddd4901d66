package model

import (
	"strconv"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

// AuditActor is who did something.
type AuditActor struct {
	Kind string `json:"kind" validate:"required" enums:"user,key,portal,open,command,anonymous" example:"user"`
	// UserID is the user, also whose key, or portal link, it is; null for none.
	UserID *string `json:"user_id" validate:"required" format:"uuid" extensions:"x-nullable" example:"0197a3a2-0000-7000-8000-000000000001"`
	// KeyID is the API key; left out for none.
	KeyID *string `json:"key_id,omitempty" format:"uuid" example:"0197a3a2-0000-7000-8000-00000000000a"`
	// PortalLinkID is the portal link; left out for none. With what it was made is said
	// where `target` is the same and `action` is `portal_link.create`.
	PortalLinkID *string `json:"portal_link_id,omitempty" format:"uuid" example:"0197a3a2-0000-7000-8000-00000000000b"`
	// Address is where the call came from.
	Address string `json:"address,omitempty" example:"203.0.113.7"`
} //@name AuditActor

// AuditEntry is a line of the audit log.
type AuditEntry struct {
	ID    string     `json:"id" validate:"required" example:"1042"`
	At    time.Time  `json:"at" validate:"required" format:"date-time" example:"2026-11-30T10:00:00Z"`
	Actor AuditActor `json:"actor" validate:"required"`
	// Action says what was done.
	Action string `json:"action" validate:"required" example:"tenant.workers"`
	// TenantID is the tenant it is about; null for none.
	TenantID *string `json:"tenant_id" validate:"required" format:"uuid" extensions:"x-nullable" example:"0197a3a2-7d2c-7c3e-8f7e-0242ac120002"`
	// Target is the id, or the address, of what was changed, other than the tenant itself.
	Target    string `json:"target,omitempty" example:"0197a3a2-0000-7000-8000-000000000001"`
	RequestID string `json:"request_id,omitempty" example:"0197a3a2-0000-7000-8000-000000000003"`
	// Before and After are what differs, without secrets and payloads.
	Before map[string]any `json:"before,omitempty"`
	After  map[string]any `json:"after,omitempty"`
} //@name AuditEntry

// AuditPage is a page of the audit log.
type AuditPage struct {
	Data []AuditEntry `json:"data" validate:"required"`
	// NextCursor begins the next page; "" at the end.
	NextCursor string `json:"next_cursor" validate:"required" example:""`
	// LastCursor says where to go on later, towards what is older.
	LastCursor string `json:"last_cursor" validate:"required" example:"1042"`
} //@name AuditPage

// FromAudit returns a page of the audit log; sent is the cursor of the request.
func FromAudit(entries []domain.AuditEntry, more bool, sent string) AuditPage {
	page := AuditPage{Data: make([]AuditEntry, len(entries))}
	last := ""
	for i := range entries {
		e := &entries[i]
		last = strconv.FormatInt(e.ID, 10)
		page.Data[i] = AuditEntry{
			ID: last, At: e.At, Action: string(e.Action), TenantID: optionalID(e.TenantID), Target: e.Target, RequestID: e.RequestID,
			Actor:  AuditActor{Kind: string(e.Actor.Kind), UserID: optionalID(e.Actor.UserID), Address: e.Actor.Address},
			Before: e.Before, After: e.After,
		}
		if e.Actor.KeyID != uuid.Nil {
			page.Data[i].Actor.KeyID = optionalID(e.Actor.KeyID)
		}
		if e.Actor.LinkID != uuid.Nil {
			page.Data[i].Actor.PortalLinkID = optionalID(e.Actor.LinkID)
		}
	}
	page.NextCursor, page.LastCursor = cursors(last, more, sent)
	return page
}

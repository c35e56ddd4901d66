package model

import (
	"encoding/json"
	"time"

	"lanekeeper/domain"
)

// CreateAPIKey is the body of POST /api-keys and POST /tenants/{id}/api-keys.
type CreateAPIKey struct {
	// Name has 1 to 100 characters.
	Name *string `json:"name" validate:"required" example:"shop backend"`
	// Scopes are what the key is for; provision is for keys of owners only.
	Scopes json.RawMessage `json:"scopes" validate:"required" swaggertype:"array,string" enums:"publish,read,manage,provision" example:"publish,read"`
	// ExpiresAt is in the future; null or left out for never.
	ExpiresAt json.RawMessage `json:"expires_at" swaggertype:"string" format:"date-time" extensions:"x-nullable" example:"2099-11-21T10:00:00Z"`
} //@name CreateAPIKey

// Domain returns what is said of the key, or an ErrInvalid.
func (r *CreateAPIKey) Domain() (domain.NewAPIKey, error) {
	var f fieldReader
	wanted := domain.NewAPIKey{Name: r.Name, ExpiresAt: f.text("/expires_at", r.ExpiresAt).Value}
	if scopes := readField[[]string](&f, "/scopes", r.Scopes, "must be a list of text"); scopes.Value != nil {
		wanted.Scopes = *scopes.Value
	}
	return wanted, f.err()
}

// APIKey is an API key as callers see it.
type APIKey struct {
	ID   string `json:"id" validate:"required" format:"uuid" example:"0197a3a2-7d2c-7c3e-8f7e-0242ac120005"`
	Name string `json:"name" validate:"required" example:"shop backend"`
	// TenantID is the tenant that the key is for; null for one that is for all tenants of its owner.
	TenantID *string `json:"tenant_id" validate:"required" format:"uuid" extensions:"x-nullable" example:"0197a3a2-7d2c-7c3e-8f7e-0242ac120002"`
	// UserID is the owner, with whom the key ends; null for the built-in admin of open mode.
	UserID *string  `json:"user_id" validate:"required" format:"uuid" extensions:"x-nullable" example:"0197a3a2-0000-7000-8000-000000000001"`
	Scopes []string `json:"scopes" validate:"required" enums:"publish,read,manage,provision" example:"publish,read"`
	// Key goes into the header Authorization, with or without "Bearer ". It is shown only when it was just made.
	Key string `json:"key,omitempty" example:"lk_0197a3a27d2c7c3e8f7e0242ac120005_..."`
	// ExpiresAt is null for never.
	ExpiresAt *time.Time `json:"expires_at" validate:"required" format:"date-time" extensions:"x-nullable" example:"2099-11-21T10:00:00Z"`
	// LastUsedAt is to the minute, and up to a minute late; null for never.
	LastUsedAt *time.Time `json:"last_used_at" validate:"required" format:"date-time" extensions:"x-nullable" example:"2026-11-21T10:00:00Z"`
	CreatedAt  time.Time  `json:"created_at" validate:"required" format:"date-time" example:"2026-11-21T10:00:00Z"`
} //@name APIKey

// APIKeyList has all API keys of a tenant or an owner.
type APIKeyList struct {
	Data []APIKey `json:"data" validate:"required"`
} //@name APIKeyList

// FromAPIKey returns a key as callers see it. Text has its secret, and is "" unless
// the key was just made.
func FromAPIKey(k *domain.APIKey, text string) APIKey {
	return APIKey{
		ID: k.ID.String(), Name: k.Name, TenantID: optionalID(k.TenantID), UserID: optionalID(k.OwnerID), Scopes: k.Scopes.Names(), Key: text,
		ExpiresAt: optionalTime(k.ExpiresAt), LastUsedAt: optionalTime(k.LastUsedAt), CreatedAt: k.CreatedAt.UTC(),
	}
}

// FromAPIKeys returns a list of keys.
func FromAPIKeys(keys []domain.APIKey) APIKeyList {
	list := APIKeyList{Data: make([]APIKey, len(keys))}
	for i := range keys {
		list.Data[i] = FromAPIKey(&keys[i], "")
	}
	return list
}

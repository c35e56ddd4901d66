package controller

import (
	"context"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

var keyID = uuid.MustParse("0197a3a2-7d2c-7c3e-8f7e-0242ac120005")

// fakeAPIKeys answers with one key, and records what it was called with.
type fakeAPIKeys struct{ *fakeServices }

func someAPIKey(tenantID uuid.UUID) domain.APIKey {
	return domain.APIKey{
		ID: keyID, Hash: []byte("hash of the secret"), Name: "shop", TenantID: tenantID, OwnerID: userID,
		Scopes: domain.ScopePublish | domain.ScopeRead, CreatedAt: someTime,
	}
}

func (f fakeAPIKeys) Create(_ context.Context, _ domain.Principal, tenantID uuid.UUID, n domain.NewAPIKey) (domain.APIKey, string, error) {
	err := f.record(func() { f.newKey, f.keyTenant = n, tenantID })
	if err == nil {
		_, err = n.Build(^domain.Scopes(0), someTime)
	}
	return someAPIKey(tenantID), "lk_text", err
}

func (f fakeAPIKeys) List(_ context.Context, _ domain.Principal, tenantID uuid.UUID) ([]domain.APIKey, error) {
	err := f.record(func() { f.keyTenant = tenantID })
	return []domain.APIKey{someAPIKey(tenantID)}, err
}

func (f fakeAPIKeys) Revoke(_ context.Context, _ domain.Principal, tenantID, id uuid.UUID) error {
	return f.record(func() { f.keyTenant, f.revoked = tenantID, id })
}

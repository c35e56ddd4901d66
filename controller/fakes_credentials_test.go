package controller

import (
	"context"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

// fakeCredentials answers with the credentials of the tenant that it is asked for.
type fakeCredentials struct{ *fakeServices }

func someCredentials(tenantID uuid.UUID) domain.IssuedAMQP {
	return domain.IssuedAMQP{
		AMQPCredentials: domain.AMQPCredentials{TenantID: tenantID, State: domain.AMQPReady, CreatedAt: someTime, IssuedAt: someTime},
		AMQPAccess:      domain.AMQPAccess{URL: "amqp://broker:5672/%2F", VirtualHost: "/", Username: "user", Exchange: "exchange"},
	}
}

func (f fakeCredentials) Issue(_ context.Context, _ domain.Principal, tenantID uuid.UUID) (domain.IssuedAMQP, error) {
	issued := someCredentials(tenantID)
	issued.Password = "shown once"
	return issued, f.record(func() { f.keyTenant = tenantID })
}

func (f fakeCredentials) Get(_ context.Context, _ domain.Principal, tenantID uuid.UUID) (domain.IssuedAMQP, error) {
	return someCredentials(tenantID), f.record(func() { f.keyTenant = tenantID })
}

func (f fakeCredentials) Revoke(_ context.Context, _ domain.Principal, tenantID uuid.UUID) error {
	return f.record(func() { f.keyTenant = tenantID })
}

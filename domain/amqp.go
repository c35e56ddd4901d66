package domain

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// AMQPState is how far the AMQP credentials of a tenant are:
//
//	(none) -> making -> ready -> revoking -> (none)
//	             |                  ^
//	             +------------------+  not finished in time
//
// While there is a record, in whatever state, the broker may have the user.
type AMQPState string

// The states of AMQP credentials.
const (
	AMQPMaking   AMQPState = "making"
	AMQPReady    AMQPState = "ready"
	AMQPRevoking AMQPState = "revoking"
)

// AMQPCredentials is what is on record of the credentials with which clients of a
// tenant publish to its queue by AMQP. A tenant has one user of the broker at most.
type AMQPCredentials struct {
	TenantID uuid.UUID
	State    AMQPState
	// CreatedAt is when they were first made, IssuedAt when the password was, which
	// nobody keeps but the broker, as a hash.
	CreatedAt, IssuedAt time.Time
}

// AMQPAccess is where, and as whom, clients of a tenant publish by AMQP.
type AMQPAccess struct {
	// URL has neither user nor password.
	URL, VirtualHost, Username string
	// Exchange takes any RoutingKey; this one says what it is for.
	Exchange, RoutingKey string
}

// IssuedAMQP is what a caller gets of AMQP credentials.
type IssuedAMQP struct {
	AMQPCredentials
	AMQPAccess

	// Password is "" unless it was just made.
	Password string
}

// AMQPFinding is something about AMQP credentials that is not as it should be. Repaired
// says that it was put right, and Err why it could not be.
type AMQPFinding struct {
	TenantID uuid.UUID
	Problem  string
	Repaired bool
	Err      error
}

// AMQPNotFound is the answer where a tenant has no AMQP credentials.
func AMQPNotFound() error {
	return New(ErrNotFound, "amqp_credentials_not_found", "The tenant has no AMQP credentials.")
}

// AMQPNotConfigured is the answer where the service cannot manage users of the
// broker, with the cause, or nil.
func AMQPNotConfigured(cause error) error {
	return Wrap(cause, ErrConflict, "amqp_not_configured",
		"This service does not manage users of the broker: rabbitmq.management_url is not set, or its user has not the tag administrator. Publish with POST /messages.")
}

// AMQPCredentialRepository keeps what is on record of AMQP credentials. Methods are
// safe for concurrent use. Errors are ErrUnavailable while the database is away.
type AMQPCredentialRepository interface {
	// BeginAMQPCredentials records that credentials are about to be made, or made
	// anew, and returns the record as it is then: what is not ready is making.
	BeginAMQPCredentials(ctx context.Context, tenantID uuid.UUID) (AMQPCredentials, error)
	// FinishAMQPCredentials records that they are ready, or returns ErrNotFound when
	// they were revoked meanwhile.
	FinishAMQPCredentials(ctx context.Context, tenantID uuid.UUID) (AMQPCredentials, error)
	// FindAMQPCredentials returns the record in any state, or ErrNotFound.
	FindAMQPCredentials(ctx context.Context, tenantID uuid.UUID) (AMQPCredentials, error)
	// RevokeAMQPCredentials records that they are about to be revoked, or returns
	// ErrNotFound where there are none.
	RevokeAMQPCredentials(ctx context.Context, tenantID uuid.UUID) error
	// DeleteAMQPCredentials deletes the record of credentials that are not ready.
	DeleteAMQPCredentials(ctx context.Context, tenantID uuid.UUID) error
	// ListDueAMQPCredentials returns at most limit tenants whose credentials have to
	// be revoked: because somebody asked for it, because they were not finished within
	// unfinished, or because the tenant is gone. Those that were tried last come last.
	ListDueAMQPCredentials(ctx context.Context, unfinished time.Duration, limit int) ([]uuid.UUID, error)
	// PostponeAMQPCredentials has a tenant come last that could not be revoked.
	PostponeAMQPCredentials(ctx context.Context, tenantID uuid.UUID) error
	// ListAMQPCredentials returns all records after a tenant, in the order of their
	// tenants, at most limit.
	ListAMQPCredentials(ctx context.Context, after uuid.UUID, limit int) ([]AMQPCredentials, error)
}

// BrokerUsers are the users of the broker that belong to tenants. Methods are safe
// for concurrent use, and may be repeated. Errors are ErrUnavailable, and ErrConflict
// where the broker does not let the service manage users.
type BrokerUsers interface {
	// GrantAMQP makes a user with this password, who may write to the tenant's exchange
	// and nothing else. Of one that exists it changes the password, and ends its
	// connections.
	GrantAMQP(ctx context.Context, tenantID uuid.UUID, password string) error
	// RevokeAMQP deletes the user, which ends its connections. One that does not exist
	// is no error.
	RevokeAMQP(ctx context.Context, tenantID uuid.UUID) error
	// GrantedAMQP returns the tenants that have a user.
	GrantedAMQP(ctx context.Context) ([]uuid.UUID, error)
	// AMQPAccess returns where, and as whom, the tenant's clients publish.
	AMQPAccess(tenantID uuid.UUID) AMQPAccess
}

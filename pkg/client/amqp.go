package client

import (
	"context"
	"net/http"
	"time"
)

// AMQPCredentials are what a tenant's own AMQP clients publish with.
type AMQPCredentials struct {
	TenantID string `json:"tenant_id"`
	// URL is where the broker is, without user and password.
	URL      string `json:"url"`
	VHost    string `json:"vhost"`
	Username string `json:"username"`
	// Password is there only in the answer to Issue.
	Password string `json:"password,omitempty"`
	// Exchange is what to publish to, with any routing key.
	Exchange   string    `json:"exchange"`
	RoutingKey string    `json:"routing_key"`
	IssuedAt   time.Time `json:"issued_at"`
	CreatedAt  time.Time `json:"created_at"`
}

// AMQP manages the AMQP credentials of the client's tenant, of which there is one.
type AMQP struct{ scope *scope }

// Issue makes credentials, or gives those that there are another password and ends their
// connections.
func (a *AMQP) Issue(ctx context.Context) (*AMQPCredentials, error) {
	path, err := a.scope.path("amqp-credentials")
	if err != nil {
		return nil, err
	}
	return fetch[AMQPCredentials](ctx, a.scope.api, &call{method: http.MethodPost, path: path})
}

// Get returns the credentials without their password; CodeAMQPCredentialsNotFound where
// there are none.
func (a *AMQP) Get(ctx context.Context) (*AMQPCredentials, error) {
	path, err := a.scope.path("amqp-credentials")
	if err != nil {
		return nil, err
	}
	return fetch[AMQPCredentials](ctx, a.scope.api, &call{method: http.MethodGet, path: path, again: always})
}

// Revoke ends the credentials, and the connections that there are with them.
func (a *AMQP) Revoke(ctx context.Context) error {
	path, err := a.scope.path("amqp-credentials")
	if err != nil {
		return err
	}
	return a.scope.api.do(ctx, &call{method: http.MethodDelete, path: path, again: always}, nil)
}

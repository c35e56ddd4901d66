package model

import (
	"time"

	"lanekeeper/domain"
)

// AMQPCredentials are the AMQP credentials of a tenant as callers see them.
type AMQPCredentials struct {
	TenantID string `json:"tenant_id" validate:"required" format:"uuid" example:"0197a3a2-7d2c-7c3e-8f7e-0242ac120002"`
	// URL is where the broker is, with the virtual host, and without user and password.
	URL      string `json:"url" validate:"required" example:"amqp://broker.example.com:5672/%2F"`
	VHost    string `json:"vhost" validate:"required" example:"/"`
	Username string `json:"username" validate:"required" example:"tenant_0197a3a2-7d2c-7c3e-8f7e-0242ac120002"`
	// Password is shown only when it was just made.
	Password string `json:"password,omitempty" example:"..."`
	// Exchange is what to publish to, and RoutingKey with which key; any other does the same.
	Exchange   string `json:"exchange" validate:"required" example:"tenant_0197a3a2-7d2c-7c3e-8f7e-0242ac120002_exchange"`
	RoutingKey string `json:"routing_key" validate:"required" example:""`
	// IssuedAt is when the password was made.
	IssuedAt  time.Time `json:"issued_at" validate:"required" format:"date-time" example:"2026-11-21T10:00:00Z"`
	CreatedAt time.Time `json:"created_at" validate:"required" format:"date-time" example:"2026-11-21T10:00:00Z"`
} //@name AMQPCredentials

// FromAMQPCredentials returns credentials as callers see them.
func FromAMQPCredentials(c *domain.IssuedAMQP) AMQPCredentials {
	return AMQPCredentials{
		TenantID: c.TenantID.String(), URL: c.URL, VHost: c.VirtualHost, Username: c.Username, Password: c.Password,
		Exchange: c.Exchange, RoutingKey: c.RoutingKey, IssuedAt: c.IssuedAt.UTC(), CreatedAt: c.CreatedAt.UTC(),
	}
}

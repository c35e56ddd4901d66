package client

import (
	"context"
	"iter"
	"net/http"
	"time"
)

// Consumer takes a tenant's messages to the store.
type Consumer struct {
	TenantID string `json:"tenant_id"`
	// State is starting, running, reconnecting, waiting_for_store, draining, stopped,
	// failed, or unknown while that cannot be read.
	State string `json:"state"`
	// Stopped: on purpose, until it is started again.
	Stopped bool `json:"stopped"`
	// Workers is how many there are to be, and Busy how many of them process messages.
	Workers int `json:"workers"`
	Busy    int `json:"busy"`
	// QueueDepth is how many messages are not processed yet, as last seen; nil where
	// that is not known.
	QueueDepth *int64 `json:"queue_depth"`
	// ConsumerTag names the subscription at the broker, Replica the process that has
	// it.
	ConsumerTag string `json:"consumer_tag"`
	Replica     string `json:"replica"`
	// Since is when it entered its state; nil without one.
	Since *time.Time `json:"since"`
	// LastError is what went wrong last; "" since it runs again.
	LastError string `json:"last_error"`
}

// Consumers starts and stops consumers. A stopped one leaves messages in the queue;
// publishing goes on.
type Consumers struct{ api *caller }

// List yields the consumers of the tenants that the caller may see.
func (c *Consumers) List(ctx context.Context) iter.Seq2[Consumer, error] {
	return pages[Consumer](ctx, c.api, &call{path: "/consumers"})
}

// Get returns the consumer of a tenant.
func (c *Consumers) Get(ctx context.Context, tenantID string) (*Consumer, error) {
	return c.one(ctx, http.MethodGet, tenantID)
}

// Stop stops the consumer of a tenant until it is started again.
func (c *Consumers) Stop(ctx context.Context, tenantID string) (*Consumer, error) {
	return c.one(ctx, http.MethodDelete, tenantID)
}

// Start starts the consumer of a tenant again.
func (c *Consumers) Start(ctx context.Context, tenantID string) (*Consumer, error) {
	return c.one(ctx, http.MethodPost, tenantID)
}

func (c *Consumers) one(ctx context.Context, method, tenantID string) (*Consumer, error) {
	return fetch[Consumer](ctx, c.api, &call{method: method, path: join("consumers", tenantID), again: always})
}

// StopAll stops every consumer that there is, and returns how many were not stopped
// before. It is for admins.
func (c *Consumers) StopAll(ctx context.Context) (int, error) { return c.all(ctx, http.MethodDelete) }

// StartAll starts every consumer that was stopped, and returns how many. It is for
// admins.
func (c *Consumers) StartAll(ctx context.Context) (int, error) { return c.all(ctx, http.MethodPost) }

func (c *Consumers) all(ctx context.Context, method string) (int, error) {
	var answer struct {
		Changed int `json:"changed"`
	}
	err := c.api.do(ctx, &call{method: method, path: "/consumers", again: always}, &answer)
	return answer.Changed, err
}

package apptest

import (
	"maps"
	"net/http"
	"strconv"
	"time"

	"github.com/stretchr/testify/require"
)

// Endpoint is an endpoint as the service answers it.
type Endpoint struct {
	ID          string   `json:"id"`
	TenantID    string   `json:"tenant_id"`
	ExternalID  *string  `json:"external_id"`
	URL         string   `json:"url"`
	Description string   `json:"description"`
	Types       []string `json:"types"`
	TimeoutMS   int      `json:"timeout_ms"`
	Concurrency *int     `json:"concurrency"`
	Rate        int      `json:"rate"`
	Ordering    string   `json:"ordering"`
	OnFailure   *string  `json:"on_failure"`
	Retry       struct {
		Schedule []string `json:"schedule"`
		Final    []int    `json:"final"`
	} `json:"retry"`
	Headers        map[string]string `json:"headers"`
	Secret         string            `json:"secret"`
	OldSecretUntil *time.Time        `json:"old_secret_until"`
	Status         string            `json:"status"`
	StatusReason   string            `json:"status_reason"`
	Lag            int64             `json:"lag"`
	SettledSeq     int64             `json:"settled_seq"`
	LastSeq        int64             `json:"last_seq"`
	Open           int64             `json:"open"`
	Breaker        struct {
		Open  bool       `json:"open"`
		Since *time.Time `json:"since"`
	} `json:"breaker"`
	FailingSince   *time.Time `json:"failing_since"`
	ReadingStopped bool       `json:"reading_stopped"`
}

// Path is where the endpoint is.
func (e *Endpoint) Path() string { return EndpointsPath(e.TenantID) + "/" + e.ID }

// EndpointsPath is where a tenant's endpoints are.
func EndpointsPath(tenant string) string { return "/api/tenants/" + tenant + "/endpoints" }

// CreateEndpoint makes an endpoint that messages of a tenant are delivered to. More
// has whatever fields it is to have besides the URL.
func (c *Client) CreateEndpoint(tenant, url string, more map[string]any) Endpoint {
	c.t.Helper()
	body := map[string]any{"url": url}
	maps.Copy(body, more)
	var e Endpoint
	c.Want(http.StatusCreated, &e, "POST", EndpointsPath(tenant), body)
	require.Equal(c.t, "active", e.Status)
	require.NotEmpty(c.t, e.Secret)
	return e
}

// Endpoint returns an endpoint as it is now.
func (c *Client) Endpoint(e *Endpoint) Endpoint {
	c.t.Helper()
	var now Endpoint
	c.Want(http.StatusOK, &now, "GET", e.Path(), nil)
	return now
}

// ChangeEndpoint changes an endpoint.
func (c *Client) ChangeEndpoint(e *Endpoint, change map[string]any) Endpoint {
	c.t.Helper()
	var now Endpoint
	c.Want(http.StatusOK, &now, "PATCH", e.Path(), change)
	return now
}

// Tell calls one of hold, resume, skip and so on, and returns the endpoint as it is
// then.
func (c *Client) Tell(e *Endpoint, what string) Endpoint {
	c.t.Helper()
	var now Endpoint
	c.Want(http.StatusOK, &now, "POST", e.Path()+"/"+what, nil)
	return now
}

// DeleteEndpoint deletes an endpoint and returns how many messages it had not got.
func (c *Client) DeleteEndpoint(e *Endpoint) (open int) {
	c.t.Helper()
	answer := c.Want(http.StatusNoContent, nil, "DELETE", e.Path(), nil)
	open, err := strconv.Atoi(answer.Header.Get("Lanekeeper-Open"))
	require.NoError(c.t, err)
	return open
}

// MessageDelivery is how far a message is on its way to one endpoint.
type MessageDelivery struct {
	EndpointID    string     `json:"endpoint_id"`
	State         string     `json:"state"`
	Attempts      int        `json:"attempts"`
	LastStatus    *int       `json:"last_status"`
	NextAttemptAt *time.Time `json:"next_attempt_at"`
}

// Deliveries returns how far a message is on its way to each endpoint.
func (c *Client) Deliveries(tenant, message string) []MessageDelivery {
	c.t.Helper()
	var m struct {
		Deliveries []MessageDelivery `json:"deliveries"`
	}
	c.Want(http.StatusOK, &m, "GET", "/api/messages/"+message, nil, ForTenant(tenant))
	require.NotNil(c.t, m.Deliveries)
	return m.Deliveries
}

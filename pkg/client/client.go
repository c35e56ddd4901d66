package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strings"
)

// Client calls the API of one service, on behalf of one caller and, where a call is
// about a tenant's data, for one tenant. It is safe for concurrent use.
type Client struct {
	api    *caller
	tenant string

	// Tenants are those that the caller may see.
	Tenants *Tenants
	// Consumers store what is published.
	Consumers *Consumers
	// Endpoints are those of the client's tenant.
	Endpoints *Endpoints
	// Keys are the API keys of the caller, for all of its tenants.
	Keys *Keys
	// TenantKeys are the API keys of the client's tenant.
	TenantKeys *Keys
	// AMQP has the AMQP credentials of the client's tenant.
	AMQP *AMQP
	// Portal has the portal links of the client's tenant.
	Portal *Portal
	// DeadLetters are those of the client's tenant.
	DeadLetters *DeadLetters
	// Users can be managed by admins only.
	Users *Users
	// Overviews say how the tenants that the caller may see do.
	Overviews *Overviews
}

// New returns a client of the service at baseURL, such as "http://127.0.0.1:8080"; a
// path in it is put before those of the API. It does not connect. The error is about
// baseURL, or about options that contradict each other.
func New(baseURL string, options ...Option) (*Client, error) {
	s := defaults()
	for _, set := range options {
		set(&s)
	}
	api, err := newCaller(baseURL, &s)
	if err != nil {
		return nil, err
	}
	return newClient(api, s.tenant), nil
}

func newClient(api *caller, tenant string) *Client {
	scoped := &scope{api, tenant}
	return &Client{
		api: api, tenant: tenant,
		Tenants: &Tenants{api}, Consumers: &Consumers{api}, Users: &Users{api}, Overviews: &Overviews{api},
		Endpoints: &Endpoints{scoped}, DeadLetters: &DeadLetters{scoped},
		Keys: &Keys{scoped, false}, TenantKeys: &Keys{scoped, true}, AMQP: &AMQP{scoped}, Portal: &Portal{scoped},
	}
}

// ForTenant returns a client for another tenant, on the same connections and with
// the same caller. An empty id is for a caller that belongs to one tenant.
func (c *Client) ForTenant(id string) *Client { return newClient(c.api, id) }

// TenantID is the tenant that the client is for; "" for none.
func (c *Client) TenantID() string { return c.tenant }

// URL is where the service is, without a slash at its end and without a password.
func (c *Client) URL() string { return c.api.base.Redacted() }

// Close closes the connections that are idle. Calls may go on, and open new ones.
func (c *Client) Close() { c.api.http.CloseIdleConnections() }

// Me says who the caller is, and what it may have.
func (c *Client) Me(ctx context.Context) (*Me, error) {
	return fetch[Me](ctx, c.api, &call{method: http.MethodGet, path: "/me", again: always})
}

// Login returns a token for a user. It does not change what the client itself sends:
// WithLogin does that.
func (c *Client) Login(ctx context.Context, email, password string) (*Token, error) {
	return logIn(ctx, c.api, email, password)
}

// Logout ends all tokens of the caller.
func (c *Client) Logout(ctx context.Context) error {
	return c.api.do(ctx, &call{method: http.MethodPost, path: "/logout"}, nil)
}

// ChangePassword changes the password of the caller, and ends all of its tokens.
func (c *Client) ChangePassword(ctx context.Context, current, next string) error {
	body := struct {
		Current string `json:"current"`
		New     string `json:"new"`
	}{current, next}
	return c.api.do(ctx, &call{method: http.MethodPut, path: "/me/password", body: body}, nil)
}

// Ready reports how the service is. Where it takes no calls, the answer is there
// and so is an *Error with status 503.
func (c *Client) Ready(ctx context.Context) (*Health, error) {
	return ready(ctx, c.api)
}

// Usage yields how much was stored, by day and tenant.
func (c *Client) Usage(ctx context.Context, o UsageOptions) iter.Seq2[UsageDay, error] {
	return pages[UsageDay](ctx, c.api, &call{path: "/usage", query: o.query()})
}

// Audit yields the audit log, the newest entry first.
func (c *Client) Audit(ctx context.Context, o AuditOptions) iter.Seq2[AuditEntry, error] {
	return pages[AuditEntry](ctx, c.api, &call{path: "/audit", query: o.query()})
}

// scope is a caller and a tenant.
type scope struct {
	api    *caller
	tenant string
}

// path returns a path below that of the tenant.
func (s *scope) path(segments ...string) (string, error) {
	if s.tenant == "" {
		return "", ErrNoTenant
	}
	return join(append([]string{"tenants", s.tenant}, segments...)...), nil
}

// join makes a path of its segments.
func join(segments ...string) string {
	var path strings.Builder
	for _, s := range segments {
		path.WriteString("/" + url.PathEscape(s))
	}
	return path.String()
}

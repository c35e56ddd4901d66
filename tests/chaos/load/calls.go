package load

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"lanekeeper/tests/chaos/ledger"
)

// Account is a user with a password.
type Account struct{ Email, Password string }

// AddUser makes the account's user, with a role.
func (c *Client) AddUser(ctx context.Context, a Account, role string) error {
	r := c.Call(ctx, http.MethodPost, "/api/users", "", "", fmt.Appendf(nil, `{"name":%q,"email":%q,"password":%q,"role":%q}`, a.Email, a.Email, a.Password, role))
	if r.Err != nil || r.Status != http.StatusCreated {
		return errors.Join(fmt.Errorf("%w: create a user: %s", ErrUnexpected, r.Text()), r.Err)
	}
	return nil
}

// Login logs in.
func (c *Client) Login(ctx context.Context, a Account) Reply {
	return c.Call(ctx, http.MethodPost, "/api/login", "", "", fmt.Appendf(nil, `{"email":%q,"password":%q}`, a.Email, a.Password))
}

// LoggedIn returns a client with a token of the account's.
func (c *Client) LoggedIn(ctx context.Context, a Account) (*Client, error) {
	r := c.Login(ctx, a)
	var grant struct{ Token string }
	if r.Err == nil && r.Status == http.StatusOK {
		_ = json.Unmarshal(r.Body, &grant) // no token is noticed below
	}
	if grant.Token == "" {
		return nil, errors.Join(fmt.Errorf("%w: log in: %s", ErrUnexpected, r.Text()), r.Err)
	}
	return c.As(grant.Token), nil
}

// CreateTenant returns the new tenant's id; also for one that is still being
// provisioned.
func (c *Client) CreateTenant(ctx context.Context, name, key string) (id string, r Reply) {
	r = c.Call(ctx, http.MethodPost, "/api/tenants", "", key, fmt.Appendf(nil, `{"name":%q}`, name))
	var tenant struct {
		TenantID string `json:"tenant_id"`
	}
	if r.Status == http.StatusCreated || r.Status == http.StatusAccepted {
		_ = json.Unmarshal(r.Body, &tenant) // no id is noticed by the caller
	}
	return tenant.TenantID, r
}

// CreateTenants makes n tenants, which are active when it returns.
func (c *Client) CreateTenants(ctx context.Context, name string, n int) ([]string, error) {
	ids := make([]string, n)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for i := range ids {
		group.Go(func() error {
			id, r := c.CreateTenant(ctx, fmt.Sprintf("%s %d", name, i), "")
			if r.Err != nil || r.Status != http.StatusCreated {
				return errors.Join(fmt.Errorf("%w: create a tenant: %s", ErrUnexpected, r.Text()), r.Err)
			}
			ids[i] = id
			return nil
		})
	}
	return ids, group.Wait()
}

// DeleteTenant deletes a tenant.
func (c *Client) DeleteTenant(ctx context.Context, id string) Reply {
	return c.Call(ctx, http.MethodDelete, "/api/tenants/"+id, "", "", nil)
}

// Resize changes the number of a tenant's workers.
func (c *Client) Resize(ctx context.Context, id string, workers int) Reply {
	return c.Call(ctx, http.MethodPut, "/api/tenants/"+id+"/config/concurrency", "", "", fmt.Appendf(nil, `{"workers":%d}`, workers))
}

// StopConsumer stops the consumer of a tenant until StartConsumer.
func (c *Client) StopConsumer(ctx context.Context, id string) error {
	return c.changeConsumer(ctx, http.MethodDelete, id)
}

// StartConsumer starts the consumer of a tenant again.
func (c *Client) StartConsumer(ctx context.Context, id string) error {
	return c.changeConsumer(ctx, http.MethodPost, id)
}

func (c *Client) changeConsumer(ctx context.Context, method, id string) error {
	if r := c.Call(ctx, method, "/api/consumers/"+id, "", "", nil); r.Status != http.StatusAccepted {
		return errors.Join(fmt.Errorf("%w: stop or start a consumer: %s", ErrUnexpected, r.Text()), r.Err)
	}
	return nil
}

// SetStatus makes a tenant active or inactive.
func (c *Client) SetStatus(ctx context.Context, id, status string) Reply {
	return c.Call(ctx, http.MethodPatch, "/api/tenants/"+id, "", "", fmt.Appendf(nil, `{"status":%q}`, status))
}

// Publish sends the attempts, one alone or several in a batch, and returns
// the outcome of each.
func (c *Client) Publish(ctx context.Context, attempts []*ledger.Attempt) []ledger.Outcome {
	if len(attempts) == 1 {
		a := attempts[0]
		return []ledger.Outcome{OutcomeOf(c.Call(ctx, http.MethodPost, "/api/messages", a.Tenant, a.Key, fmt.Appendf(nil, `{"payload":%s%s}`, a.Payload, envelope(a))))}
	}
	var body bytes.Buffer
	body.WriteString(`{"messages":[`)
	for i, a := range attempts {
		if i > 0 {
			body.WriteByte(',')
		}
		if a.Key != "" {
			fmt.Fprintf(&body, `{"payload":%s%s,"idempotency_key":%q}`, a.Payload, envelope(a), a.Key)
		} else {
			fmt.Fprintf(&body, `{"payload":%s%s}`, a.Payload, envelope(a))
		}
	}
	body.WriteString(`]}`)
	return batchOutcomes(c.Call(ctx, http.MethodPost, "/api/messages/batch", attempts[0].Tenant, "", body.Bytes()), len(attempts))
}

// envelope returns what goes along with a payload, as members that follow it.
func envelope(a *ledger.Attempt) string {
	var members string
	if a.Type != "" {
		members += fmt.Sprintf(`,"type":%q`, a.Type)
	}
	if a.OrderingKey != "" {
		members += fmt.Sprintf(`,"ordering_key":%q`, a.OrderingKey)
	}
	return members
}

// OutcomeOf returns what came of the publication of one message.
func OutcomeOf(r Reply) ledger.Outcome {
	var accepted struct{ ID string }
	switch {
	case r.Err == nil && r.Status == http.StatusAccepted:
		if err := json.Unmarshal(r.Body, &accepted); err == nil && accepted.ID != "" {
			return ledger.Outcome{State: ledger.Accepted, ID: accepted.ID}
		}
		return ledger.Outcome{State: ledger.Unknown, Why: "202 without an id"}
	case r.Err == nil && r.Status >= 400 && r.Status < 500:
		return ledger.Outcome{State: ledger.Refused, Why: r.Text()}
	}
	return ledger.Outcome{State: ledger.Unknown, Why: r.Text()}
}

// batchOutcomes returns the outcomes of the n messages of a batch.
func batchOutcomes(r Reply, n int) []ledger.Outcome {
	var answer struct {
		Results []struct {
			ID, Status string
			Error      struct {
				Status int
				Code   string
			}
		}
	}
	outcomes := make([]ledger.Outcome, n)
	if r.Err != nil || r.Status != http.StatusAccepted && r.Status != http.StatusMultiStatus {
		for i := range outcomes {
			outcomes[i] = OutcomeOf(r)
		}
		return outcomes
	}
	if err := json.Unmarshal(r.Body, &answer); err != nil || len(answer.Results) != n {
		for i := range outcomes {
			outcomes[i] = ledger.Outcome{State: ledger.Unknown, Why: "unreadable answer to a batch"}
		}
		return outcomes
	}
	for i, item := range answer.Results {
		why := strconv.Itoa(item.Error.Status) + " " + item.Error.Code
		switch {
		case item.Status == "accepted":
			outcomes[i] = ledger.Outcome{State: ledger.Accepted, ID: item.ID}
		case item.Error.Status >= 400 && item.Error.Status < 500:
			outcomes[i] = ledger.Outcome{State: ledger.Refused, Why: why}
		default:
			outcomes[i] = ledger.Outcome{State: ledger.Unknown, Why: why}
		}
	}
	return outcomes
}

// Metrics returns the service's metrics without labels.
func (c *Client) Metrics(ctx context.Context) (map[string]float64, error) {
	r := c.Call(ctx, http.MethodGet, "/metrics", "", "", nil)
	if r.Err != nil || r.Status != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("%w: read metrics: %s", ErrUnexpected, r.Text()), r.Err)
	}
	values := make(map[string]float64)
	lines := bufio.NewScanner(bytes.NewReader(r.Body))
	for lines.Scan() {
		name, text, found := strings.Cut(lines.Text(), " ")
		if !found || strings.HasPrefix(name, "#") {
			continue
		}
		if value, err := strconv.ParseFloat(text, 64); err == nil {
			values[name] = value
		}
	}
	for _, name := range []string{"go_goroutines", "process_cpu_seconds_total"} {
		if _, ok := values[name]; !ok {
			return nil, fmt.Errorf("%w: no metric %s", ErrUnexpected, name)
		}
	}
	return values, lines.Err()
}

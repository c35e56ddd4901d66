package apptest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
)

// Tenant is a tenant as the service answers it.
type Tenant struct {
	ID          string    `json:"id"`
	TenantID    string    `json:"tenant_id"`
	Name        string    `json:"name"`
	Description string    `json:"description"`
	Status      string    `json:"status"`
	Workers     int       `json:"workers"`
	UserID      *string   `json:"user_id"`
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
}

// TenantPage is a page of tenants.
type TenantPage struct {
	Data       []Tenant `json:"data"`
	NextCursor string   `json:"next_cursor"`
	LastCursor string   `json:"last_cursor"`
}

// Message is a stored message.
type Message struct {
	ID        string          `json:"id"`
	TenantID  string          `json:"tenant_id"`
	Seq       int64           `json:"seq"`
	Payload   json.RawMessage `json:"payload"`
	CreatedAt time.Time       `json:"created_at"`

	Type        string            `json:"type"`
	OrderingKey string            `json:"ordering_key"`
	Headers     map[string]string `json:"headers"`
}

// Page is a page of a tenant's history.
type Page struct {
	Data       []Message `json:"data"`
	NextCursor string    `json:"next_cursor"`
	LastCursor string    `json:"last_cursor"`
}

// Accepted is the answer to a publication.
type Accepted struct {
	ID       string `json:"id"`
	TenantID string `json:"tenant_id"`
	Status   string `json:"status"`
}

// BatchResult is the answer to a batch.
type BatchResult struct {
	Accepted int `json:"accepted"`
	Rejected int `json:"rejected"`
	Results  []struct {
		Index    int    `json:"index"`
		ID       string `json:"id"`
		Status   string `json:"status"`
		Replayed bool   `json:"replayed"`
		Error    *struct {
			Status int    `json:"status"`
			Code   string `json:"code"`
		} `json:"error"`
	} `json:"results"`
}

// CreateTenant creates an active tenant; workers 0 is the default. One that the
// service has not made in time, on a machine that is busy with other tests, it
// waits for: how long that takes is what others test.
func (c *Client) CreateTenant(name string, workers int) Tenant {
	c.t.Helper()
	body := map[string]any{"name": name}
	if workers > 0 {
		body["workers"] = workers
	}
	var created Tenant
	answer := c.Call("POST", "/api/tenants", body)
	require.Contains(c.t, []int{http.StatusCreated, http.StatusAccepted}, answer.Status, "%s", answer.Body)
	require.NoError(c.t, json.Unmarshal(answer.Body, &created))
	if answer.Status == http.StatusAccepted {
		require.Equal(c.t, "provisioning", created.Status)
		Await(c.t, Long, func() error {
			c.Want(http.StatusOK, &created, "GET", "/api/tenants/"+created.ID, nil)
			if created.Status == "provisioning" {
				return NotYet("active: %s", created.Status)
			}
			return nil
		})
	}
	require.Equal(c.t, "active", created.Status)
	return created
}

// TryCreate creates a tenant, from any goroutine, and returns its id. It need
// not be ready to be used yet.
func (c *Client) TryCreate(ctx context.Context, name string) (id string, err error) {
	answer, err := c.Send(ctx, "POST", "/api/tenants", map[string]string{"name": name})
	if err != nil {
		return "", err
	}
	var tenant Tenant
	if answer.Status != http.StatusCreated && answer.Status != http.StatusAccepted || json.Unmarshal(answer.Body, &tenant) != nil {
		return "", &RefusedError{answer}
	}
	return tenant.ID, nil
}

// SetStatus makes a tenant active or inactive.
func (c *Client) SetStatus(tenant, status string) {
	c.t.Helper()
	var changed Tenant
	c.Want(http.StatusOK, &changed, "PATCH", "/api/tenants/"+tenant, map[string]string{"status": status})
	require.Equal(c.t, status, changed.Status)
}

// Resize changes a tenant's number of workers.
func (c *Client) Resize(tenant string, workers int) {
	c.t.Helper()
	var answer struct {
		TenantID string `json:"tenant_id"`
		Workers  int    `json:"workers"`
	}
	c.Want(http.StatusOK, &answer, "PUT", "/api/tenants/"+tenant+"/config/concurrency", map[string]int{"workers": workers})
	require.Equal(c.t, tenant, answer.TenantID)
	require.Equal(c.t, workers, answer.Workers)
}

// Delete deletes a tenant and returns how many messages were dropped with it.
func (c *Client) Delete(tenant string) (discarded int) {
	c.t.Helper()
	answer := c.Want(http.StatusNoContent, nil, "DELETE", "/api/tenants/"+tenant, nil)
	require.Empty(c.t, answer.Body)
	discarded, err := strconv.Atoi(answer.Header.Get("Lanekeeper-Discarded"))
	require.NoError(c.t, err)
	return discarded
}

// Publish publishes a payload, which is JSON text, and returns its id. The tenant may be
// named by its external id.
func (c *Client) Publish(tenant, payload string, headers ...Header) string {
	c.t.Helper()
	id, err := c.TryPublish(c.t.Context(), tenant, payload, headers...)
	require.NoError(c.t, err)
	return id
}

// RefusedError is an answer other than 202 to a publication.
type RefusedError struct{ *Answer }

// Error returns status and body.
func (e *RefusedError) Error() string { return fmt.Sprintf("answer %d: %.500s", e.Status, e.Body) }

// TryPublish is Publish for any goroutine. An answer other than 202 is a
// *RefusedError.
func (c *Client) TryPublish(ctx context.Context, tenant, payload string, headers ...Header) (id string, err error) {
	answer, err := c.Send(ctx, "POST", "/api/messages", `{"payload":`+payload+`}`, append(headers, ForTenant(tenant))...)
	if err != nil {
		return "", err
	}
	if answer.Status != http.StatusAccepted {
		return "", &RefusedError{answer}
	}
	var accepted Accepted
	if err := json.Unmarshal(answer.Body, &accepted); err != nil {
		return "", fmt.Errorf("decode %s: %w", answer.Body, err)
	}
	named := accepted.TenantID == tenant || strings.HasPrefix(tenant, "ext:")
	if !named || accepted.Status != "accepted" || accepted.ID == "" {
		return "", &RefusedError{answer}
	}
	return accepted.ID, nil
}

// PublishAll publishes payloads in batches, all of which must be accepted, and
// returns their ids in order.
func (c *Client) PublishAll(tenant string, payloads []string) []string {
	c.t.Helper()
	ids, err := c.TryPublishAll(c.t.Context(), tenant, payloads)
	require.NoError(c.t, err)
	return ids
}

// TryPublishAll is PublishAll for any goroutine. It stops at the first batch
// that is not accepted whole, and returns the ids of what was accepted.
func (c *Client) TryPublishAll(ctx context.Context, tenant string, payloads []string) (ids []string, err error) {
	const most = 1000
	for len(payloads) > 0 {
		n := min(most, len(payloads))
		body := `{"messages":[{"payload":` + strings.Join(payloads[:n], `},{"payload":`) + `}]}`
		payloads = payloads[n:]
		answer, err := c.Send(ctx, "POST", "/api/messages/batch", body, ForTenant(tenant))
		if err != nil {
			return ids, err
		}
		if answer.Status != http.StatusAccepted && answer.Status != http.StatusMultiStatus {
			return ids, &RefusedError{answer}
		}
		var result BatchResult
		if err := json.Unmarshal(answer.Body, &result); err != nil {
			return ids, fmt.Errorf("decode: %w", err)
		}
		for _, item := range result.Results {
			if item.Status == "accepted" {
				ids = append(ids, item.ID)
			}
		}
		if result.Rejected > 0 {
			return ids, &RefusedError{answer}
		}
	}
	return ids, nil
}

// Page returns one page of a tenant's history.
func (c *Client) Page(tenant, query string) Page {
	c.t.Helper()
	var page Page
	c.Want(http.StatusOK, &page, "GET", "/api/messages?"+query, nil, ForTenant(tenant))
	require.NotNil(c.t, page.Data)
	return page
}

// History follows the cursor through a tenant's whole history.
func (c *Client) History(tenant string, limit int) []Message {
	c.t.Helper()
	var all []Message
	for cursor := "0"; cursor != ""; {
		page := c.Page(tenant, "cursor="+cursor+"&limit="+strconv.Itoa(limit))
		all = append(all, page.Data...)
		cursor = page.NextCursor
	}
	return all
}

// Stored waits until a tenant has n messages and returns them, after checking
// that seq is dense and that no id occurs twice. More than n end the test.
func (c *Client) Stored(tenant string, n int) []Message {
	c.t.Helper()
	Await(c.t, Long, func() error {
		page := c.Page(tenant, "order=desc&limit=1")
		if n > 0 && (len(page.Data) == 0 || page.Data[0].Seq < int64(n)) {
			return NotYet("%d messages stored: %+v", n, page.Data)
		}
		return nil
	})
	all := c.History(tenant, 1000)
	require.Len(c.t, all, n)
	ids := make(map[string]bool, n)
	for i, m := range all {
		require.Equal(c.t, int64(i+1), m.Seq, "seq is dense")
		require.Equal(c.t, tenant, m.TenantID)
		ids[m.ID] = true
	}
	require.Len(c.t, ids, n, "each message once")
	return all
}

// IDs returns the ids of messages, in order.
func IDs(messages []Message) []string {
	ids := make([]string, len(messages))
	for i, m := range messages {
		ids[i] = m.ID
	}
	return ids
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// client calls the service as its users do, and notes how long it takes.
type client struct {
	bases []string // of all replicas, which take turns
	turn  *atomic.Uint64
	http  *http.Client
	token string // none in open mode
	*notes
}

// notes are what a client noted; all that came from one share them.
type notes struct {
	mu      sync.Mutex
	slowest time.Duration
	over    int            // calls that took longer than promised
	answers map[string]int // by status or kind of failure
}

func newClient(bases ...string) *client {
	transport := &http.Transport{MaxIdleConnsPerHost: 256, MaxIdleConns: 512}
	// Twice what is promised: a call that takes longer shall be seen.
	return &client{
		bases: bases, turn: new(atomic.Uint64), http: &http.Client{Transport: transport, Timeout: 2 * requestLimit},
		notes: &notes{answers: make(map[string]int)},
	}
}

// at returns the same client for one replica only.
func (c *client) at(base string) *client {
	return &client{bases: []string{base}, turn: c.turn, http: c.http, token: c.token, notes: c.notes}
}

func (c *client) base() string { return c.bases[c.turn.Add(1)%uint64(len(c.bases))] }

// reply is an answer, or why there was none.
type reply struct {
	err    error
	status int
	header http.Header
	body   []byte
	took   time.Duration
}

// problem is what an error says.
type problem struct{ Code, Detail string }

func (r reply) problem() problem {
	var p problem
	_ = json.Unmarshal(r.body, &p) // an empty one will do
	return p
}

// text says in a few words what the answer was.
func (r reply) text() string {
	if r.err != nil {
		return "no answer"
	}
	if r.status >= http.StatusBadRequest { // others may be large
		if code := r.problem().Code; code != "" {
			return strconv.Itoa(r.status) + " " + code
		}
	}
	return strconv.Itoa(r.status)
}

func (c *client) call(ctx context.Context, method, path, tenant, key string, body []byte) reply {
	request, err := http.NewRequestWithContext(ctx, method, c.base()+path, bytes.NewReader(body))
	if err != nil {
		return reply{err: fmt.Errorf("make request: %w", err)}
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if tenant != "" {
		request.Header.Set("X-Tenant-Id", tenant)
	}
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	if key != "" {
		request.Header.Set("Idempotency-Key", key)
	}
	begun := time.Now()
	r := c.read(request)
	r.took = time.Since(begun)
	c.note(r)
	return r
}

func (c *client) read(request *http.Request) reply {
	response, err := c.http.Do(request)
	if err != nil {
		return reply{err: fmt.Errorf("call: %w", err)}
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return reply{err: fmt.Errorf("read answer: %w", err)}
	}
	return reply{status: response.StatusCode, header: response.Header, body: text}
}

func (c *client) note(r reply) {
	text := r.text()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.slowest = max(c.slowest, r.took)
	if r.took > requestLimit {
		c.over++
	}
	c.answers[text]++
}

// timing returns the longest call so far, and how many took longer than
// promised.
func (c *client) timing() (slowest time.Duration, over int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.slowest, c.over
}

// createTenant returns the new tenant's id; also for one that is still being
// provisioned.
func (c *client) createTenant(ctx context.Context, name, key string) (id string, r reply) {
	r = c.call(ctx, http.MethodPost, "/api/tenants", "", key, fmt.Appendf(nil, `{"name":%q}`, name))
	var tenant struct {
		TenantID string `json:"tenant_id"`
	}
	if r.status == http.StatusCreated || r.status == http.StatusAccepted {
		_ = json.Unmarshal(r.body, &tenant) // no id is noticed by the caller
	}
	return tenant.TenantID, r
}

func (c *client) deleteTenant(ctx context.Context, id string) reply {
	return c.call(ctx, http.MethodDelete, "/api/tenants/"+id, "", "", nil)
}

func (c *client) resize(ctx context.Context, id string, workers int) reply {
	return c.call(ctx, http.MethodPut, "/api/tenants/"+id+"/config/concurrency", "", "", fmt.Appendf(nil, `{"workers":%d}`, workers))
}

func (c *client) setStatus(ctx context.Context, id, status string) reply {
	return c.call(ctx, http.MethodPatch, "/api/tenants/"+id, "", "", fmt.Appendf(nil, `{"status":%q}`, status))
}

// publish sends the attempts, one alone or several in a batch, and returns
// the outcome of each.
func (c *client) publish(ctx context.Context, attempts []*attempt) []outcome {
	if len(attempts) == 1 {
		a := attempts[0]
		return []outcome{single(c.call(ctx, http.MethodPost, "/api/messages", a.tenant, a.key, fmt.Appendf(nil, `{"payload":%s}`, a.payload)))}
	}
	var body bytes.Buffer
	body.WriteString(`{"messages":[`)
	for i, a := range attempts {
		if i > 0 {
			body.WriteByte(',')
		}
		if a.key != "" {
			fmt.Fprintf(&body, `{"payload":%s,"idempotency_key":%q}`, a.payload, a.key)
		} else {
			fmt.Fprintf(&body, `{"payload":%s}`, a.payload)
		}
	}
	body.WriteString(`]}`)
	return batch(c.call(ctx, http.MethodPost, "/api/messages/batch", attempts[0].tenant, "", body.Bytes()), len(attempts))
}

func single(r reply) outcome {
	var accepted struct{ ID string }
	switch {
	case r.err == nil && r.status == http.StatusAccepted:
		if err := json.Unmarshal(r.body, &accepted); err == nil && accepted.ID != "" {
			return outcome{state: accepted202, id: accepted.ID}
		}
		return outcome{state: unknown, why: "202 without an id"}
	case r.err == nil && r.status >= 400 && r.status < 500:
		return outcome{state: refused, why: r.text()}
	}
	return outcome{state: unknown, why: r.text()}
}

// batch returns the outcomes of the n messages of a batch.
func batch(r reply, n int) []outcome {
	var answer struct {
		Results []struct {
			ID, Status string
			Error      struct {
				Status int
				Code   string
			}
		}
	}
	outcomes := make([]outcome, n)
	if r.err != nil || r.status != http.StatusAccepted && r.status != http.StatusMultiStatus {
		for i := range outcomes {
			outcomes[i] = single(r)
		}
		return outcomes
	}
	if err := json.Unmarshal(r.body, &answer); err != nil || len(answer.Results) != n {
		for i := range outcomes {
			outcomes[i] = outcome{state: unknown, why: "unreadable answer to a batch"}
		}
		return outcomes
	}
	for i, item := range answer.Results {
		why := strconv.Itoa(item.Error.Status) + " " + item.Error.Code
		switch {
		case item.Status == "accepted":
			outcomes[i] = outcome{state: accepted202, id: item.ID}
		case item.Error.Status >= 400 && item.Error.Status < 500:
			outcomes[i] = outcome{state: refused, why: why}
		default:
			outcomes[i] = outcome{state: unknown, why: why}
		}
	}
	return outcomes
}

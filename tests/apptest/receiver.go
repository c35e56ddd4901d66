package apptest

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/config"
)

// Transmitting lets endpoints be on this machine, and makes a dead letter of a
// message that was transmitted so often.
func Transmitting(maxAttempts int) Option {
	return func(c *config.Config) { c.Transmit.AllowPrivate, c.Retry.MaxAttempts = true, maxAttempts }
}

// Received is a request to a Receiver.
type Received struct {
	// ID, Timestamp and Signature are the headers of Standard Webhooks.
	ID, Timestamp, Signature string
	Body                     []byte
	At                       time.Time
}

// Receiver is an HTTP server of the test's own, to which a tenant's endpoint
// may point. It notes every request, and how many there were at a time. It is
// safe for concurrent use.
type Receiver struct {
	t      testing.TB
	server *httptest.Server
	closed chan struct{}

	mu       sync.Mutex
	answer   func(w http.ResponseWriter, r *http.Request)
	received []Received
	now      int
	most     int
}

// NewReceiver returns a Receiver that answers as it is told, after the body was
// read. It ends with the test.
func NewReceiver(t testing.TB, answer func(w http.ResponseWriter, r *http.Request)) *Receiver {
	t.Helper()
	r := &Receiver{t: t, answer: answer, closed: make(chan struct{})}
	r.server = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(func() {
		close(r.closed)
		r.server.Close()
	})
	return r
}

// Answering returns an answer of this status, for NewReceiver and Answer.
func Answering(status int) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
}

// Answer changes how the requests that follow are answered.
func (r *Receiver) Answer(answer func(w http.ResponseWriter, r *http.Request)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

// URL is where it listens.
func (r *Receiver) URL() string { return r.server.URL }

// Hold is for answers that wait: until this comes, the caller is gone, or the
// test ends. Only the first is true.
func (r *Receiver) Hold(request *http.Request, until <-chan struct{}) bool {
	select {
	case <-until:
		return true
	case <-request.Context().Done():
	case <-r.closed:
	}
	return false
}

func (r *Receiver) serve(w http.ResponseWriter, request *http.Request) {
	// Only once the body was read the server notices when the caller goes.
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return // the caller is gone
	}
	got := Received{
		ID: request.Header.Get("webhook-id"), Timestamp: request.Header.Get("webhook-timestamp"),
		Signature: request.Header.Get("webhook-signature"), Body: body, At: time.Now(),
	}
	r.mu.Lock()
	r.received = append(r.received, got)
	r.now++
	r.most = max(r.most, r.now)
	answer := r.answer
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.now--
	}()
	answer(w, request)
}

// Received returns all requests so far, in order.
func (r *Receiver) Received() []Received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Received(nil), r.received...)
}

// Times returns how often each message was received.
func (r *Receiver) Times() map[string]int {
	times := make(map[string]int)
	for _, got := range r.Received() {
		times[got.ID]++
	}
	return times
}

// Most returns how many requests there were at a time at most since it was
// last asked, and counts from what there are now.
func (r *Receiver) Most() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	most := r.most
	r.most = r.now
	return most
}

// AwaitAtOnce waits until there are n requests at a time, and ends the test
// when there are more.
func (r *Receiver) AwaitAtOnce(n int) {
	r.t.Helper()
	Await(r.t, Long, func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.now != n {
			return NotYet("%d requests at a time: %d", n, r.now)
		}
		return nil
	})
}

// Endpoint is a tenant's endpoint as the service answers it.
type Endpoint struct {
	URL          string `json:"url"`
	Status       string `json:"status"`
	PausedReason string `json:"paused_reason"`
	Secret       string `json:"secret"`
}

// SetEndpoint lets a tenant's messages be transmitted to this URL.
func (c *Client) SetEndpoint(tenant, url string, timeout time.Duration) Endpoint {
	c.t.Helper()
	var e Endpoint
	c.Want(http.StatusOK, &e, "PUT", "/api/tenants/"+tenant+"/endpoint", map[string]any{"url": url, "timeout_ms": timeout.Milliseconds()})
	require.Equal(c.t, "active", e.Status)
	return e
}

// Endpoint returns a tenant's endpoint.
func (c *Client) Endpoint(tenant string) Endpoint {
	c.t.Helper()
	var e Endpoint
	c.Want(http.StatusOK, &e, "GET", "/api/tenants/"+tenant+"/endpoint", nil)
	return e
}

// Delivery is how far the transmission of a message got.
type Delivery struct {
	State      string `json:"state"`
	Attempts   int    `json:"attempts"`
	LastStatus *int   `json:"last_status"`
}

// Is returns an error unless it is as it should be. Status 0 is for none.
func (d *Delivery) Is(state string, attempts, status int) error {
	last := 0
	if d != nil && d.LastStatus != nil {
		last = *d.LastStatus
	}
	if d == nil || d.State != state || d.Attempts != attempts || last != status {
		return NotYet("%s after %d attempts, the last with status %d: %+v, %d", state, attempts, status, d, last)
	}
	return nil
}

// Delivery returns how far the transmission of a message got; nil for nothing,
// and for a message that is not stored yet.
func (c *Client) Delivery(tenant, message string) *Delivery {
	c.t.Helper()
	answer := c.Call("GET", "/api/messages/"+message, nil, ForTenant(tenant))
	if answer.Status == http.StatusNotFound {
		return nil
	}
	require.Equal(c.t, http.StatusOK, answer.Status, "%s", answer.Body)
	var m struct{ Delivery *Delivery }
	require.NoError(c.t, json.Unmarshal(answer.Body, &m))
	return m.Delivery
}

package apptest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"lanekeeper/config"
)

// Delivering lets endpoints be on this machine.
func Delivering() Option {
	return func(c *config.Config) { c.Delivery.AllowPrivate = true }
}

// Received is a request to a Receiver.
type Received struct {
	// ID, Timestamp and Signature are the headers of Standard Webhooks.
	ID, Timestamp, Signature string
	// TraceParent and TraceState are those of W3C Trace Context.
	TraceParent, TraceState string

	Body []byte
	At   time.Time
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
		Signature:   request.Header.Get("webhook-signature"),
		TraceParent: request.Header.Get("traceparent"), TraceState: request.Header.Get("tracestate"), Body: body, At: time.Now(),
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

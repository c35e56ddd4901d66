package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// RequestLimit is what the service promises for every request.
const RequestLimit = 6 * time.Second

// ErrUnexpected: an answer is not what the scenario needs to go on.
var ErrUnexpected = errors.New("unexpected answer")

// Client calls the service as its users do, and notes how long it takes. Each call is
// one attempt, of which the outcome counts, whatever it is: the Go client, which tries
// again until there is a good one, would hide what is to be seen.
type Client struct {
	bases []string // of all replicas, which take turns
	turn  *atomic.Uint64
	http  *http.Client
	Token string // none in open mode
	// forwarded is for which address it says that it calls; "" for its own.
	forwarded string
	*notes
}

// notes are what a client noted; those that At returns share them.
type notes struct {
	mu      sync.Mutex
	slowest time.Duration
	over    int            // calls that took longer than promised
	answers map[string]int // by status or kind of failure
}

// NewClient returns a client of these replicas, which take turns.
func NewClient(bases ...string) *Client {
	return &Client{
		bases: bases, turn: new(atomic.Uint64), http: newHTTP(net.Dialer{}),
		notes: &notes{answers: make(map[string]int)},
	}
}

// newHTTP returns a client with connections of its own.
func newHTTP(dialer net.Dialer) *http.Client {
	// Compressed pages would be other load than what is measured.
	transport := &http.Transport{MaxIdleConnsPerHost: 256, MaxIdleConns: 512, DialContext: dialer.DialContext, DisableCompression: true}
	// Twice what is promised, so that a call that takes longer is seen.
	return &http.Client{Transport: transport, Timeout: 2 * RequestLimit}
}

// At returns the same client for one replica only.
func (c *Client) At(base string) *Client {
	other := *c
	other.bases = []string{base}
	return &other
}

// As returns the same client with this token.
func (c *Client) As(token string) *Client {
	other := *c
	other.Token = token
	return &other
}

// From returns the same client with connections of its own, from this address of
// the machine. Call CloseIdle of both at the end.
func (c *Client) From(address string) *Client {
	other := *c
	other.http = newHTTP(net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}})
	return &other
}

// For returns the same client, which says, as a proxy does, that it calls for this
// address.
func (c *Client) For(address string) *Client {
	other := *c
	other.forwarded = address
	return &other
}

// Base returns the URL of the replica whose turn it is.
func (c *Client) Base() string { return c.bases[c.turn.Add(1)%uint64(len(c.bases))] }

// Reply is an answer, or why there was none.
type Reply struct {
	Err    error
	Status int
	Header http.Header
	Body   []byte
	Took   time.Duration
}

// Problem is what an error says.
type Problem struct{ Code, Detail string }

// Problem returns what an error says.
func (r Reply) Problem() Problem {
	var p Problem
	_ = json.Unmarshal(r.Body, &p) // an empty one will do
	return p
}

// Text is the answer in a few words.
func (r Reply) Text() string {
	if r.Err != nil {
		return "no answer"
	}
	if r.Status >= http.StatusBadRequest { // others may be large
		if code := r.Problem().Code; code != "" {
			return strconv.Itoa(r.Status) + " " + code
		}
	}
	return strconv.Itoa(r.Status)
}

// Call makes a request of a tenant, with an idempotency key and a body; "" and
// nil for none. An answer of any status is no error.
func (c *Client) Call(ctx context.Context, method, path, tenant, key string, body []byte) Reply {
	request, err := http.NewRequestWithContext(ctx, method, c.Base()+path, bytes.NewReader(body))
	if err != nil {
		return Reply{Err: fmt.Errorf("make request: %w", err)}
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if tenant != "" {
		request.Header.Set("X-Tenant-Id", tenant)
	}
	if c.Token != "" {
		request.Header.Set("Authorization", "Bearer "+c.Token)
	}
	if key != "" {
		request.Header.Set("Idempotency-Key", key)
	}
	if c.forwarded != "" {
		request.Header.Set("X-Forwarded-For", c.forwarded)
	}
	begun := time.Now()
	r := c.read(request)
	r.Took = time.Since(begun)
	c.note(r)
	return r
}

func (c *Client) read(request *http.Request) Reply {
	response, err := c.http.Do(request)
	if err != nil {
		return Reply{Err: fmt.Errorf("call: %w", err)}
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return Reply{Err: fmt.Errorf("read answer: %w", err)}
	}
	return Reply{Status: response.StatusCode, Header: response.Header, Body: text}
}

func (c *Client) note(r Reply) {
	text := r.Text()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.slowest = max(c.slowest, r.Took)
	if r.Took > RequestLimit {
		c.over++
	}
	c.answers[text]++
}

// Timing returns the longest call so far, and how many took longer than
// promised.
func (c *Client) Timing() (slowest time.Duration, over int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.slowest, c.over
}

// CloseIdle closes the connections that nothing uses.
func (c *Client) CloseIdle() { c.http.CloseIdleConnections() }

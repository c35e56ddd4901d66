package apptest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// answerLimit is longer than any answer may take.
const answerLimit = 20 * time.Second

// Client calls the service, one attempt a call. It is safe for concurrent use.
type Client struct {
	t     testing.TB
	url   *atomic.Pointer[string]
	http  *http.Client
	token string
}

func newClient(t testing.TB) *Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 100}
	t.Cleanup(transport.CloseIdleConnections)
	return &Client{
		t: t, url: new(atomic.Pointer[string]),
		http: &http.Client{Transport: transport, Timeout: answerLimit},
	}
}

func (c *Client) setURL(url string) { c.url.Store(&url) }

// URL is where the service answers, without a path.
func (c *Client) URL() string { return *c.url.Load() }

// As returns a client that sends a token, as it is, in the header
// Authorization.
func (c *Client) As(token string) *Client {
	other := *c
	other.token = token
	return &other
}

// At returns a client that calls another address.
func (c *Client) At(url string) *Client {
	other := *c
	other.url = new(atomic.Pointer[string])
	other.setURL(url)
	return &other
}

// From returns a client that calls from another address of this machine, such
// as 127.0.0.2.
func (c *Client) From(address string) *Client {
	other := *c
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	transport := &http.Transport{MaxIdleConnsPerHost: 100, DialContext: dialer.DialContext}
	c.t.Cleanup(transport.CloseIdleConnections)
	other.http = &http.Client{Transport: transport, Timeout: answerLimit}
	return &other
}

// Trusting returns a client that believes these authorities, on connections of its
// own.
func (c *Client) Trusting(roots *x509.CertPool) *Client {
	other := *c
	transport := &http.Transport{MaxIdleConnsPerHost: 100, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}
	c.t.Cleanup(transport.CloseIdleConnections)
	other.http = &http.Client{Transport: transport, Timeout: answerLimit}
	return &other
}

func (c *Client) closeIdle() { c.http.CloseIdleConnections() }

// Answer is what the service answers.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Problem is an error document.
type Problem struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail"`
	Instance  string `json:"instance"`
	Code      string `json:"code"`
	RequestID string `json:"request_id"`
	Errors    []struct {
		Pointer string `json:"pointer"`
		Message string `json:"message"`
	} `json:"errors"`
}

// Header is a header of a request.
type Header [2]string

// ForTenant selects a tenant.
func ForTenant(id string) Header { return Header{"X-Tenant-ID", id} }

// WithKey makes a call safe to repeat.
func WithKey(key string) Header { return Header{"Idempotency-Key", key} }

// Send makes one call. A body that is neither nil, []byte nor string is sent
// as JSON. The error is that of the connection.
func (c *Client) Send(ctx context.Context, method, path string, body any, headers ...Header) (*Answer, error) {
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case []byte:
		reader = bytes.NewReader(b)
	case string:
		reader = bytes.NewReader([]byte(b))
	default:
		encoded, err := json.Marshal(b)
		if err != nil {
			return nil, fmt.Errorf("encode body: %w", err)
		}
		reader = bytes.NewReader(encoded)
	}
	request, err := http.NewRequestWithContext(ctx, method, c.URL()+path, reader)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		request.Header.Set("Authorization", c.token)
	}
	for _, h := range headers {
		if h[0] == "Host" {
			request.Host = h[1]
			continue
		}
		request.Header.Set(h[0], h[1])
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("call: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	return &Answer{Status: response.StatusCode, Header: response.Header, Body: text}, nil
}

// Call makes one call and ends the test when no answer comes.
func (c *Client) Call(method, path string, body any, headers ...Header) *Answer {
	c.t.Helper()
	answer, err := c.Send(c.t.Context(), method, path, body, headers...)
	require.NoError(c.t, err)
	return answer
}

// Want makes one call, ends the test when the status is another one, and
// decodes the answer into target unless that is nil.
func (c *Client) Want(status int, target any, method, path string, body any, headers ...Header) *Answer {
	c.t.Helper()
	answer := c.Call(method, path, body, headers...)
	require.Equal(c.t, status, answer.Status, "%s %s: %.2000s", method, path, answer.Body)
	if target != nil {
		require.NoError(c.t, json.Unmarshal(answer.Body, target), "%.2000s", answer.Body)
	}
	return answer
}

// Refused makes one call and ends the test unless the answer is a complete
// problem document with this status and, unless it is "", this code.
func (c *Client) Refused(status int, code, method, path string, body any, headers ...Header) *Problem {
	c.t.Helper()
	answer := c.Call(method, path, body, headers...)
	p, err := answer.Problem()
	require.NoError(c.t, err, "%s %s", method, path)
	require.Equal(c.t, status, p.Status, "%s %s: %s", method, path, answer.Body)
	if code != "" {
		require.Equal(c.t, code, p.Code, "%s %s: %s", method, path, answer.Body)
	}
	return p
}

// Problem decodes an error document (RFC 9457), and returns an error when it
// is none or lacks something.
func (a *Answer) Problem() (*Problem, error) {
	var p Problem
	if media := a.Header.Get("Content-Type"); media != "application/problem+json" {
		return nil, NotYet("a problem document: %d %q %.500s", a.Status, media, a.Body)
	}
	if err := json.Unmarshal(a.Body, &p); err != nil {
		return nil, fmt.Errorf("decode problem %.500s: %w", a.Body, err)
	}
	if p.Status != a.Status || p.Code == "" || p.Title == "" || p.Type == "" || p.Instance == "" || p.RequestID == "" {
		return nil, NotYet("a complete problem document: %d %s", a.Status, a.Body)
	}
	return &p, nil
}

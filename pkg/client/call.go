package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// repeat says when a call may be tried again.
type repeat uint8

const (
	// refused: only when it was certainly not carried out.
	refused repeat = iota
	// always: also when that is not known.
	always
	// never, not even then.
	never
)

// call is what is asked of the service.
type call struct {
	method string
	// path is escaped, and begins with a slash.
	path  string
	query url.Values
	// tenant is for the header X-Tenant-ID; may be empty.
	tenant string
	// key is for the header Idempotency-Key; may be empty.
	key string
	// body is sent as JSON; []byte as it is. Nil for none.
	body any
	// media is the type of a body that is []byte.
	media string
	again repeat
	// anonymous: without a token.
	anonymous bool
	// outside: the path is not below that of the API.
	outside bool
	// retryFor is instead of the client's, when it is above 0.
	retryFor time.Duration
}

// caller makes calls. It is safe for concurrent use.
type caller struct {
	base      *url.URL
	http      *http.Client
	streaming *http.Client // without a timeout
	tokens    TokenSource
	agent     string
	retryFor  time.Duration
	timeout   time.Duration
	keyless   bool
	onAttempt func(Attempted)
}

const (
	apiPrefix = "/api"
	bearer    = "Bearer "
)

// errNoHeader: text that was given cannot be sent.
var errNoHeader = errors.New("has characters that no header may have")

// check reports what can be known to be wrong before anything is sent.
func (r *call) check() error {
	for _, text := range []struct{ name, value string }{{"the tenant's id", r.tenant}, {"the idempotency key", r.key}} {
		if !sendable(text.value) {
			return fmt.Errorf("%s %w", text.name, errNoHeader)
		}
	}
	return nil
}

// sendable reports whether text can be the value of a header.
func sendable(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f })
}

func newCaller(baseURL string, s *settings) (*caller, error) {
	base, err := url.Parse(baseURL)
	if err != nil {
		return nil, fmt.Errorf("parse the service's URL: %w", err)
	}
	if (base.Scheme != "http" && base.Scheme != "https") || base.Host == "" || base.RawQuery != "" || base.Fragment != "" {
		return nil, fmt.Errorf("the service's URL %q is not http://host or https://host", base.Redacted())
	}
	base.Path = strings.TrimSuffix(strings.TrimRight(base.Path, "/"), apiPrefix)
	base.RawPath = ""
	c := &caller{
		base: base, http: s.http, tokens: s.tokens, agent: s.agent,
		retryFor: s.retryFor, timeout: s.timeout, keyless: s.keyless, onAttempt: s.onAttempt,
	}
	if c.http == nil {
		c.http = &http.Client{Transport: NewTransport()}
	}
	streaming := *c.http
	streaming.Timeout = 0
	c.streaming = &streaming
	if login, ok := s.tokens.(*login); ok {
		login.api = c
	}
	return c, nil
}

// answer is what came back, with a status below 400.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// do makes a call, again where that may be, and decodes the answer into out unless
// that is nil.
func (c *caller) do(ctx context.Context, r *call, out any) error {
	_, err := c.exchange(ctx, r, out)
	return err
}

// exchange is do for those who need the answer itself. An answer without a body
// leaves out as it was.
func (c *caller) exchange(ctx context.Context, r *call, out any) (*answer, error) {
	body, media, err := r.encode()
	if err != nil {
		return nil, err
	}
	got, err := c.persist(ctx, r, func(ctx context.Context, token string) (*answer, error) {
		return c.attempt(ctx, r, token, body, media)
	})
	if err != nil {
		return got, err
	}
	if out != nil && len(got.body) > 0 {
		if err := json.Unmarshal(got.body, out); err != nil {
			return nil, fmt.Errorf("decode the answer to %s %s: %w", r.method, r.path, err)
		}
	}
	return got, nil
}

func (r *call) encode() (body []byte, media string, err error) {
	switch b := r.body.(type) {
	case nil:
		return nil, "", nil
	case []byte:
		return b, r.media, nil
	}
	body, err = JSON(r.body)
	if err != nil {
		return nil, "", fmt.Errorf("%s %s: %w", r.method, r.path, err)
	}
	return body, jsonType, nil
}

// attempt makes a call once. A status of 400 or more is an *Error, which comes with
// the answer.
func (c *caller) attempt(ctx context.Context, r *call, token string, body []byte, media string) (*answer, error) {
	if c.timeout > 0 {
		limited, cancel := context.WithTimeoutCause(ctx, c.timeout, errSlow)
		defer cancel()
		ctx = limited
	}
	request, err := http.NewRequestWithContext(ctx, r.method, c.address(r), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	maps.Copy(request.Header, c.header(r, token))
	if body != nil {
		request.Header.Set("Content-Type", media)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err //nolint:wrapcheck // it names method and URL
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("read the answer to %s %s: %w", r.method, r.path, err)
	}
	got := &answer{response.StatusCode, response.Header, text}
	if got.status >= http.StatusBadRequest {
		return got, problem(got.status, got.header, text)
	}
	return got, nil
}

func (c *caller) address(r *call) string {
	prefix := apiPrefix
	if r.outside {
		prefix = ""
	}
	address := c.base.String() + prefix + r.path
	if len(r.query) > 0 {
		address += "?" + r.query.Encode()
	}
	return address
}

// header returns what a request has besides its body.
func (c *caller) header(r *call, token string) http.Header {
	h := http.Header{"User-Agent": {c.agent}}
	if token != "" {
		h.Set("Authorization", bearer+strings.TrimPrefix(token, bearer))
	}
	if r.tenant != "" {
		h.Set("X-Tenant-ID", r.tenant)
	}
	if r.key != "" {
		h.Set("Idempotency-Key", r.key)
	}
	return h
}

// fetch makes a call and returns its answer.
func fetch[T any](ctx context.Context, c *caller, r *call) (*T, error) {
	out := new(T)
	if err := c.do(ctx, r, out); err != nil {
		return nil, err
	}
	return out, nil
}

// page is a part of a list.
type page[T any] struct {
	Data       []T    `json:"data"`
	NextCursor string `json:"next_cursor"`
	LastCursor string `json:"last_cursor"`
}

// pages yields what a list has, page after page, from the cursor of the query on.
func pages[T any](ctx context.Context, c *caller, first *call) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		r := *first
		r.method, r.again, r.query = http.MethodGet, always, maps.Clone(first.query)
		if r.query == nil {
			r.query = make(url.Values)
		}
		for {
			p, err := fetch[page[T]](ctx, c, &r)
			if err != nil {
				yield(*new(T), err)
				return
			}
			for i := range p.Data {
				if !yield(p.Data[i], nil) {
					return
				}
			}
			if p.NextCursor == "" {
				return
			}
			r.query.Set("cursor", p.NextCursor)
		}
	}
}

package controller

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// patience is how long a test waits for what should happen at once.
const patience = 15 * time.Second

// fakeStreams opens what it is told to. Unless told otherwise its streams have
// one event and end.
type fakeStreams struct {
	mu     sync.Mutex
	err    error
	next   domain.EventStream
	opened []*int64
	limits []bool // whether the contexts had deadlines
	// opening is called before a stream is opened, unless it is nil.
	opening func(ctx context.Context)
}

func newFakeStreams() *fakeStreams { return &fakeStreams{} }

func (f *fakeStreams) Open(ctx context.Context, id uuid.UUID, from *int64) (domain.EventStream, error) {
	if f.opening != nil {
		f.opening(ctx)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	_, limited := ctx.Deadline()
	f.opened, f.limits = append(f.opened, from), append(f.limits, limited)
	switch {
	case f.err != nil:
		return nil, f.err
	case id != tenantID:
		return nil, domain.TenantNotFound()
	case f.next != nil:
		return f.next, nil
	}
	s := newFakeStream()
	s.frames <- []byte("id: 1\nevent: message\ndata: {}\n\n")
	s.fail(domain.New(domain.ErrUnavailable, "shutting_down", "The service is shutting down."))
	return s, nil
}

func (f *fakeStreams) froms() []*int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.opened
}

// fakeStream has the events that are put into frames, and then err.
type fakeStream struct {
	frames chan []byte
	ended  chan struct{}
	err    error // valid once ended is closed
	closed chan struct{}
	once   sync.Once
	at     int64
}

func newFakeStream() *fakeStream {
	return &fakeStream{frames: make(chan []byte, 16), ended: make(chan struct{}), closed: make(chan struct{})}
}

func (s *fakeStream) fail(err error) {
	s.err = err
	close(s.ended)
}

func (s *fakeStream) Next(ctx context.Context) ([]byte, error) {
	select {
	case frames := <-s.frames:
		return frames, nil
	default:
	}
	select {
	case frames := <-s.frames:
		return frames, nil
	case <-s.ended:
		return nil, s.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *fakeStream) Close() { s.once.Do(func() { close(s.closed) }) }

// Position implements domain.EventStream.
func (s *fakeStream) Position() int64 { return s.at }

// endlessStream always has more.
type endlessStream struct {
	*fakeStream

	frame []byte
}

func (s endlessStream) Next(ctx context.Context) ([]byte, error) { return s.frame, ctx.Err() }

const goodTicket = "goodgoodgoodgoodgoodgoodgoodgoodgoodgoodgoo"

// fakeTickets has one ticket.
type fakeTickets struct {
	mu       sync.Mutex
	ticket   domain.Ticket
	err      error
	redeemed []bool // whether they were resumed
	released int
	returned int
	lost     chan struct{}
}

func newFakeTickets() *fakeTickets {
	return &fakeTickets{
		lost: make(chan struct{}),
		ticket: domain.Ticket{
			Hash: []byte("hash"), TenantID: tenantID, ExpiresAt: time.Now().Add(time.Hour),
			Holder: domain.Principal{UserID: userID, TokenVersion: 7, ExpiresAt: time.Now().Add(time.Hour)},
		},
	}
}

func (f *fakeTickets) Issue(_ context.Context, p domain.Principal, id uuid.UUID) (string, time.Time, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ticket.Holder, f.ticket.TenantID = p, id
	return goodTicket, someTime, f.err
}

func (f *fakeTickets) Redeem(_ context.Context, ticket string, id uuid.UUID, resume bool) (domain.Ticket, uuid.UUID, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.err != nil:
		return domain.Ticket{}, uuid.Nil, f.err
	case ticket != goodTicket:
		return domain.Ticket{}, uuid.Nil, domain.New(domain.ErrUnauthenticated, "ticket_invalid", "The ticket is not valid.")
	case id != uuid.Nil && id != f.ticket.TenantID:
		return domain.Ticket{}, uuid.Nil, domain.TenantNotFound()
	}
	f.redeemed = append(f.redeemed, resume)
	return f.ticket, messageID, nil
}

func (f *fakeTickets) Keep(ctx context.Context, _ domain.Ticket, claim uuid.UUID) error {
	if claim != messageID {
		return domain.New(domain.ErrConflict, "wrong_claim", "Not the claim that was given.")
	}
	select {
	case <-f.lost:
		return domain.New(domain.ErrConflict, "ticket_lost", "The ticket is lost.")
	case <-ctx.Done():
		return nil
	}
}

func (f *fakeTickets) Release(_ context.Context, _ domain.Ticket, claim uuid.UUID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if claim == messageID {
		f.released++
	}
}

func (f *fakeTickets) Return(_ context.Context, _ domain.Ticket, claim uuid.UUID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if claim == messageID {
		f.returned++
	}
}

// unused returns how many tickets were given back as they were.
func (f *fakeTickets) unused() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.returned
}

func (f *fakeTickets) counts() (redeemed, released int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.redeemed), f.released
}

// guard is a fakeAuth that can change its mind, and a tenantDirectory that can.
type guard struct {
	fakeAuth

	mu       sync.Mutex
	expires  time.Time
	recheck  func(p domain.Principal) (domain.Principal, error)
	lookup   func() (domain.Tenant, error)
	rechecks int
}

func (g *guard) Authenticate(ctx context.Context, header string) (domain.Principal, error) {
	p, err := g.fakeAuth.Authenticate(ctx, header)
	g.mu.Lock()
	defer g.mu.Unlock()
	p.ExpiresAt = g.expires
	return p, err
}

func (g *guard) Recheck(_ context.Context, p domain.Principal) (domain.Principal, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.rechecks++
	if !p.ExpiresAt.IsZero() && !time.Now().Before(p.ExpiresAt) {
		return domain.Principal{}, domain.New(domain.ErrUnauthenticated, "token_expired", "The token has expired.")
	}
	if g.recheck != nil {
		return g.recheck(p)
	}
	if p.Role == "" {
		p.Role = domain.RoleMember // a ticket does not know it
	}
	return p, nil
}

func (g *guard) Lookup(_ context.Context, id uuid.UUID) (domain.Tenant, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case id != tenantID:
		return domain.Tenant{}, domain.TenantNotFound()
	case g.lookup != nil:
		return g.lookup()
	}
	return someTenant(), nil
}

func (g *guard) LookupExternal(_ context.Context, _ domain.Principal, externalID string) (domain.Tenant, error) {
	if t := someTenant(); externalID == t.ExternalID {
		return t, nil
	}
	return domain.Tenant{}, domain.TenantNotFound()
}

func (g *guard) set(fn func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	fn()
}

func (g *guard) looked() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.rechecks
}

// streamAPI is an api with a stream behind it that the test has in its hands.
type streamAPI struct {
	*api

	streams *fakeStreams
	tickets *fakeTickets
	guard   *guard
	stream  *fakeStream
	drops   chan struct{}
	seen    chan string // what was observed
}

func newStreamAPI(t *testing.T, change ...func(*Options)) *streamAPI {
	t.Helper()
	s := &streamAPI{
		streams: newFakeStreams(), tickets: newFakeTickets(), guard: &guard{}, stream: newFakeStream(),
		drops: make(chan struct{}, 100), seen: make(chan string, 100),
	}
	s.streams.next = s.stream
	s.api = newAPI(t, append([]func(*Options){func(o *Options) {
		o.Streams, o.Tickets, o.Auth, o.Directory = s.streams, s.tickets, s.guard, s.guard
		o.StreamDropped = func() { s.drops <- struct{}{} }
		o.Observe = func(route, method string, status int, seconds float64) {
			require.Less(t, seconds, patience.Seconds())
			s.seen <- method + " " + route + " " + http.StatusText(status)
		}
		o.Streaming = StreamTiming{Heartbeat: time.Hour, WriteTimeout: patience, Recheck: 5 * time.Millisecond}
	}}, change...)...)
	return s
}

// client is a client of a stream.
type client struct {
	t        *testing.T
	response *http.Response
	lines    *bufio.Reader
	hangUp   context.CancelFunc
}

// follow opens a stream as admin; headers are as with do.
func (s *streamAPI) follow(path string, headers ...string) *client {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*patience)
	s.t.Cleanup(cancel)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path, http.NoBody)
	require.NoError(s.t, err)
	if !strings.Contains(path, "ticket=") {
		request.Header.Set("Authorization", "Bearer admin")
		request.Header.Set("X-Tenant-ID", tenantID.String())
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ":")
		request.Header.Set(name, strings.TrimSpace(value))
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = response.Body.Close() })
	require.Equal(s.t, http.StatusOK, response.StatusCode)
	return &client{s.t, response, bufio.NewReader(response.Body), cancel}
}

// block returns the next lines up to a blank one, as they were sent: these tests
// are about the bytes, so nothing reads them as events.
func (c *client) block() string {
	c.t.Helper()
	var block strings.Builder
	for {
		line, err := c.lines.ReadString('\n')
		require.NoError(c.t, err, "after %q", block.String()+line)
		if line == "\n" {
			return block.String()
		}
		block.WriteString(line)
	}
}

// rest returns what comes until the stream ends in good order.
func (c *client) rest() string {
	c.t.Helper()
	var rest strings.Builder
	_, err := c.lines.WriteTo(&rest)
	require.NoError(c.t, err, rest.String())
	return rest.String()
}

const (
	hello = "retry: 3000\n: open\n"
	// helloHere is the same for one who does not know where the stream begins.
	helloHere = "retry: 3000\nid: 0\n: open\n"
)

// logged waits for the line that the access log has of a stream.
func (s *streamAPI) logged(why string) string {
	s.t.Helper()
	var line string
	require.Eventually(s.t, func() bool {
		for candidate := range strings.Lines(s.logs.String()) {
			if strings.Contains(candidate, `"ended":`) {
				line = candidate
			}
		}
		return line != ""
	}, patience, time.Millisecond)
	require.Contains(s.t, line, `"ended":"`+why+`"`)
	return line
}

// awaitClosed waits until the service got its stream back.
func (s *streamAPI) awaitClosed() {
	s.t.Helper()
	select {
	case <-s.stream.closed:
	case <-time.After(patience):
		require.Fail(s.t, "the stream was not closed")
	}
}

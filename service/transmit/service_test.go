package transmit_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/service/transmit"
)

// world is what the Service reaches, in memory.
type world struct {
	*transmit.Service
	domain.EndpointRepository // the methods that are not used

	mu        sync.Mutex
	tenant    domain.Tenant
	endpoint  *domain.Endpoint
	locked    bool
	settled   int
	settleErr error
	putErr    error
	later     []uuid.UUID
	put       []domain.Tenant
	sent      []domain.Message
	sentTo    domain.Endpoint
	result    domain.TransmitResult
	// onLock is called before the lock is taken.
	onLock func()
}

func newWorld() *world {
	w := &world{tenant: domain.Tenant{ID: uuid.New(), OwnerID: uuid.New(), Status: domain.TenantActive}, onLock: func() {}}
	w.Service = transmit.NewService(transmit.ServiceOptions{
		Tenants: w, Endpoints: w, Transmitter: w, Settler: w, Directory: w, Log: slog.New(slog.DiscardHandler),
		Later: func(id uuid.UUID) { w.later = append(w.later, id) },
		Now:   func() time.Time { return time.Unix(1767225600, 0) },
	})
	return w
}

func (w *world) owner() domain.Principal {
	return domain.Principal{UserID: w.tenant.OwnerID, Role: domain.RoleMember}
}

func (w *world) FindTenant(_ context.Context, id uuid.UUID) (domain.Tenant, error) {
	if id != w.tenant.ID {
		return domain.Tenant{}, domain.TenantNotFound()
	}
	t := w.tenant
	t.Endpoint = w.endpoint
	return t, nil
}

func (w *world) LockTenant(ctx context.Context, _ uuid.UUID, fn func(context.Context) error) error {
	w.onLock()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.locked = true
	defer func() { w.locked = false }()
	return fn(ctx)
}

func (w *world) PutEndpoint(_ context.Context, e domain.Endpoint) (domain.Endpoint, error) {
	if !w.locked {
		return domain.Endpoint{}, errors.New("not locked")
	}
	if w.putErr != nil {
		return domain.Endpoint{}, w.putErr
	}
	if e.Secret == nil {
		if w.endpoint == nil {
			return domain.Endpoint{}, domain.EndpointNotFound()
		}
		e.Secret = w.endpoint.Secret
	}
	if w.endpoint != nil {
		e.Version = w.endpoint.Version
	}
	e.Version++
	w.endpoint = &e
	return e, nil
}

func (w *world) DeleteEndpoint(context.Context, uuid.UUID) error {
	if w.endpoint == nil {
		return domain.EndpointNotFound()
	}
	w.endpoint = nil
	return nil
}

func (w *world) Settle(context.Context, uuid.UUID) error { w.settled++; return w.settleErr }

func (w *world) Put(t domain.Tenant) { w.put = append(w.put, t) }

func (w *world) Transmit(_ context.Context, e domain.Endpoint, m domain.Message) domain.TransmitResult {
	w.sent, w.sentTo = append(w.sent, m), e
	return w.result
}

// set is Service.Put, whose name the directory's takes.
func (w *world) set(t *testing.T, p domain.Principal, c domain.EndpointChange) (domain.Endpoint, bool, error) {
	t.Helper()
	return w.Service.Put(t.Context(), p, w.tenant.ID, c)
}

func TestPutEndpoint(t *testing.T) {
	t.Parallel()
	w := newWorld()
	first, fresh, err := w.set(t, w.owner(), domain.EndpointChange{URL: "https://example.com/"})
	require.NoError(t, err)
	require.True(t, fresh)
	require.Len(t, first.Secret, 32)
	require.Equal(t, domain.DefaultEndpointTimeout, first.Timeout)
	require.Equal(t, 1, w.settled, "the consumer follows")
	require.Equal(t, &first, w.put[0].Endpoint, "the directory knows")

	second, fresh, err := w.set(t, w.owner(), domain.EndpointChange{URL: "https://example.org/", TimeoutMS: new(100)})
	require.NoError(t, err)
	require.False(t, fresh, "the secret is shown once")
	require.Equal(t, first.Secret, second.Secret)
	require.Equal(t, 100*time.Millisecond, second.Timeout)

	third, fresh, err := w.set(t, w.owner(), domain.EndpointChange{URL: "https://example.org/", RotateSecret: true})
	require.NoError(t, err)
	require.True(t, fresh)
	require.NotEqual(t, first.Secret, third.Secret)

	for _, c := range []domain.EndpointChange{{}, {URL: "ftp://a/"}, {URL: "https://a/", TimeoutMS: new(99)}, {URL: "https://a/", TimeoutMS: new(15_001)}} {
		_, _, err = w.set(t, w.owner(), c)
		require.ErrorIs(t, err, domain.ErrInvalid, c.URL)
	}
	require.Equal(t, third, *w.endpoint)
	require.Equal(t, 3, w.settled)

	w.settleErr = errors.New("busy")
	_, _, err = w.set(t, w.owner(), domain.EndpointChange{URL: "https://example.org/"})
	require.NoError(t, err)
	require.Equal(t, []uuid.UUID{w.tenant.ID}, w.later, "what cannot follow at once is left to others")
}

// When the database went away it is not known what it made of the change.
func TestUnknownOutcome(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.putErr = domain.New(domain.ErrUnavailable, "away", "Away.")
	_, _, err := w.set(t, w.owner(), domain.EndpointChange{URL: "https://example.com/"})
	require.ErrorIs(t, err, domain.ErrUnavailable)
	require.Equal(t, []uuid.UUID{w.tenant.ID}, w.later)
}

func TestDeleteEndpoint(t *testing.T) {
	t.Parallel()
	w := newWorld()
	require.ErrorIs(t, w.Delete(t.Context(), w.owner(), w.tenant.ID), domain.ErrNotFound)
	_, err := w.Get(t.Context(), w.owner(), w.tenant.ID)
	require.Equal(t, "endpoint_not_found", domain.CodeOf(err))
	_, _, err = w.set(t, w.owner(), domain.EndpointChange{URL: "https://example.com/"})
	require.NoError(t, err)
	got, err := w.Get(t.Context(), w.owner(), w.tenant.ID)
	require.NoError(t, err)
	require.Equal(t, *w.endpoint, got)
	require.NoError(t, w.Delete(t.Context(), w.owner(), w.tenant.ID))
	require.Nil(t, w.put[1].Endpoint)
	require.Equal(t, 2, w.settled)
}

func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	w := newWorld()
	_, _, err := w.set(t, w.owner(), domain.EndpointChange{URL: "https://example.com/"})
	require.NoError(t, err)
	for name, c := range map[string]struct {
		who          domain.Principal
		read, change error
	}{
		"admin":        {domain.Principal{Role: domain.RoleAdmin}, nil, nil},
		"owner":        {w.owner(), nil, nil},
		"viewer of it": {domain.Principal{UserID: uuid.New(), Role: domain.RoleViewer, TenantID: w.tenant.ID}, nil, domain.ErrForbidden},
		"member of it": {domain.Principal{UserID: uuid.New(), Role: domain.RoleMember, TenantID: w.tenant.ID}, nil, domain.ErrForbidden},
		"stranger":     {domain.Principal{UserID: uuid.New(), Role: domain.RoleMember}, domain.ErrNotFound, domain.ErrNotFound},
	} {
		_, err := w.Get(t.Context(), c.who, w.tenant.ID)
		require.ErrorIs(t, err, c.read, name)
		_, _, err = w.set(t, c.who, domain.EndpointChange{URL: "https://example.com/"})
		require.ErrorIs(t, err, c.change, name)
		_, _, err = w.Test(t.Context(), c.who, w.tenant.ID)
		require.ErrorIs(t, err, c.change, name)
		if c.change != nil {
			require.ErrorIs(t, w.Delete(t.Context(), c.who, w.tenant.ID), c.change, name)
			_, _, err = w.set(t, c.who, domain.EndpointChange{})
			require.ErrorIs(t, err, c.change, "%s: a wrong value tells nothing", name)
		}
	}
	_, err = w.Get(t.Context(), w.owner(), uuid.New())
	require.ErrorIs(t, err, domain.ErrNotFound)
}

// A tenant that is deleted while the caller waits for its lock gets no
// endpoint, which nobody would erase.
func TestEndpointOfADyingTenant(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.onLock = func() { w.tenant.Status = domain.TenantDeleting }
	_, _, err := w.set(t, w.owner(), domain.EndpointChange{URL: "https://example.com/"})
	require.ErrorIs(t, err, domain.ErrNotFound)
	require.Nil(t, w.endpoint)
	require.Zero(t, w.settled)
}

func TestTestMessage(t *testing.T) {
	t.Parallel()
	w := newWorld()
	_, _, err := w.Test(t.Context(), w.owner(), w.tenant.ID)
	require.Equal(t, "endpoint_not_found", domain.CodeOf(err))
	_, _, err = w.set(t, w.owner(), domain.EndpointChange{URL: "https://example.com/", TimeoutMS: new(15_000)})
	require.NoError(t, err)
	w.result = domain.TransmitResult{Status: 410, Gone: true, Err: errors.New("status 410")}
	result, _, err := w.Test(t.Context(), w.owner(), w.tenant.ID)
	require.NoError(t, err)
	require.Equal(t, w.result, result)
	require.Equal(t, 5*time.Second, w.sentTo.Timeout, "the caller does not wait for long")
	require.Equal(t, w.endpoint.Secret, w.sentTo.Secret)
	var payload map[string]string
	require.NoError(t, json.Unmarshal(w.sent[0].Payload, &payload))
	require.Equal(t, map[string]string{"type": "lanekeeper.test", "tenant_id": w.tenant.ID.String(), "timestamp": "2026-01-01T00:00:00Z"}, payload)
	require.False(t, w.endpoint.Paused(), "a test changes nothing")
}

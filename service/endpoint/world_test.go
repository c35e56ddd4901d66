package endpoint

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"lanekeeper/domain"
	"lanekeeper/pkg/webhook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is all that the service needs, in memory.
type world struct {
	mu        sync.Mutex
	tenants   map[uuid.UUID]domain.Tenant
	endpoints []domain.Endpoint
	claims    map[string]domain.IdempotencyGrant
	hashes    map[string][32]byte
	messages  map[uuid.UUID]bool
	attempts  []domain.Attempt
	queries   []domain.ReplayQuery
	changes   int
	err       error
	// beforeInsert is called before an endpoint is inserted.
	beforeInsert func()

	sent   []webhook.Request
	result webhook.Result
	now    time.Time
}

var (
	owner    = domain.Principal{UserID: uuid.MustParse("0197a3a2-0000-7000-8000-000000000001"), Role: domain.RoleMember}
	stranger = domain.Principal{UserID: uuid.MustParse("0197a3a2-0000-7000-8000-000000000002"), Role: domain.RoleMember}
	admin    = domain.Principal{UserID: uuid.MustParse("0197a3a2-0000-7000-8000-000000000003"), Role: domain.RoleAdmin}
)

// newWorld returns a world with a tenant of owner's, to which lodger belongs.
func newWorld() (w *world, s *Service, tenant domain.Tenant, lodger domain.Principal) {
	tenant = domain.Tenant{ID: uuid.New(), Status: domain.TenantActive, Workers: 3, OwnerID: owner.UserID}
	lodger = domain.Principal{UserID: uuid.New(), Role: domain.RoleMember, TenantID: tenant.ID}
	w = &world{
		tenants: map[uuid.UUID]domain.Tenant{tenant.ID: tenant}, claims: map[string]domain.IdempotencyGrant{}, hashes: map[string][32]byte{},
		messages: map[uuid.UUID]bool{}, now: time.Date(2026, 11, 30, 10, 0, 0, 0, time.UTC),
	}
	return w, w.service(false), tenant, lodger
}

func (w *world) service(allowPrivate bool) *Service {
	return New(Options{
		Tenants: w, Endpoints: w, Keys: w, Sender: w, AllowPrivate: allowPrivate,
		Now: func() time.Time { return w.now }, Log: slog.New(slog.DiscardHandler),
	})
}

func (w *world) attemptsShown() *Attempts {
	return NewAttempts(AttemptOptions{Tenants: w, Endpoints: w, Messages: w, Attempts: w, Deliveries: w})
}

func (w *world) replays() *Replays {
	return NewReplays(ReplayOptions{Tenants: w, Endpoints: w, Replays: w})
}

func (w *world) MessageDeliveries(_ context.Context, m *domain.Message) ([]domain.MessageDelivery, error) {
	return []domain.MessageDelivery{{EndpointID: m.ID, State: domain.DeliveryPassed}}, w.err
}

func (w *world) FindTenant(_ context.Context, id uuid.UUID) (domain.Tenant, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t, there := w.tenants[id]
	if !there {
		return t, domain.TenantNotFound()
	}
	return t, w.err
}

func (w *world) InsertEndpoint(_ context.Context, e domain.Endpoint, at domain.NewCursor) (domain.Endpoint, error) {
	if w.beforeInsert != nil {
		w.beforeInsert()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, other := range w.endpoints {
		if other.ID == e.ID {
			return other, nil
		}
		if e.ExternalID != "" && other.ExternalID == e.ExternalID {
			return domain.Endpoint{}, domain.New(domain.ErrConflict, "external_id_taken", "Taken.")
		}
	}
	if at.FromSeq > 100 {
		return domain.Endpoint{}, domain.CursorAhead()
	}
	e.Version = at.FromSeq
	w.endpoints = append(w.endpoints, e)
	return e, w.err
}

func (w *world) find(match func(*domain.Endpoint) bool) (domain.Endpoint, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.endpoints {
		if match(&w.endpoints[i]) {
			return w.endpoints[i], w.err
		}
	}
	return domain.Endpoint{}, domain.EndpointNotFound()
}

func (w *world) FindEndpoint(_ context.Context, tenantID, id uuid.UUID) (domain.Endpoint, error) {
	return w.find(func(e *domain.Endpoint) bool { return e.TenantID == tenantID && e.ID == id })
}

func (w *world) FindEndpointByExternalID(_ context.Context, tenantID uuid.UUID, externalID string) (domain.Endpoint, error) {
	return w.find(func(e *domain.Endpoint) bool { return e.TenantID == tenantID && e.ExternalID == externalID })
}

func (w *world) ListEndpoints(_ context.Context, tenantID uuid.UUID) ([]domain.Endpoint, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []domain.Endpoint
	for _, e := range w.endpoints {
		if e.TenantID == tenantID {
			all = append(all, e)
		}
	}
	return all, w.err
}

func (w *world) EndpointProgress(_ context.Context, _ uuid.UUID, ids []uuid.UUID) (map[uuid.UUID]domain.EndpointProgress, error) {
	progress := make(map[uuid.UUID]domain.EndpointProgress)
	for _, id := range ids {
		progress[id] = domain.EndpointProgress{Settled: 5, Last: 9, Open: 1}
	}
	return progress, w.err
}

func (w *world) ChangeEndpoint(ctx context.Context, tenantID, id uuid.UUID, change func(*domain.Endpoint) error) (domain.Endpoint, error) {
	e, err := w.FindEndpoint(ctx, tenantID, id)
	if err != nil {
		return e, err
	}
	if err := change(&e); err != nil {
		return domain.Endpoint{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.changes++
	for i := range w.endpoints {
		if w.endpoints[i].ID == id {
			w.endpoints[i] = e
		}
	}
	return e, nil
}

func (w *world) DeleteEndpoint(ctx context.Context, tenantID, id uuid.UUID) (int64, error) {
	_, err := w.FindEndpoint(ctx, tenantID, id)
	return 7, err
}

func (w *world) SkipBlocking(ctx context.Context, tenantID, id uuid.UUID) (domain.DeadLetter, error) {
	_, err := w.FindEndpoint(ctx, tenantID, id)
	return domain.DeadLetter{Seq: 17}, err
}

func (w *world) Resend(ctx context.Context, tenantID, id, _ uuid.UUID) error {
	_, err := w.FindEndpoint(ctx, tenantID, id)
	return err
}

func (w *world) FindMessage(_ context.Context, _, id uuid.UUID, _ int) (domain.Message, int, error) {
	if !w.messages[id] {
		return domain.Message{}, 0, domain.MessageNotFound()
	}
	return domain.Message{}, 1, w.err
}

func (w *world) ListAttempts(_ context.Context, q domain.AttemptQuery) ([]domain.Attempt, bool, error) {
	var found []domain.Attempt
	for _, a := range w.attempts {
		if a.TenantID == q.TenantID && (a.EndpointID == q.EndpointID || a.MessageID == q.MessageID) {
			found = append(found, a)
		}
	}
	return found, false, w.err
}

func (*world) KeepAttemptDays(context.Context, int) (int, error) { return 0, nil }

func (w *world) CountReplay(_ context.Context, q domain.ReplayQuery) (domain.Replay, error) {
	w.queries = append(w.queries, q)
	return domain.Replay{Total: 3}, w.err
}

func (w *world) InsertReplay(_ context.Context, q domain.ReplayQuery) (domain.Replay, error) {
	w.queries = append(w.queries, q)
	return domain.Replay{ID: uuid.New(), Total: 3, State: domain.ReplayRunning}, w.err
}

func (*world) FindReplay(context.Context, uuid.UUID, uuid.UUID, uuid.UUID) (domain.Replay, error) {
	return domain.Replay{}, domain.New(domain.ErrNotFound, "none", "None.")
}

func (w *world) ListReplays(_ context.Context, _, endpointID uuid.UUID, limit int) ([]domain.Replay, error) {
	return []domain.Replay{{ID: uuid.New(), EndpointID: endpointID, Total: int64(limit)}}, w.err
}

func (w *world) SummarizeAttempts(_ context.Context, _, _ uuid.UUID, within time.Duration) (domain.AttemptSummary, error) {
	return domain.AttemptSummary{Since: w.now.Add(-within), Counted: len(w.attempts)}, w.err
}

func (*world) CancelReplay(context.Context, uuid.UUID, uuid.UUID, uuid.UUID) (domain.Replay, error) {
	return domain.Replay{State: domain.ReplayCanceled}, nil
}

func (w *world) ClaimKeys(_ context.Context, claims []domain.IdempotencyClaim) ([]domain.IdempotencyGrant, error) {
	c := claims[0]
	grant, used := w.claims[c.Key]
	if !used {
		grant, w.hashes[c.Key] = domain.IdempotencyGrant{ID: c.ID}, c.Hash
		w.claims[c.Key] = grant
	}
	grant.Mismatch = w.hashes[c.Key] != c.Hash
	return []domain.IdempotencyGrant{grant}, w.err
}

func (w *world) ConfirmKeys(_ context.Context, _ uuid.UUID, keys []domain.ConfirmedKey) error {
	w.claims[keys[0].Key] = domain.IdempotencyGrant{ID: keys[0].ID, Confirmed: true}
	return w.err
}

func (w *world) Send(_ context.Context, r webhook.Request) webhook.Result {
	w.sent = append(w.sent, r)
	return w.result
}

package message_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/service/message"
)

// broker is a domain.Publisher in memory.
type broker struct {
	mu        sync.Mutex
	published []domain.Outgoing
	// tenants are those that these were published to.
	tenants []uuid.UUID
	// fail returns the error for one message; nil for none.
	fail func(domain.Outgoing) error
	// hang makes Publish wait for the end of its context.
	hang bool
}

func (b *broker) Publish(ctx context.Context, tenant uuid.UUID, batch []domain.Outgoing) []error {
	b.mu.Lock()
	defer b.mu.Unlock()
	errs := make([]error, len(batch))
	for i, m := range batch {
		switch {
		case b.hang:
			<-ctx.Done()
			errs[i] = domain.Wrap(ctx.Err(), domain.ErrUnavailable, "confirm_unknown", "Unknown.")
		case b.fail != nil && b.fail(m) != nil:
			errs[i] = b.fail(m)
		default:
			b.published, b.tenants = append(b.published, m), append(b.tenants, tenant)
		}
	}
	return errs
}

func (b *broker) DeadLetter(context.Context, domain.DeadLetter) error { return nil }

// keys is a domain.IdempotencyRepository in memory.
type keys struct {
	mu         sync.Mutex
	claimed    map[string]domain.IdempotencyClaim
	confirmed  map[string]bool
	claims     int
	claimErr   error
	confirmErr error
	hang       bool
}

func newKeys() *keys {
	return &keys{claimed: map[string]domain.IdempotencyClaim{}, confirmed: map[string]bool{}}
}

func (k *keys) ClaimKeys(ctx context.Context, claims []domain.IdempotencyClaim) ([]domain.IdempotencyGrant, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.claims++
	if k.hang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if k.claimErr != nil {
		return nil, k.claimErr
	}
	grants := make([]domain.IdempotencyGrant, len(claims))
	seen := map[string]bool{}
	for i, c := range claims {
		name := c.Scope.String() + c.Key
		if seen[name] {
			return nil, errors.New("a key occurs twice")
		}
		seen[name] = true
		earlier, ok := k.claimed[name]
		if !ok {
			k.claimed[name], earlier = c, c
		}
		grants[i] = domain.IdempotencyGrant{ID: earlier.ID, Confirmed: k.confirmed[name], Mismatch: earlier.Hash != c.Hash}
	}
	return grants, nil
}

func (k *keys) ConfirmKeys(ctx context.Context, scope uuid.UUID, confirmed []domain.ConfirmedKey) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if k.confirmErr != nil {
		return k.confirmErr
	}
	for _, c := range confirmed {
		if name := scope.String() + c.Key; k.claimed[name].ID == c.ID {
			k.confirmed[name] = true
		}
	}
	return nil
}

func (k *keys) ReleaseKey(context.Context, uuid.UUID, domain.ConfirmedKey) error { return nil }

func (k *keys) DeleteExpiredKeys(context.Context, int) (int, error) { return 0, nil }

// observer remembers what it was told.
type observer struct {
	mu     sync.Mutex
	counts map[string]int
}

func (o *observer) AddPublished(outcome string, n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.counts[outcome] += n
}

func (o *observer) ObservePublish(float64) {}

type fixture struct {
	*message.Service
	broker   *broker
	keys     *keys
	observer *observer
	tenant   domain.Tenant
}

func newFixture(change ...func(*message.Options)) *fixture {
	f := &fixture{
		broker: &broker{}, keys: newKeys(), observer: &observer{counts: map[string]int{}},
		tenant: domain.Tenant{ID: uuid.New(), Status: domain.TenantActive},
	}
	o := message.Options{Publisher: f.broker, Keys: f.keys, Observer: f.observer, Log: slog.New(slog.DiscardHandler)}
	for _, c := range change {
		c(&o)
	}
	f.Service = message.NewService(o)
	return f
}

func sub(payload, key string) domain.Submission {
	return domain.Submission{Payload: []byte(payload), IdempotencyKey: key}
}

func TestPublishInOrder(t *testing.T) {
	t.Parallel()
	f := newFixture()
	receipts := f.Publish(t.Context(), f.tenant, []domain.Submission{sub(`{"n": 1}`, ""), sub(` 2 `, ""), sub(`"3"`, "")})
	require.Len(t, receipts, 3)
	for i, body := range []string{`{"n": 1}`, ` 2 `, `"3"`} {
		require.NoError(t, receipts[i].Err)
		require.False(t, receipts[i].Replayed)
		require.EqualValues(t, 7, receipts[i].ID.Version())
		require.Equal(t, domain.Outgoing{ID: receipts[i].ID, Body: []byte(body)}, f.broker.published[i])
		require.Equal(t, f.tenant.ID, f.broker.tenants[i])
	}
	require.Zero(t, f.keys.claims, "no key, no round trip")
	require.Equal(t, map[string]int{"accepted": 3}, f.observer.counts)
}

func TestTenantMustAcceptMessages(t *testing.T) {
	t.Parallel()
	for status, kind := range map[domain.TenantStatus]domain.Kind{
		domain.TenantInactive: domain.ErrConflict, domain.TenantProvisioning: domain.ErrUnavailable,
		domain.TenantDeleting: domain.ErrNotFound, domain.TenantDeleted: domain.ErrNotFound,
	} {
		f := newFixture()
		f.tenant.Status = status
		receipts := f.Publish(t.Context(), f.tenant, []domain.Submission{sub(`1`, ""), sub(`2`, "k")})
		require.ErrorIs(t, receipts[0].Err, kind)
		require.ErrorIs(t, receipts[1].Err, kind)
		require.Empty(t, f.broker.published)
		require.Zero(t, f.keys.claims)
	}
}

func TestBadItemsDoNotStopTheOthers(t *testing.T) {
	t.Parallel()
	f := newFixture()
	receipts := f.Publish(t.Context(), f.tenant, []domain.Submission{
		sub(`1`, ""), sub(`nope`, "k1"), sub(`"\u0000"`, ""), sub(`"`+strings.Repeat("x", 1<<20)+`"`, ""),
		sub(`2`, "bad\nkey"), sub(`3`, "k2"),
	})
	require.NoError(t, receipts[0].Err)
	require.ErrorIs(t, receipts[1].Err, domain.ErrInvalid)
	require.Equal(t, "payload_not_json", domain.CodeOf(receipts[1].Err))
	require.Equal(t, "payload_nul", domain.CodeOf(receipts[2].Err))
	require.ErrorIs(t, receipts[3].Err, domain.ErrTooLarge)
	require.Equal(t, "payload_too_large", domain.CodeOf(receipts[3].Err))
	require.ErrorIs(t, receipts[4].Err, domain.ErrInvalid)
	require.NoError(t, receipts[5].Err)
	require.Len(t, f.broker.published, 2)
	require.Len(t, f.keys.claimed, 1)
	require.Equal(t, map[string]int{"accepted": 2, "refused": 4}, f.observer.counts)
}

func TestSameKey(t *testing.T) {
	t.Parallel()
	f := newFixture()
	first := f.Publish(t.Context(), f.tenant, []domain.Submission{sub(`{"a":1}`, "k")})[0]
	require.NoError(t, first.Err)

	again := f.Publish(t.Context(), f.tenant, []domain.Submission{sub(" {\n\"a\" : 1 } ", "k")})[0]
	require.Equal(t, domain.Receipt{ID: first.ID, Replayed: true}, again, "white space does not count")
	require.Len(t, f.broker.published, 1)

	other := f.Publish(t.Context(), f.tenant, []domain.Submission{sub(`{"a":2}`, "k"), sub(`1`, "")})
	require.ErrorIs(t, other[0].Err, domain.ErrInvalid)
	require.Equal(t, "idempotency_key_reused", domain.CodeOf(other[0].Err))
	require.NoError(t, other[1].Err)

	f.tenant.ID = uuid.New()
	elsewhere := f.Publish(t.Context(), f.tenant, []domain.Submission{sub(`{"a":1}`, "k")})[0]
	require.NoError(t, elsewhere.Err)
	require.False(t, elsewhere.Replayed, "a key belongs to its tenant")
}

func TestSameKeyTwiceInOneCall(t *testing.T) {
	t.Parallel()
	f := newFixture()
	receipts := f.Publish(t.Context(), f.tenant, []domain.Submission{
		sub(`oops`, "k"), sub(`1`, "k"), sub(` 1`, "k"), sub(`2`, "k"), sub(`1`, "other"),
	})
	require.Error(t, receipts[0].Err)
	require.NoError(t, receipts[1].Err)
	require.Equal(t, domain.Receipt{ID: receipts[1].ID, Replayed: true}, receipts[2])
	require.Equal(t, "idempotency_key_reused", domain.CodeOf(receipts[3].Err))
	require.NoError(t, receipts[4].Err)
	require.Len(t, f.broker.published, 2)
	require.Equal(t, 1, f.keys.claims, "one statement for the batch")
	require.Equal(t, map[string]int{"accepted": 2, "replayed": 1, "refused": 2}, f.observer.counts)

	f.broker.fail = func(domain.Outgoing) error { return domain.New(domain.ErrUnavailable, "broker_unavailable", "Away.") }
	receipts = f.Publish(t.Context(), f.tenant, []domain.Submission{sub(`1`, "k3"), sub(`1`, "k3")})
	require.ErrorIs(t, receipts[0].Err, domain.ErrUnavailable)
	require.ErrorIs(t, receipts[1].Err, domain.ErrUnavailable)
	require.False(t, receipts[1].Replayed)
}

// A publication whose fate is unknown is repeated under the same id, so that
// the store keeps it once.
func TestUnconfirmedKeyPublishesAgainUnderTheSameID(t *testing.T) {
	t.Parallel()
	f := newFixture()
	var ids []uuid.UUID
	f.broker.fail = func(m domain.Outgoing) error {
		ids = append(ids, m.ID)
		return domain.New(domain.ErrUnavailable, "confirm_unknown", "Unknown.")
	}
	require.ErrorIs(t, f.Publish(t.Context(), f.tenant, []domain.Submission{sub(`1`, "k")})[0].Err, domain.ErrUnavailable)
	f.broker.fail = nil
	receipt := f.Publish(t.Context(), f.tenant, []domain.Submission{sub(`1`, "k")})[0]
	require.NoError(t, receipt.Err)
	require.False(t, receipt.Replayed)
	require.Equal(t, ids[0], receipt.ID)
	require.Equal(t, ids[0], f.broker.published[0].ID)
}

func TestConfirmIsBestEffort(t *testing.T) {
	t.Parallel()
	f := newFixture()
	f.keys.confirmErr = domain.New(domain.ErrUnavailable, "database_unavailable", "Away.")
	first := f.Publish(t.Context(), f.tenant, []domain.Submission{sub(`1`, "k")})[0]
	require.NoError(t, first.Err)
	f.keys.confirmErr = nil
	again := f.Publish(t.Context(), f.tenant, []domain.Submission{sub(`1`, "k")})[0]
	require.Equal(t, domain.Receipt{ID: first.ID}, again)
	require.Len(t, f.broker.published, 2)
}

// A caller that hangs up between the broker's confirm and the answer leaves a
// confirmed key behind.
func TestConfirmOutlivesTheCaller(t *testing.T) {
	t.Parallel()
	f := newFixture()
	ctx, cancel := context.WithCancel(t.Context())
	f.broker.fail = func(domain.Outgoing) error { cancel(); return nil }
	require.NoError(t, f.Publish(ctx, f.tenant, []domain.Submission{sub(`1`, "k")})[0].Err)
	require.Len(t, f.keys.confirmed, 1)
}

func TestWithoutDatabaseOnlyKeysFail(t *testing.T) {
	t.Parallel()
	f := newFixture()
	f.keys.claimErr = domain.New(domain.ErrUnavailable, "database_unavailable", "Away.")
	receipts := f.Publish(t.Context(), f.tenant, []domain.Submission{sub(`1`, ""), sub(`2`, "k"), sub(`2`, "k"), sub(`3`, "")})
	require.NoError(t, receipts[0].Err)
	for _, r := range receipts[1:3] {
		var problem *domain.Error
		require.ErrorAs(t, r.Err, &problem)
		require.Equal(t, domain.ErrUnavailable, problem.Kind)
		require.Positive(t, problem.RetryAfter)
	}
	require.NoError(t, receipts[3].Err)
	require.Len(t, f.broker.published, 2)
}

func TestNothingHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		f.broker.hang, f.keys.hang = true, true
		begun := time.Now()
		receipts := f.Publish(t.Context(), f.tenant, []domain.Submission{sub(`1`, "k"), sub(`2`, "")})
		require.ErrorIs(t, receipts[0].Err, domain.ErrUnavailable)
		require.ErrorIs(t, receipts[1].Err, domain.ErrUnavailable)
		require.Less(t, time.Since(begun), 6*time.Second)

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun = time.Now()
		f.Publish(ctx, f.tenant, []domain.Submission{sub(`2`, "")})
		require.Equal(t, time.Second, time.Since(begun), "the caller's deadline holds")
	})
}

func TestBacklogLimit(t *testing.T) {
	t.Parallel()
	var depth int64
	known := true
	f := newFixture(func(o *message.Options) {
		o.MaxBacklog = 10
		o.Depth = func(uuid.UUID) (int64, bool) { return depth, known }
	})
	for _, c := range []struct {
		depth int64
		known bool
		full  bool
	}{{9, true, false}, {10, true, true}, {11, true, true}, {11, false, false}} {
		depth, known = c.depth, c.known
		err := f.Publish(t.Context(), f.tenant, []domain.Submission{sub(`1`, "")})[0].Err
		if !c.full {
			require.NoError(t, err)
			continue
		}
		require.ErrorIs(t, err, domain.ErrLimited)
		require.Equal(t, "backlog_full", domain.CodeOf(err))
	}
	require.Equal(t, map[string]int{"accepted": 2, "limited": 2}, f.observer.counts)
}

func BenchmarkPublish(b *testing.B) {
	f := newFixture()
	f.broker.fail = func(domain.Outgoing) error { return errors.New("not kept") }
	batch := make([]domain.Submission, 1000)
	for i := range batch {
		batch[i] = sub(`{"text":"`+strings.Repeat("x", 240)+`"}`, "")
	}
	for b.Loop() {
		f.Publish(b.Context(), f.tenant, batch)
	}
	b.ReportMetric(float64(b.N*len(batch))/b.Elapsed().Seconds(), "messages/s")
}

package delivery_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/pkg/webhook"
	"lanekeeper/repository"
	"lanekeeper/service/delivery"
	"lanekeeper/tests/servicetest"
)

const long = 30 * time.Second

// world is a database, and replicas that deliver.
type world struct {
	t     testing.TB
	store *repository.Store
	pool  *pgxpool.Pool
}

func newWorld(t testing.TB) *world {
	t.Helper()
	url := devtest.Postgres(t)
	store := servicetest.NewStore(t, repository.Options{URL: url})
	_, err := store.KeepAttemptDays(t.Context(), 7)
	require.NoError(t, err)
	pool, err := pgxpool.New(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return &world{t: t, store: store, pool: pool}
}

func (w *world) newTenant(workers int) domain.Tenant {
	w.t.Helper()
	tenant, err := domain.NewTenant{Name: "Acme"}.Build(uuid.Nil, workers, time.Now())
	require.NoError(w.t, err)
	tenant.Status = domain.TenantActive
	require.NoError(w.t, w.store.InsertTenant(w.t.Context(), tenant, nil))
	require.NoError(w.t, w.store.CreatePartition(w.t.Context(), tenant.ID))
	return tenant
}

// endpoint makes an endpoint; change may be nil.
func (w *world) endpoint(tenant domain.Tenant, url string, change func(*domain.Endpoint)) domain.Endpoint {
	w.t.Helper()
	e := domain.Endpoint{
		ID: uuid.New(), TenantID: tenant.ID, URL: url, Timeout: 5 * time.Second, Ordering: domain.OrderingNone,
		OnFailure: domain.FailureBlocks, Retry: domain.DefaultRetryPolicy(), Secret: []byte("0123456789abcdef0123456789abcdef"),
		Status: domain.EndpointActive,
	}
	if change != nil {
		change(&e)
	}
	stored, err := w.store.InsertEndpoint(w.t.Context(), e, domain.NewCursor{})
	require.NoError(w.t, err)
	return stored
}

// publish stores n messages whose payloads are their numbers, from first on.
func (w *world) publish(tenant domain.Tenant, first, n int, change func(i int, m *domain.Message)) {
	w.t.Helper()
	for n > 0 {
		batch := make([]domain.Message, 0, 500)
		for len(batch) < min(n, 500) {
			m := domain.Message{ID: uuid.New(), TenantID: tenant.ID, Payload: []byte(strconv.Itoa(first))}
			if change != nil {
				change(first, &m)
			}
			batch = append(batch, m)
			first++
		}
		_, err := w.store.AppendMessages(w.t.Context(), batch)
		require.NoError(w.t, err)
		n -= len(batch)
	}
}

// replica is a Service that runs.
type replica struct {
	*delivery.Service
	w    *world
	stop func()
	kill func()
}

// start starts a replica; it ends with the test.
func (w *world) start(name string, change func(*delivery.Options)) *replica {
	w.t.Helper()
	o := delivery.Options{
		Replica: name, Deliveries: w.store, Tails: behind{}, Metrics: quiet{}, ProbeEvery: 200 * time.Millisecond,
		Sender: webhook.NewClient(webhook.ClientOptions{AllowPrivate: true}), Log: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&o)
	}
	r := &replica{Service: delivery.New(o), w: w}
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	done := make(chan struct{})
	go func() { defer close(done); r.Run(ctx) }()
	r.stop = sync.OnceFunc(func() { cancel(); <-done })
	w.t.Cleanup(r.stop)
	return r
}

// change changes an endpoint, and has all replicas notice.
func (w *world) change(e domain.Endpoint, change func(*domain.Endpoint), replicas ...*replica) domain.Endpoint {
	w.t.Helper()
	changed, err := w.store.ChangeEndpoint(w.t.Context(), e.TenantID, e.ID, func(e *domain.Endpoint) error { change(e); return nil })
	require.NoError(w.t, err)
	for _, r := range replicas {
		r.Follow(e.TenantID)
	}
	return changed
}

func (w *world) progress(e domain.Endpoint) *domain.EndpointProgress {
	w.t.Helper()
	all, err := w.store.EndpointProgress(w.t.Context(), e.TenantID, []uuid.UUID{e.ID})
	require.NoError(w.t, err)
	p := all[e.ID]
	return &p
}

// awaitProgress waits until an endpoint has come so far.
func (w *world) awaitProgress(e domain.Endpoint, so func(p *domain.EndpointProgress) bool) {
	w.t.Helper()
	await(w.t, func() error {
		if p := w.progress(e); !so(p) {
			return fmt.Errorf("%w: %+v", errNotYet, *p)
		}
		return nil
	})
}

// awaitCaughtUp waits until the endpoint has got all messages.
func (w *world) awaitCaughtUp(e domain.Endpoint) {
	w.t.Helper()
	w.awaitProgress(e, func(p *domain.EndpointProgress) bool { return p.Lag() == 0 })
}

// awaitBreaker waits until the breaker of an endpoint is open.
func (w *world) awaitBreaker(e domain.Endpoint) {
	w.t.Helper()
	w.awaitProgress(e, func(p *domain.EndpointProgress) bool { return !p.Health.BreakerOpenedAt.IsZero() })
}

func (w *world) letters(tenant domain.Tenant) []domain.DeadLetter {
	w.t.Helper()
	letters, _, err := w.store.ListDeadLetters(w.t.Context(), domain.DeadLetterQuery{TenantID: tenant.ID, Limit: 5000, Replayed: true})
	require.NoError(w.t, err)
	return letters
}

func (w *world) count(query string) int {
	w.t.Helper()
	var n int
	require.NoError(w.t, w.pool.QueryRow(w.t.Context(), query).Scan(&n))
	return n
}

var errNotYet = errors.New("not yet")

func await(t testing.TB, condition func() error) {
	t.Helper()
	var err error
	require.Eventually(t, func() bool { err = condition(); return err == nil }, long, 10*time.Millisecond, "%v", errText{&err})
}

type errText struct{ err *error }

func (e errText) String() string { return fmt.Sprint(*e.err) }

// receiver is an endpoint's server.
type receiver struct {
	*httptest.Server
	answer atomic.Pointer[http.HandlerFunc]

	mu       sync.Mutex
	got      []int // the payloads, in the order in which they were answered with 2xx
	tries    map[int]int
	now, top int
	at       []time.Time
}

func newReceiver(t testing.TB) *receiver {
	t.Helper()
	r := &receiver{tries: make(map[int]int)}
	r.Server = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(r.Close)
	r.answers(http.StatusOK)
	return r
}

func (r *receiver) answers(status int) {
	r.does(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
}

func (r *receiver) does(answer http.HandlerFunc) { r.answer.Store(&answer) }

func (r *receiver) serve(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return
	}
	var n int
	_ = json.Unmarshal(body, &n)
	r.mu.Lock()
	r.tries[n]++
	r.now++
	r.top = max(r.top, r.now)
	r.at = append(r.at, time.Now())
	r.mu.Unlock()
	defer func() { r.mu.Lock(); r.now--; r.mu.Unlock() }()
	recorder := &status{ResponseWriter: w}
	(*r.answer.Load())(recorder, request.WithContext(context.WithValue(request.Context(), numberKey{}, n)))
	if recorder.code/100 == 2 {
		r.mu.Lock()
		r.got = append(r.got, n)
		r.mu.Unlock()
	}
}

type numberKey struct{}

// number returns the payload of a request to a receiver.
func number(r *http.Request) int { n, _ := r.Context().Value(numberKey{}).(int); return n }

type status struct {
	http.ResponseWriter
	code int
}

func (s *status) WriteHeader(code int) { s.code = code; s.ResponseWriter.WriteHeader(code) }

// taken returns what was taken, in order.
func (r *receiver) taken() []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]int(nil), r.got...)
}

// awaitTaken waits until so many were taken.
func (r *receiver) awaitTaken(t testing.TB, n int) {
	t.Helper()
	await(t, func() error {
		if taken := r.taken(); len(taken) < n {
			return fmt.Errorf("%w: %v", errNotYet, taken)
		}
		return nil
	})
}

// times returns how often each was tried.
func (r *receiver) times() map[int]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.tries)
}

// most returns how many there were at a time at most, and counts anew.
func (r *receiver) most() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	top := r.top
	r.top = r.now
	return top
}

// behind is what readers find who have to read the database for everything.
type behind struct{}

func (behind) Open(uuid.UUID) domain.Tail { return behind{} }
func (behind) After(cursor int64, _, _ int) domain.TailView {
	return domain.TailView{Behind: true, Last: cursor}
}
func (behind) Close() {}

type quiet struct{}

func (quiet) AddDeliveries(uuid.UUID, string, int) {}
func (quiet) ObserveDelivery(float64)              {}

package fleet

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"lanekeeper/domain"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// table is the database of a test: replicas, and what they reported. The test
// may break it.
type table struct {
	mu      sync.Mutex
	rows    map[string]row
	reports map[uuid.UUID]domain.ConsumerStatus
	calls   []reportCall

	jump     time.Duration // how far its clock has jumped
	down     bool          // nothing works
	readOnly bool          // rows cannot be written
	locked   uuid.UUID     // whose report cannot be written
	frozen   bool          // calls do not return, until their context ends
	late     bool          // a call that was given up in a freeze is done nevertheless
}

type row struct {
	address string
	seen    time.Time
	reaches bool
}

type reportCall struct {
	replica string
	changed []domain.ConsumerStatus
	ended   []uuid.UUID
}

func newTable() *table {
	return &table{rows: make(map[string]row), reports: make(map[uuid.UUID]domain.ConsumerStatus)}
}

func (b *table) set(change func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change()
}

func (b *table) now() time.Time { return time.Now().Add(b.jump) }

// open locks the table, unless it is broken.
func (b *table) open(ctx context.Context, write bool) (done func(), err error) {
	b.mu.Lock()
	if b.frozen {
		late := b.late
		b.mu.Unlock()
		<-ctx.Done()
		if late {
			<-time.After(10 * time.Millisecond)
			b.mu.Lock()
			return b.mu.Unlock, nil
		}
		return nil, domain.Wrap(ctx.Err(), domain.ErrUnavailable, "database_unavailable", "frozen")
	}
	if b.down || b.readOnly && write {
		b.mu.Unlock()
		return nil, domain.New(domain.ErrUnavailable, "database_unavailable", "down")
	}
	return b.mu.Unlock, nil
}

func (b *table) live(ttl time.Duration) []string {
	var names []string
	for name, r := range b.rows {
		if age := b.now().Sub(r.seen); age < ttl && age > -ttl {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (b *table) Heartbeat(ctx context.Context, r domain.Replica, ttl time.Duration) ([]string, error) {
	done, err := b.open(ctx, true)
	if err != nil {
		return nil, err
	}
	defer done()
	maps.DeleteFunc(b.rows, func(_ string, other row) bool { return other.address == r.Address })
	for name, other := range b.rows {
		if age := b.now().Sub(other.seen); age <= -time.Second {
			b.rows[name] = row{address: other.address, seen: b.now().Add(-ttl), reaches: other.reaches}
		}
	}
	b.rows[r.Name] = row{address: r.Address, seen: b.now(), reaches: r.ReachesBroker}
	return b.live(ttl), nil
}

func (b *table) LiveReplicas(ctx context.Context, ttl time.Duration) ([]string, error) {
	done, err := b.open(ctx, false)
	if err != nil {
		return nil, err
	}
	defer done()
	return b.live(ttl), nil
}

func (b *table) OthersReachBroker(ctx context.Context, name string, ttl time.Duration) (bool, error) {
	done, err := b.open(ctx, false)
	if err != nil {
		return false, err
	}
	defer done()
	return slices.ContainsFunc(b.live(ttl), func(n string) bool { return n != name && b.rows[n].reaches }), nil
}

func (b *table) RemoveReplica(ctx context.Context, name string) error {
	done, err := b.open(ctx, true)
	if err != nil {
		return err
	}
	defer done()
	delete(b.rows, name)
	maps.DeleteFunc(b.reports, func(_ uuid.UUID, s domain.ConsumerStatus) bool { return s.Replica == name })
	return nil
}

func (b *table) DeleteDeadReplicas(ctx context.Context, age time.Duration) (int, error) {
	done, err := b.open(ctx, true)
	if err != nil {
		return 0, err
	}
	defer done()
	before := len(b.rows)
	maps.DeleteFunc(b.rows, func(_ string, r row) bool { return b.now().Sub(r.seen) >= age })
	return before - len(b.rows), nil
}

func (b *table) ReportConsumers(ctx context.Context, replica string, changed []domain.ConsumerStatus, ended []uuid.UUID) error {
	done, err := b.open(ctx, true)
	if err != nil {
		return err
	}
	defer done()
	if slices.ContainsFunc(changed, func(c domain.ConsumerStatus) bool { return c.TenantID == b.locked }) {
		return domain.New(domain.ErrUnavailable, "database_unavailable", "locked")
	}
	b.calls = append(b.calls, reportCall{replica, slices.Clone(changed), slices.Clone(ended)})
	for _, id := range ended {
		if b.reports[id].Replica == replica {
			delete(b.reports, id)
		}
	}
	for _, s := range changed {
		if s.State == "draining" && b.reports[s.TenantID].Replica != replica && b.reports[s.TenantID].Replica != "" {
			continue
		}
		s.Replica = replica
		b.reports[s.TenantID] = s
	}
	return nil
}

func (b *table) ConsumerReports(ctx context.Context, ids []uuid.UUID, ttl time.Duration) (map[uuid.UUID]domain.ConsumerStatus, error) {
	done, err := b.open(ctx, false)
	if err != nil {
		return nil, err
	}
	defer done()
	found := make(map[uuid.UUID]domain.ConsumerStatus)
	for id, s := range b.reports {
		if slices.Contains(ids, id) && slices.Contains(b.live(ttl), s.Replica) {
			found[id] = s
		}
	}
	return found, nil
}

func (b *table) ConsumerDepths(ctx context.Context, ttl time.Duration) (map[uuid.UUID]int64, error) {
	done, err := b.open(ctx, false)
	if err != nil {
		return nil, err
	}
	defer done()
	found := make(map[uuid.UUID]int64)
	for id, s := range b.reports {
		if s.Depth >= 0 && slices.Contains(b.live(ttl), s.Replica) {
			found[id] = s.Depth
		}
	}
	return found, nil
}

// replica is one process of a test's fleet.
type replica struct {
	*Fleet
	name string
	kill func() // ends it without a word, and waits

	cut atomic.Bool // from the broker

	mu        sync.Mutex
	changes   int
	consumers []domain.ConsumerStatus
}

// join starts a replica with an address of its own.
func joinFleet(t testing.TB, b *table, name string) *replica {
	t.Helper()
	return joinAt(t, b, name, name+":8080")
}

func joinAt(t testing.TB, b *table, name, address string) *replica {
	t.Helper()
	r := newReplica(b, name, address)
	r.start(t)
	return r
}

func newReplica(b *table, name, address string) *replica {
	r := &replica{name: name}
	r.Fleet = New(Options{
		Replica: domain.Replica{Name: name, Address: address}, Replicas: b, Reports: b, TrackDepths: true,
		Consumers: func() []domain.ConsumerStatus {
			r.mu.Lock()
			defer r.mu.Unlock()
			return slices.Clone(r.consumers)
		},
		Changed: func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.changes++
		},
		Reaches: func() bool { return !r.cut.Load() },
		Log:     slog.New(slog.DiscardHandler),
	})
	return r
}

func (r *replica) start(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { r.Run(ctx) })
	r.kill = func() {
		cancel()
		wg.Wait()
	}
	t.Cleanup(r.kill)
}

// joinAll starts replicas and returns when they know each other.
func joinAll(t testing.TB, b *table, names ...string) []*replica {
	t.Helper()
	replicas := make([]*replica, len(names))
	for i, name := range names {
		replicas[i] = joinFleet(t, b, name)
	}
	pass(2 * readEvery)
	for _, r := range replicas {
		requireMembers(t, r, names...)
	}
	return replicas
}

func (r *replica) run(consumers ...domain.ConsumerStatus) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.consumers = consumers
}

// told returns how often the replica was told of changes.
func (r *replica) told() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changes
}

func (r *replica) list() []string {
	m := r.members.Load()
	if m == nil {
		return nil
	}
	return m.Names()
}

func requireMembers(t testing.TB, r *replica, names ...string) {
	t.Helper()
	require.ElementsMatch(t, names, r.list(), "as %s sees it", r.name)
}

// pass lets time pass, on the bubble's clock.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func newIDs(t testing.TB, n int) []uuid.UUID {
	t.Helper()
	ids := make([]uuid.UUID, n)
	for i := range ids {
		id, err := uuid.NewV7()
		require.NoError(t, err)
		ids[i] = id
	}
	return ids
}

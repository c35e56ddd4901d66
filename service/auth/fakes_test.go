package auth

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

// cheap keeps the tests from waiting for hashes.
var cheap = Cost{Time: 1, MemoryKiB: 64, Threads: 1}

var (
	secretA = []byte("a secret of at least thirty-two bytes: A")
	secretB = []byte("a secret of at least thirty-two bytes: B")
)

// memory is a UserRepository and a tenantDirectory in memory. While err is set
// every call answers with it.
type memory struct {
	mu      sync.Mutex
	users   map[uuid.UUID]domain.User
	tenants map[uuid.UUID]domain.Tenant
	err     error
	finds   int
	forms   []string // outdated forms of passwords
	asked   int      // how often they were asked for
	// block, when set, holds FindUser until it is closed or ctx ends.
	block chan struct{}
}

func newMemory() *memory {
	return &memory{users: map[uuid.UUID]domain.User{}, tenants: map[uuid.UUID]domain.Tenant{}}
}

func (m *memory) set(fn func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	fn()
}

func (m *memory) InsertUser(_ context.Context, u domain.User) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, other := range m.users {
		if other.Email == u.Email {
			return domain.New(domain.ErrConflict, "email_taken", "Another user has this address.")
		}
	}
	if m.err != nil {
		return m.err
	}
	m.users[u.ID] = u
	return nil
}

func (m *memory) FindUser(ctx context.Context, id uuid.UUID) (domain.User, error) {
	m.mu.Lock()
	m.finds++
	block := m.block
	m.mu.Unlock()
	if block != nil {
		select {
		case <-block:
		case <-ctx.Done():
			return domain.User{}, ctx.Err()
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return domain.User{}, m.err
	}
	if u, ok := m.users[id]; ok {
		return u, nil
	}
	return domain.User{}, domain.UserNotFound()
}

func (m *memory) FindUserByEmail(_ context.Context, email string) (domain.User, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return domain.User{}, m.err
	}
	for _, u := range m.users {
		if u.Email == email {
			return u, nil
		}
	}
	return domain.User{}, domain.UserNotFound()
}

func (m *memory) ListUsers(_ context.Context, after uuid.UUID, limit int) ([]domain.User, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []domain.User
	for _, u := range m.users {
		if bytes.Compare(u.ID[:], after[:]) > 0 {
			list = append(list, u)
		}
	}
	slices.SortFunc(list, func(a, b domain.User) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return list[:min(limit, len(list))], m.err
}

func (m *memory) ChangeUser(_ context.Context, id uuid.UUID, change func(*domain.User) error) (domain.User, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	u, ok := m.users[id]
	if !ok {
		return domain.User{}, domain.UserNotFound()
	}
	if m.err != nil {
		return domain.User{}, m.err
	}
	if err := change(&u); err != nil {
		return domain.User{}, err
	}
	m.users[id] = u
	return u, nil
}

func (m *memory) DeleteUser(_ context.Context, id uuid.UUID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.users[id]; !ok {
		return domain.UserNotFound()
	}
	delete(m.users, id)
	return m.err
}

func (m *memory) OutdatedPasswordForms(_ context.Context, limit int) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked++
	return m.forms[:min(limit, len(m.forms))], m.err
}

func (m *memory) Lookup(_ context.Context, id uuid.UUID) (domain.Tenant, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t, ok := m.tenants[id]; ok {
		return t, nil
	}
	return domain.Tenant{}, domain.TenantNotFound()
}

// failures is a LoginFailureRepository in memory, with a clock that can be moved.
type failures struct {
	mu    sync.Mutex
	until map[string]time.Time
	now   func() time.Time
	err   error
	added int
}

func newFailures(now func() time.Time) *failures {
	return &failures{until: map[string]time.Time{}, now: now}
}

func (f *failures) counter(key []byte) time.Duration {
	return max(0, f.until[string(key)].Sub(f.now()))
}

func (f *failures) LoginFailures(_ context.Context, keys [][]byte) ([]time.Duration, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	counters := make([]time.Duration, len(keys))
	for i, key := range keys {
		counters[i] = f.counter(key)
	}
	return counters, f.err
}

func (f *failures) AddLoginFailures(_ context.Context, added []domain.LoginFailure) ([]time.Duration, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.added++
	counters := make([]time.Duration, len(added))
	for i, a := range added {
		counters[i] = min(f.counter(a.Key)+a.Step, a.Most)
		f.until[string(a.Key)] = f.now().Add(counters[i])
	}
	return counters, f.err
}

func (f *failures) ForgiveLoginFailures(_ context.Context, forgiven []domain.LoginFailure) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range forgiven {
		f.until[string(a.Key)] = f.until[string(a.Key)].Add(-a.Step)
	}
	return f.err
}

func (f *failures) DeleteForgottenLoginFailures(_ context.Context, limit int) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for key, until := range f.until {
		if n < limit && !until.After(f.now()) {
			delete(f.until, key)
			n++
		}
	}
	return n, f.err
}

// clock is a clock that stands still until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// bench is a Service with what it stands on.
type bench struct {
	*Service

	mem      *memory
	failures *failures
	clock    *clock
	logs     *strings.Builder
}

func newBench(t *testing.T, change ...func(*Options)) *bench {
	t.Helper()
	b := &bench{mem: newMemory(), clock: &clock{now: time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)}, logs: &strings.Builder{}}
	b.failures = newFailures(b.clock.Now)
	o := Options{
		Users: b.mem, Failures: b.failures, Tenants: b.mem, Secrets: Fixed(secretA), Issuer: "lanekeeper", Audience: "lanekeeper",
		Cost: cheap, Now: b.clock.Now, Log: slog.New(slog.NewTextHandler(b.logs, nil)),
	}
	for _, c := range change {
		c(&o)
	}
	b.Service = NewService(o)
	return b
}

func (b *bench) addTenant() uuid.UUID {
	id := uuid.Must(uuid.NewV7())
	b.mem.set(func() { b.mem.tenants[id] = domain.Tenant{ID: id, Status: domain.TenantActive} })
	return id
}

//go:fix inline
func ptr[T any](v T) *T { return new(v) }

func (b *bench) addUser(t *testing.T, email string, change ...func(*domain.UserChange)) domain.User {
	t.Helper()
	c := domain.UserChange{Name: new("Ada"), Email: &email, Password: new("correct horse battery")}
	for _, f := range change {
		f(&c)
	}
	u, err := b.CreateUser(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

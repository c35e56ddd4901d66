package auth

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// keyMemory is an APIKeyRepository in memory. While err is set every call answers with
// it.
type keyMemory struct {
	mu    sync.Mutex
	keys  map[uuid.UUID]domain.APIKey
	uses  []map[uuid.UUID]time.Time
	err   error
	finds int
	// block, when set, holds FindAPIKey until it is closed or ctx ends; atOnce is how
	// many were held at most.
	block        chan struct{}
	held, atOnce int
}

func (m *keyMemory) set(fn func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	fn()
}

func (m *keyMemory) asked() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.finds
}

func (m *keyMemory) InsertAPIKey(_ context.Context, k domain.APIKey) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil {
		m.keys[k.ID] = k
	}
	return m.err
}

func (m *keyMemory) FindAPIKey(ctx context.Context, id uuid.UUID) (domain.APIKey, error) {
	m.mu.Lock()
	m.finds++
	m.held++
	m.atOnce = max(m.atOnce, m.held)
	block := m.block
	m.mu.Unlock()
	if block != nil {
		select {
		case <-block:
		case <-ctx.Done():
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held--
	if m.err != nil {
		return domain.APIKey{}, m.err
	}
	if k, ok := m.keys[id]; ok {
		return k, nil
	}
	return domain.APIKey{}, domain.APIKeyNotFound()
}

func (m *keyMemory) list(has func(*domain.APIKey) bool) ([]domain.APIKey, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var keys []domain.APIKey
	for _, k := range m.keys {
		if has(&k) {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b domain.APIKey) int { return slices.Compare(a.ID[:], b.ID[:]) })
	return keys, m.err
}

func (m *keyMemory) ListTenantAPIKeys(_ context.Context, id uuid.UUID) ([]domain.APIKey, error) {
	return m.list(func(k *domain.APIKey) bool { return k.TenantID == id })
}

func (m *keyMemory) ListOwnerAPIKeys(_ context.Context, id uuid.UUID) ([]domain.APIKey, error) {
	return m.list(func(k *domain.APIKey) bool { return k.TenantID == uuid.Nil && k.OwnerID == id })
}

func (m *keyMemory) DeleteAPIKey(_ context.Context, id uuid.UUID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.keys, id)
	return m.err
}

func (m *keyMemory) RecordAPIKeyUses(_ context.Context, uses map[uuid.UUID]time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil {
		m.uses = append(m.uses, uses)
	}
	return m.err
}

func (m *keyMemory) DeleteDeadAPIKeys(context.Context, time.Duration, int) (int, error) {
	return 0, nil
}

// FindTenant makes memory a domain.TenantFinder.
func (m *memory) FindTenant(ctx context.Context, id uuid.UUID) (domain.Tenant, error) {
	return m.Lookup(ctx, id)
}

// keyBench is a bench with keys, a user who owns a tenant, and another one.
type keyBench struct {
	*bench

	keyMem *keyMemory
	keys   *APIKeys
	ada    domain.User
	acme   uuid.UUID
}

func newKeyBench(t *testing.T, change ...func(*Options)) *keyBench {
	t.Helper()
	k := &keyBench{keyMem: &keyMemory{keys: make(map[uuid.UUID]domain.APIKey)}}
	k.bench = newBench(t, append(change, func(o *Options) {
		users, ok := o.Users.(*memory)
		require.True(t, ok)
		k.keys = NewAPIKeys(APIKeyOptions{Keys: k.keyMem, Users: users, Tenants: users, OpenMode: o.OpenMode, Now: o.Now, Log: o.Log})
		o.Keys = k.keys
	})...)
	k.ada = k.addUser(t, "owner@example.com")
	k.acme = k.addOwned(k.ada.ID)
	return k
}

// addOwned adds a tenant that a user owns.
func (k *keyBench) addOwned(owner uuid.UUID) uuid.UUID {
	id := k.addTenant()
	k.mem.set(func() {
		tenant := k.mem.tenants[id]
		tenant.OwnerID = owner
		k.mem.tenants[id] = tenant
	})
	return id
}

func (k *keyBench) tenant(id uuid.UUID) *domain.Tenant {
	k.mem.mu.Lock()
	defer k.mem.mu.Unlock()
	tenant := k.mem.tenants[id]
	return &tenant
}

// changeUser changes a user as somebody with SQL would, and tells the service.
func (k *keyBench) changeUser(id uuid.UUID, change func(*domain.User)) {
	k.mem.set(func() {
		u := k.mem.users[id]
		change(&u)
		k.mem.users[id] = u
	})
	k.Forget(id)
}

// principal is who a user is that has logged in.
func principal(u *domain.User) domain.Principal {
	return domain.Principal{UserID: u.ID, Role: u.Role, TenantID: u.TenantID}
}

// issue makes a key, and returns its text.
func (k *keyBench) issue(t *testing.T, p domain.Principal, tenantID uuid.UUID, scopes ...string) (domain.APIKey, string) {
	t.Helper()
	key, text, err := k.keys.Create(t.Context(), p, tenantID, domain.NewAPIKey{Name: new("shop"), Scopes: scopes})
	require.NoError(t, err)
	return key, text
}

// by returns who calls with a key.
func (k *keyBench) by(t *testing.T, text string) domain.Principal {
	t.Helper()
	p, err := k.Authenticate(t.Context(), "Bearer "+text)
	require.NoError(t, err)
	return p
}

// refused requires a key to be refused as all that do not count are.
func (k *keyBench) refused(t *testing.T, text, why string) {
	t.Helper()
	_, err := k.Authenticate(t.Context(), text)
	require.ErrorIs(t, err, domain.ErrUnauthenticated, why)
	require.Equal(t, keyInvalid().Error(), err.Error(), why)
}

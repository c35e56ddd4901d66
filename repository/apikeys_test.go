package repository

import (
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

func newAPIKey(t testing.TB, change ...func(*domain.APIKey)) domain.APIKey {
	t.Helper()
	k := domain.APIKey{
		ID: newID(t), Hash: []byte("a hash of thirty-two bytes......"), Name: "shop", TenantID: newID(t), OwnerID: newID(t), CreatedBy: newID(t),
		Scopes: domain.ScopePublish | domain.ScopeManage, ExpiresAt: time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond),
		CreatedAt: time.Now().UTC().Truncate(time.Microsecond),
	}
	for _, c := range change {
		c(&k)
	}
	return k
}

func TestAPIKeyIsKept(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	ofTenant := newAPIKey(t)
	ofOwner := newAPIKey(t, func(k *domain.APIKey) { k.TenantID, k.ExpiresAt, k.OwnerID = uuid.Nil, time.Time{}, ofTenant.OwnerID })
	ofNobody := newAPIKey(t, func(k *domain.APIKey) { k.TenantID, k.OwnerID, k.CreatedBy = uuid.Nil, uuid.Nil, uuid.Nil })
	for _, k := range []domain.APIKey{ofTenant, ofOwner, ofNobody} {
		require.NoError(t, d.store.InsertAPIKey(t.Context(), k))
		found, err := d.store.FindAPIKey(t.Context(), k.ID)
		require.NoError(t, err)
		require.Equal(t, k, found)
	}
	_, err := d.store.FindAPIKey(t.Context(), newID(t))
	require.ErrorIs(t, err, domain.ErrNotFound)

	for name, list := range map[string]struct {
		list func() ([]domain.APIKey, error)
		want []domain.APIKey
	}{
		"of the tenant": {func() ([]domain.APIKey, error) { return d.store.ListTenantAPIKeys(t.Context(), ofTenant.TenantID) }, []domain.APIKey{ofTenant}},
		"of the owner":  {func() ([]domain.APIKey, error) { return d.store.ListOwnerAPIKeys(t.Context(), ofOwner.OwnerID) }, []domain.APIKey{ofOwner}},
		"of nobody":     {func() ([]domain.APIKey, error) { return d.store.ListOwnerAPIKeys(t.Context(), uuid.Nil) }, []domain.APIKey{ofNobody}},
		"of another":    {func() ([]domain.APIKey, error) { return d.store.ListTenantAPIKeys(t.Context(), ofOwner.OwnerID) }, []domain.APIKey{}},
	} {
		keys, err := list.list()
		require.NoError(t, err, name)
		require.Equal(t, list.want, keys, name)
	}

	require.NoError(t, d.store.DeleteAPIKey(t.Context(), ofTenant.ID))
	require.ErrorIs(t, d.store.DeleteAPIKey(t.Context(), ofTenant.ID), domain.ErrNotFound)
}

// However many are made at once, there are never more than there may be; and each
// tenant, each owner and nobody have their own.
func TestAPIKeysAreCounted(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	tenant, owner := newID(t), newID(t)
	for name, whose := range map[string]func(*domain.APIKey){
		"tenant": func(k *domain.APIKey) { k.TenantID, k.OwnerID = tenant, owner },
		"owner":  func(k *domain.APIKey) { k.TenantID, k.OwnerID = uuid.Nil, owner },
		"nobody": func(k *domain.APIKey) { k.TenantID, k.OwnerID = uuid.Nil, uuid.Nil },
	} {
		fill := func(n int) (refused int) {
			var mu sync.Mutex
			var wg sync.WaitGroup
			work := make(chan domain.APIKey)
			for range 4 {
				wg.Go(func() {
					for k := range work {
						if err := d.store.InsertAPIKey(t.Context(), k); err != nil {
							mu.Lock()
							refused++
							mu.Unlock()
							if domain.CodeOf(err) != "quota_exceeded" {
								t.Error(name, err)
							}
						}
					}
				})
			}
			for range n {
				work <- newAPIKey(t, whose)
			}
			close(work)
			wg.Wait()
			return refused
		}
		require.Equal(t, 5, fill(domain.MaxAPIKeys+5), name)
		err := d.store.InsertAPIKey(t.Context(), newAPIKey(t, whose))
		require.ErrorIs(t, err, domain.ErrLimited, name)
	}
}

func TestUsesOfAPIKeys(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	heard, _ := watch(t, d.store)
	one, two := newAPIKey(t), newAPIKey(t)
	for _, k := range []domain.APIKey{one, two} {
		require.NoError(t, d.store.InsertAPIKey(t.Context(), k))
	}
	now := time.Now().UTC().Truncate(time.Minute)
	record := func(uses map[uuid.UUID]time.Time) {
		t.Helper()
		require.NoError(t, d.store.RecordAPIKeyUses(t.Context(), uses))
	}
	record(nil)
	record(map[uuid.UUID]time.Time{one.ID: now, two.ID: now, newID(t): now})
	record(map[uuid.UUID]time.Time{one.ID: now.Add(-time.Hour), two.ID: now.Add(time.Minute)})
	for id, want := range map[uuid.UUID]time.Time{one.ID: now, two.ID: now.Add(time.Minute)} {
		found, err := d.store.FindAPIKey(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, want, found.LastUsedAt)
	}
	// Nobody is told of that, and of new keys, but of everything else.
	conn := d.connect(t)
	for _, sql := range []string{`UPDATE api_keys SET scopes = '{read}'`, `UPDATE api_keys SET expires_at = now()`, `UPDATE api_keys SET hash = 'x'`, `DELETE FROM api_keys`} {
		_, err := conn.Exec(t.Context(), sql)
		require.NoError(t, err)
		requireChanges(t, heard, domain.Change{Kind: domain.APIKeyChanged, ID: one.ID}, domain.Change{Kind: domain.APIKeyChanged, ID: two.ID})
	}
	_, err := conn.Exec(t.Context(), `TRUNCATE api_keys`)
	require.NoError(t, err)
	requireChanges(t, heard, domain.Change{Kind: domain.AnythingChanged})
}

func TestDeadAPIKeysAreDeleted(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	ann := newUser(t, "ann@example.com")
	require.NoError(t, d.store.InsertUser(t.Context(), ann))
	alive, gone := newID(t), newID(t)
	conn := d.connect(t)
	for _, sql := range []string{insertTenant(alive), insertTenant(gone), `UPDATE tenants SET status = 'deleted' WHERE id = '` + gone.String() + `'`} {
		_, err := conn.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	insert := func(change ...func(*domain.APIKey)) uuid.UUID {
		t.Helper()
		k := newAPIKey(t, append([]func(*domain.APIKey){func(k *domain.APIKey) { k.TenantID, k.OwnerID = alive, ann.ID }}, change...)...)
		require.NoError(t, d.store.InsertAPIKey(t.Context(), k))
		return k.ID
	}
	kept := []uuid.UUID{
		insert(),
		insert(func(k *domain.APIKey) { k.TenantID = uuid.Nil }),
		insert(func(k *domain.APIKey) { k.OwnerID = uuid.Nil }),
		insert(func(k *domain.APIKey) { k.ExpiresAt = time.Now().Add(-time.Hour) }),
	}
	dead := []uuid.UUID{
		insert(func(k *domain.APIKey) { k.TenantID = gone }),
		insert(func(k *domain.APIKey) { k.TenantID = newID(t) }),
		insert(func(k *domain.APIKey) { k.OwnerID = newID(t) }),
		insert(func(k *domain.APIKey) { k.ExpiresAt = time.Now().Add(-25 * time.Hour) }),
	}
	n, err := d.store.DeleteDeadAPIKeys(t.Context(), 24*time.Hour, 3)
	require.NoError(t, err)
	require.Equal(t, 3, n)
	n, err = d.store.DeleteDeadAPIKeys(t.Context(), 24*time.Hour, 100)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	for _, id := range kept {
		_, err := d.store.FindAPIKey(t.Context(), id)
		require.NoError(t, err)
	}
	for _, id := range dead {
		_, err := d.store.FindAPIKey(t.Context(), id)
		require.ErrorIs(t, err, domain.ErrNotFound)
	}
}

// A ticket that was asked for with a key is that key's. To replicas that know nothing
// of keys it is one of a token that was revoked.
func TestTicketOfAnAPIKey(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	key := newID(t)
	ticket := d.newTicket(t, func(t *domain.Ticket) { t.Holder.KeyID, t.Holder.TokenVersion = key, 0 })
	claimed, err := d.store.ClaimTicket(t.Context(), ticket.Hash, newID(t), domain.TicketFirst, lease)
	require.NoError(t, err)
	require.Equal(t, key, claimed.Holder.KeyID)
	require.Equal(t, ticket.Holder, claimed.Holder)
	var version int
	require.NoError(t, d.connect(t).QueryRow(t.Context(), `SELECT token_version FROM stream_tickets`).Scan(&version))
	require.Equal(t, -1, version)
}

package auth

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

func TestTextOfAPIKeys(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`\blk_[0-9a-f]{32}_[0-9a-f]{72}\b`) // as it is documented
	id := uuid.Must(uuid.NewV7())
	text, hash := newAPIKey(id)
	require.Equal(t, text, form.FindString("KEY="+text+";"))
	gotID, gotHash, ok := parseAPIKey(text)
	require.True(t, ok)
	require.Equal(t, id, gotID)
	require.Equal(t, hash, gotHash)
	require.Len(t, hash, 32)
	require.NotContains(t, text, fmt.Sprintf("%x", hash))
	other, otherHash := newAPIKey(id)
	require.NotEqual(t, text, other)
	require.NotEqual(t, hash, otherHash)

	for i := range text { // every mistake in one place is noticed
		for _, c := range []byte("0af_A ") {
			if wrong := text[:i] + string(c) + text[i+1:]; wrong != text {
				_, _, ok := parseAPIKey(wrong)
				require.False(t, ok, wrong)
			}
		}
	}
	nobody, _ := newAPIKey(uuid.Nil)
	for _, wrong := range []string{"", "lk_", "lk__", nobody, text + "0", text[:len(text)-1], strings.ToUpper(text), " " + text, text + "\n"} {
		_, _, ok := parseAPIKey(wrong)
		require.False(t, ok, wrong)
	}
}

func TestKeysThatDoNotCount(t *testing.T) {
	t.Parallel()
	k := newKeyBench(t)
	key, text := k.issue(t, principal(&k.ada), uuid.Nil, "read")
	unknown, _ := newAPIKey(uuid.Must(uuid.NewV7()))
	forged, _ := newAPIKey(key.ID) // its id, and another secret
	for _, wrong := range []string{unknown, forged, "lk_", "lk_" + strings.Repeat("0", 105), text + " ", text[:50], strings.Repeat("lk_", 10_000)} {
		k.refused(t, wrong, "%.200s")
	}
	for _, header := range []string{text, "Bearer " + text, "bearer  " + text} {
		p, err := k.Authenticate(t.Context(), header)
		require.NoError(t, err)
		require.Equal(t, domain.Principal{UserID: k.ada.ID, Role: domain.RoleMember, KeyID: key.ID, Scopes: domain.ScopeRead}, p)
	}
	require.NoError(t, k.keys.Revoke(t.Context(), principal(&k.ada), uuid.Nil, key.ID))
	k.refused(t, text, "revoked")
	require.NotContains(t, k.logs.String(), text)
}

func TestKeysExpire(t *testing.T) {
	t.Parallel()
	k := newKeyBench(t)
	at := k.clock.Now().Add(time.Hour)
	_, text, err := k.keys.Create(t.Context(), principal(&k.ada), uuid.Nil, domain.NewAPIKey{Name: new("x"), Scopes: []string{"read"}, ExpiresAt: new(at.Format(time.RFC3339))})
	require.NoError(t, err)
	p := k.by(t, text)
	require.Equal(t, at, p.ExpiresAt)
	k.clock.move(time.Hour - time.Nanosecond)
	k.by(t, text)
	_, err = k.Recheck(t.Context(), p)
	require.NoError(t, err)
	k.clock.move(time.Nanosecond)
	k.refused(t, text, "there is no leeway: nobody else issues keys")
	_, err = k.Recheck(t.Context(), p)
	require.Equal(t, "key_invalid", domain.CodeOf(err))
}

func TestWhatIsSaidOfKeys(t *testing.T) {
	t.Parallel()
	k := newKeyBench(t)
	viewer := k.addUser(t, "viewer@example.com", func(c *domain.UserChange) { c.Role = new("viewer") })
	long := strings.Repeat("é", domain.MaxAPIKeyNameLength)
	for name, tc := range map[string]struct {
		p        domain.Principal
		tenant   uuid.UUID
		said     domain.NewAPIKey
		pointers []string
	}{
		"nothing":         {principal(&k.ada), uuid.Nil, domain.NewAPIKey{}, []string{"/name", "/scopes"}},
		"all wrong":       {principal(&k.ada), uuid.Nil, domain.NewAPIKey{Name: new(" "), Scopes: []string{"read", "root"}, ExpiresAt: new("tomorrow")}, []string{"/name", "/scopes/1", "/expires_at"}},
		"longest name":    {principal(&k.ada), uuid.Nil, domain.NewAPIKey{Name: &long, Scopes: []string{"read"}}, nil},
		"too long a name": {principal(&k.ada), uuid.Nil, domain.NewAPIKey{Name: new(long + "x"), Scopes: []string{"read"}}, []string{"/name"}},
		"control":         {principal(&k.ada), uuid.Nil, domain.NewAPIKey{Name: new("a\x00b"), Scopes: []string{"read"}}, []string{"/name"}},
		"in the past":     {principal(&k.ada), uuid.Nil, domain.NewAPIKey{Name: new("x"), Scopes: []string{"read"}, ExpiresAt: new("2026-11-21T09:59:59Z")}, []string{"/expires_at"}},
		"now":             {principal(&k.ada), uuid.Nil, domain.NewAPIKey{Name: new("x"), Scopes: []string{"read"}, ExpiresAt: new("2026-11-21T11:00:00+01:00")}, []string{"/expires_at"}},
		"many scopes":     {principal(&k.ada), uuid.Nil, domain.NewAPIKey{Name: new("x"), Scopes: strings.Split(strings.Repeat("x ", 17), " ")}, []string{"/scopes"}},
		"provision":       {principal(&k.ada), uuid.Nil, domain.NewAPIKey{Name: new("x"), Scopes: []string{"provision"}}, nil},
		"of a tenant":     {principal(&k.ada), k.acme, domain.NewAPIKey{Name: new("x"), Scopes: []string{"publish", "provision"}}, []string{"/scopes/1"}},
		"of a viewer":     {principal(&viewer), uuid.Nil, domain.NewAPIKey{Name: new("x"), Scopes: []string{"publish", "read", "manage", "provision"}}, []string{"/scopes/0", "/scopes/2", "/scopes/3"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := k.keys.Create(t.Context(), tc.p, tc.tenant, tc.said)
			if tc.pointers == nil {
				require.NoError(t, err)
				return
			}
			require.Equal(t, tc.pointers, pointers(t, err))
		})
	}
}

// Who may make, list and revoke which keys.
func TestWhoKeepsKeys(t *testing.T) {
	t.Parallel()
	k := newKeyBench(t)
	bob := k.addUser(t, "bob@example.com")
	root := k.addUser(t, "root@example.com", func(c *domain.UserChange) { c.Role = new("admin") })
	member := k.addUser(t, "member@example.com", func(c *domain.UserChange) { c.TenantID = new(k.acme.String()) })
	viewer := k.ada
	viewer.Role = domain.RoleViewer
	own, _ := k.issue(t, principal(&k.ada), uuid.Nil, "read")
	ofTenant, text := k.issue(t, principal(&root), k.acme, "read")
	require.Equal(t, k.ada.ID, ofTenant.OwnerID, "of the owner of the tenant, whoever makes it")
	require.Equal(t, root.ID, ofTenant.CreatedBy)
	byKey := k.by(t, text)
	byKey.Role = domain.RoleAdmin // even so

	for name, tc := range map[string]struct {
		p    domain.Principal
		code string
	}{
		"stranger": {principal(&bob), "tenant_not_found"},
		"member":   {principal(&member), "forbidden"},
		"viewer":   {principal(&viewer), "forbidden"},
		"key":      {byKey, "key_not_accepted"},
	} {
		_, _, err := k.keys.Create(t.Context(), tc.p, k.acme, domain.NewAPIKey{Name: new("x"), Scopes: []string{"read"}})
		require.Equal(t, tc.code, domain.CodeOf(err), name)
		_, err = k.keys.List(t.Context(), tc.p, k.acme)
		require.Equal(t, tc.code, domain.CodeOf(err), name)
		require.Equal(t, tc.code, domain.CodeOf(k.keys.Revoke(t.Context(), tc.p, k.acme, ofTenant.ID)), name)
		_, _, err = k.keys.Create(t.Context(), byKey, uuid.Nil, domain.NewAPIKey{Name: new("x"), Scopes: []string{"read"}})
		require.Equal(t, "key_not_accepted", domain.CodeOf(err), name)
	}
	other := k.addOwned(k.ada.ID)
	for name, err := range map[string]error{
		"another's own":       k.keys.Revoke(t.Context(), principal(&bob), uuid.Nil, own.ID),
		"a tenant's as own":   k.keys.Revoke(t.Context(), principal(&k.ada), uuid.Nil, ofTenant.ID),
		"own as a tenant's":   k.keys.Revoke(t.Context(), principal(&k.ada), k.acme, own.ID),
		"of another tenant's": k.keys.Revoke(t.Context(), principal(&k.ada), other, ofTenant.ID),
		"unknown":             k.keys.Revoke(t.Context(), principal(&root), uuid.Nil, uuid.New()),
	} {
		require.Equal(t, "api_key_not_found", domain.CodeOf(err), name)
	}
	keys, err := k.keys.List(t.Context(), principal(&k.ada), k.acme)
	require.NoError(t, err)
	require.Equal(t, []domain.APIKey{ofTenant}, keys)
	keys, err = k.keys.List(t.Context(), principal(&k.ada), uuid.Nil)
	require.NoError(t, err)
	require.Equal(t, []domain.APIKey{own}, keys)
	keys, err = k.keys.List(t.Context(), principal(&bob), uuid.Nil)
	require.NoError(t, err)
	require.Empty(t, keys)
	require.NoError(t, k.keys.Revoke(t.Context(), principal(&k.ada), k.acme, ofTenant.ID))
	require.NoError(t, k.keys.Revoke(t.Context(), principal(&root), uuid.Nil, own.ID), "admins revoke anybody's")
}

// A key has what its owner has, and never more.
func TestKeysFollowTheirOwner(t *testing.T) {
	t.Parallel()
	k := newKeyBench(t)
	root := k.addUser(t, "root@example.com", func(c *domain.UserChange) { c.Role = new("admin") })
	bobs := k.addOwned(uuid.New())
	_, own := k.issue(t, principal(&k.ada), uuid.Nil, "publish", "read", "manage", "provision")
	_, ofTenant := k.issue(t, principal(&root), k.acme, "publish", "read", "manage")
	_, ofRoot := k.issue(t, principal(&root), uuid.Nil, "read", "manage")
	_, ofOrphan := k.issue(t, principal(&root), bobs, "read", "manage") // whose owner is gone

	may := func(text string, tenant uuid.UUID) (access, manage bool) {
		p := k.by(t, text)
		return p.MayAccess(k.tenant(tenant)), p.MayManage(k.tenant(tenant))
	}
	for name, tc := range map[string]struct {
		key            string
		tenant         uuid.UUID
		access, manage bool
	}{
		"own":                       {own, k.acme, true, true},
		"own, another's tenant":     {own, bobs, false, false},
		"of the tenant":             {ofTenant, k.acme, true, true},
		"of the tenant, in another": {ofTenant, bobs, false, false},
		"of an admin, in another's": {ofRoot, bobs, false, false},
		"of an admin, for a tenant": {ofOrphan, bobs, true, true},
		"of that admin, in another": {ofOrphan, k.acme, false, false},
	} {
		access, manage := may(tc.key, tc.tenant)
		require.Equal(t, tc.access, access, name)
		require.Equal(t, tc.manage, manage, name)
		require.False(t, k.by(t, tc.key).IsAdmin(), name)
	}
	require.Equal(t, domain.RoleMember, k.by(t, ofRoot).Role)
	require.Equal(t, k.acme, k.by(t, ofTenant).Home())
	id, _, _ := parseAPIKey(ofTenant)
	k.keyMem.set(func() {
		key := k.keyMem.keys[id]
		key.Scopes |= domain.ScopeProvision
		k.keyMem.keys[id] = key
	})
	k.keys.Forget(id)
	require.Equal(t, domain.ScopePublish|domain.ScopeRead|domain.ScopeManage, k.by(t, ofTenant).Scopes, "whatever its row says")

	// A smaller role.
	k.changeUser(k.ada.ID, func(u *domain.User) { u.Role = domain.RoleViewer })
	for _, text := range []string{own, ofTenant} {
		p := k.by(t, text)
		require.NoError(t, p.Permit(domain.RoleViewer, domain.ScopeRead))
		require.Equal(t, "role_insufficient", domain.CodeOf(p.Permit(domain.RoleMember, domain.ScopePublish)))
		access, manage := may(text, k.acme)
		require.True(t, access)
		require.False(t, manage)
	}
	k.changeUser(root.ID, func(u *domain.User) { u.Role = domain.RoleMember })
	access, _ := may(ofOrphan, bobs)
	require.False(t, access, "an admin no more")

	// The tenant is another's now.
	k.changeUser(k.ada.ID, func(u *domain.User) { u.Role = domain.RoleMember })
	k.mem.set(func() {
		k.mem.tenants[k.acme] = domain.Tenant{ID: k.acme, Status: domain.TenantActive, OwnerID: root.ID}
	})
	access, _ = may(ofTenant, k.acme)
	require.False(t, access)
	// It belonged to her besides, and does not any more.
	k.changeUser(k.ada.ID, func(u *domain.User) { u.TenantID = k.acme })
	access, manage := may(own, k.acme)
	require.True(t, access)
	require.False(t, manage)
	k.changeUser(k.ada.ID, func(u *domain.User) { u.TenantID = uuid.Nil })
	access, _ = may(own, k.acme)
	require.False(t, access)

	// The end of the tenant, and of the owner.
	k.mem.set(func() { k.mem.tenants[k.acme] = domain.Tenant{ID: k.acme, Status: domain.TenantDeleting} })
	k.refused(t, ofTenant, "its tenant is gone")
	k.by(t, own)
	require.NoError(t, k.DeleteUser(t.Context(), domain.Principal{}, k.ada.ID))
	k.refused(t, own, "its owner is gone")
}

// The tenant that the owner belongs to was deleted, so that its tokens are refused.
func TestKeysOfAUserWhoseTenantIsGone(t *testing.T) {
	t.Parallel()
	k := newKeyBench(t)
	home := k.addTenant()
	_, own := k.issue(t, principal(&k.ada), uuid.Nil, "read")
	k.changeUser(k.ada.ID, func(u *domain.User) { u.TenantID = home })
	k.by(t, own)
	k.mem.set(func() { delete(k.mem.tenants, home) })
	k.refused(t, own, "as are its tokens")
}

func TestKeysOfTheBuiltInAdmin(t *testing.T) {
	t.Parallel()
	k := newKeyBench(t, func(o *Options) { o.OpenMode = true })
	p, err := k.Authenticate(t.Context(), "")
	require.NoError(t, err)
	nobodys := k.addTenant()
	_, own := k.issue(t, p, uuid.Nil, "read", "provision")
	_, ofTenant := k.issue(t, p, nobodys, "read")
	for _, text := range []string{own, ofTenant} {
		by := k.by(t, text)
		require.True(t, by.MayManage(k.tenant(nobodys)))
		require.False(t, by.MayAccess(k.tenant(k.acme)))
		require.False(t, by.IsAdmin())
	}
	// They end with open mode.
	closed := newKeyBench(t)
	closed.keyMem.set(func() { closed.keyMem.keys = k.keyMem.keys })
	closed.mem.set(func() { closed.mem.tenants = k.mem.tenants })
	closed.refused(t, own, "open mode is over")
	closed.refused(t, ofTenant, "open mode is over")
	_, _, err = closed.keys.Create(t.Context(), domain.Principal{Role: domain.RoleAdmin}, nobodys, domain.NewAPIKey{Name: new("x"), Scopes: []string{"read"}})
	require.Equal(t, "no_owner", domain.CodeOf(err))
}

// With a key as with a token: no question to the database while what is known is
// fresh, and the last known state while it is away.
func TestKeysInMemory(t *testing.T) {
	t.Parallel()
	k := newKeyBench(t)
	key, text := k.issue(t, principal(&k.ada), k.acme, "read")
	p := k.by(t, text)
	for range 100 {
		require.Equal(t, p, k.by(t, text))
	}
	require.Equal(t, 1, k.keyMem.asked())
	k.clock.move(keyFresh)
	k.by(t, text)
	require.Equal(t, 2, k.keyMem.asked())

	away := domain.New(domain.ErrUnavailable, "database_unavailable", "Away.")
	k.keyMem.set(func() { k.keyMem.err = away })
	k.mem.set(func() { k.mem.err = away })
	for range 10 {
		k.clock.move(time.Minute)
		k.by(t, text)
	}
	k.keys.ForgetAll()
	k.by(t, text)
	k.keys.Forget(key.ID)
	_, err := k.Authenticate(t.Context(), text)
	require.ErrorIs(t, err, domain.ErrUnavailable)

	k.keyMem.set(func() { k.keyMem.err = nil; delete(k.keyMem.keys, key.ID) })
	k.mem.set(func() { k.mem.err = nil })
	k.keys.Forget(key.ID)
	k.refused(t, text, "deleted by another replica")
	asked := k.keyMem.asked()
	for range 100 {
		k.refused(t, text, "deleted")
	}
	require.Equal(t, asked, k.keyMem.asked(), "that there is none is known, too")
	_, err = k.Recheck(t.Context(), p)
	require.Equal(t, "key_invalid", domain.CodeOf(err))
	_, err = newBench(t).Recheck(t.Context(), p)
	require.Equal(t, "key_invalid", domain.CodeOf(err))
}

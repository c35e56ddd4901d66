package auth

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// caller logs a user in and returns who it is by its token.
func (b *bench) caller(t *testing.T, change ...func(*domain.UserChange)) domain.Principal {
	t.Helper()
	const email = "ada@example.com"
	b.addUser(t, email, change...)
	grant, err := b.IssueFor(t.Context(), email)
	require.NoError(t, err)
	p, err := b.Authenticate(t.Context(), grant.Token)
	require.NoError(t, err)
	require.Equal(t, grant.ExpiresAt, p.ExpiresAt)
	return p
}

// replica returns another service on the same database.
func (b *bench) replica(t *testing.T) *bench {
	t.Helper()
	return newBench(t, func(o *Options) { o.Users, o.Tenants, o.Now = b.mem, b.mem, b.clock.Now })
}

func TestRecheck(t *testing.T) {
	t.Parallel()
	admin := domain.Principal{Role: domain.RoleAdmin}
	for name, tc := range map[string]struct {
		spoil func(t *testing.T, b *bench, p domain.Principal)
		code  string
	}{
		"nothing happened": {func(*testing.T, *bench, domain.Principal) {}, ""},
		"name changed": {func(t *testing.T, b *bench, p domain.Principal) {
			t.Helper()
			_, err := b.ChangeUser(t.Context(), admin, p.UserID, domain.UserChange{Name: new("Bob")})
			require.NoError(t, err)
		}, ""},
		"password changed": {func(t *testing.T, b *bench, p domain.Principal) {
			t.Helper()
			_, err := b.ChangeUser(t.Context(), admin, p.UserID, domain.UserChange{Password: new("another horse battery")})
			require.NoError(t, err)
		}, "token_revoked"},
		"user deleted": {func(t *testing.T, b *bench, p domain.Principal) {
			t.Helper()
			require.NoError(t, b.DeleteUser(t.Context(), admin, p.UserID))
		}, "token_revoked"},
		"tenant deleted": {func(_ *testing.T, b *bench, p domain.Principal) {
			b.mem.set(func() { b.mem.tenants[p.TenantID] = domain.Tenant{ID: p.TenantID, Status: domain.TenantDeleting} })
		}, "token_revoked"},
		"one second left": {func(_ *testing.T, b *bench, _ domain.Principal) { b.clock.move(time.Hour - time.Second) }, ""},
		"no leeway":       {func(_ *testing.T, b *bench, _ domain.Principal) { b.clock.move(time.Hour) }, "token_expired"},
		"database away": {func(_ *testing.T, b *bench, _ domain.Principal) {
			b.mem.set(func() { b.mem.err = domain.New(domain.ErrUnavailable, "database_unavailable", "Away.") })
			b.clock.move(30 * time.Minute)
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			tenant := b.addTenant()
			p := b.caller(t, func(c *domain.UserChange) { c.TenantID = new(tenant.String()) })
			tc.spoil(t, b, p)
			b.clock.move(-time.Nanosecond) // the last instant before
			if name == "no leeway" {
				_, err := b.Recheck(t.Context(), p)
				require.NoError(t, err)
			}
			b.clock.move(time.Nanosecond)
			got, err := b.Recheck(t.Context(), p)
			if tc.code != "" {
				require.ErrorIs(t, err, domain.ErrUnauthenticated)
				require.Equal(t, tc.code, domain.CodeOf(err))
				return
			}
			require.NoError(t, err)
			require.Equal(t, p, got)
		})
	}
}

// What the caller may do is what its row says now, also where somebody changed
// it by SQL without a new token version.
func TestRecheckReturnsTheCallerAsItIsNow(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.caller(t)
	tenant := b.addTenant()
	b.mem.set(func() {
		u := b.mem.users[p.UserID]
		u.Role, u.TenantID = domain.RoleViewer, tenant
		b.mem.users[p.UserID] = u
	})
	got, err := b.Recheck(t.Context(), p)
	require.NoError(t, err)
	require.Equal(t, p, got, "from memory")
	b.clock.move(accountFresh)
	p.Role, p.TenantID = domain.RoleViewer, tenant
	got, err = b.Recheck(t.Context(), p)
	require.NoError(t, err)
	require.Equal(t, p, got)
}

func TestRecheckOfTheBuiltInAdmin(t *testing.T) {
	t.Parallel()
	open := newBench(t, func(o *Options) { o.OpenMode = true })
	p, err := open.Authenticate(t.Context(), "")
	require.NoError(t, err)
	got, err := open.Recheck(t.Context(), p)
	require.NoError(t, err)
	require.Equal(t, p, got)

	p.ExpiresAt = open.clock.Now().Add(time.Second) // it came by a ticket
	got, err = open.Recheck(t.Context(), p)
	require.NoError(t, err)
	require.Equal(t, p, got)
	open.clock.move(time.Second)
	_, err = open.Recheck(t.Context(), p)
	require.Equal(t, "token_expired", domain.CodeOf(err))

	// A ticket of open mode opens nothing once there is a secret.
	_, err = newBench(t).Recheck(t.Context(), domain.Principal{Role: domain.RoleAdmin})
	require.ErrorIs(t, err, domain.ErrUnauthenticated)
}

func TestRecheckOfSomebodyUnknownWhileTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.mem.set(func() { b.mem.err = domain.New(domain.ErrUnavailable, "database_unavailable", "Away.") })
	_, err := b.Recheck(t.Context(), domain.Principal{UserID: uuid.New()})
	require.ErrorIs(t, err, domain.ErrUnavailable)
}

func TestForget(t *testing.T) {
	t.Parallel()
	for name, forget := range map[string]func(s *Service, id uuid.UUID){
		"one": (*Service).Forget,
		"all": func(s *Service, _ uuid.UUID) { s.ForgetAll() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			p := b.caller(t)
			other := b.replica(t)
			_, err := other.Recheck(t.Context(), p)
			require.NoError(t, err)
			_, err = b.ChangeUser(t.Context(), domain.Principal{Role: domain.RoleAdmin}, p.UserID, domain.UserChange{Role: new("viewer")})
			require.NoError(t, err)
			_, err = other.Recheck(t.Context(), p)
			require.NoError(t, err, "nobody has told it yet")
			forget(other.Service, p.UserID)
			_, err = other.Recheck(t.Context(), p)
			require.Equal(t, "token_revoked", domain.CodeOf(err))

			b.mem.set(func() { b.mem.finds = 0 })
			_, err = other.Recheck(t.Context(), p)
			require.Equal(t, "token_revoked", domain.CodeOf(err))
			require.Zero(t, b.mem.finds, "and then it is known again")
		})
	}
}

// A notification comes through the database, so it is asked again at once,
// even if it was found away a moment ago.
func TestForgetEndsThePause(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.caller(t)
	b.mem.set(func() { b.mem.err = domain.New(domain.ErrUnavailable, "database_unavailable", "Away.") })
	b.clock.move(accountFresh)
	_, err := b.Recheck(t.Context(), p)
	require.NoError(t, err)
	b.mem.set(func() { b.mem.err = nil; clear(b.mem.users) })
	_, err = b.Recheck(t.Context(), p)
	require.NoError(t, err, "left alone for a while")
	b.ForgetAll()
	_, err = b.Recheck(t.Context(), p)
	require.Equal(t, "token_revoked", domain.CodeOf(err))
}

func TestForgetAllKeepsTheLastKnownStateForAnOutage(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.caller(t)
	b.ForgetAll()
	b.mem.set(func() { b.mem.err = domain.New(domain.ErrUnavailable, "database_unavailable", "Away.") })
	got, err := b.Recheck(t.Context(), p)
	require.NoError(t, err)
	require.Equal(t, p, got)
	b.Forget(p.UserID)
	_, err = b.Recheck(t.Context(), p)
	require.ErrorIs(t, err, domain.ErrUnavailable)
}

// Who asks after ForgetAll must not get the answer of a look that began before
// it.
func TestForgetAllDuringLook(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	user := b.addUser(t, "ada@example.com")
	block := make(chan struct{})
	b.mem.set(func() { b.mem.block = block })
	old := make(chan error)
	go func() {
		_, err := b.accounts.find(t.Context(), user.ID)
		old <- err
	}()
	finds := func() int {
		b.mem.mu.Lock()
		defer b.mem.mu.Unlock()
		return b.mem.finds
	}
	require.Eventually(t, func() bool { return finds() == 1 }, 5*time.Second, time.Millisecond)
	b.ForgetAll()
	late := make(chan error)
	go func() {
		_, err := b.accounts.find(t.Context(), user.ID)
		late <- err
	}()
	require.Eventually(t, func() bool { return finds() == 2 }, 5*time.Second, time.Millisecond, "it looks for itself")
	close(block)
	require.NoError(t, <-old)
	require.NoError(t, <-late)
}

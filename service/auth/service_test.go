package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

func TestAuthenticate(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	tenant := b.addTenant()
	user := b.addUser(t, "ada@example.com", func(c *domain.UserChange) { c.TenantID = new(tenant.String()) })
	grant, err := b.Login(t.Context(), " ADA@example.com", "correct horse battery", "10.0.0.1")
	require.NoError(t, err)
	require.Equal(t, b.clock.Now().Add(time.Hour), grant.ExpiresAt)
	require.Equal(t, user.ID, grant.User.ID)

	want := domain.Principal{UserID: user.ID, Role: domain.RoleMember, TenantID: tenant, ExpiresAt: grant.ExpiresAt}
	for _, header := range []string{grant.Token, "Bearer " + grant.Token, "bearer " + grant.Token, "Bearer  " + grant.Token} {
		p, err := b.Authenticate(t.Context(), header)
		require.NoError(t, err)
		require.Equal(t, want, p)
	}
	for _, header := range []string{"", "Bearer", "Bearer ", "Basic " + grant.Token, "x", grant.Token + "x", "a.b.c", strings.Repeat("x", 10_000), "Bearer Bearer " + grant.Token} {
		_, err := b.Authenticate(t.Context(), header)
		require.ErrorIs(t, err, domain.ErrUnauthenticated, header)
	}
}

func TestOpenMode(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(o *Options) {
		o.OpenMode = true
		o.Secrets = func(context.Context) ([][]byte, error) {
			return nil, domain.New(domain.ErrUnavailable, "database_unavailable", "Away.")
		}
	})
	p, err := b.Authenticate(t.Context(), "")
	require.NoError(t, err)
	require.Equal(t, domain.Principal{Role: domain.RoleAdmin}, p)
	_, err = b.Authenticate(t.Context(), "nonsense")
	require.ErrorIs(t, err, domain.ErrUnavailable)

	b = newBench(t, func(o *Options) { o.OpenMode = true })
	_, err = b.Authenticate(t.Context(), "nonsense")
	require.ErrorIs(t, err, domain.ErrUnauthenticated)
}

func TestSecretsAreAskedForUntilKnown(t *testing.T) {
	t.Parallel()
	var calls int
	answers := []error{errors.New("away"), nil}
	b := newBench(t, func(o *Options) {
		o.Secrets = func(context.Context) ([][]byte, error) {
			calls++
			return [][]byte{secretA}, answers[calls-1]
		}
	})
	b.addUser(t, "ada@example.com")
	_, err := b.IssueFor(t.Context(), "ada@example.com")
	require.Error(t, err)
	for range 3 {
		_, err = b.IssueFor(t.Context(), "ada@example.com")
		require.NoError(t, err)
	}
	require.Equal(t, 2, calls)

	for _, secrets := range [][][]byte{nil, {[]byte("short")}, {secretA, []byte("short")}} {
		b := newBench(t, func(o *Options) { o.Secrets = Fixed(secrets...) })
		b.addUser(t, "ada@example.com")
		_, err = b.IssueFor(t.Context(), "ada@example.com")
		require.Error(t, err)
	}
}

func TestForgedTokens(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	user := b.addUser(t, "ada@example.com")
	now := b.clock.Now()
	good := func() jwt.MapClaims {
		return jwt.MapClaims{
			"iss": "lanekeeper", "aud": "lanekeeper", "sub": user.ID.String(), "ver": 0, "role": "admin",
			"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		}
	}
	sign := func(method jwt.SigningMethod, key any, kid string, c jwt.Claims) string {
		token := jwt.NewWithClaims(method, c)
		if kid != "" {
			token.Header["kid"] = kid
		}
		signed, err := token.SignedString(key)
		require.NoError(t, err)
		return signed
	}
	hs256 := func(change func(jwt.MapClaims)) string {
		c := good()
		change(c)
		return sign(jwt.SigningMethodHS256, secretA, keyID(secretA), c)
	}
	p, err := b.Authenticate(t.Context(), hs256(func(jwt.MapClaims) {}))
	require.NoError(t, err)
	require.Equal(t, domain.RoleMember, p.Role, "the role comes from the row")
	for name, change := range map[string]func(jwt.MapClaims){
		"clock behind": func(c jwt.MapClaims) { c["exp"] = now.Add(-29 * time.Second).Unix() },
		"clock ahead": func(c jwt.MapClaims) {
			c["iat"], c["nbf"] = now.Add(29*time.Second).Unix(), now.Add(29*time.Second).Unix()
		},
		"audiences": func(c jwt.MapClaims) { c["aud"] = []string{"other", "lanekeeper"} },
	} {
		_, err := b.Authenticate(t.Context(), hs256(change))
		require.NoError(t, err, name)
	}

	forged := map[string]string{
		"none":        sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, keyID(secretA), good()),
		"hs384":       sign(jwt.SigningMethodHS384, secretA, keyID(secretA), good()),
		"hs512":       sign(jwt.SigningMethodHS512, secretA, keyID(secretA), good()),
		"other key":   sign(jwt.SigningMethodHS256, secretB, keyID(secretA), good()),
		"unknown kid": sign(jwt.SigningMethodHS256, secretB, keyID(secretB), good()),
		"no kid":      sign(jwt.SigningMethodHS256, secretA, "", good()),
		"path as kid": sign(jwt.SigningMethodHS256, []byte{}, "../../dev/null", good()),
	}
	for name, change := range map[string]func(jwt.MapClaims){
		"expired":      func(c jwt.MapClaims) { c["exp"] = now.Add(-31 * time.Second).Unix() },
		"no exp":       func(c jwt.MapClaims) { delete(c, "exp") },
		"early":        func(c jwt.MapClaims) { c["nbf"] = now.Add(time.Minute).Unix() },
		"issued later": func(c jwt.MapClaims) { c["iat"] = now.Add(time.Minute).Unix() },
		"issuer":       func(c jwt.MapClaims) { c["iss"] = "other" },
		"no issuer":    func(c jwt.MapClaims) { delete(c, "iss") },
		"audience":     func(c jwt.MapClaims) { c["aud"] = "other" },
		"no audience":  func(c jwt.MapClaims) { delete(c, "aud") },
		"no subject":   func(c jwt.MapClaims) { delete(c, "sub") },
		"bad subject":  func(c jwt.MapClaims) { c["sub"] = "admin" },
		"nobody":       func(c jwt.MapClaims) { c["sub"] = uuid.NewString() },
		"version":      func(c jwt.MapClaims) { c["ver"] = 1 },
		"no version":   func(c jwt.MapClaims) { delete(c, "ver") },
		"bad version":  func(c jwt.MapClaims) { c["ver"] = "0" },
	} {
		forged[name] = hs256(change)
	}
	parts := strings.Split(hs256(func(jwt.MapClaims) {}), ".")
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	require.NoError(t, err)
	changed := strings.Replace(string(payload), user.ID.String(), uuid.NewString(), 1)
	forged["tampered"] = parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(changed)) + "." + parts[2]
	forged["no signature"] = parts[0] + "." + parts[1] + "."
	for name, token := range forged {
		_, err := b.Authenticate(t.Context(), token)
		require.ErrorIs(t, err, domain.ErrUnauthenticated, name)
	}
}

func TestSecretRotation(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.addUser(t, "ada@example.com")
	grant, err := b.IssueFor(t.Context(), "ada@example.com")
	require.NoError(t, err)
	rotated := newBench(t, func(o *Options) { o.Secrets, o.Users, o.Tenants = Fixed(secretB, secretA), b.mem, b.mem })
	_, err = rotated.Authenticate(t.Context(), grant.Token)
	require.NoError(t, err)
	fresh, err := rotated.IssueFor(t.Context(), "ada@example.com")
	require.NoError(t, err)
	_, err = b.Authenticate(t.Context(), fresh.Token)
	require.ErrorIs(t, err, domain.ErrUnauthenticated)
}

func TestChangesRevokeTokens(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]struct {
		change  domain.UserChange
		revoked bool
	}{
		"password":      {domain.UserChange{Password: new("another horse battery")}, true},
		"role":          {domain.UserChange{Role: new("viewer")}, true},
		"email":         {domain.UserChange{Email: new("b@example.com")}, true},
		"tenant":        {domain.UserChange{TenantID: new("")}, true},
		"name":          {domain.UserChange{Name: new("Bob")}, false},
		"the same role": {domain.UserChange{Role: new("member")}, false},
		"nothing":       {domain.UserChange{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			tenant := b.addTenant()
			user := b.addUser(t, "ada@example.com", func(c *domain.UserChange) { c.TenantID = new(tenant.String()) })
			grant, err := b.IssueFor(t.Context(), "ada@example.com")
			require.NoError(t, err)
			other := newBench(t, func(o *Options) { o.Users, o.Tenants, o.Now = b.mem, b.mem, b.clock.Now }) // another replica
			for _, replica := range []*bench{b, other} {
				_, err = replica.Authenticate(t.Context(), grant.Token)
				require.NoError(t, err)
			}
			_, err = b.ChangeUser(t.Context(), domain.Principal{Role: domain.RoleAdmin}, user.ID, change.change)
			require.NoError(t, err)
			_, err = b.Authenticate(t.Context(), grant.Token)
			require.Equal(t, change.revoked, errors.Is(err, domain.ErrUnauthenticated), "at once here")
			b.clock.move(accountFresh)
			_, err = other.Authenticate(t.Context(), grant.Token)
			require.Equal(t, change.revoked, errors.Is(err, domain.ErrUnauthenticated), "soon elsewhere")
		})
	}
}

func TestDeletedUserAndTenant(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	tenant := b.addTenant()
	user := b.addUser(t, "ada@example.com", func(c *domain.UserChange) { c.TenantID = new(tenant.String()) })
	grant, err := b.IssueFor(t.Context(), "ada@example.com")
	require.NoError(t, err)
	_, err = b.Authenticate(t.Context(), grant.Token)
	require.NoError(t, err)

	b.mem.set(func() { b.mem.tenants[tenant] = domain.Tenant{ID: tenant, Status: domain.TenantDeleting} })
	_, err = b.Authenticate(t.Context(), grant.Token)
	require.ErrorIs(t, err, domain.ErrUnauthenticated)
	_, err = b.Login(t.Context(), "ada@example.com", "correct horse battery", "10.0.0.1")
	require.ErrorIs(t, err, domain.ErrForbidden)
	b.mem.set(func() { b.mem.tenants[tenant] = domain.Tenant{ID: tenant, Status: domain.TenantInactive} })
	_, err = b.Authenticate(t.Context(), grant.Token)
	require.NoError(t, err)

	require.NoError(t, b.DeleteUser(t.Context(), domain.Principal{Role: domain.RoleAdmin}, user.ID))
	_, err = b.Authenticate(t.Context(), grant.Token)
	require.Equal(t, "token_revoked", domain.CodeOf(err))
}

func TestLastKnownStateWhileDatabaseIsAway(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.addUser(t, "ada@example.com")
	b.addUser(t, "bob@example.com")
	ada, err := b.IssueFor(t.Context(), "ada@example.com")
	require.NoError(t, err)
	bob, err := b.IssueFor(t.Context(), "bob@example.com")
	require.NoError(t, err)
	_, err = b.Authenticate(t.Context(), ada.Token)
	require.NoError(t, err)

	b.mem.set(func() { b.mem.err, b.mem.finds = domain.New(domain.ErrUnavailable, "database_unavailable", "Away."), 0 })
	b.clock.move(10 * time.Minute)
	for range 100 {
		_, err = b.Authenticate(t.Context(), ada.Token)
		require.NoError(t, err)
	}
	require.Equal(t, 1, b.mem.finds, "the database is left alone for a while")
	_, err = b.Authenticate(t.Context(), bob.Token)
	require.ErrorIs(t, err, domain.ErrUnavailable)

	b.mem.set(func() { b.mem.err = nil; clear(b.mem.users) })
	b.clock.move(awayPause)
	_, err = b.Authenticate(t.Context(), ada.Token)
	require.ErrorIs(t, err, domain.ErrUnauthenticated)
}

func TestManyRequestsLookOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.addUser(t, "ada@example.com")
	grant, err := b.IssueFor(t.Context(), "ada@example.com")
	require.NoError(t, err)
	block := make(chan struct{})
	b.mem.set(func() { b.mem.block = block })

	gone, cancel := context.WithCancel(t.Context())
	cancel() // a caller who has gone must not fail the others
	var wg sync.WaitGroup
	errs := make(chan error, 50)
	for i := range 50 {
		wg.Go(func() {
			ctx := t.Context()
			if i == 0 {
				ctx = gone
			}
			_, err := b.Authenticate(ctx, grant.Token)
			errs <- err
		})
	}
	require.Eventually(t, func() bool {
		b.mem.mu.Lock()
		defer b.mem.mu.Unlock()
		return b.mem.finds > 0
	}, 5*time.Second, time.Millisecond)
	close(block)
	wg.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	require.Less(t, b.mem.finds, 50)
	before := b.mem.finds
	_, err = b.Authenticate(t.Context(), grant.Token)
	require.NoError(t, err)
	require.Equal(t, before, b.mem.finds)
}

func TestForgetDuringLook(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	user := b.addUser(t, "ada@example.com")
	b.mem.set(func() { b.mem.block = make(chan struct{}) })
	done := make(chan error)
	go func() {
		_, err := b.accounts.find(t.Context(), user.ID)
		done <- err
	}()
	require.Eventually(t, func() bool {
		b.mem.mu.Lock()
		defer b.mem.mu.Unlock()
		return b.mem.finds == 1
	}, 5*time.Second, time.Millisecond)
	b.accounts.forget(user.ID)
	close(b.mem.block)
	require.NoError(t, <-done)
	_, ok, _ := b.accounts.known.Peek(user.ID)
	require.False(t, ok)
}

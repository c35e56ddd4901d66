package auth

import (
	"context"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

const nextPassword = "gravel mumble tax orbit"

func TestChangePassword(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.caller(t)
	other := b.replica(t)
	_, err := other.Recheck(t.Context(), p)
	require.NoError(t, err)
	change := func(current, next string) error { return b.ChangePassword(t.Context(), p, current, next, "10.0.0.1") }

	for next, message := range map[string]string{
		"short": "at least 12", "password1234": "easy to guess", strings.Repeat("x", 1025): "at most 1024", "correct horse battery": "current one", "ada@example.com": "easy",
	} {
		err := change("correct horse battery", next)
		require.Equal(t, []string{"/new"}, pointers(t, err))
		require.Contains(t, err.Error(), message)
	}
	for _, current := range []string{"", "wrong", strings.Repeat("x", 1025)} {
		err := change(current, nextPassword)
		require.Equal(t, []string{"/current"}, pointers(t, err))
		require.Equal(t, "wrong_password", domain.CodeOf(err))
	}
	require.Equal(t, 2, b.failures.added, "what cannot be a password costs nothing")
	_, err = b.Recheck(t.Context(), p)
	require.NoError(t, err)

	require.NoError(t, change("correct horse battery", nextPassword))
	require.Contains(t, b.mem.users[p.UserID].PasswordHash, "$argon2id$v=19$m=64,t=1,p=1$")
	_, err = b.Recheck(t.Context(), p)
	require.Equal(t, "token_revoked", domain.CodeOf(err))
	b.clock.move(accountFresh)
	_, err = other.Recheck(t.Context(), p)
	require.Equal(t, "token_revoked", domain.CodeOf(err))
	require.Equal(t, "token_revoked", domain.CodeOf(change(nextPassword, "another horse battery")), "the token has ended meanwhile")
	require.Equal(t, "invalid_credentials", b.login(t, ada, "correct horse battery", "10.0.0.1"))
	require.Empty(t, b.login(t, ada, nextPassword, "10.0.0.1"))
}

// Whoever has a token and not the password gets no further than by logging in.
func TestWrongCurrentPasswordsAreCounted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.caller(t)
	for range pairBurst {
		require.Equal(t, "wrong_password", domain.CodeOf(b.ChangePassword(t.Context(), p, "wrong", nextPassword, "10.0.0.1")))
	}
	require.ErrorIs(t, b.ChangePassword(t.Context(), p, "correct horse battery", nextPassword, "10.0.0.1"), domain.ErrLimited)
	require.Equal(t, "too_many_logins", b.login(t, ada, "correct horse battery", "10.0.0.1"))
	require.NoError(t, b.ChangePassword(t.Context(), p, "correct horse battery", nextPassword, "10.0.0.2"))
}

func TestPasswordOfNobody(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(o *Options) { o.OpenMode = true })
	require.Equal(t, "built_in_admin", domain.CodeOf(b.ChangePassword(t.Context(), domain.Principal{Role: domain.RoleAdmin}, "x", nextPassword, "10.0.0.1")))
	require.Equal(t, "built_in_admin", domain.CodeOf(b.Logout(t.Context(), domain.Principal{Role: domain.RoleAdmin})))
	gone := domain.Principal{UserID: uuid.New()}
	require.Equal(t, "token_revoked", domain.CodeOf(b.ChangePassword(t.Context(), gone, "x", nextPassword, "10.0.0.1")))
	require.Equal(t, "token_revoked", domain.CodeOf(b.Logout(t.Context(), gone)))

	null := b.caller(t)
	b.mem.set(func() {
		u := b.mem.users[null.UserID]
		u.PasswordHash = ""
		b.mem.users[null.UserID] = u
	})
	require.Equal(t, "wrong_password", domain.CodeOf(b.ChangePassword(t.Context(), null, "", nextPassword, "10.0.0.1")))
}

func TestLogout(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.caller(t)
	require.NoError(t, b.Logout(t.Context(), p))
	_, err := b.Recheck(t.Context(), p)
	require.Equal(t, "token_revoked", domain.CodeOf(err))
	require.Equal(t, "token_revoked", domain.CodeOf(b.Logout(t.Context(), p)))
	require.Empty(t, b.login(t, ada, "correct horse battery", "10.0.0.1"))
	b.mem.set(func() { b.mem.err = domain.New(domain.ErrUnavailable, "database_unavailable", "Away.") })
	require.ErrorIs(t, b.Logout(t.Context(), p), domain.ErrUnavailable)
}

// A password that was long enough once still is.
func TestShorterPasswordsFromBefore(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	user := b.addUser(t, ada)
	hash, err := b.passwords.hash(context.Background(), asker{}, "12345678")
	require.NoError(t, err)
	b.setHash(user, hash)
	require.Empty(t, b.login(t, ada, "12345678", "10.0.0.1"))
	p := domain.Principal{UserID: user.ID}
	require.NoError(t, b.ChangePassword(t.Context(), p, "12345678", nextPassword, "10.0.0.1"))
}

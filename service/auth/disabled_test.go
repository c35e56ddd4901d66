package auth

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

func TestDisabledUser(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.caller(t)
	admin := domain.Principal{UserID: uuid.New(), Role: domain.RoleAdmin}
	disable := func(by domain.Principal, disabled bool) (domain.User, error) {
		return b.ChangeUser(t.Context(), by, p.UserID, domain.UserChange{Disabled: &disabled})
	}
	_, err := disable(p, true)
	require.Equal(t, "own_account", domain.CodeOf(err), "one admin always remains")
	user, err := disable(admin, false)
	require.NoError(t, err)
	require.False(t, user.Disabled())
	_, err = b.Recheck(t.Context(), p)
	require.NoError(t, err, "nothing has changed")

	user, err = disable(admin, true)
	require.NoError(t, err)
	require.Equal(t, b.clock.Now(), user.DisabledAt)
	b.clock.move(time.Minute)
	user, err = disable(admin, true)
	require.NoError(t, err)
	require.Equal(t, b.clock.Now().Add(-time.Minute), user.DisabledAt, "since the first time")
	_, err = b.Recheck(t.Context(), p)
	require.Equal(t, "token_revoked", domain.CodeOf(err))
	require.Equal(t, "invalid_credentials", b.login(t, ada, "correct horse battery", "10.0.0.1"))
	_, err = b.IssueFor(t.Context(), ada)
	require.Equal(t, "user_disabled", domain.CodeOf(err))

	_, err = disable(admin, false)
	require.NoError(t, err)
	_, err = b.Recheck(t.Context(), p)
	require.Equal(t, "token_revoked", domain.CodeOf(err), "old tokens stay invalid")
	require.Empty(t, b.login(t, ada, "correct horse battery", "10.0.0.1"))

	// By SQL nothing but the column changes.
	grant, err := b.IssueFor(t.Context(), ada)
	require.NoError(t, err)
	b.mem.set(func() {
		u := b.mem.users[p.UserID]
		u.DisabledAt = b.clock.Now()
		b.mem.users[p.UserID] = u
	})
	b.clock.move(accountFresh)
	_, err = b.Authenticate(t.Context(), grant.Token)
	require.Equal(t, "token_revoked", domain.CodeOf(err))
}

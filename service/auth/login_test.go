package auth

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"

	"lanekeeper/domain"
)

func (b *bench) setHash(user domain.User, hash string) {
	b.mem.set(func() {
		user.PasswordHash = hash
		b.mem.users[user.ID] = user
	})
}

func TestLoginFailures(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.addUser(t, "ada@example.com")
	null := b.addUser(t, "null@example.com")
	b.setHash(null, "")
	strange := b.addUser(t, "strange@example.com")
	b.setHash(strange, "md5:abc")
	var want string
	for i, tc := range []struct{ email, password string }{
		{"ada@example.com", "wrong horse"},
		{"nobody@example.com", "correct horse battery"},
		{"null@example.com", ""},
		{"null@example.com", "correct horse battery"},
		{"strange@example.com", "md5:abc"},
		{"not an address", "correct horse battery"},
		{"", ""},
		{"ada@example.com", ""},
		{"ada@example.com", "correct horse battery "},
		{"ada@example.com", strings.Repeat("x", 100_000)},
		{"ada@example.com' OR 1=1 --", "x"},
	} {
		_, err := b.Login(t.Context(), tc.email, tc.password, fmt.Sprintf("10.0.0.%d", i))
		require.ErrorIs(t, err, domain.ErrUnauthenticated, "%v", tc)
		if want == "" {
			want = err.Error()
		}
		require.Equal(t, want, err.Error(), "all look the same")
	}
	require.Contains(t, b.logs.String(), "not understood")
	require.NotContains(t, b.logs.String(), "md5:abc")

	b.mem.set(func() { b.mem.err = domain.New(domain.ErrUnavailable, "database_unavailable", "Away.") })
	_, err := b.Login(t.Context(), "ada@example.com", "correct horse battery", "10.0.0.1")
	require.ErrorIs(t, err, domain.ErrUnavailable)
}

func TestBcryptIsRehashed(t *testing.T) {
	t.Parallel()
	for _, prefix := range []string{"$2a$", "$2b$", "$2y$"} {
		b := newBench(t)
		user := b.addUser(t, "ada@example.com")
		grant, err := b.IssueFor(t.Context(), "ada@example.com")
		require.NoError(t, err)
		hash, err := bcrypt.GenerateFromPassword([]byte("old password"), bcrypt.MinCost)
		require.NoError(t, err)
		b.setHash(user, prefix+strings.TrimPrefix(string(hash), "$2a$"))

		_, err = b.Login(t.Context(), "ada@example.com", "wrong password", "10.0.0.1")
		require.ErrorIs(t, err, domain.ErrUnauthenticated)
		for range 2 {
			_, err = b.Login(t.Context(), "ada@example.com", "old password", "10.0.0.1")
			require.NoError(t, err)
			require.True(t, strings.HasPrefix(b.mem.users[user.ID].PasswordHash, "$argon2id$v=19$m=64,t=1,p=1$"))
		}
		_, err = b.Authenticate(t.Context(), grant.Token)
		require.NoError(t, err, "a rehash revokes nothing")
	}
}

func TestRehashYieldsToNewPassword(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	user := b.addUser(t, "ada@example.com")
	b.setHash(user, "changed meanwhile")
	b.logins.replace(t.Context(), user.ID, user.PasswordHash, "new hash")
	require.Equal(t, "changed meanwhile", b.mem.users[user.ID].PasswordHash)
}

func TestFailedRehashDoesNotFailLogin(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	user := b.addUser(t, "ada@example.com")
	b.mem.set(func() { b.mem.err = errors.New("read only") })
	b.logins.replace(t.Context(), user.ID, user.PasswordHash, "new hash")
	require.Contains(t, b.logs.String(), "read only")
	require.NotContains(t, b.logs.String(), "new hash")
}

func TestWeakerArgon2IsRehashed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	user := b.addUser(t, "ada@example.com")
	b.passwords.cost = Cost{Time: 2, MemoryKiB: 64, Threads: 1}
	_, err := b.Login(t.Context(), "ada@example.com", "correct horse battery", "10.0.0.1")
	require.NoError(t, err)
	require.Contains(t, b.mem.users[user.ID].PasswordHash, "t=2")
}

func TestBcryptOfLongPassword(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	user := b.addUser(t, "ada@example.com")
	long := strings.Repeat("p", 100)
	hash, err := bcrypt.GenerateFromPassword([]byte(long[:72]), bcrypt.MinCost) // as others cut it
	require.NoError(t, err)
	b.setHash(user, string(hash))
	_, err = b.Login(t.Context(), "ada@example.com", long, "10.0.0.1")
	require.NoError(t, err)
	require.Equal(t, string(hash), b.mem.users[user.ID].PasswordHash, "what comes after 72 bytes is not known to be right")
	_, err = b.Login(t.Context(), "ada@example.com", "x"+long, "10.0.0.1")
	require.ErrorIs(t, err, domain.ErrUnauthenticated)
	_, err = b.Login(t.Context(), "nobody@example.com", long, "10.0.0.1")
	require.ErrorIs(t, err, domain.ErrUnauthenticated)
}

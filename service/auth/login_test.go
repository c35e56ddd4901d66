package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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
		{"nobody@example.com", "correct horse"},
		{"null@example.com", ""},
		{"null@example.com", "correct horse"},
		{"strange@example.com", "md5:abc"},
		{"not an address", "correct horse"},
		{"", ""},
		{"ada@example.com", ""},
		{"ada@example.com", "correct horse "},
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
	_, err := b.Login(t.Context(), "ada@example.com", "correct horse", "10.0.0.1")
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
	b.rehash(t.Context(), &user, "correct horse")
	require.Equal(t, "changed meanwhile", b.mem.users[user.ID].PasswordHash)
}

func TestFailedRehashDoesNotFailLogin(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	user := b.addUser(t, "ada@example.com")
	b.mem.set(func() { b.mem.err = errors.New("read only") })
	b.rehash(t.Context(), &user, "correct horse")
	require.Contains(t, b.logs.String(), "read only")
	require.NotContains(t, b.logs.String(), "correct horse")
}

func TestWeakerArgon2IsRehashed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	user := b.addUser(t, "ada@example.com")
	b.passwords.cost = Cost{Time: 2, MemoryKiB: 64, Threads: 1}
	_, err := b.Login(t.Context(), "ada@example.com", "correct horse", "10.0.0.1")
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

func TestHostileHashes(t *testing.T) {
	t.Parallel()
	p := newPasswords(cheap)
	for _, hash := range []string{
		"$argon2id$", "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$", "$argon2id$v=16$m=64,t=1,p=1$c2FsdHNhbHQ$c2FsdHNhbHRzYWx0c2FsdA",
		"$argon2id$v=19$m=4294967295,t=1,p=1$c2FsdHNhbHQ$c2FsdHNhbHRzYWx0c2FsdA", "$argon2id$v=19$m=64,t=0,p=1$c2FsdHNhbHQ$c2FsdHNhbHRzYWx0c2FsdA",
		"$argon2id$v=19$m=64,t=99999,p=1$c2FsdHNhbHQ$c2FsdHNhbHRzYWx0c2FsdA", "$argon2id$v=19$m=64,t=1,p=0$c2FsdHNhbHQ$c2FsdHNhbHRzYWx0c2FsdA",
		"$argon2id$v=19$m=64,t=1,p=1$!$c2FsdHNhbHRzYWx0c2FsdA", "$argon2i$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$c2FsdHNhbHRzYWx0c2FsdA",
		"$2a$31$abcdefghijklmnopqrstuuJ1HcbZYkPAwKKXwVYyG3GBVJkBmBPsS", "$2a$10$", "$2x$10$abcdefghijklmnopqrstuuJ1HcbZYkPAwKKXwVYyG3GBVJkBmBPsS",
		"plain", "$1$x",
	} {
		ok, _, err := p.verify(t.Context(), hash, "plain")
		require.ErrorIs(t, err, errUnknownHash, hash)
		require.False(t, ok)
	}
}

func TestDefaultCost(t *testing.T) {
	t.Parallel()
	p := newPasswords(DefaultCost())
	hash, err := p.hash(t.Context(), "correct horse")
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(hash, "$argon2id$v=19$m=65536,t=3,p=4$"))
	ok, outdated, err := p.verify(t.Context(), hash, "correct horse")
	require.NoError(t, err)
	require.True(t, ok)
	require.False(t, outdated)
}

func TestFailuresCostTheSame(t *testing.T) {
	t.Parallel()
	p := newPasswords(cheap)
	hash, err := p.hash(t.Context(), "correct horse")
	require.NoError(t, err)
	old, err := bcrypt.GenerateFromPassword([]byte("correct horse"), 6)
	require.NoError(t, err)

	var computed []string
	derive, compare := p.derive, p.compare
	p.derive = func(password string, cost Cost, salt []byte, length uint32) []byte {
		computed = append(computed, fmt.Sprint("argon2id ", cost))
		return derive(password, cost, salt, length)
	}
	p.compare = func(hash, password []byte) error {
		cost, err := bcrypt.Cost(hash)
		require.NoError(t, err)
		err = compare(hash, password)
		require.True(t, err == nil || errors.Is(err, bcrypt.ErrMismatchedHashAndPassword), "computed to its end")
		computed = append(computed, fmt.Sprint("bcrypt ", cost))
		return err
	}
	for _, hash := range []string{string(old), "", hash, "md5:x"} { // bcrypt first: nobody costs what it cost
		computed = nil
		ok, _, _ := p.verify(t.Context(), hash, "wrong")
		require.False(t, ok)
		require.ElementsMatch(t, []string{fmt.Sprint("argon2id ", cheap), "bcrypt 6"}, computed, hash)
	}
}

func TestLoginLimits(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.addUser(t, "ada@example.com")
	login := func(email, password, remote string) error {
		_, err := b.Login(t.Context(), email, password, remote)
		return err
	}
	for i := range 30 { // good logins are not counted
		require.NoError(t, login("ada@example.com", "correct horse", "10.1.0.1"), i)
	}
	for i := range accountBurst {
		require.ErrorIs(t, login("ada@example.com", "wrong", fmt.Sprintf("10.2.0.%d", i)), domain.ErrUnauthenticated)
	}
	err := login("ADA@example.com", "correct horse", "10.3.0.1")
	require.ErrorIs(t, err, domain.ErrLimited)
	var limited *domain.Error
	require.ErrorAs(t, err, &limited)
	require.Positive(t, limited.RetryAfter)
	require.LessOrEqual(t, limited.RetryAfter, 6*time.Second)
	b.clock.move(limited.RetryAfter + time.Millisecond)
	require.NoError(t, login("ada@example.com", "correct horse", "10.3.0.1"))

	for i := range addressBurst {
		require.ErrorIs(t, login(fmt.Sprintf("u%d@example.com", i), "wrong", fmt.Sprintf("2001:db8:1:2::%d", i)), domain.ErrUnauthenticated)
	}
	require.ErrorIs(t, login("ada@example.com", "correct horse", "2001:db8:1:2:ffff::1"), domain.ErrLimited)
	require.NoError(t, login("ada@example.com", "correct horse", "2001:db8:1:3::1"))
}

func TestParallelGuessesAreLimited(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.addUser(t, "ada@example.com")
	var tried atomic.Int32
	var wg sync.WaitGroup
	for range 60 {
		wg.Go(func() {
			_, err := b.Login(context.Background(), "ada@example.com", "wrong", "10.0.0.1")
			if errors.Is(err, domain.ErrUnauthenticated) {
				tried.Add(1)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, accountBurst, tried.Load())
}

func TestBusyHashingGivesUpInTime(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	require.NoError(t, b.passwords.slots.Acquire(t.Context(), parallelHashes))
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err := b.Login(ctx, "ada@example.com", "correct horse", "10.0.0.1")
	require.Equal(t, "logins_busy", domain.CodeOf(err))
}

func TestAddressName(t *testing.T) {
	t.Parallel()
	require.Equal(t, "10.0.0.1", addressName("::ffff:10.0.0.1"))
	require.Equal(t, addressName("2001:db8::1"), addressName("2001:db8::2"))
	require.Equal(t, "@", addressName("@"))
}

package auth

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

const ada = "ada@example.com"

// login tries a password, and returns the code of the error.
func (b *bench) login(t *testing.T, email, password, remote string) string {
	t.Helper()
	_, err := b.Login(t.Context(), email, password, remote)
	return domain.CodeOf(err)
}

// retryAfter returns when a refused login may be tried again.
func (b *bench) retryAfter(t *testing.T, email, remote string) time.Duration {
	t.Helper()
	_, err := b.Login(t.Context(), email, "wrong", remote)
	var limited *domain.Error
	require.ErrorAs(t, err, &limited)
	require.ErrorIs(t, err, domain.ErrLimited)
	return limited.RetryAfter
}

func remote(n int) string { return fmt.Sprintf("10.%d.%d.%d", n>>16, n>>8&0xff, n&0xff) }

// Who guesses locks out himself: not the owner elsewhere, and not the others where he
// is.
func TestPairsAreCounted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.addUser(t, ada)
	b.addUser(t, "bob@example.com")
	for range 30 { // good logins are not counted
		require.Empty(t, b.login(t, ada, "correct horse battery", "10.1.0.1"))
	}
	for range pairBurst {
		require.Equal(t, "invalid_credentials", b.login(t, ada, "wrong", "10.1.0.1"))
	}
	require.Equal(t, "too_many_logins", b.login(t, "ADA@example.com ", "correct horse battery", "10.1.0.1"))
	require.Empty(t, b.login(t, ada, "correct horse battery", "10.1.0.2"))
	require.Empty(t, b.login(t, "bob@example.com", "correct horse battery", "10.1.0.1"))

	wait := b.retryAfter(t, ada, "10.1.0.1")
	require.Equal(t, pairStep, wait)
	b.clock.move(wait - time.Millisecond)
	require.Equal(t, "too_many_logins", b.login(t, ada, "correct horse battery", "10.1.0.1"))
	b.clock.move(time.Millisecond)
	require.Equal(t, "invalid_credentials", b.login(t, ada, "wrong", "10.1.0.1"))
	require.Equal(t, "too_many_logins", b.login(t, ada, "correct horse battery", "10.1.0.1"))
	b.clock.move(pairStep)
	require.Empty(t, b.login(t, ada, "correct horse battery", "10.1.0.1"))
	for range pairBurst { // a good login takes back all of the pair
		require.Equal(t, "invalid_credentials", b.login(t, ada, "wrong", "10.1.0.1"))
	}
	require.Equal(t, "too_many_logins", b.login(t, ada, "wrong", "10.1.0.1"))
}

// Nothing tells whether there is an account: neither answers nor counters.
func TestUnknownAccountsAreCountedTheSame(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.addUser(t, ada)
	null, off := b.addUser(t, "null@example.com"), b.addUser(t, "off@example.com")
	b.setHash(null, "")
	_, err := b.ChangeUser(t.Context(), domain.Principal{}, off.ID, domain.UserChange{Disabled: new(true)})
	require.NoError(t, err)
	type answer struct{ code, text string }
	var want []answer
	for i, email := range []string{ada, "nobody@example.com", "null@example.com", "off@example.com"} {
		var got []answer
		for n := range pairBurst + 3 {
			if n == pairBurst+2 {
				b.clock.move(pairStep)
			}
			password := "wrong"
			if email == "off@example.com" {
				password = "correct horse battery"
			}
			_, err := b.Login(t.Context(), email, password, remote(i))
			got = append(got, answer{domain.CodeOf(err), err.Error()})
		}
		if i == 0 {
			want = got
		}
		require.Equal(t, want, got, email)
	}
}

// One password that is tried on many accounts is stopped by the address.
func TestAddressesAreCounted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.addUser(t, ada)
	for i := range addressBurst {
		address := fmt.Sprintf("2001:db8:1:2::%d", i)
		require.Equal(t, "invalid_credentials", b.login(t, fmt.Sprintf("u%d@example.com", i), "wrong", address))
		if i == addressBurst/2 { // a good one in between changes nothing
			require.Empty(t, b.login(t, ada, "correct horse battery", address))
		}
	}
	require.Equal(t, "too_many_logins", b.login(t, ada, "correct horse battery", "2001:db8:1:2:ffff::1"))
	require.Empty(t, b.login(t, ada, "correct horse battery", "2001:db8:1:3::1"))
	require.Equal(t, addressStep, b.retryAfter(t, "v@example.com", "2001:db8:1:2::"))
	b.clock.move(addressStep)
	require.Empty(t, b.login(t, ada, "correct horse battery", "2001:db8:1:2:ffff::1"))
}

// However many addresses guess, the right password from a fresh one is taken; they
// themselves are slowed down as soon as they are many.
func TestManyAddressesLockNobodyOut(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.addUser(t, ada)
	tried := 0
	for round := range 3 {
		for n := range allBurst {
			if b.login(t, ada, "wrong", remote(n)) == "invalid_credentials" {
				tried++
			}
		}
		require.Empty(t, b.login(t, ada, "correct horse battery", remote(1<<20+round)))
	}
	require.Equal(t, allBurst, tried, "after one round all of them have to wait")
	require.Contains(t, b.logs.String(), "many logins fail")
	require.Equal(t, pairStep, b.retryAfter(t, ada, remote(1)), "until their failure is forgotten")

	// An address that tries many accounts has to wait earlier than otherwise.
	spray := 0
	for n := range addressBurst {
		if b.login(t, fmt.Sprintf("u%d@example.com", n), "wrong", "10.255.0.1") == "invalid_credentials" {
			spray++
		}
	}
	require.Equal(t, calmFailures+1, spray)
	b.clock.move(allBurst * allStep)
	require.Equal(t, "invalid_credentials", b.login(t, ada, "wrong", remote(1)))
	require.Equal(t, "invalid_credentials", b.login(t, ada, "wrong", remote(1)), "as before")
}

// While many guess the password of one account, each from somewhere else, those who log
// in to others come first.
func TestManyAddressesGuessOneAccount(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.addUser(t, ada)
	b.addUser(t, "bob@example.com")
	failures := func(email, address string) int {
		n, err := b.logins.guesses.admit(t.Context(), newGuess(email, address))
		require.NoError(t, err)
		return n
	}
	for n := range calmFailures {
		require.Equal(t, "invalid_credentials", b.login(t, ada, "wrong", remote(n)))
	}
	require.Zero(t, failures(ada, "10.1.0.1"))
	for n := range 3 * accountBurst {
		require.Equal(t, "invalid_credentials", b.login(t, ada, "wrong", remote(calmFailures+n)))
		require.Equal(t, 1, failures(ada, "10.1.0.1"))
	}
	require.Equal(t, 4, failures(ada, remote(calmFailures+3*accountBurst-1)), "pair, address, account, and network")
	require.Equal(t, 2, failures(ada, remote(4*accountBurst)), "of the same network")
	require.Equal(t, 1, failures("bob@example.com", remote(4*accountBurst)))
	require.Equal(t, 1, failures(ada, "10.0.1.1"))
	require.Zero(t, failures("bob@example.com", "10.1.0.1"))
	require.Empty(t, b.login(t, ada, "correct horse battery", "10.1.0.1"), "it refuses nobody")
	b.clock.move(accountBurst * accountStep)
	require.Zero(t, failures(ada, "10.1.0.1"))
}

func TestParallelGuessesAreLimited(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.addUser(t, ada)
	other := newBench(t, func(o *Options) { o.Users, o.Failures, o.Tenants, o.Now = b.mem, b.failures, b.mem, b.clock.Now }) // another replica
	var tried, limited atomic.Int32
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			_, err := []*bench{b, other}[i%2].Login(context.Background(), ada, "wrong", "10.0.0.1")
			switch {
			case errors.Is(err, domain.ErrUnauthenticated):
				tried.Add(1)
			case errors.Is(err, domain.ErrLimited):
				limited.Add(1)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, pairBurst, tried.Load())
	require.EqualValues(t, 60-pairBurst, limited.Load())
}

// Many good logins at once do not count against each other.
func TestParallelGoodLogins(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.addUser(t, ada)
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			_, err := b.Login(context.Background(), ada, "correct horse battery", "10.0.0.1")
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestLoginsWithoutCounters(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.addUser(t, ada)
	b.failures.err = domain.New(domain.ErrUnavailable, "database_unavailable", "Away.")
	require.Equal(t, "database_unavailable", b.login(t, ada, "correct horse battery", "10.0.0.1"))
}

func TestBusyHashingGivesUpInTime(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.addUser(t, ada)
	for range b.passwords.turns.places {
		_, err := b.passwords.turns.take(t.Context(), asker{})
		require.NoError(t, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err := b.Login(ctx, ada, "correct horse battery", "10.0.0.1")
	require.Equal(t, "logins_busy", domain.CodeOf(err))
	require.Zero(t, b.failures.added, "who was not let in has not guessed")
}

func TestForgottenFailuresAreDeleted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	require.Equal(t, "invalid_credentials", b.login(t, ada, "wrong", "10.0.0.1"))
	b.deleteForgotten(t.Context())
	require.Len(t, b.failures.until, 5)
	b.clock.move(pairStep)
	b.deleteForgotten(t.Context())
	require.Empty(t, b.failures.until)
	b.failures.err = errors.New("away")
	b.deleteForgotten(t.Context())
	require.Contains(t, b.logs.String(), "away")
}

func TestAddressName(t *testing.T) {
	t.Parallel()
	require.Equal(t, "10.0.0.1", addressName("::ffff:10.0.0.1"))
	require.Equal(t, addressName("2001:db8::1"), addressName("2001:db8::2"))
	require.Equal(t, "@", addressName("@"))
}

func TestNetworksOfAddresses(t *testing.T) {
	t.Parallel()
	for remote, network := range map[string]string{
		"192.0.2.77": "192.0.2.0/24", "::ffff:192.0.2.77": "192.0.2.0/24", "2001:db8:1:2:3::4": "2001:db8:1::/48", "unix": "unix", "": "",
	} {
		require.Equal(t, network, networkName(addressName(remote)), remote)
	}
}

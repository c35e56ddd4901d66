package tests

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/config"
	"lanekeeper/tests/apptest"
)

// loginLimit is how long a right password from a fresh address may take, whoever
// guesses meanwhile, on a machine where a login alone takes next to no time.
const loginLimit = time.Second

// behindProxy makes the service believe what the tests say where they call from.
func behindProxy(c *config.Config) { c.TrustedProxies = []string{"127.0.0.1"} }

// loginFrom logs in from an address, and returns the answer and how long it took.
func loginFrom(t *testing.T, app *apptest.App, email, password, address string) (*apptest.Answer, time.Duration) {
	t.Helper()
	begun := time.Now()
	answer, err := app.Send(t.Context(), "POST", "/api/login", map[string]string{"email": email, "password": password}, apptest.Header{"X-Forwarded-For", address})
	switch {
	case t.Context().Err() != nil:
		return &apptest.Answer{Status: http.StatusUnauthorized}, 0 // the test has ended
	case err != nil:
		t.Errorf("login from %s: %v", address, err)
		return &apptest.Answer{}, 0
	}
	return answer, time.Since(begun)
}

func requireLogin(t *testing.T, app *apptest.App, email, address string, limit time.Duration) {
	t.Helper()
	answer, took := loginFrom(t, app, email, apptest.Password, address)
	require.Equal(t, http.StatusOK, answer.Status, "%s: %s", address, answer.Body)
	require.Less(t, took, limit, address)
}

// limitHere returns loginLimit, and some more where other tests keep the processors
// busy. It needs the user ada@example.com.
func limitHere(t *testing.T, app *apptest.App) time.Duration {
	t.Helper()
	alone := time.Duration(0)
	for range 3 {
		answer, took := loginFrom(t, app, "ada@example.com", apptest.Password, "192.0.2.1")
		require.Equal(t, http.StatusOK, answer.Status)
		alone = max(alone, took)
	}
	return loginLimit + 5*alone
}

// Somebody who knows an address and guesses locks out himself, on every replica, and
// neither its owner elsewhere nor others where he is.
func TestWhoGuessesLocksOutHimself(t *testing.T) {
	t.Parallel()
	fleet := apptest.BootFleet(t, 2, apptest.WithSecret(), behindProxy)
	app := fleet[0]
	app.AddUser("ada@example.com", "member", "")
	app.AddUser("bob@example.com", "member", "")
	for _, email := range []string{"ada@example.com", "nobody@example.com"} {
		var statuses []int
		for n := range 14 {
			answer, _ := loginFrom(t, fleet[n%2], email, "wrong horse battery", "203.0.113.1")
			statuses = append(statuses, answer.Status)
			if answer.Status == http.StatusTooManyRequests {
				wait, err := strconv.Atoi(answer.Header.Get("Retry-After"))
				require.NoError(t, err)
				require.LessOrEqual(t, wait, 30)
				require.Contains(t, string(answer.Body), "too_many_logins")
			}
		}
		const no, wait = http.StatusUnauthorized, http.StatusTooManyRequests
		require.Equal(t, []int{no, no, no, no, no, no, no, no, no, no, wait, wait, wait, wait}, statuses, email)
	}
	limit := limitHere(t, app)
	for _, replica := range fleet {
		answer, _ := loginFrom(t, replica, "ada@example.com", apptest.Password, "203.0.113.1")
		require.Equal(t, http.StatusTooManyRequests, answer.Status)
		requireLogin(t, replica, "ada@example.com", "203.0.113.2", limit)
		requireLogin(t, replica, "bob@example.com", "203.0.113.1", limit)
	}
	require.Zero(t, apptest.QueryRow[int](app.Probes, `SELECT count(*)::int FROM login_failures WHERE encode(key, 'escape') LIKE '%ada%'`))
}

// While many addresses guess, and after that, the right password is taken from where
// nobody has guessed. (The chaos suite has a thousand of them.)
func TestManyAddressesLockNobodyOut(t *testing.T) {
	t.Parallel()
	const addresses, clients = 200, 4
	app := apptest.Boot(t, apptest.WithSecret(), behindProxy)
	app.AddUser("ada@example.com", "member", "")
	limit := limitHere(t, app)
	var next, failed, other, slowest atomic.Int64
	attack := func() {
		for {
			n := next.Add(1)
			if n > addresses {
				return
			}
			answer, took := loginFrom(t, app, "ada@example.com", "wrong horse battery", fmt.Sprintf("198.18.%d.%d", n>>8, n&0xff))
			if answer.Status == http.StatusUnauthorized {
				failed.Add(1)
				slowest.Store(max(slowest.Load(), int64(took))) // one of many that write it, at least
			} else {
				other.Add(1)
			}
		}
	}
	var wg sync.WaitGroup
	for range clients {
		wg.Go(attack)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		wg.Wait()
	}()
	logins, busy := 0, 0
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for attacking := true; attacking; logins++ {
		address := fmt.Sprintf("203.0.%d.%d", logins>>8, logins&0xff)
		answer, took := loginFrom(t, app, "ada@example.com", apptest.Password, address)
		if answer.Status == http.StatusServiceUnavailable { // too few processors for all who hash, here and now
			require.NotEmpty(t, answer.Header.Get("Retry-After"))
			busy++
		} else {
			require.Equal(t, http.StatusOK, answer.Status, "%s: %s", address, answer.Body)
			require.Less(t, took, limit+time.Duration(slowest.Load()), "%s: nobody who guesses waits so long", address)
		}
		select {
		case <-ended:
			attacking = false
		case <-tick.C:
		}
	}
	require.EqualValues(t, addresses, failed.Load()+other.Load())
	require.Greater(t, failed.Load(), int64(addresses/2), "a busy machine refuses some with 503")
	require.Greater(t, logins, 3)
	require.LessOrEqual(t, busy, 1+logins/10, "of %d", logins)
	requireLogin(t, app, "ada@example.com", "203.1.0.1", limit)
}

// One password that is tried on many accounts is stopped by the address.
func TestSprayIsStopped(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.WithSecret(), behindProxy)
	app.AddUser("ada@example.com", "member", "")
	tried := 0
	for n := range 60 {
		answer, _ := loginFrom(t, app, fmt.Sprintf("user%d@example.com", n), "Summer2026!!", fmt.Sprintf("2001:db8:1:2::%x", n))
		if answer.Status == http.StatusUnauthorized {
			tried++
		} else {
			require.Equal(t, http.StatusTooManyRequests, answer.Status)
		}
	}
	require.GreaterOrEqual(t, tried, 50)
	require.Less(t, tried, 60)
	answer, _ := loginFrom(t, app, "ada@example.com", apptest.Password, "2001:db8:1:2:ffff::1")
	require.Equal(t, http.StatusTooManyRequests, answer.Status, "it is one network")
	requireLogin(t, app, "ada@example.com", "2001:db8:1:3::1", limitHere(t, app))
}

// Forty clients that log in again and again get their turns, and others hardly notice.
func TestManyLoginsAtOnce(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.WithSecret(), behindProxy)
	app.AddUser("ada@example.com", "member", "")
	app.AddUser("bob@example.com", "member", "")
	app.Login("ada@example.com") // bcrypt is replaced
	bob := app.LoggedIn("bob@example.com")
	limit := limitHere(t, app)

	var good, busy atomic.Int64
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			for range 3 {
				answer, took := loginFrom(t, app, "ada@example.com", apptest.Password, "203.0.113.1")
				switch answer.Status {
				case http.StatusOK:
					good.Add(1)
				case http.StatusServiceUnavailable:
					busy.Add(1)
					if answer.Header.Get("Retry-After") == "" {
						t.Error("it does not say when to come back")
					}
				case http.StatusUnauthorized:
					return
				default:
					t.Errorf("login: %d %s", answer.Status, answer.Body)
				}
				if took > 6*time.Second {
					t.Errorf("login took %v", took)
				}
			}
		})
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		wg.Wait()
	}()
	others, calls := 0, 0
	for going := true; going; {
		begun := time.Now()
		bob.Want(http.StatusOK, nil, "GET", "/api/tenants", nil)
		require.Less(t, time.Since(begun), limit, "a call that needs no login")
		calls++
		requireLogin(t, app, "bob@example.com", fmt.Sprintf("198.18.0.%d", others%250+1), limit)
		others++
		select {
		case <-ended:
			going = false
		default:
		}
	}
	t.Logf("%d logins, %d busy; %d calls and logins of others", good.Load(), busy.Load(), calls)
	require.Greater(t, good.Load(), int64(3), "they get turns, however slowly passwords are hashed here")
	require.Greater(t, others, 3)
}

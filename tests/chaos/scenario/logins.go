package scenario

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"lanekeeper/tests/chaos/env"
	"lanekeeper/tests/chaos/fault"
	"lanekeeper/tests/chaos/load"
	"lanekeeper/tests/chaos/verify"
	"lanekeeper/tests/chaos/wait"
)

const (
	// trustedProxy is the address of a proxy whose X-Forwarded-For is believed.
	trustedProxy = "127.0.0.8"
	// guessers is how many guess at a time, half of them from one address and the
	// others from guessedFrom.
	guessers    = 16
	guessedFrom = 1000
	// guessPause is how long each waits when it was refused: this is about guesses,
	// not about a flood of requests.
	guessPause = 100 * time.Millisecond
	// freshLimit is how long the right password may take from a fresh address, and
	// freshPause the time between two tries.
	freshLimit = time.Second
	freshPause = 500 * time.Millisecond

	loginClients = 40

	// pairGuesses is how many passwords may be tried on one account from one address,
	// and pairStep after what time one more.
	pairGuesses = 10
	pairStep    = 30 * time.Second
)

// wrongPasswords guesses the password of an account that is known, from one address
// and from many.
func wrongPasswords(ctx context.Context, t *trial) error {
	_, p, err := t.quietAndOthers(ctx, 0)
	if err != nil {
		return err
	}
	proxy := t.client.From(trustedProxy)
	defer proxy.CloseIdle()
	k, err := newKnown(ctx, t, func(n int) *load.Client { return proxy.For(fmt.Sprintf("192.0.%d.%d", n>>8, n&0xff)) })
	if err != nil {
		return err
	}
	var turn atomic.Int64
	var one, many guesses
	err = t.undisturbed(ctx, p, t.measure, func(ctx context.Context, meanwhile func() error) error {
		return fault.While(ctx, guessers, k.during(ctx, meanwhile), func(ctx context.Context) {
			if n := int(turn.Add(1)); n%2 == 0 {
				one.guess(ctx, t, proxy.For("203.0.113.1"), k.account)
			} else {
				n = n / 2 % guessedFrom
				many.guess(ctx, t, proxy.For(fmt.Sprintf("198.18.%d.%d", n>>8, n&0xff)), k.account)
			}
		})
	})
	one.show(t, "from one address")
	many.show(t, fmt.Sprintf("from %d addresses", min(guessedFrom, int(turn.Load()/2))))
	k.show()
	return errors.Join(err, t.check(ctx))
}

// loginClientsScenario has many clients log in again and again, who may.
func loginClientsScenario(ctx context.Context, t *trial) error {
	_, p, err := t.quietAndOthers(ctx, 0)
	if err != nil {
		return err
	}
	account := load.Account{Email: "many@example.com", Password: password}
	if err := t.client.AddUser(ctx, account, "member"); err != nil {
		return err
	}
	clients := t.client.From(fault.Address)
	defer clients.CloseIdle()
	var got guesses
	err = t.undisturbed(ctx, p, t.measure, func(ctx context.Context, meanwhile func() error) error {
		return fault.While(ctx, loginClients, meanwhile, func(ctx context.Context) { got.logIn(ctx, t, clients, account) })
	})
	got.show(t, "logins")
	if got.right.Load() == 0 || got.wrong.Load() > 0 || got.limited.Load() > 0 {
		t.Fail("of those who may log in none could, or some were refused for good")
	}
	return errors.Join(err, t.check(ctx))
}

// rotatingForwardedFor guesses through nginx as it is shipped, and says each time that
// it calls for somebody else.
func rotatingForwardedFor(ctx context.Context, t *trial) error {
	_, p, err := t.quietAndOthers(ctx, 0)
	if err != nil {
		return err
	}
	url, stop, err := env.StartNginx(ctx, t.Env, trustedProxy)
	if err != nil {
		return err
	}
	defer stop()
	through := t.client.At(url)
	fresh := through
	defer func() { fresh.CloseIdle() }()
	k, err := newKnown(ctx, t, func(n int) *load.Client {
		fresh.CloseIdle()
		fresh = through.From(fmt.Sprintf("127.1.%d.%d", n>>8, n&0xff))
		return fresh
	})
	if err != nil {
		return err
	}
	guesser := through.From(fault.Address)
	defer guesser.CloseIdle()
	var turn atomic.Int64
	var got guesses
	begun := time.Now()
	err = t.undisturbed(ctx, p, t.measure, func(ctx context.Context, meanwhile func() error) error {
		return fault.While(ctx, guessers, k.during(ctx, meanwhile), func(ctx context.Context) {
			n := int(turn.Add(1))
			got.guess(ctx, t, guesser.For(fmt.Sprintf("198.18.%d.%d", n>>8&0xff, n&0xff)), k.account)
		})
	})
	allowed := int64(pairGuesses + 1 + time.Since(begun)/pairStep)
	got.show(t, fmt.Sprintf("from one address that says it is %d others", turn.Load()))
	k.show()
	r := guesser.For("198.18.0.1").Login(ctx, k.account)
	t.Show("the right password from there", "%s", r.Text())
	if r.Status != http.StatusTooManyRequests {
		t.Fail("who guesses was not stopped by his address: %s", r.Text())
	}
	if got.wrong.Load() > allowed {
		t.Fail("%d passwords were tried from one address that said it was others, where %d may be", got.wrong.Load(), allowed)
	}
	return errors.Join(err, t.check(ctx))
}

// guesses counts what came of logins.
type guesses struct{ right, wrong, limited, busy atomic.Int64 }

// guess tries a wrong password.
func (g *guesses) guess(ctx context.Context, t *trial, from *load.Client, account load.Account) {
	account.Password = "wrong horse battery"
	g.logIn(ctx, t, from, account)
}

// logIn logs in, and waits when that was refused.
func (g *guesses) logIn(ctx context.Context, t *trial, from *load.Client, account load.Account) {
	r := from.Login(ctx, account)
	switch {
	case ctx.Err() != nil:
		return
	case r.Err == nil && r.Status == http.StatusOK:
		g.right.Add(1)
		return
	case r.Err == nil && r.Status == http.StatusUnauthorized:
		g.wrong.Add(1)
		return
	case r.Header.Get("Retry-After") == "":
		t.Fail("a login: %s, and it does not say when to come back", r.Text())
	case r.Status == http.StatusTooManyRequests:
		g.limited.Add(1)
	case r.Status == http.StatusServiceUnavailable:
		g.busy.Add(1)
	default:
		t.Fail("a login: %s", r.Text())
	}
	wait.For(ctx, guessPause)
}

func (g *guesses) show(t *trial, what string) {
	t.Show(what, "%d right, %d wrong, %d refused with 429, %d with 503", g.right.Load(), g.wrong.Load(), g.limited.Load(), g.busy.Load())
}

// known is the user of an account that others know, who logs in from another fresh
// address each time. One goroutine at a time uses it.
type known struct {
	t       *trial
	account load.Account
	fresh   func(n int) *load.Client
	logins  int
	slowest time.Duration
}

func newKnown(ctx context.Context, t *trial, fresh func(n int) *load.Client) (*known, error) {
	k := &known{t: t, account: load.Account{Email: "known@example.com", Password: password}, fresh: fresh}
	return k, t.client.AddUser(ctx, k.account, "member")
}

// during returns meanwhile, with the user logging in all the time.
func (k *known) during(ctx context.Context, meanwhile func() error) func() error {
	return func() error {
		return fault.During(meanwhile, func(quit <-chan struct{}) error {
			for {
				k.logIn(ctx)
				if fault.RestUnless(quit, freshPause) {
					return nil
				}
			}
		})
	}
}

func (k *known) logIn(ctx context.Context) {
	k.logins++
	r := k.fresh(k.logins).Login(ctx, k.account)
	if ctx.Err() != nil {
		return
	}
	if r.Err != nil || r.Status != http.StatusOK {
		k.t.Fail("the right password was refused at a fresh address: %s", r.Text())
	}
	k.slowest = max(k.slowest, r.Took)
}

func (k *known) show() {
	k.t.Show("the right password", "%d times, from another fresh address each time, %s at most", k.logins, verify.Millis(k.slowest))
	if most := time.Duration(float64(freshLimit) * k.t.slack); k.slowest > most {
		k.t.Fail("the right password took %v at a fresh address", k.slowest)
	}
}

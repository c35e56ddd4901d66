package auth

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"lanekeeper/domain"
)

// How many logins may fail: burst at once, and then one after each step.
//
// The first counter is that of an account and an address together: who guesses locks
// out himself, and not who has the right password elsewhere. An address has one as
// well, for one password tried on many accounts; it may stand for a whole company. The
// one for all locks nobody out: while it is at its end, an account cannot be tried
// again from an address whose last failure with it is not forgotten, nor from an
// address with more failures than calmFailures. That of an account refuses nobody
// either: those who log in elsewhere come first while more than calmFailures have
// failed. Nor does that of a network, which whoever has many addresses has them of: while
// more than calmFailures have failed from there, everybody else comes first.
const (
	pairBurst, pairStep       = 10, 30 * time.Second
	addressBurst, addressStep = 50, 10 * time.Second
	allBurst, allStep         = 1000, 200 * time.Millisecond
	accountBurst, accountStep = 50, 10 * time.Second
	networkBurst, networkStep = 50, 10 * time.Second
	calmFailures              = 10
	// forgiveTimeout is for taking back what a login counted that did not fail.
	forgiveTimeout = time.Second
	// warnEvery is how often the log says that many logins fail.
	warnEvery = time.Minute
)

// guesses bounds failed logins, for all replicas together. Every login is counted as
// failed before its password is looked at, and it is taken back when it was right: so
// many at once, on many replicas, get no further than many in a row. An account counts
// under what the caller calls it, whether it exists or not. It is safe for concurrent
// use.
type guesses struct {
	failures domain.LoginFailureRepository
	log      *slog.Logger
	warned   atomic.Int64 // when the log last said that many fail, in nanoseconds of now
	now      func() time.Time
}

// guess is a login as far as it is counted.
type guess struct {
	pair, address, all, account, network domain.LoginFailure
}

func newGuess(email, address string) guess {
	return guess{
		pair:    counter(pairBurst, pairStep, "pair", email, address),
		address: counter(addressBurst, addressStep, "address", address),
		all:     counter(allBurst, allStep, "all"),
		account: counter(accountBurst, accountStep, "account", email),
		network: counter(networkBurst, networkStep, "network", networkName(address)),
	}
}

// counter returns one of burst failures, of which one is forgotten after each step. It
// is kept one further than that, which says that it is at its end.
func counter(burst int, step time.Duration, names ...string) domain.LoginFailure {
	hash := sha256.New()
	for _, name := range names {
		fmt.Fprintf(hash, "%d:%s", len(name), name)
	}
	return domain.LoginFailure{Key: hash.Sum(nil)[:16], Step: step, Most: time.Duration(burst+1) * step}
}

func (g *guess) counters() []domain.LoginFailure {
	return []domain.LoginFailure{g.pair, g.address, g.all, g.account, g.network}
}

// admit returns how many such logins have failed lately, where all that failed with the
// account elsewhere are one, and all from elsewhere in the network another one, or an
// ErrLimited when there were too many. It counts nothing.
func (g *guesses) admit(ctx context.Context, of guess) (failures int, err error) {
	var keys [][]byte
	for _, c := range of.counters() {
		keys = append(keys, c.Key)
	}
	counted, err := g.failures.LoginFailures(ctx, keys)
	if err != nil {
		return 0, fmt.Errorf("look at failed logins: %w", err)
	}
	if err := g.judge(ctx, of, counted); err != nil {
		return 0, err
	}
	failures = failuresIn(of.pair, counted[0]) + failuresIn(of.address, counted[1])
	// Not more than one for each: who has guessed least comes first, and that may be the
	// account's owner.
	if failuresIn(of.account, counted[3]) > calmFailures {
		failures++
	}
	if failuresIn(of.network, counted[4]) > calmFailures {
		failures++
	}
	return failures, nil
}

// charge counts a login as failed, or returns an ErrLimited.
func (g *guesses) charge(ctx context.Context, of guess) error {
	counted, err := g.failures.AddLoginFailures(ctx, of.counters())
	if err != nil {
		return fmt.Errorf("count login: %w", err)
	}
	for i, c := range of.counters() {
		counted[i] -= c.Step
	}
	return g.judge(ctx, of, counted)
}

// forgive takes back what charge counted, and all that failed before from there with
// this account. The login does not depend on it.
func (g *guesses) forgive(ctx context.Context, of guess) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), forgiveTimeout)
	defer cancel()
	of.pair.Step = of.pair.Most
	if err := g.failures.ForgiveLoginFailures(ctx, of.counters()); err != nil {
		g.log.WarnContext(ctx, "a good login stays counted as failed", slog.Any("error", err))
	}
}

// judge returns an ErrLimited unless one more may fail after what was counted.
func (g *guesses) judge(ctx context.Context, of guess, counted []time.Duration) error {
	pair, address, all := counted[0], counted[1], counted[2]
	wait := max(excess(of.pair, pair), excess(of.address, address))
	if excess(of.all, all) > 0 {
		g.warn(ctx)
		wait = max(wait, pair, address-calmFailures*addressStep)
	}
	if wait <= 0 {
		return nil
	}
	return domain.New(domain.ErrLimited, "too_many_logins", "Too many logins have failed; try again later.").After(wait)
}

// excess is how long it takes until one more may be counted.
func excess(of domain.LoginFailure, counted time.Duration) time.Duration {
	return counted + 2*of.Step - of.Most
}

// failuresIn returns how many failures were counted and are not forgotten.
func failuresIn(of domain.LoginFailure, counted time.Duration) int {
	return int((counted + of.Step - 1) / of.Step)
}

func (g *guesses) warn(ctx context.Context) {
	now, last := g.now().UnixNano(), g.warned.Load()
	if now-last >= int64(warnEvery) && g.warned.CompareAndSwap(last, now) {
		g.log.WarnContext(ctx, "many logins fail; addresses from which some have failed have to wait")
	}
}

// addressName returns the name under which an address is counted: for IPv6 the
// network of 64 bits that one customer gets.
func addressName(remote string) string {
	addr, err := netip.ParseAddr(remote)
	if err != nil {
		return remote
	}
	if addr = addr.Unmap(); addr.Is6() {
		if network, err := addr.Prefix(64); err == nil {
			return network.String()
		}
	}
	return addr.String()
}

// networkName returns the network that an address, as addressName has it, is counted
// under: the 256 addresses of IPv4 around it, or the 65,536 networks of IPv6 that one
// site gets.
func networkName(address string) string {
	bits := 24
	addr, err := netip.ParseAddr(address)
	if err != nil {
		network, err := netip.ParsePrefix(address)
		if err != nil {
			return address
		}
		addr, bits = network.Addr(), 48
	}
	prefix, err := addr.Prefix(bits)
	if err != nil {
		return address
	}
	return prefix.String()
}

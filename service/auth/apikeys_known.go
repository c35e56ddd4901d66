package auth

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/time/rate"

	"lanekeeper/domain"
	"lanekeeper/pkg/cache"
	"lanekeeper/pkg/janitor"
	"lanekeeper/pkg/shares"
)

const (
	// keyFresh is how long what is known of a key is used without asking again, with
	// the reasons of accountFresh.
	keyFresh = accountFresh
	// maxKeys is how many keys are remembered.
	maxKeys = 20_000
	// unknownKeyFor is how long it is remembered that there is no such key, and
	// maxUnknownKeys of how many.
	unknownKeyFor  = 5 * time.Second
	maxUnknownKeys = 2_000

	// The database is asked for at most strangerTurns keys at a time of which nothing
	// is known, one of each address: there are three connections for callers, and the
	// others must not wait for those who make keys up. strangerQueue is how many calls
	// of an address wait for their turn.
	strangerTurns = 2
	strangerQueue = 200
	// An address may ask for so many keys that do not exist, at once and then in a
	// second.
	missBurst = 60
	missRate  = rate.Limit(2)
	// maxMissing is how many addresses are counted. When there are more, all begin
	// anew: the turns bound those, too.
	maxMissing = 20_000

	deadKeysEvery = 10 * time.Minute
	deadKeysChunk = 1000
	// expiredKeysFor is for how long keys are listed after they have expired.
	expiredKeysFor = 30 * 24 * time.Hour
)

func newKnownKeys(keys domain.APIKeyRepository, now func() time.Time) *cache.Cache[uuid.UUID, domain.APIKey] {
	return cache.New(cache.Options[uuid.UUID, domain.APIKey]{
		Load: keys.FindAPIKey, LoadTimeout: lookupTimeout, FreshFor: keyFresh, AwayFor: awayPause, Size: maxKeys,
		Absent: func(err error) bool { return errors.Is(err, domain.ErrNotFound) }, AbsentFor: unknownKeyFor, AbsentSize: maxUnknownKeys,
		Now: now,
	})
}

// verify returns the key with this text. It is one ErrUnauthenticated for all that
// does not count, whatever is wrong with it; an ErrLimited for too many of them from
// one address, of keys that nothing is known of; an ErrUnavailable when it cannot be
// found out.
func (k *APIKeys) verify(ctx context.Context, text string) (domain.APIKey, error) {
	id, hash, ok := parseAPIKey(text)
	if !ok {
		return domain.APIKey{}, keyInvalid()
	}
	key, err := k.current(ctx, id)
	if err != nil {
		return domain.APIKey{}, err
	}
	if subtle.ConstantTimeCompare(hash, key.Hash) != 1 {
		return domain.APIKey{}, keyInvalid()
	}
	return key, nil
}

// current returns a key of which the caller has shown the secret, or will, as it is
// now; with the errors of verify.
func (k *APIKeys) current(ctx context.Context, id uuid.UUID) (domain.APIKey, error) {
	key, err := k.find(ctx, id)
	switch {
	case errors.Is(err, domain.ErrNotFound), err == nil && key.Expired(k.o.Clock()):
		return domain.APIKey{}, keyInvalid()
	case errors.Is(err, context.DeadlineExceeded):
		return domain.APIKey{}, domain.Wrap(err, domain.ErrUnavailable, "database_unavailable", "The database did not answer in time.")
	case err != nil:
		return domain.APIKey{}, fmt.Errorf("find API key: %w", err)
	}
	return key, nil
}

// find asks memory, and the database when that is some seconds old. Like that for
// users it does not end with ctx.
func (k *APIKeys) find(ctx context.Context, id uuid.UUID) (domain.APIKey, error) {
	lasting := context.WithoutCancel(ctx)
	if k.known.Known(id) {
		return k.known.Get(lasting, id)
	}
	return k.strangers.ask(ctx, domain.Owner(ctx), func() (domain.APIKey, error) { return k.known.Get(lasting, id) })
}

// used notes that the key was used now.
func (k *APIKeys) used(id uuid.UUID) { k.uses.note(id, k.o.Clock()) }

// Forget notes that the key may have been changed or revoked: the next call with it
// asks the database.
func (k *APIKeys) Forget(id uuid.UUID) { k.known.Drop(id) }

// ForgetAll notes that any key may have been changed. What is known goes on being used
// while the database is away.
func (k *APIKeys) ForgetAll() { k.known.ExpireAll() }

// Run records when keys were used, and deletes those that can never be used again,
// until ctx ends. Any number of replicas may run one.
func (k *APIKeys) Run(ctx context.Context) {
	var sweeping sync.WaitGroup
	defer sweeping.Wait()
	sweeping.Go(func() { janitor.Run(ctx, deadKeysEvery, k.deleteDead) })
	janitor.Run(ctx, recordEvery, k.record)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastRecord)
	defer cancel()
	k.record(last)
}

func (k *APIKeys) record(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	if err := k.uses.flush(ctx, k.o.Keys.RecordAPIKeyUses); err != nil {
		k.o.Log.DebugContext(ctx, "uses of API keys not recorded, trying again later", slog.Any("error", err))
	}
}

func (k *APIKeys) deleteDead(ctx context.Context) {
	err := janitor.Sweep(ctx, deadKeysChunk, func(ctx context.Context, limit int) (int, error) {
		return k.o.Keys.DeleteDeadAPIKeys(ctx, expiredKeysFor, limit)
	})
	if err != nil {
		k.o.Log.DebugContext(ctx, "dead API keys not deleted, trying again later", slog.Any("error", err))
	}
}

// keyInvalid is the one answer to a key that does not count.
func keyInvalid() error {
	return domain.New(domain.ErrUnauthenticated, "key_invalid", "The API key is not valid.")
}

// strangers bounds what keys cost of which nothing is known. It is safe for
// concurrent use.
type strangers struct {
	turns *shares.Shares
	now   func() time.Time

	mu     sync.Mutex // guards misses and what is in them
	misses map[string]*rate.Limiter
}

func newStrangers(now func() time.Time) *strangers {
	return &strangers{
		turns: shares.New(shares.Options{Total: strangerTurns, PerOwner: 1, PerUser: 1, Wait: lookupTimeout, Queue: strangerQueue}),
		now:   now, misses: make(map[string]*rate.Limiter),
	}
}

// ask asks the database for one, in the turn of the address that it came from.
func (s *strangers) ask(ctx context.Context, address string, ask func() (domain.APIKey, error)) (domain.APIKey, error) {
	if s.missed(address, 0) < 1 {
		return domain.APIKey{}, tooManyKeys()
	}
	turn, err := s.turns.Take(ctx, shares.User{Owner: address, Name: address}, 1)
	if err != nil {
		return domain.APIKey{}, domain.Wrap(err, domain.ErrUnavailable, "keys_busy", "Too many API keys that are not known yet are being looked up; try again shortly.")
	}
	defer turn.GiveBack()
	if s.missed(address, 0) < 1 { // others of the address came first
		return domain.APIKey{}, tooManyKeys()
	}
	key, err := ask()
	if errors.Is(err, domain.ErrNotFound) {
		s.missed(address, 1)
	}
	return key, err
}

func tooManyKeys() error {
	return domain.New(domain.ErrLimited, "too_many_keys", "Too many API keys that do not exist came from this address; try again later.").
		After(time.Duration(float64(time.Second) / float64(missRate)))
}

// missed counts n keys that do not exist, and returns how many more there may be.
func (s *strangers) missed(address string, n int) float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.misses[address]
	if !ok && n == 0 {
		return missBurst
	}
	if !ok {
		if len(s.misses) >= maxMissing {
			clear(s.misses)
		}
		b = rate.NewLimiter(missRate, missBurst)
		s.misses[address] = b
	}
	b.AllowN(s.now(), n)
	return b.TokensAt(s.now())
}

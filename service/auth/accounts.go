package auth

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/singleflight"

	"lanekeeper/domain"
)

const (
	// accountFresh is how long what is known of a user is used without
	// looking again. Together with lookupTimeout, and the second after which
	// open streams ask again, it stays below the 5 seconds within which a
	// changed user is refused.
	accountFresh = 2 * time.Second
	// lookupTimeout is how long a look into the database may take.
	lookupTimeout = 1500 * time.Millisecond
	// awayPause is how long the database is left alone after it was found
	// away, as long as something is known of the user.
	awayPause = time.Second
	// maxAccounts is how many users are remembered.
	maxAccounts = 20_000
)

// account is what is known of a user.
type account struct {
	user    domain.User
	exists  bool
	checked time.Time
	// seen is what accounts.changes was when it was looked at.
	seen uint64
}

// accounts answers who users are from memory, and asks the repository when
// that is some seconds old. While the repository is away the last known state
// goes on being used. It is safe for concurrent use.
type accounts struct {
	users   domain.UserRepository
	now     func() time.Time
	flights singleflight.Group

	mu    sync.Mutex // guards the fields below; never held during I/O
	known *recent[uuid.UUID, account]
	// changes counts calls of forget and distrust, so that a look that began
	// before one leaves nothing behind.
	changes uint64
	// distrusted is what changes was after the last distrust: what was looked
	// at before is out of date.
	distrusted uint64
	awayUntil  time.Time
}

func newAccounts(users domain.UserRepository, now func() time.Time) *accounts {
	return &accounts{users: users, now: now, known: newRecent[uuid.UUID, account](maxAccounts)}
}

// find returns the user, or ErrNotFound; ErrUnavailable only when nothing is
// known of it.
func (a *accounts) find(ctx context.Context, id uuid.UUID) (domain.User, error) {
	a.mu.Lock()
	known, ok := a.known.get(id)
	fresh := known.seen >= a.distrusted && a.now().Sub(known.checked) < accountFresh
	if ok && (fresh || a.now().Before(a.awayUntil)) {
		a.mu.Unlock()
		return known.answer()
	}
	flight := a.flight(id)
	a.mu.Unlock()
	// One look serves all who wait for it, so it must not end with the
	// request that happened to begin it.
	found, err, _ := a.flights.Do(flight, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookupTimeout)
		defer cancel()
		return a.look(ctx, id)
	})
	if err != nil {
		if ok {
			return known.answer()
		}
		return domain.User{}, err
	}
	return found.(account).answer() //nolint:errcheck // look returns nothing else
}

// look asks the repository and remembers its answer.
func (a *accounts) look(ctx context.Context, id uuid.UUID) (account, error) {
	a.mu.Lock()
	changes := a.changes
	a.mu.Unlock()
	began := a.now()
	user, err := a.users.FindUser(ctx, id)
	found := account{user: user, exists: err == nil, checked: began, seen: changes}

	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil && !errors.Is(err, domain.ErrNotFound) {
		a.awayUntil = a.now().Add(awayPause)
		if errors.Is(err, context.DeadlineExceeded) {
			err = domain.Wrap(err, domain.ErrUnavailable, "database_unavailable", "The database did not answer in time.")
		}
		return account{}, err
	}
	a.awayUntil = time.Time{}
	if a.changes == changes {
		a.known.put(id, found)
	}
	return found, nil
}

// forget makes the next find look again. What was known is wrong, and is not
// used any more.
func (a *accounts) forget(id uuid.UUID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.changes++
	a.awayUntil = time.Time{}
	a.known.drop(id)
	a.flights.Forget(a.flight(id))
}

// distrust makes the next find of every user look again. What is known stays
// for as long as the repository is away: most of it is right.
func (a *accounts) distrust() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.changes++
	a.distrusted = a.changes
	a.awayUntil = time.Time{}
}

// flight names the look for a user that a find may wait for. It needs mu.
func (a *accounts) flight(id uuid.UUID) string {
	return id.String() + "/" + strconv.FormatUint(a.distrusted, 10)
}

func (k account) answer() (domain.User, error) {
	if !k.exists {
		return domain.User{}, domain.UserNotFound()
	}
	return k.user, nil
}

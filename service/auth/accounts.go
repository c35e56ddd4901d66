package auth

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/singleflight"

	"lanekeeper/domain"
)

const (
	// accountFresh is how long what is known of a user is used without
	// looking again. Together with lookupTimeout it stays below the 5 seconds
	// within which a changed user is refused.
	accountFresh = 3 * time.Second
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
	// changes counts calls of forget, so that a look that began before one
	// leaves nothing behind.
	changes   uint64
	awayUntil time.Time
}

func newAccounts(users domain.UserRepository, now func() time.Time) *accounts {
	return &accounts{users: users, now: now, known: newRecent[uuid.UUID, account](maxAccounts)}
}

// find returns the user, or ErrNotFound; ErrUnavailable only when nothing is
// known of it.
func (a *accounts) find(ctx context.Context, id uuid.UUID) (domain.User, error) {
	a.mu.Lock()
	known, ok := a.known.get(id)
	usable := ok && (a.now().Sub(known.checked) < accountFresh || a.now().Before(a.awayUntil))
	a.mu.Unlock()
	if usable {
		return known.answer()
	}
	// One look serves all who wait for it, so it must not end with the
	// request that happened to begin it.
	found, err, _ := a.flights.Do(id.String(), func() (any, error) {
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
	found := account{user: user, exists: err == nil, checked: began}

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

// forget makes the next find look again.
func (a *accounts) forget(id uuid.UUID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.changes++
	a.known.drop(id)
	a.flights.Forget(id.String())
}

func (k account) answer() (domain.User, error) {
	if !k.exists {
		return domain.User{}, domain.UserNotFound()
	}
	return k.user, nil
}

package auth

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/cache"
)

const (
	// accountFresh is how long what is known of a user is used without asking
	// again. Together with lookupTimeout, and the second after which open streams
	// ask again, it stays below the 5 seconds within which a changed user is
	// refused.
	accountFresh = 2 * time.Second
	// lookupTimeout is how long a question to the database may take.
	lookupTimeout = 1500 * time.Millisecond
	// awayPause is how long the database is left alone after it was found
	// away, as long as something is known of the user.
	awayPause = time.Second
	// maxAccounts is how many users are remembered.
	maxAccounts = 20_000
)

// account is what is known of a user.
type account struct {
	user   domain.User
	exists bool
}

// accounts answers who users are from memory, and asks the repository when
// that is some seconds old. While the repository is away the last known state
// goes on being used. It is safe for concurrent use.
type accounts struct {
	known *cache.Cache[uuid.UUID, account]
}

func newAccounts(users domain.UserRepository, now func() time.Time) *accounts {
	return &accounts{cache.New(cache.Options[uuid.UUID, account]{
		Load: func(ctx context.Context, id uuid.UUID) (account, error) {
			user, err := users.FindUser(ctx, id)
			if errors.Is(err, domain.ErrNotFound) {
				return account{}, nil
			}
			return account{user, true}, err
		},
		LoadTimeout: lookupTimeout, FreshFor: accountFresh, AwayFor: awayPause, Size: maxAccounts, Now: now,
	})}
}

// find returns the user, or ErrNotFound; ErrUnavailable only when nothing is
// known of it. It does not end with ctx: a question takes lookupTimeout at most,
// and others may wait for it.
func (a *accounts) find(ctx context.Context, id uuid.UUID) (domain.User, error) {
	found, err := a.known.Get(context.WithoutCancel(ctx), id)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return domain.User{}, domain.Wrap(err, domain.ErrUnavailable, "database_unavailable", "The database did not answer in time.")
	case err != nil:
		return domain.User{}, err //nolint:wrapcheck // the repository's
	case !found.exists:
		return domain.User{}, domain.UserNotFound()
	}
	return found.user, nil
}

// forget makes the next find ask again. What was known is wrong, and is not used
// any more.
func (a *accounts) forget(id uuid.UUID) { a.known.Drop(id) }

// expireAll makes the next find of every user ask again. What is known stays for
// as long as the repository is away: most of it is right.
func (a *accounts) expireAll() { a.known.ExpireAll() }

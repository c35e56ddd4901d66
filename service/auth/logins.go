package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/cache"
)

const (
	// formsFresh is how long it is taken for known in which forms passwords are
	// hashed.
	formsFresh = 30 * time.Second
	// maxForms is how many of them a failed login computes; where there are more,
	// those who have the others are slower or faster to fail. mostForms is how many
	// are asked for, of which some may cost the same.
	maxForms  = 4
	mostForms = 16
)

// logins checks passwords, so that nobody learns from it who has an account, and
// guessing gets nobody far. It is safe for concurrent use.
type logins struct {
	users     domain.UserRepository
	passwords *passwords
	guesses   *guesses
	forms     *cache.Cache[struct{}, []form]
	log       *slog.Logger
}

func newLogins(o Options, p *passwords, now func() time.Time) *logins {
	return &logins{
		users: o.Users, passwords: p, log: o.Log,
		guesses: &guesses{failures: o.Failures, log: o.Log, now: now},
		forms: cache.New(cache.Options[struct{}, []form]{
			Load: func(ctx context.Context, _ struct{}) ([]form, error) {
				texts, err := o.Users.OutdatedPasswordForms(ctx, mostForms)
				return formsOf(texts, p.current()), err
			},
			LoadTimeout: lookupTimeout, FreshFor: formsFresh, Size: 1, Now: now,
		}),
	}
}

// formsOf returns the first of those forms that are understood and not the current one.
func formsOf(texts []string, current form) []form {
	var forms []form
	for _, text := range texts {
		f, err := formOf(text)
		if err == nil && f != current && !slices.Contains(forms, f) && len(forms) < maxForms {
			forms = append(forms, f)
		}
	}
	return forms
}

// attempt is a password that somebody types.
type attempt struct {
	email, password string
	// remote is the address it comes from.
	remote string
	// find returns whose password it should be, or an ErrNotFound.
	find func(ctx context.Context) (domain.User, error)
	// next is what to hash in the same turn when the password is right; without it
	// an outdated hash is replaced by one of the same password.
	next string
}

// prove checks a password and returns the user, and the hash of next or what should
// replace an outdated one. That nobody is found, that the user has no password or is
// disabled, and a wrong password are one ErrUnauthenticated and take the same time;
// other errors are ErrLimited and ErrUnavailable.
func (l *logins) prove(ctx context.Context, a attempt) (user domain.User, hash string, err error) {
	address := addressName(a.remote)
	counted := newGuess(a.email, address)
	failures, err := l.guesses.admit(ctx, counted)
	if err != nil {
		return domain.User{}, "", err
	}
	user, err = a.find(ctx)
	if err != nil && !errors.Is(err, domain.ErrNotFound) {
		return domain.User{}, "", fmt.Errorf("find user: %w", err)
	}
	forms, err := l.forms.Get(ctx, struct{}{})
	if err != nil {
		return domain.User{}, "", fmt.Errorf("look for outdated passwords: %w", err)
	}
	done, err := l.passwords.turns.take(ctx, asker{address, failures})
	if err != nil {
		return domain.User{}, "", err
	}
	hash, err = l.compute(ctx, a, &user, forms, counted)
	done()
	if err != nil {
		return domain.User{}, "", err
	}
	l.guesses.forgive(ctx, counted)
	return user, hash, nil
}

// compute is what of prove needs a turn.
func (l *logins) compute(ctx context.Context, a attempt, user *domain.User, forms []form, counted guess) (hash string, err error) {
	// Only now, so that many good logins at once do not count against each other.
	if err := l.guesses.charge(ctx, counted); err != nil {
		return "", err
	}
	// Of nobody the hash is empty, and verifying it takes its time.
	stored := user.PasswordHash
	if user.Disabled() {
		stored = ""
	}
	ok, outdated, err := l.passwords.verify(stored, a.password, forms)
	if errors.Is(err, errUnknownHash) {
		l.log.WarnContext(ctx, "stored password hash is not understood", slog.String("user_id", user.ID.String()))
	}
	if f, err := formOf(stored); err == nil && f != l.passwords.current() && !slices.Contains(forms, f) {
		l.forms.Drop(struct{}{}) // somebody inserted a user by SQL
	}
	switch {
	case !ok:
		return "", badCredentials()
	case a.next != "":
		return l.passwords.hashNow(a.next), nil
	case outdated:
		return l.passwords.hashNow(a.password), nil
	}
	return "", nil
}

// replace stores the hash of the same password as old's, unless that was changed
// meanwhile. The login does not depend on it.
func (l *logins) replace(ctx context.Context, id uuid.UUID, old, hash string) {
	_, err := l.users.ChangeUser(ctx, id, func(u *domain.User) error {
		if u.PasswordHash == old {
			u.PasswordHash = hash
		}
		return nil
	})
	if err != nil {
		l.log.WarnContext(ctx, "password was not rehashed", slog.String("user_id", id.String()), slog.Any("error", err))
	}
}

func badCredentials() error {
	return domain.New(domain.ErrUnauthenticated, "invalid_credentials", "Email or password is wrong.")
}

package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"lanekeeper/domain"
)

// Login checks a password and returns a token. RemoteAddr is the address the
// request came from. Unknown users, users without a password and wrong
// passwords are one ErrUnauthenticated and take the same time; other errors
// are ErrLimited after too many of them, ErrForbidden for a user whose tenant
// was deleted, and ErrUnavailable.
func (s *Service) Login(ctx context.Context, email, password, remoteAddr string) (domain.Grant, error) {
	email, valid := domain.NormalizeEmail(email)
	if !valid || len(password) > domain.MaxPasswordLength {
		return domain.Grant{}, badCredentials()
	}
	addressDone, err := s.byAddress.begin(addressName(remoteAddr))
	if err != nil {
		return domain.Grant{}, err
	}
	accountDone, err := s.byAccount.begin(email)
	if err != nil {
		addressDone(false)
		return domain.Grant{}, err
	}
	user, err := s.checkPassword(ctx, email, password)
	failed := errors.Is(err, domain.ErrUnauthenticated)
	addressDone(failed)
	accountDone(failed)
	if err != nil {
		return domain.Grant{}, err
	}
	return s.grant(ctx, &user)
}

// IssueFor returns a token for the user with an email address, for those who
// have access to the database anyway. Errors are ErrNotFound and
// ErrUnavailable.
func (s *Service) IssueFor(ctx context.Context, email string) (domain.Grant, error) {
	email, valid := domain.NormalizeEmail(email)
	if !valid {
		return domain.Grant{}, domain.UserNotFound()
	}
	user, err := s.users.FindUserByEmail(ctx, email)
	if err != nil {
		return domain.Grant{}, fmt.Errorf("find user: %w", err)
	}
	return s.grant(ctx, &user)
}

func (s *Service) grant(ctx context.Context, user *domain.User) (domain.Grant, error) {
	gone, err := s.tenantGone(ctx, user.TenantID)
	if err != nil {
		return domain.Grant{}, fmt.Errorf("find tenant of user: %w", err)
	}
	if gone {
		return domain.Grant{}, domain.New(domain.ErrForbidden, "tenant_deleted", "The tenant of this user was deleted.")
	}
	return s.tokens.issue(ctx, user)
}

// checkPassword returns the user with this email and password.
func (s *Service) checkPassword(ctx context.Context, email, password string) (domain.User, error) {
	user, err := s.users.FindUserByEmail(ctx, email)
	if err != nil && !errors.Is(err, domain.ErrNotFound) {
		return domain.User{}, fmt.Errorf("find user: %w", err)
	}
	// For nobody the hash is empty, and verifying it takes its time.
	ok, outdated, err := s.passwords.verify(ctx, user.PasswordHash, password)
	switch {
	case errors.Is(err, errUnknownHash):
		s.log.WarnContext(ctx, "stored password hash is not understood", slog.String("user_id", user.ID.String()))
		return domain.User{}, badCredentials()
	case err != nil:
		return domain.User{}, err
	case !ok:
		return domain.User{}, badCredentials()
	}
	if outdated {
		s.rehash(ctx, &user, password)
	}
	return user, nil
}

// rehash replaces the user's password hash, unless it was changed meanwhile.
// The login does not depend on it.
func (s *Service) rehash(ctx context.Context, user *domain.User, password string) {
	hash, err := s.passwords.hash(ctx, password)
	if err == nil {
		_, err = s.users.ChangeUser(ctx, user.ID, func(u *domain.User) error {
			if u.PasswordHash == user.PasswordHash {
				u.PasswordHash = hash
			}
			return nil
		})
	}
	if err != nil {
		s.log.WarnContext(ctx, "password was not rehashed", slog.String("user_id", user.ID.String()), slog.Any("error", err))
	}
}

func badCredentials() error {
	return domain.New(domain.ErrUnauthenticated, "invalid_credentials", "Email or password is wrong.")
}

package auth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

// CreateUser makes a user: name, email and password must be given, the role is
// member unless given. Errors are ErrInvalid with every field that is wrong,
// an ErrConflict "email_taken", and ErrUnavailable.
func (s *Service) CreateUser(ctx context.Context, change domain.UserChange) (domain.User, error) {
	user := domain.User{Role: domain.RoleMember, CreatedAt: s.now()}
	var fields []domain.FieldError
	for _, required := range []struct {
		pointer string
		value   *string
	}{{"/name", change.Name}, {"/email", change.Email}, {"/password", change.Password}} {
		if required.value == nil {
			fields = append(fields, domain.FieldError{Pointer: required.pointer, Message: "is required"})
		}
	}
	if err := change.Apply(&user); err != nil {
		var invalid *domain.Error
		if !errors.As(err, &invalid) {
			return domain.User{}, err
		}
		fields = append(fields, invalid.Fields...)
	}
	if len(fields) > 0 {
		return domain.User{}, domain.WithFields(fields...)
	}
	if err := s.passwords.rate(ctx, "/password", *change.Password, &user); err != nil {
		return domain.User{}, err
	}
	if err := s.checkTenant(ctx, user.TenantID); err != nil {
		return domain.User{}, err
	}
	var err error
	if user.ID, err = uuid.NewV7(); err != nil {
		return domain.User{}, fmt.Errorf("make user id: %w", err)
	}
	if user.PasswordHash, err = s.passwords.hash(ctx, asker{by: domain.Owner(ctx)}, *change.Password); err != nil {
		return domain.User{}, err
	}
	if err := s.users.InsertUser(ctx, user); err != nil {
		return domain.User{}, fmt.Errorf("insert user: %w", err)
	}
	return user, nil
}

// GetUser returns the user, or ErrNotFound.
func (s *Service) GetUser(ctx context.Context, id uuid.UUID) (domain.User, error) {
	user, err := s.users.FindUser(ctx, id)
	if err != nil {
		return domain.User{}, fmt.Errorf("find user: %w", err)
	}
	return user, nil
}

// ListUsers returns at most limit users with an id greater than after, and
// whether there are more.
func (s *Service) ListUsers(ctx context.Context, after uuid.UUID, limit int) (users []domain.User, more bool, err error) {
	users, err = s.users.ListUsers(ctx, after, limit+1)
	if err != nil {
		return nil, false, fmt.Errorf("list users: %w", err)
	}
	if len(users) > limit {
		return users[:limit], true, nil
	}
	return users, false, nil
}

// ChangeUser changes a user on behalf of p. A new password, email, role or
// tenant makes the user's tokens invalid, and so does disabling it. Errors are
// ErrInvalid, ErrNotFound, ErrUnavailable, and ErrConflict: "email_taken", and
// "own_account" when admins would take the role from themselves or disable
// themselves, so that one always remains.
func (s *Service) ChangeUser(ctx context.Context, p domain.Principal, id uuid.UUID, change domain.UserChange) (domain.User, error) {
	var wanted domain.User
	if err := change.Apply(&wanted); err != nil {
		return domain.User{}, err
	}
	if change.Role != nil && wanted.Role != domain.RoleAdmin && p.UserID == id {
		return domain.User{}, domain.New(domain.ErrConflict, "own_account", "You cannot take the role admin from yourself.")
	}
	if change.Disabled != nil && *change.Disabled && p.UserID == id {
		return domain.User{}, domain.New(domain.ErrConflict, "own_account", "You cannot disable your own account.")
	}
	if err := s.checkTenant(ctx, wanted.TenantID); err != nil {
		return domain.User{}, err
	}
	hash := ""
	if change.Password != nil {
		var err error
		if hash, err = s.hashFor(ctx, id, change); err != nil {
			return domain.User{}, err
		}
	}
	user, err := s.users.ChangeUser(ctx, id, func(u *domain.User) error {
		before := *u
		if err := change.Apply(u); err != nil {
			return err
		}
		if hash != "" {
			u.PasswordHash = hash
		}
		switch {
		case change.Disabled == nil || *change.Disabled == u.Disabled():
		case *change.Disabled:
			u.DisabledAt = s.clock().UTC()
			u.TokenVersion++ // also for replicas of earlier versions, and when it is enabled again
		default:
			u.DisabledAt = time.Time{}
		}
		if u.PasswordHash != before.PasswordHash || u.Email != before.Email || u.Role != before.Role || u.TenantID != before.TenantID {
			u.TokenVersion++
		}
		return nil
	})
	s.accounts.forget(id)
	if err != nil {
		return domain.User{}, fmt.Errorf("change user: %w", err)
	}
	return user, nil
}

// hashFor returns the hash of the password that the user is to have after the change:
// before its row is locked, and only if it exists.
func (s *Service) hashFor(ctx context.Context, id uuid.UUID, change domain.UserChange) (string, error) {
	user, err := s.GetUser(ctx, id)
	if err != nil {
		return "", err
	}
	if err := change.Apply(&user); err != nil {
		return "", err
	}
	if err := s.passwords.rate(ctx, "/password", *change.Password, &user); err != nil {
		return "", err
	}
	return s.passwords.hash(ctx, asker{by: domain.Owner(ctx)}, *change.Password)
}

// ChangePassword changes the password of p, who has to know the current one, and makes
// p's tokens invalid. RemoteAddr is where the request came from: a wrong password
// counts as a failed login from there. Errors are ErrInvalid, "wrong_password" among
// them, an ErrConflict for the built-in admin, ErrUnauthenticated when p's token has
// become invalid meanwhile, ErrLimited and ErrUnavailable.
func (s *Service) ChangePassword(ctx context.Context, p domain.Principal, current, next, remoteAddr string) error {
	user, err := s.self(ctx, p)
	if err != nil {
		return err
	}
	if err := s.checkNext(ctx, current, next, &user); err != nil {
		return err
	}
	if len(current) > domain.MaxPasswordLength {
		return wrongPassword()
	}
	email, _ := domain.NormalizeEmail(user.Email)
	_, hash, err := s.logins.prove(ctx, attempt{
		email: email, password: current, remote: remoteAddr, next: next,
		find: func(context.Context) (domain.User, error) { return user, nil },
	})
	switch {
	case errors.Is(err, domain.ErrUnauthenticated):
		return wrongPassword()
	case err != nil:
		return err
	}
	return s.endTokens(ctx, p, func(u *domain.User) { u.PasswordHash = hash })
}

// checkNext returns an ErrInvalid unless the user may have next as password.
func (s *Service) checkNext(ctx context.Context, current, next string, user *domain.User) error {
	const field = "/new"
	if err := domain.CheckPassword(field, next); err != nil {
		return err
	}
	if next == current {
		return domain.WithFields(domain.FieldError{Pointer: field, Message: "must not be the current one"})
	}
	return s.passwords.rate(ctx, field, next, user)
}

// Logout makes all tokens of p invalid. Errors are an ErrConflict for the built-in
// admin, ErrUnauthenticated when they are already, and ErrUnavailable.
func (s *Service) Logout(ctx context.Context, p domain.Principal) error {
	if p.UserID == uuid.Nil {
		return builtInAdmin()
	}
	return s.endTokens(ctx, p, func(*domain.User) {})
}

// endTokens changes the user of p and makes its tokens invalid, unless they are
// already.
func (s *Service) endTokens(ctx context.Context, p domain.Principal, change func(*domain.User)) error {
	_, err := s.users.ChangeUser(ctx, p.UserID, func(u *domain.User) error {
		if u.TokenVersion != p.TokenVersion {
			return tokenRevoked()
		}
		change(u)
		u.TokenVersion++
		return nil
	})
	s.accounts.forget(p.UserID)
	switch {
	case errors.Is(err, domain.ErrNotFound):
		return tokenRevoked()
	case err != nil:
		return fmt.Errorf("end tokens: %w", err)
	}
	return nil
}

// Self returns the user of p, as the database knows it; nil for the built-in admin.
// Errors are ErrUnauthenticated when the user was deleted, and ErrUnavailable.
func (s *Service) Self(ctx context.Context, p domain.Principal) (*domain.User, error) {
	if p.UserID == uuid.Nil {
		return nil, nil //nolint:nilnil // the built-in admin is no user
	}
	user, err := s.self(ctx, p)
	if err != nil {
		return nil, err
	}
	return &user, nil
}

// self returns the user of p, as the database knows it.
func (s *Service) self(ctx context.Context, p domain.Principal) (domain.User, error) {
	if p.UserID == uuid.Nil {
		return domain.User{}, builtInAdmin()
	}
	user, err := s.GetUser(ctx, p.UserID)
	if errors.Is(err, domain.ErrNotFound) {
		return domain.User{}, tokenRevoked()
	}
	return user, err
}

func builtInAdmin() error {
	return domain.New(domain.ErrConflict, "built_in_admin",
		"Without a token you are the built-in admin of open mode, who has no password and no tokens. Log in as a user first.")
}

func wrongPassword() error {
	err := domain.New(domain.ErrInvalid, "wrong_password", "The current password is wrong.")
	err.Fields = []domain.FieldError{{Pointer: "/current", Message: "is not your password"}}
	return err
}

// DeleteUser deletes a user on behalf of p; its tokens become invalid. Errors
// are ErrNotFound, ErrUnavailable, and an ErrConflict "own_account" for p's own
// account, so that an admin always remains.
func (s *Service) DeleteUser(ctx context.Context, p domain.Principal, id uuid.UUID) error {
	if p.UserID == id && id != uuid.Nil {
		return domain.New(domain.ErrConflict, "own_account", "You cannot delete your own account.")
	}
	err := s.users.DeleteUser(ctx, id)
	s.accounts.forget(id)
	if err != nil {
		return fmt.Errorf("delete user: %w", err)
	}
	return nil
}

// checkTenant returns an ErrInvalid unless a user may belong to the tenant.
func (s *Service) checkTenant(ctx context.Context, id uuid.UUID) error {
	gone, err := s.tenantGone(ctx, id)
	if err != nil {
		return fmt.Errorf("find tenant of user: %w", err)
	}
	if gone {
		return domain.WithFields(domain.FieldError{Pointer: "/tenant_id", Message: "there is no such tenant"})
	}
	return nil
}

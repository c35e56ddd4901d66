package auth

import (
	"context"
	"errors"
	"fmt"

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
	if err := s.checkTenant(ctx, user.TenantID); err != nil {
		return domain.User{}, err
	}
	var err error
	if user.ID, err = uuid.NewV7(); err != nil {
		return domain.User{}, fmt.Errorf("make user id: %w", err)
	}
	if user.PasswordHash, err = s.passwords.hash(ctx, *change.Password); err != nil {
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
// tenant makes the user's tokens invalid. Errors are ErrInvalid, ErrNotFound,
// ErrUnavailable, and ErrConflict: "email_taken", and "own_account" when
// admins would take the role from themselves, so that one always remains.
func (s *Service) ChangeUser(ctx context.Context, p domain.Principal, id uuid.UUID, change domain.UserChange) (domain.User, error) {
	var wanted domain.User
	if err := change.Apply(&wanted); err != nil {
		return domain.User{}, err
	}
	if change.Role != nil && wanted.Role != domain.RoleAdmin && p.UserID == id {
		return domain.User{}, domain.New(domain.ErrConflict, "own_account", "You cannot take the role admin from yourself.")
	}
	if err := s.checkTenant(ctx, wanted.TenantID); err != nil {
		return domain.User{}, err
	}
	hash := ""
	if change.Password != nil {
		// Before the row is locked, and only for a user that exists.
		if _, err := s.GetUser(ctx, id); err != nil {
			return domain.User{}, err
		}
		var err error
		if hash, err = s.passwords.hash(ctx, *change.Password); err != nil {
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

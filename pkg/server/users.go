package server

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/google/uuid"

	"lanekeeper/config"
	"lanekeeper/domain"
	"lanekeeper/repository"
	"lanekeeper/service/auth"
)

// usersPage is how many users are read at a time.
const usersPage = 1000

// AddUser creates a user and returns it. What is wrong with a password is said
// without the password.
func AddUser(ctx context.Context, c config.Config, log *slog.Logger, change domain.UserChange) (domain.User, error) {
	var user domain.User
	err := withAuth(ctx, c, log, func(service *auth.Service, _ *repository.Store) (err error) {
		if user, err = service.CreateUser(byCommand(ctx), change); err != nil {
			return fmt.Errorf("add user: %w", err)
		}
		return nil
	})
	return user, err
}

// ChangeUser changes the user with the given address and returns it. Its tokens are
// not valid any longer, when it is about the password, the role or whether the user is
// disabled.
func ChangeUser(ctx context.Context, c config.Config, log *slog.Logger, email string, change domain.UserChange) (domain.User, error) {
	var user domain.User
	err := withAuth(ctx, c, log, func(service *auth.Service, store *repository.Store) (err error) {
		if user, err = store.FindUserByEmail(ctx, email); err != nil {
			return fmt.Errorf("--email: %w", err)
		}
		if user, err = service.ChangeUser(byCommand(ctx), domain.Principal{Role: domain.RoleAdmin}, user.ID, change); err != nil {
			return fmt.Errorf("change user: %w", err)
		}
		return nil
	})
	return user, err
}

// ListUsers returns all users, the oldest first.
func ListUsers(ctx context.Context, c config.Config, log *slog.Logger) ([]domain.User, error) {
	var users []domain.User
	err := withAuth(ctx, c, log, func(service *auth.Service, _ *repository.Store) error {
		after, more := uuid.Nil, true
		for more {
			var page []domain.User
			var err error
			if page, more, err = service.ListUsers(ctx, after, usersPage); err != nil {
				return err //nolint:wrapcheck // says what it did
			}
			users = append(users, page...)
			if len(page) > 0 {
				after = page[len(page)-1].ID
			}
		}
		return nil
	})
	return users, err
}

package repository

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"lanekeeper/domain"
	"lanekeeper/pkg/postgres"
)

// People insert users by SQL, so what is NULL has a meaning: no password, the
// role of a member, no tenant.
const userColumns = `user_id, name, email, coalesce(password, ''), coalesce(role, 'member'), tenant_id, token_version, created_at`

const insertUserSQL = `
INSERT INTO users (user_id, name, email, password, role, tenant_id, token_version, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, coalesce($8, now()))`

// InsertUser implements domain.UserRepository.
func (s *Store) InsertUser(ctx context.Context, u domain.User) error {
	_, err := s.callers.Exec(ctx, insertUserSQL, u.ID, u.Name, u.Email, nullText(u.PasswordHash), nullText(string(u.Role)),
		nullID(u.TenantID), u.TokenVersion, nullTime(u.CreatedAt))
	return userError(err, "insert user")
}

const findUserSQL = `SELECT ` + userColumns + ` FROM users WHERE user_id = $1`

// FindUser implements domain.UserRepository.
func (s *Store) FindUser(ctx context.Context, id uuid.UUID) (domain.User, error) {
	u, err := scanUser(s.callers.QueryRow(ctx, findUserSQL, id))
	return u, userError(err, "find user")
}

const findUserByEmailSQL = `SELECT ` + userColumns + ` FROM users WHERE lower(email) = lower($1)`

// FindUserByEmail implements domain.UserRepository. Capitals make no
// difference.
func (s *Store) FindUserByEmail(ctx context.Context, email string) (domain.User, error) {
	u, err := scanUser(s.callers.QueryRow(ctx, findUserByEmailSQL, email))
	return u, userError(err, "find user by email")
}

const listUsersSQL = `SELECT ` + userColumns + ` FROM users WHERE user_id > $1 ORDER BY user_id LIMIT $2`

// ListUsers implements domain.UserRepository.
func (s *Store) ListUsers(ctx context.Context, after uuid.UUID, limit int) ([]domain.User, error) {
	if limit <= 0 {
		return nil, nil
	}
	var users []domain.User
	err := s.shared(ctx, uuid.Nil, func(conn *pgxpool.Conn) error {
		rows, err := conn.Query(ctx, listUsersSQL, after, limit)
		if err != nil {
			return fmt.Errorf("query users: %w", err)
		}
		users, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (domain.User, error) { return scanUser(row) })
		return err //nolint:wrapcheck // translated below
	})
	if err != nil {
		return nil, userError(err, "list users")
	}
	return users, nil
}

const lockUserSQL = findUserSQL + ` FOR UPDATE`

const updateUserSQL = `
UPDATE users
SET name = $2, email = $3, password = $4, role = $5, tenant_id = $6, token_version = $7
WHERE user_id = $1`

// ChangeUser implements domain.UserRepository.
func (s *Store) ChangeUser(ctx context.Context, id uuid.UUID, change func(*domain.User) error) (domain.User, error) {
	var u domain.User
	var refused error
	err := inTransaction(ctx, s.callers, func(tx pgx.Tx) error {
		var err error
		if u, err = scanUser(tx.QueryRow(ctx, lockUserSQL, id)); err != nil {
			return err
		}
		if refused = change(&u); refused != nil {
			return refused
		}
		_, err = tx.Exec(ctx, updateUserSQL, id, u.Name, u.Email, nullText(u.PasswordHash), nullText(string(u.Role)),
			nullID(u.TenantID), u.TokenVersion)
		if err != nil {
			return fmt.Errorf("update: %w", err)
		}
		return nil
	})
	if refused != nil {
		return domain.User{}, refused
	}
	if err != nil {
		return domain.User{}, userError(err, "change user")
	}
	return u, nil
}

const deleteUserSQL = `DELETE FROM users WHERE user_id = $1`

// DeleteUser implements domain.UserRepository. Deleting nobody is an
// ErrNotFound.
func (s *Store) DeleteUser(ctx context.Context, id uuid.UUID) error {
	tag, err := s.callers.Exec(ctx, deleteUserSQL, id)
	if err == nil && tag.RowsAffected() == 0 {
		return domain.UserNotFound()
	}
	return userError(err, "delete user")
}

func userError(err error, verb string) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return domain.UserNotFound()
	}
	if constraint, ok := postgres.UniqueViolation(err); ok && constraint != "users_pkey" {
		return domain.Wrap(err, domain.ErrConflict, "email_taken", "Another user has this email address.")
	}
	return translate(err, verb)
}

func scanUser(row pgx.Row) (domain.User, error) {
	var u domain.User
	var role string
	var tenant uuid.NullUUID
	if err := row.Scan(&u.ID, &u.Name, &u.Email, &u.PasswordHash, &role, &tenant, &u.TokenVersion, &u.CreatedAt); err != nil {
		return domain.User{}, err
	}
	u.Role, u.TenantID, u.CreatedAt = domain.Role(role), tenant.UUID, u.CreatedAt.UTC()
	return u, nil
}

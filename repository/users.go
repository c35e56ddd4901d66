package repository

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"lanekeeper/domain"
	"lanekeeper/pkg/postgres"
)

// People insert users by SQL, so what is NULL has a meaning: no password, the
// role of a member, no tenant.
const userColumns = `user_id, name, email, coalesce(password, ''), coalesce(role, 'member'), tenant_id, token_version, limits, created_at, disabled_at`

const insertUserSQL = `
INSERT INTO users (user_id, name, email, password, role, tenant_id, token_version, limits, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, coalesce($9, now()))`

// InsertUser implements domain.UserRepository.
func (s *Store) InsertUser(ctx context.Context, u domain.User) error {
	err := inTransaction(ctx, s.logins, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, insertUserSQL, u.ID, u.Name, u.Email, nullText(u.PasswordHash), nullText(string(u.Role)),
			nullID(u.TenantID), u.TokenVersion, writeLimits(u.Limits), nullTime(u.CreatedAt))
		if err != nil {
			return err //nolint:wrapcheck // translated below
		}
		return record(ctx, tx, domain.AuditEntry{Action: domain.AuditUserCreate, Target: u.ID.String(), After: domain.FactsOfUser(&u)})
	})
	return userError(err, "insert user")
}

const findUserSQL = `SELECT ` + userColumns + ` FROM users WHERE user_id = $1`

// FindUser implements domain.UserRepository.
func (s *Store) FindUser(ctx context.Context, id uuid.UUID) (domain.User, error) {
	u, err := scanUser(s.tokens.QueryRow(ctx, findUserSQL, id))
	return u, userError(err, "find user")
}

const findUserByEmailSQL = `SELECT ` + userColumns + ` FROM users WHERE lower(email) = lower($1)`

// FindUserByEmail implements domain.UserRepository. Capitals make no
// difference.
func (s *Store) FindUserByEmail(ctx context.Context, email string) (domain.User, error) {
	u, err := scanUser(s.logins.QueryRow(ctx, findUserByEmailSQL, email))
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
		rows, err := s.asSystem(conn).Query(ctx, listUsersSQL, after, limit)
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
SET name = $2, email = $3, password = $4, role = $5, tenant_id = $6, token_version = $7, limits = $8, disabled_at = $9
WHERE user_id = $1`

// ChangeUser implements domain.UserRepository.
func (s *Store) ChangeUser(ctx context.Context, id uuid.UUID, change func(*domain.User) error) (domain.User, error) {
	var u domain.User
	var refused error
	err := inTransaction(ctx, s.logins, func(tx pgx.Tx) error {
		var err error
		if u, err = scanUser(tx.QueryRow(ctx, lockUserSQL, id)); err != nil {
			return err
		}
		before := u
		if refused = change(&u); refused != nil {
			return refused
		}
		_, err = tx.Exec(ctx, updateUserSQL, id, u.Name, u.Email, nullText(u.PasswordHash), nullText(string(u.Role)),
			nullID(u.TenantID), u.TokenVersion, writeLimits(u.Limits), nullTime(u.DisabledAt))
		if err != nil {
			return fmt.Errorf("update: %w", err)
		}
		action := domain.AuditOfUser(&before, &u)
		if action == "" {
			return nil
		}
		was, is := domain.Changes(domain.FactsOfUser(&before), domain.FactsOfUser(&u))
		return record(ctx, tx, domain.AuditEntry{Action: action, Target: id.String(), Before: was, After: is})
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
	err := inTransaction(ctx, s.logins, func(tx pgx.Tx) error {
		u, err := scanUser(tx.QueryRow(ctx, lockUserSQL, id))
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, deleteUserSQL, id); err != nil {
			return err //nolint:wrapcheck // translated below
		}
		return record(ctx, tx, domain.AuditEntry{Action: domain.AuditUserDelete, Target: id.String(), Before: domain.FactsOfUser(&u)})
	})
	return userError(err, "delete user")
}

// outdatedPasswords is the condition of the index of the same purpose, and
// passwordForm what it holds: the beginning of a hash that says what it costs.
const (
	outdatedPasswords = `password NOT LIKE '$argon2id$v=19$m=19456,t=2,p=1$%'`
	passwordForm      = `substring(password from '^[$](?:2[aby][$][0-9][0-9]|argon2id[$]v=[0-9]+[$]m=[0-9]+,t=[0-9]+,p=[0-9]+)[$]')`
)

const passwordFormsSQL = `
WITH RECURSIVE forms (form) AS (
    SELECT min(` + passwordForm + `) FROM users WHERE ` + outdatedPasswords + `
    UNION ALL
    SELECT (SELECT min(` + passwordForm + `) FROM users WHERE ` + outdatedPasswords + ` AND ` + passwordForm + ` > forms.form)
    FROM forms WHERE forms.form IS NOT NULL
)
SELECT form FROM forms WHERE form IS NOT NULL LIMIT $1`

// OutdatedPasswordForms implements domain.UserRepository. It reads one entry of an
// index for each form.
func (s *Store) OutdatedPasswordForms(ctx context.Context, limit int) ([]string, error) {
	rows, err := s.logins.Query(ctx, passwordFormsSQL, max(0, limit))
	if err != nil {
		return nil, translate(err, "look for outdated passwords")
	}
	forms, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return forms, translate(err, "look for outdated passwords")
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
	var limits []byte
	var tenant uuid.NullUUID
	var disabled *time.Time
	if err := row.Scan(&u.ID, &u.Name, &u.Email, &u.PasswordHash, &role, &tenant, &u.TokenVersion, &limits, &u.CreatedAt, &disabled); err != nil {
		return domain.User{}, err
	}
	if disabled != nil {
		u.DisabledAt = disabled.UTC()
	}
	u.Role, u.TenantID, u.Limits, u.CreatedAt = domain.Role(role), tenant.UUID, readLimits(limits), u.CreatedAt.UTC()
	return u, nil
}

package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// takeRole has connections act as a role once their settings are made: the role that
// logs in may be allowed to set more than the other.
func takeRole(config *pgx.ConnConfig, role func(context.Context) (string, error)) {
	before := config.AfterConnect
	config.AfterConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		if before != nil {
			if err := before(ctx, conn); err != nil {
				return err
			}
		}
		ctx, cancel := context.WithTimeout(ctx, settingsTimeout)
		defer cancel()
		name, err := role(ctx)
		if err != nil || name == "" {
			return err
		}
		_, err = conn.Exec(ctx, "SET ROLE "+QuoteName(name)).ReadAll()
		if err != nil && Code(err) != "" {
			return &RoleError{Name: name, cause: err}
		}
		return err //nolint:wrapcheck // the caller says that it connects
	}
}

// RoleError means that the user of a connection may not act as a role, or that there
// is no such role.
type RoleError struct {
	// Name of the role.
	Name  string
	cause error
}

// Error names the role.
func (e *RoleError) Error() string {
	switch Code(e.cause) {
	case codeInsufficientPrivilege:
		return fmt.Sprintf("the user of the database URL may not act as the role %q", e.Name)
	case codeInvalidParameterValue:
		return fmt.Sprintf("the server has no role %q", e.Name)
	}
	return fmt.Sprintf("the user of the database URL cannot act as the role %q (SQLSTATE %s)", e.Name, Code(e.cause))
}

// Unwrap returns what the server said.
func (e *RoleError) Unwrap() error { return e.cause }

// QuoteName quotes the name of something in the database for use in SQL.
func QuoteName(name string) string { return pgx.Identifier{name}.Sanitize() }

// QuoteText quotes text for use in SQL, whatever the server's settings are.
func QuoteText(text string) string { return literal(text) }

// IsForbidden reports whether the server refuses because of missing rights.
func IsForbidden(err error) bool { return Code(err) == codeInsufficientPrivilege }

// IsConcurrentChange reports whether others changed the same role, or its rights, at
// the same time: the server has no waiting for that.
func IsConcurrentChange(err error) bool {
	switch Code(err) {
	case codeDuplicateObject, codeUniqueViolation, codeInternalError:
		return true
	}
	return false
}

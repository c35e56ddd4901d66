package repository

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"lanekeeper/pkg/backoff"
	"lanekeeper/pkg/postgres"
)

const (
	// rowSecurityPatience is how long others may stand in the way of a change, and
	// rowSecurityPause how long it takes until it is tried again.
	rowSecurityPatience = time.Minute
	rowSecurityPause    = 100 * time.Millisecond
	// rowSecurityLockTimeout is short: whoever uses the table waits behind a change.
	rowSecurityLockTimeout = 2 * time.Second
	// revokeChunk is how many partitions one transaction is about.
	revokeChunk = 100
)

// RowSecurityOptions says for whom there is row-level security.
type RowSecurityOptions struct {
	// URL and AdminURL are those of Options.
	URL, AdminURL string
	// Roles are made unless they are there.
	Roles Roles
	// CheckOnly finds out what is missing, and changes nothing.
	CheckOnly bool
}

// RowSecurity says whether there is row-level security.
type RowSecurity struct {
	// Roles are those to act as: none where something is missing.
	Roles Roles
	// Problem says what is missing, in words for operators; "" for nothing.
	Problem string
	// SQL is what somebody who may has to run; "" where no SQL helps.
	SQL string
}

// EnsureRowSecurity makes the roles, their rights and the policies that are missing.
// Whoever does so at the same time, also for another database of the server, does not
// disturb it. Where the rights are missing, the answer says what to run; the error is an ErrUnavailable
// when trying again makes sense.
func EnsureRowSecurity(ctx context.Context, o RowSecurityOptions) (RowSecurity, error) {
	if o.AdminURL == "" {
		o.AdminURL = o.URL
	}
	user, err := sessionUser(ctx, o.URL)
	if err != nil {
		return RowSecurity{}, translate(err, "look at row-level security")
	}
	conn, err := connectFor(ctx, o.AdminURL)
	if err != nil {
		return RowSecurity{}, translate(err, "look at row-level security")
	}
	defer closeSession(ctx, conn)
	ctx, cancel := context.WithTimeout(ctx, rowSecurityPatience)
	defer cancel()
	r := rowSecurity{conn: conn, roles: o.Roles, user: user, checkOnly: o.CheckOnly}
	found, err := r.ensure(ctx)
	return found, translate(err, "make row-level security")
}

// connectFor returns a connection as the role that logs in.
func connectFor(ctx context.Context, url string) (*pgx.Conn, error) {
	config, err := postgres.ParseConfig(url, postgres.PoolOptions{
		Name: "lanekeeper-roles", StatementTimeout: ddlTimeout, LockTimeout: rowSecurityLockTimeout,
		IdleInTransactionTimeout: idleInTxTimeout, Unprepared: true,
	})
	if err != nil {
		return nil, err //nolint:wrapcheck // says what is wrong
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return conn, nil
}

func closeSession(ctx context.Context, conn *pgx.Conn) {
	cleanup, cancel := cleaningUp(ctx)
	defer cancel()
	_ = conn.Close(cleanup) // it is given up either way
}

func sessionUser(ctx context.Context, url string) (string, error) {
	conn, err := connectFor(ctx, url)
	if err != nil {
		return "", err
	}
	defer closeSession(ctx, conn)
	var name string
	if err := conn.QueryRow(ctx, `SELECT session_user::text`).Scan(&name); err != nil {
		return "", fmt.Errorf("ask for the user: %w", err)
	}
	return name, nil
}

// rowSecurity ensures it on a connection of the tables' owner. One goroutine uses it.
type rowSecurity struct {
	conn  *pgx.Conn
	roles Roles
	// user is who uses the database, and admin who owns it.
	user, admin string
	checkOnly   bool
}

// ensure looks for what is missing and makes it until nothing is.
func (r *rowSecurity) ensure(ctx context.Context) (RowSecurity, error) {
	if !r.checkOnly {
		unlock, err := r.lock(ctx)
		if err != nil {
			return RowSecurity{}, err
		}
		defer unlock()
	}
	for {
		problem, err := r.unsafe(ctx)
		if err != nil || problem != "" {
			return RowSecurity{Problem: problem}, err
		}
		missing, err := r.missingRoles(ctx)
		if err == nil && len(missing) == 0 {
			missing, err = r.missingOfTables(ctx)
		}
		switch {
		case err != nil:
			return RowSecurity{}, err
		case len(missing) == 0:
			return RowSecurity{Roles: r.roles}, nil
		case r.checkOnly:
			return lacking("roles, rights or policies are missing, which a start with database.migrate, or lanekeeper migrate up, makes", missing), nil
		}
		for at, step := range missing {
			err := r.run(ctx, step)
			if postgres.IsForbidden(err) {
				return lacking("the user of database.admin_url (or database.url) may not make the roles, or does not own the tables", missing[at:]), nil
			}
			if err == nil {
				continue
			}
			if !postgres.IsConcurrentChange(err) && postgres.Classify(err) != postgres.ClassContended {
				return RowSecurity{}, fmt.Errorf("change rights: %w", err)
			}
			if backoff.Sleep(ctx, rowSecurityPause) != nil {
				return RowSecurity{}, fmt.Errorf("change rights: %w", err)
			}
			break // others may have made some of it
		}
	}
}

// change is statements that belong in one transaction.
type change []string

func lacking(problem string, missing []change) RowSecurity {
	var sql strings.Builder
	for _, step := range missing {
		for _, statement := range step {
			sql.WriteString(statement + ";\n")
		}
	}
	return RowSecurity{Problem: problem, SQL: sql.String()}
}

func (r *rowSecurity) run(ctx context.Context, step change) error {
	return inTransaction(ctx, r.conn, func(tx pgx.Tx) error {
		for _, sql := range step {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return err //nolint:wrapcheck // wrapped by the caller
			}
		}
		return nil
	})
}

// lock keeps others of the same database from doing the same.
func (r *rowSecurity) lock(ctx context.Context) (unlock func(), err error) {
	key := lockKey("row security", uuid.Nil)
	for {
		var locked bool
		if err := r.conn.QueryRow(ctx, tryLockSQL, key).Scan(&locked); err != nil {
			return nil, fmt.Errorf("lock: %w", err)
		}
		if locked {
			return func() { // or with the connection
				cleanup, cancel := cleaningUp(ctx)
				defer cancel()
				_, _ = r.conn.Exec(cleanup, unlockSQL, key)
			}, nil
		}
		if err := backoff.Sleep(ctx, rowSecurityPause); err != nil {
			return nil, fmt.Errorf("lock: %w", err)
		}
	}
}

// unsafeRolesSQL finds roles that no policy holds.
const unsafeRolesSQL = `
SELECT session_user::text, coalesce((
    SELECT string_agg(quote_ident(r.rolname), ', ' ORDER BY r.rolname) FROM pg_roles r
    WHERE r.rolname = ANY($1) AND (r.rolsuper OR r.rolbypassrls OR EXISTS (
        SELECT FROM pg_class c WHERE c.relname = ANY($2) AND c.relkind IN ('r', 'p') AND pg_has_role(r.oid, c.relowner, 'USAGE')
    ) OR EXISTS (SELECT FROM pg_auth_members m WHERE m.member = r.oid))
), '')`

// unsafe says which of the roles no policy holds.
func (r *rowSecurity) unsafe(ctx context.Context) (string, error) {
	var names []string
	for _, t := range securedTables() {
		names = append(names, t.name)
	}
	var unsafe string
	if err := r.conn.QueryRow(ctx, unsafeRolesSQL, r.roles.names(), names).Scan(&r.admin, &unsafe); err != nil {
		return "", fmt.Errorf("look at the roles: %w", err)
	}
	if unsafe == "" {
		return "", nil
	}
	return "no policy holds " + unsafe + ": a role of database.roles must own none of the tables, be no superuser, pass no policy by, " +
		"and be a member of no other role; name another one", nil
}

// missingRolesSQL finds roles that are not there, and users who may not act as one. A
// server before version 16 has no right of its own for that.
const (
	actRightSQL = `SELECT CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END`

	missingRolesSQL = `SELECT n FROM unnest($1::text[]) AS n WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = n)`

	missingMembersSQL = `
SELECT r.rolname, u.rolname FROM pg_roles r CROSS JOIN pg_roles u
WHERE r.rolname = ANY($1) AND u.rolname = ANY($2) AND NOT pg_has_role(u.oid, r.oid, $3)
ORDER BY 1, 2`
)

func (r *rowSecurity) missingRoles(ctx context.Context) ([]change, error) {
	rows, err := r.conn.Query(ctx, missingRolesSQL, r.roles.names())
	if err != nil {
		return nil, fmt.Errorf("look for roles: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("look for roles: %w", err)
	}
	var missing []change
	users := slices.Compact([]string{r.admin, r.user})
	if len(names) > 0 {
		for _, name := range names {
			missing = append(missing, change{`CREATE ROLE ` + postgres.QuoteName(name) + ` NOLOGIN`})
		}
		superuser, err := r.superusers(ctx, users)
		if err != nil || superuser {
			return missing, err
		}
		return append(missing, change{`GRANT ` + quoteNames(r.roles.names()) + ` TO ` + quoteNames(users)}), nil
	}
	var right string
	if err := r.conn.QueryRow(ctx, actRightSQL).Scan(&right); err != nil {
		return nil, fmt.Errorf("ask for the version: %w", err)
	}
	rows, err = r.conn.Query(ctx, missingMembersSQL, r.roles.names(), users, right)
	if err != nil {
		return nil, fmt.Errorf("look for members: %w", err)
	}
	var role, user string
	_, err = pgx.ForEachRow(rows, []any{&role, &user}, func() error {
		missing = append(missing, change{`GRANT ` + postgres.QuoteName(role) + ` TO ` + postgres.QuoteName(user)})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look for members: %w", err)
	}
	return missing, nil
}

// superusers reports whether all of them are.
func (r *rowSecurity) superusers(ctx context.Context, users []string) (all bool, err error) {
	err = r.conn.QueryRow(ctx, `SELECT bool_and(rolsuper) FROM pg_roles WHERE rolname = ANY($1)`, users).Scan(&all)
	if err != nil {
		return false, fmt.Errorf("look at the users: %w", err)
	}
	return all, nil
}

var errNoTables = errors.New("the schema is not there yet")

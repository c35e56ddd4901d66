package repository

import (
	"context"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"lanekeeper/pkg/postgres"
)

// What lets a transaction see rows: the tenants whose they are, or the role that sees
// all. Both last as long as the transaction, so that no connection goes back to its
// pool with them.
const (
	tenantsSettingSQL = `SELECT set_config('lanekeeper.tenants', $1, true)`
	roleSettingSQL    = `SELECT set_config('role', $1, true)`
	scopeSQL          = `SELECT set_config('role', $1, true), set_config('lanekeeper.tenants', $2, true)`
)

// scope is what a transaction may see. The zero value is what its connection sees
// anyway.
type scope struct {
	// role is the one to act as, "" for that of the connection, and tenants those whose
	// rows it sees, as an array of the server's; "" for none.
	role, tenants string
}

// scopeOf returns the scope of the named tenants, on connections that act as
// Roles.App.
func scopeOf(tenantIDs ...uuid.UUID) scope {
	var text strings.Builder
	text.Grow(len(tenantIDs)*37 + 1)
	text.WriteByte('{')
	for i, id := range tenantIDs {
		if i > 0 {
			text.WriteByte(',')
		}
		text.WriteString(id.String())
	}
	text.WriteByte('}')
	return scope{tenants: text.String()}
}

// query returns the statement that begins the scope.
func (c scope) query() *pgx.QueuedQuery {
	switch {
	case c.role == "":
		return &pgx.QueuedQuery{SQL: tenantsSettingSQL, Arguments: []any{c.tenants}}
	case c.tenants == "":
		return &pgx.QueuedQuery{SQL: roleSettingSQL, Arguments: []any{c.role}}
	}
	return &pgx.QueuedQuery{SQL: scopeSQL, Arguments: []any{c.role, c.tenants}}
}

// begin returns what begins a transaction with the scope, in one round trip.
func (c scope) begin() string {
	var settings []string
	if c.role != "" {
		settings = append(settings, `set_config('role', `+postgres.QuoteText(c.role)+`, true)`)
	}
	if c.tenants != "" {
		settings = append(settings, `set_config('lanekeeper.tenants', `+postgres.QuoteText(c.tenants)+`, true)`)
	}
	if len(settings) == 0 {
		return beginSQL
	}
	return beginSQL + `; SELECT ` + strings.Join(settings, `, `)
}

// ofTenants returns a session on which every statement and every batch is a transaction
// that sees the named tenants' rows only. It is for connections that act as Roles.App.
func (s *Store) ofTenants(on session, tenantIDs ...uuid.UUID) session {
	if s.roles().App == "" {
		return on
	}
	return scoped{on: on, scope: scopeOf(tenantIDs...)}
}

// asSystem returns a session on which every statement and every batch is a transaction
// that sees the rows of all tenants. The connections of the pools fleet, callers,
// tokens, logins and settlers do so anyway.
func (s *Store) asSystem(on session) session {
	if !s.choice.isKnown() {
		return scoped{on: on, await: func(ctx context.Context) (scope, error) {
			roles, err := s.choice.wait(ctx)
			return scope{role: roles.System}, err
		}}
	}
	roles := s.roles()
	if roles.System == "" {
		return on
	}
	return scoped{on: on, scope: scope{role: roles.System}}
}

// lookUp is ofTenants for the pool of callers, whose connections see all rows.
func (s *Store) lookUp(on session, tenantIDs ...uuid.UUID) session {
	of := scopeOf(tenantIDs...)
	if !s.choice.isKnown() {
		return scoped{on: on, await: func(ctx context.Context) (scope, error) {
			roles, err := s.choice.wait(ctx)
			return scope{role: roles.App, tenants: of.tenants}, err
		}}
	}
	roles := s.roles()
	if roles.App == "" {
		return on
	}
	return scoped{on: on, scope: scope{role: roles.App, tenants: of.tenants}}
}

// within returns a session that sees what the access is for: the named tenants' rows,
// of which the writer needs none, and those who settle have none to themselves.
func (s *Store) within(conn *pgxpool.Conn, how access, tenantIDs []uuid.UUID) session {
	switch how {
	case appendAccess, settleAccess:
		return conn
	case lookupAccess: // on a connection that sees all
		return s.lookUp(conn, tenantIDs...)
	case queryAccess, streamAccess, deliveryAccess:
	}
	return s.ofTenants(conn, tenantIDs...)
}

// transactionOf is inTransaction for one that sees the named tenants' rows.
func (s *Store) transactionOf(ctx context.Context, on *pgxpool.Conn, tenantID uuid.UUID, fn func(pgx.Tx) error) error {
	if s.roles().App == "" {
		return inTransaction(ctx, on, fn)
	}
	return inScope(ctx, on, scopeOf(tenantID), fn)
}

// scoped sends each statement together with what begins its scope: the server takes
// what is sent at once for one transaction, unless it begins one itself. So it is
// one round trip as without.
type scoped struct {
	on    session
	scope scope
	// await returns the scope where it is not known yet.
	await func(context.Context) (scope, error)
}

// Exec implements session.
func (c scoped) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	results := c.send(ctx, &pgx.QueuedQuery{SQL: sql, Arguments: args})
	tag, err := results.Exec()
	return tag, firstOf(err, results.Close())
}

// Query implements session.
func (c scoped) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	results := c.send(ctx, &pgx.QueuedQuery{SQL: sql, Arguments: args})
	rows, err := results.Query()
	if err != nil {
		_ = results.Close() // says the same
		return rows, err    //nolint:wrapcheck // as the driver has it
	}
	return &scopedRows{Rows: rows, results: results}, nil
}

// QueryRow implements session.
func (c scoped) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return scopedRow{c.send(ctx, &pgx.QueuedQuery{SQL: sql, Arguments: args})}
}

// SendBatch implements session. A batch that begins a transaction gets its scope right
// after that.
func (c scoped) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	return c.send(ctx, b.QueuedQueries...)
}

func (c scoped) send(ctx context.Context, queries ...*pgx.QueuedQuery) pgx.BatchResults {
	within := c.scope
	if c.await != nil {
		var err error
		if within, err = c.await(ctx); err != nil {
			return failedResults{err}
		}
	}
	if within == (scope{}) || within.role == "" && c.await != nil { // there are no roles
		return c.on.SendBatch(ctx, &pgx.Batch{QueuedQueries: queries})
	}
	at := 0
	if len(queries) > 0 && queries[0].SQL == beginSQL {
		at = 1
	}
	batch := pgx.Batch{QueuedQueries: slices.Insert(slices.Clone(queries), at, within.query())}
	return &scopedResults{BatchResults: c.on.SendBatch(ctx, &batch), until: at}
}

// scopedResults leaves out the result of the scope.
type scopedResults struct {
	pgx.BatchResults

	// until is how many results there are before that of the scope, -1 after it.
	until int
}

// step is called before each result is read. When the scope failed, so does what
// follows.
func (r *scopedResults) step() {
	if r.until == 0 {
		_, _ = r.BatchResults.Exec()
	}
	if r.until >= 0 {
		r.until--
	}
}

// Exec implements pgx.BatchResults.
func (r *scopedResults) Exec() (pgconn.CommandTag, error) {
	r.step()
	return r.BatchResults.Exec() //nolint:wrapcheck // as the driver has it
}

// Query implements pgx.BatchResults.
func (r *scopedResults) Query() (pgx.Rows, error) {
	r.step()
	return r.BatchResults.Query() //nolint:wrapcheck // as the driver has it
}

// QueryRow implements pgx.BatchResults.
func (r *scopedResults) QueryRow() pgx.Row {
	r.step()
	return r.BatchResults.QueryRow()
}

// failedResults are those of a batch that was not sent.
type failedResults struct{ err error }

// Exec implements pgx.BatchResults.
func (r failedResults) Exec() (pgconn.CommandTag, error) { return pgconn.CommandTag{}, r.err }

// Query implements pgx.BatchResults.
func (r failedResults) Query() (pgx.Rows, error) { return nil, r.err }

// QueryRow implements pgx.BatchResults.
func (r failedResults) QueryRow() pgx.Row { return r }

// Scan implements pgx.Row.
func (r failedResults) Scan(...any) error { return r.err }

// Tx implements pgx.BatchResults.
func (r failedResults) Tx() pgx.Tx { return nil }

// Close implements pgx.BatchResults.
func (r failedResults) Close() error { return r.err }

// scopedRow ends the batch with the row.
type scopedRow struct{ results pgx.BatchResults }

// Scan implements pgx.Row.
func (r scopedRow) Scan(into ...any) error {
	err := r.results.QueryRow().Scan(into...)
	return firstOf(err, r.results.Close())
}

// scopedRows ends the batch with the rows.
type scopedRows struct {
	pgx.Rows

	results pgx.BatchResults
	closed  bool
	err     error // of the commit
}

// Next implements pgx.Rows.
func (r *scopedRows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.Close()
	return false
}

// Close implements pgx.Rows.
func (r *scopedRows) Close() {
	r.Rows.Close()
	if !r.closed {
		r.closed, r.err = true, r.results.Close()
	}
}

// Err implements pgx.Rows.
func (r *scopedRows) Err() error { return firstOf(r.Rows.Err(), r.err) }

// firstOf returns the first error.
func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

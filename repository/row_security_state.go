package repository

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"lanekeeper/pkg/postgres"
)

// tableState is what there is of a table's rights and policies.
type tableState struct {
	secured  bool
	rights   []string // of the roles: "role RIGHT"
	policies []string // their names, where they are as they should be
	others   []string // who else was given rights
}

// A policy counts for whom its name says.
const tableStateSQL = `
SELECT c.relname, c.relrowsecurity,
    ARRAY(SELECT g.rolname || ' ' || a.privilege_type FROM aclexplode(c.relacl) a JOIN pg_roles g ON g.oid = a.grantee
          WHERE g.rolname = ANY($2) ORDER BY (g.rolname || ' ' || a.privilege_type) COLLATE "C"),
    ARRAY(SELECT p.polname FROM pg_policy p
          WHERE p.polrelid = c.oid AND p.polpermissive AND (p.polname = $3 OR p.polname = ANY(ARRAY(
              SELECT r.rolname || ' v1' FROM pg_roles r WHERE p.polroles = ARRAY[r.oid])))),
    ARRAY(SELECT DISTINCT g.rolname::text FROM aclexplode(c.relacl) a JOIN pg_roles g ON g.oid = a.grantee
          WHERE a.grantee <> c.relowner AND g.rolname <> ALL($2) ORDER BY 1)
FROM pg_class c
WHERE c.relname = ANY($1) AND c.relkind IN ('r', 'p')
  AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('messages'))`

const (
	schemaSQL = `SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass('messages')`

	missingUsageSQL = `SELECT r FROM unnest($1::text[]) AS r WHERE NOT has_schema_privilege(r, $2, 'USAGE')`

	missingSequencesSQL = `
SELECT s, r FROM unnest($1::text[]) AS r CROSS JOIN unnest($2::text[]) AS s WHERE NOT has_sequence_privilege(r, s, 'USAGE') ORDER BY 1, 2`

	// wrongViewsSQL finds views that the roles, or everybody, have other rights to than
	// that one role may read them.
	wrongViewsSQL = `
SELECT c.relname FROM pg_class c
WHERE c.relname = ANY($1) AND c.relkind = 'v' AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('messages'))
  AND ARRAY(
      SELECT coalesce(g.rolname, '') || ' ' || a.privilege_type FROM aclexplode(c.relacl) a LEFT JOIN pg_roles g ON g.oid = a.grantee
      WHERE a.grantee = 0 OR g.rolname = ANY($2)
  ) <> ARRAY[$3 || ' SELECT']
ORDER BY c.relname`

	// openPartitionsSQL finds tables with rights that lead around the policies of the
	// whole: some rights are given to each new table, and some by hand. Partitions that
	// are being erased are tables of their own.
	openPartitionsSQL = `
SELECT c.relname FROM pg_class c
WHERE c.relkind = 'r' AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('messages'))
  AND (c.relname LIKE 'messages\_%' OR c.relname LIKE 'attempts\_%')
  AND EXISTS (
      SELECT FROM aclexplode(c.relacl) a WHERE a.grantee = 0 OR a.grantee IN (SELECT oid FROM pg_roles WHERE rolname = ANY($1))
  )
ORDER BY c.relname`
)

// missingOfTables returns what is missing once the roles are there.
func (r *rowSecurity) missingOfTables(ctx context.Context) ([]change, error) {
	rows, err := r.conn.Query(ctx, schemaSQL)
	if err != nil {
		return nil, fmt.Errorf("look for the schema: %w", err)
	}
	schema, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("look for the schema: %w", err)
	}
	if len(schema) == 0 {
		return nil, unavailable(errNoTables)
	}
	states, err := r.tableStates(ctx)
	if err != nil {
		return nil, err
	}
	inSchema := func(name string) string { return postgres.QuoteName(schema[0]) + "." + postgres.QuoteName(name) }
	missing, err := r.missingUsage(ctx, schema[0], inSchema)
	if err != nil {
		return nil, err
	}
	for _, t := range securedTables() {
		is, ok := states[t.name]
		if !ok {
			return nil, unavailable(fmt.Errorf("%w: %s", errNoTables, t.name))
		}
		if sql := t.statements(inSchema(t.name), r.roles, is); len(sql) > 0 {
			missing = append(missing, sql)
		}
	}
	views, err := r.names(ctx, wrongViewsSQL, readableViews(), r.roles.names(), r.roles.System)
	if err != nil {
		return nil, err
	}
	for _, name := range views {
		missing = append(missing, change{
			closePartitionSQL(inSchema(name), r.roles), `GRANT SELECT ON ` + inSchema(name) + ` TO ` + postgres.QuoteName(r.roles.System),
		})
	}
	open, err := r.names(ctx, openPartitionsSQL, r.roles.names())
	if err != nil {
		return nil, err
	}
	for some := range slices.Chunk(open, revokeChunk) {
		var step change
		for _, name := range some {
			step = append(step, closePartitionSQL(inSchema(name), r.roles))
		}
		missing = append(missing, step)
	}
	return missing, nil
}

func (r *rowSecurity) tableStates(ctx context.Context) (map[string]*tableState, error) {
	var names []string
	for _, t := range securedTables() {
		names = append(names, t.name)
	}
	rows, err := r.conn.Query(ctx, tableStateSQL, names, r.roles.names(), othersPolicy)
	if err != nil {
		return nil, fmt.Errorf("look at the tables: %w", err)
	}
	states := make(map[string]*tableState)
	var name string
	var is tableState
	_, err = pgx.ForEachRow(rows, []any{&name, &is.secured, &is.rights, &is.policies, &is.others}, func() error {
		found := is
		found.rights, found.policies, found.others = slices.Clone(is.rights), slices.Clone(is.policies), slices.Clone(is.others)
		states[name] = &found
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look at the tables: %w", err)
	}
	return states, nil
}

// missingUsage returns what lets the roles find the tables, and use the sequences.
func (r *rowSecurity) missingUsage(ctx context.Context, schema string, inSchema func(string) string) ([]change, error) {
	var missing []change
	roles, err := r.names(ctx, missingUsageSQL, r.roles.names(), schema)
	if err != nil {
		return nil, err
	}
	if len(roles) > 0 {
		missing = append(missing, change{`GRANT USAGE ON SCHEMA ` + postgres.QuoteName(schema) + ` TO ` + quoteNames(roles)})
	}
	var sequences []string
	for _, name := range securedSequences() {
		sequences = append(sequences, inSchema(name))
	}
	rows, err := r.conn.Query(ctx, missingSequencesSQL, []string{r.roles.App, r.roles.System}, sequences)
	if err != nil {
		return nil, fmt.Errorf("look at the sequences: %w", err)
	}
	var sequence, role string
	_, err = pgx.ForEachRow(rows, []any{&sequence, &role}, func() error {
		missing = append(missing, change{`GRANT USAGE ON SEQUENCE ` + sequence + ` TO ` + postgres.QuoteName(role)})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look at the sequences: %w", err)
	}
	return missing, nil
}

// names runs a query for names.
func (r *rowSecurity) names(ctx context.Context, query string, args ...any) ([]string, error) {
	rows, err := r.conn.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("look at rights: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("look at rights: %w", err)
	}
	return names, nil
}

// closePartitionSQL takes from the roles what they were given of a partition, and from
// everybody.
func closePartitionSQL(table string, r Roles) string {
	return `REVOKE ALL ON ` + table + ` FROM PUBLIC, ` + quoteNames(r.names())
}

// closePartition does so for one that is being made, in its transaction.
func (s *Store) closePartition(ctx context.Context, on session, table string) error {
	roles := s.roles()
	if roles == (Roles{}) {
		return nil
	}
	if _, err := on.Exec(ctx, closePartitionSQL(table, roles)); err != nil {
		return fmt.Errorf("revoke: %w", err)
	}
	return nil
}

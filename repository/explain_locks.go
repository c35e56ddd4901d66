package repository

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"lanekeeper/domain"
)

// momentary is for how long a lock of the service's own is nothing to tell of.
const momentary = 2 * time.Second

// lockHoldersSQL finds the sessions that hold what inserting a message needs: a lock of
// a table that conflicts with it, or the row of the tenant's history. Who has a row
// locked is not among the locks; the row names the transaction, of which that is known.
// The server shows state and query of others only to those who may see them.
const lockHoldersSQL = `
SELECT a.pid, h.locked, coalesce(a.usename, ''), coalesce(a.application_name, ''), coalesce(host(a.client_addr), ''),
       coalesce(a.state, ''), coalesce(left(a.query, 200), ''), coalesce(a.xact_start, 'epoch')
FROM (
    SELECT l.pid, l.relation::regclass::text AS locked
    FROM pg_locks l
    WHERE l.locktype = 'relation' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.relation IN (to_regclass($1::text), to_regclass('messages'), to_regclass('tenant_streams'))
      AND l.granted AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
    UNION
    SELECT l.pid, 'row'
    FROM tenant_streams s JOIN pg_locks l ON l.locktype = 'transactionid' AND l.transactionid = s.xmax AND l.granted
    WHERE s.tenant_id = $2
) AS h
JOIN pg_stat_activity a ON a.pid = h.pid
WHERE a.pid <> pg_backend_pid()
  AND NOT (a.application_name LIKE 'lanekeeper%' AND coalesce(a.xact_start, clock_timestamp()) > clock_timestamp() - $3::interval)
ORDER BY a.xact_start NULLS LAST
LIMIT 5`

// LockHolders implements domain.ExplainRepository. It asks as the role that the service
// logs in as for changes of the schema, which the server shows more than others.
func (s *Store) LockHolders(ctx context.Context, tenantID uuid.UUID) ([]domain.LockHolder, error) {
	rows, err := s.ddl.Query(ctx, lockHoldersSQL, partitionOf(tenantID).table, tenantID, momentary)
	if err != nil {
		return nil, translate(err, "ask who has what locked")
	}
	holders, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (domain.LockHolder, error) {
		var h domain.LockHolder
		err := row.Scan(&h.PID, &h.Locked, &h.User, &h.Application, &h.Address, &h.State, &h.Query, &h.Since)
		h.Since = epochIsNever(h.Since)
		return h, err //nolint:wrapcheck // wrapped below
	})
	if err != nil {
		return nil, translate(fmt.Errorf("read locks: %w", err), "ask who has what locked")
	}
	return holders, nil
}

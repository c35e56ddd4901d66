package repository

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"lanekeeper/pkg/backoff"
	"lanekeeper/pkg/postgres"
)

// Detaching a partition without disturbing anybody:
//
//   - DETACH ... CONCURRENTLY waits, without a lock on messages, for all
//     transactions that use messages. It may wait long.
//   - When that was broken off, the detachment stays pending; as long as one
//     is, no other can begin. FINALIZE ends it, but waits for old snapshots
//     while it keeps others from attaching partitions. So it is tried only
//     when nobody seems to stand in its way, and given up soon.
//   - A plain DETACH (before version 14) makes all readers and writers queue
//     behind it. So it is given up very soon, and tried again and again.
const (
	finalizeWait    = time.Second
	finalizeTimeout = 500 * time.Millisecond
	plainTimeout    = 30 * time.Millisecond // well below the patience of appends
	erasePause      = 50 * time.Millisecond
	eraseChunk      = 5000
)

// errBlocked: other transactions are not through in time.
var errBlocked = errors.New("other transactions use the messages")

// ErasePartition implements domain.PartitionRepository. One partition is
// detached at a time in the fleet. The call takes about Options.EraseWait at
// most, plus the time for deleting the rows when the partition has to stay.
func (s *Store) ErasePartition(ctx context.Context, tenantID uuid.UUID) error {
	if err := s.deleteStream(ctx, tenantID); err != nil {
		return s.eraseError(ctx, err)
	}
	if err := s.countAll(ctx, tenantID); err != nil {
		return s.eraseError(ctx, err)
	}
	if err := s.deleteTenantTables(ctx, tenantID); err != nil {
		return s.eraseError(ctx, err)
	}
	if _, err := s.deleteDeadLetters(ctx, tenantID, math.MaxInt64); err != nil {
		return s.eraseError(ctx, err)
	}
	p := partitionOf(tenantID)
	err := s.detachAndDrop(ctx, p)
	if err == nil {
		return nil
	}
	if !errors.Is(err, errBlocked) && postgres.Classify(err) != postgres.ClassContended || ctx.Err() != nil {
		return s.eraseError(ctx, err)
	}
	if cause := s.deleteRows(ctx, p); cause != nil {
		return s.eraseError(ctx, cause)
	}
	return contended(fmt.Errorf("erase partition: %w", err))
}

func (s *Store) eraseError(ctx context.Context, err error) error {
	if ctx.Err() == nil && postgres.Classify(err) == postgres.ClassContended {
		return contended(fmt.Errorf("erase partition: %w", err))
	}
	return translate(err, "erase partition")
}

const deleteStreamSQL = `DELETE FROM tenant_streams WHERE tenant_id = $1`

// deleteStream ends the tenant for the appenders: it waits for those that have
// begun, and later ones find no stream.
func (s *Store) deleteStream(ctx context.Context, tenantID uuid.UUID) error {
	return s.WithTenant(ctx, queryAccess, []uuid.UUID{tenantID}, func(on session) error {
		if _, err := on.Exec(ctx, deleteStreamSQL, tenantID); err != nil {
			return fmt.Errorf("delete stream: %w", err)
		}
		return nil
	})
}

// detachAndDrop returns errBlocked, or an error of ClassContended, when the
// partition has to stay for now.
func (s *Store) detachAndDrop(ctx context.Context, p partition) error {
	waiting, cancel := context.WithTimeoutCause(ctx, s.eraseWait, errBlocked)
	defer cancel()
	select {
	case <-s.erasing:
		defer func() { s.erasing <- struct{}{} }()
	case <-waiting.Done():
		return fmt.Errorf("wait for other erasures: %w", context.Cause(waiting))
	}
	key := lockKey("erase", uuid.Nil)
	conn, err := acquireLock(waiting, s.ddl, key)
	if err != nil {
		if errors.Is(context.Cause(waiting), errBlocked) {
			return fmt.Errorf("wait for other erasures: %w", errBlocked)
		}
		return err
	}
	defer releaseLock(ctx, conn, key)

	state, err := p.state(ctx, conn)
	if err == nil && state != partitionAbsent && state != partitionDetached {
		err = s.detach(ctx, waiting, conn, p)
	}
	if err != nil || state == partitionAbsent {
		return err
	}
	if _, err := conn.Exec(ctx, `DROP TABLE IF EXISTS `+p.table); err != nil {
		return fmt.Errorf("drop partition: %w", err)
	}
	return nil
}

const detachCapabilitiesSQL = `SELECT current_setting('server_version_num')::int >= 140000`

// detach takes as long as waiting lives, or ends with errBlocked. Statements
// run on ctx: their limits are on the server's side.
func (s *Store) detach(ctx, waiting context.Context, conn *pgxpool.Conn, p partition) error {
	var concurrently bool
	if err := conn.QueryRow(ctx, detachCapabilitiesSQL).Scan(&concurrently); err != nil {
		return fmt.Errorf("read server version: %w", err)
	}
	if !concurrently || s.plainDetach {
		return detachPlainly(ctx, waiting, conn, p)
	}
	if err := finalizePending(ctx, conn); err != nil {
		return err
	}
	if state, err := p.state(ctx, conn); err != nil || state == partitionDetached {
		return err
	}
	deadline, _ := waiting.Deadline()
	return execWithin(ctx, conn, "statement_timeout", max(time.Until(deadline), finalizeTimeout),
		`ALTER TABLE messages DETACH PARTITION `+p.table+` CONCURRENTLY`)
}

func detachPlainly(ctx, waiting context.Context, conn *pgxpool.Conn, p partition) error {
	for {
		err := execWithin(ctx, conn, "lock_timeout", plainTimeout, `ALTER TABLE messages DETACH PARTITION `+p.table)
		if !errors.Is(err, errBlocked) {
			return err
		}
		if backoff.Sleep(waiting, erasePause) != nil {
			return err
		}
	}
}

const pendingDetachSQL = `
SELECT n.nspname, c.relname
FROM pg_inherits i
JOIN pg_class c ON c.oid = i.inhrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE i.inhparent = 'messages'::regclass AND i.inhdetachpending`

// blockersSQL looks for those whom FINALIZE would wait for: whoever uses the
// partition, and whoever has had a snapshot for a while.
const blockersSQL = `
SELECT EXISTS (
    SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database
    WHERE l.locktype = 'relation' AND d.datname = current_database() AND l.relation = to_regclass($1) AND l.pid <> pg_backend_pid()
) OR EXISTS (
    SELECT FROM pg_stat_activity a
    WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.backend_xmin IS NOT NULL
      AND a.backend_type IS DISTINCT FROM 'autovacuum worker' AND a.xact_start < clock_timestamp() - interval '500 ms'
)`

// finalizePending ends the detachment that somebody had to leave pending,
// whosever partition it is of.
func finalizePending(ctx context.Context, conn *pgxpool.Conn) error {
	rows, err := conn.Query(ctx, pendingDetachSQL)
	if err != nil {
		return fmt.Errorf("look for pending detachments: %w", err)
	}
	names, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		var schema, table string
		err := row.Scan(&schema, &table)
		return pgx.Identifier{schema, table}.Sanitize(), err
	})
	if err != nil {
		return fmt.Errorf("look for pending detachments: %w", err)
	}
	for _, name := range names {
		if err := waitForBlockers(ctx, conn, name); err != nil {
			return err
		}
		if err := execWithin(ctx, conn, "statement_timeout", finalizeTimeout, `ALTER TABLE messages DETACH PARTITION `+name+` FINALIZE`); err != nil {
			return fmt.Errorf("finalize: %w", err)
		}
	}
	return nil
}

func waitForBlockers(ctx context.Context, conn *pgxpool.Conn, table string) error {
	waiting, cancel := context.WithTimeoutCause(ctx, finalizeWait, errBlocked)
	defer cancel()
	for {
		var blocked bool
		if err := conn.QueryRow(ctx, blockersSQL, table).Scan(&blocked); err != nil {
			return fmt.Errorf("look for blockers: %w", err)
		}
		if !blocked {
			return nil
		}
		if err := backoff.Sleep(waiting, erasePause); err != nil {
			return fmt.Errorf("wait for other transactions: %w", err)
		}
	}
}

// execWithin runs one statement, outside of a transaction, under a limit of
// the server's. When the limit ends it, the error is errBlocked.
func execWithin(ctx context.Context, conn *pgxpool.Conn, setting string, limit time.Duration, sql string) error {
	if _, err := conn.Exec(ctx, `SELECT set_config($1, $2, false)`, setting, fmt.Sprint(limit.Milliseconds())); err != nil {
		return fmt.Errorf("set %s: %w", setting, err)
	}
	_, err := conn.Exec(ctx, sql)
	cleanup, cancel := cleaningUp(ctx)
	defer cancel()
	if _, resetErr := conn.Exec(cleanup, `RESET `+setting); resetErr != nil {
		_ = conn.Conn().Close(cleanup) // it must not go back to the pool with that limit
	}
	if err != nil && ctx.Err() == nil && postgres.Classify(err) == postgres.ClassContended {
		return fmt.Errorf("%w: %w", errBlocked, err)
	}
	if err != nil {
		return fmt.Errorf("detach partition: %w", err)
	}
	return nil
}

// deleteRows deletes the rows of a partition in chunks, whether it is attached
// or not. It goes along seq, because deleted rows at the front of the table
// would make every further chunk slower.
func (s *Store) deleteRows(ctx context.Context, p partition) error {
	deleteSQL := `
WITH gone AS (
    DELETE FROM ` + p.table + `
    WHERE ctid = ANY (ARRAY(SELECT ctid FROM ` + p.table + ` WHERE tenant_id = ` + p.bound + ` AND seq > $1 ORDER BY seq LIMIT $2))
    RETURNING seq
)
SELECT coalesce(max(seq), 0) FROM gone`
	for last := int64(0); ; {
		err := s.ddl.QueryRow(ctx, deleteSQL, last, eraseChunk).Scan(&last)
		if err != nil {
			if postgres.IsUndefinedTable(err) {
				return nil // somebody else dropped it meanwhile
			}
			return fmt.Errorf("delete messages: %w", err)
		}
		if last == 0 {
			return nil
		}
	}
}

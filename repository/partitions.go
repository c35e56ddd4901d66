package repository

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"lanekeeper/domain"
	"lanekeeper/pkg/backoff"
	"lanekeeper/pkg/postgres"
)

// How long CreatePartition goes on when other changes of partitions stand in
// its way.
const (
	createTimeout    = 20 * time.Second
	createRetryFirst = 20 * time.Millisecond
	createRetryMax   = 500 * time.Millisecond
)

// CreatePartition implements domain.PartitionRepository. It needs no lock
// that reads or appends of other tenants would notice: attaching conflicts
// only with other changes of partitions, and for those it waits in short
// attempts. A stream row that is behind its partition is repaired.
func (s *Store) CreatePartition(ctx context.Context, tenantID uuid.UUID) error {
	ctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	err := backoff.Retry(ctx, backoff.New(createRetryFirst, createRetryMax), func(ctx context.Context) error {
		return s.tryCreatePartition(ctx, tenantID)
	}, standsInTheWay)
	if err != nil && standsInTheWay(err) { // until the time was up
		return unavailable(fmt.Errorf("create partition: %w", err))
	}
	return translate(err, "create partition")
}

// standsInTheWay reports whether creating may succeed when it is tried again:
// somebody detaches the partition, changes others, or makes the same one.
func standsInTheWay(err error) bool {
	if errors.Is(err, errDetaching) {
		return true
	}
	if _, exists := postgres.UniqueViolation(err); exists {
		return true
	}
	return postgres.Classify(err) == postgres.ClassContended || postgres.IsDuplicateObject(err)
}

// startStreamSQL does not ask for max and min, for which the planner would read
// the whole of a partition that is small by its reckoning.
const startStreamSQL = `
INSERT INTO tenant_streams (tenant_id, last_seq, first_seq)
SELECT $1::uuid,
       coalesce((SELECT seq FROM messages WHERE tenant_id = $1::uuid ORDER BY seq DESC LIMIT 1), 0),
       coalesce((SELECT seq FROM messages WHERE tenant_id = $1::uuid ORDER BY seq LIMIT 1), 1)
ON CONFLICT (tenant_id) DO UPDATE SET last_seq = excluded.last_seq WHERE tenant_streams.last_seq < excluded.last_seq`

// streamStartedSQL tells, without a lock, whether startStreamSQL would change
// nothing.
const streamStartedSQL = `
SELECT EXISTS (
    SELECT 1 FROM tenant_streams
    WHERE tenant_id = $1::uuid AND last_seq >= coalesce((SELECT seq FROM messages WHERE tenant_id = $1::uuid ORDER BY seq DESC LIMIT 1), 0)
)`

// tryCreatePartition does it all in one transaction, so a crash leaves either
// everything or nothing. What it finds half done was left by an erasure.
func (s *Store) tryCreatePartition(ctx context.Context, tenantID uuid.UUID) error {
	return inTransaction(ctx, s.ddl, func(tx pgx.Tx) error {
		p := partitionOf(tenantID)
		state, err := p.state(ctx, tx)
		if err != nil {
			return err
		}
		switch state {
		case partitionDetaching:
			return errDetaching
		case partitionAbsent:
			if _, err := tx.Exec(ctx, `CREATE TABLE `+p.table+` (LIKE messages INCLUDING ALL EXCLUDING COMMENTS)`); err != nil {
				return fmt.Errorf("create table: %w", err)
			}
		case partitionDetached:
			// What an erasure left may be older than the column.
			if _, err := tx.Exec(ctx, `ALTER TABLE `+p.table+` ADD COLUMN IF NOT EXISTS bytes int`); err != nil {
				return fmt.Errorf("complete table: %w", err)
			}
		case partitionAttached:
			// Starting the stream waits for whoever has it locked. They were
			// made together, so mostly there is nothing to do.
			var started bool
			if err := tx.QueryRow(ctx, streamStartedSQL, tenantID).Scan(&started); err != nil {
				return fmt.Errorf("look for stream: %w", err)
			}
			if started {
				return nil
			}
		}
		if state != partitionAttached {
			if err := s.closePartition(ctx, tx, p.table); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `ALTER TABLE messages ATTACH PARTITION `+p.table+` FOR VALUES IN (`+p.bound+`)`); err != nil {
				return fmt.Errorf("attach: %w", err)
			}
		}
		if _, err := tx.Exec(ctx, startStreamSQL, tenantID); err != nil {
			return fmt.Errorf("start stream: %w", err)
		}
		return nil
	})
}

var errDetaching = errors.New("the partition is being detached")

// partition is the table that holds one tenant's messages. Its parts are ready
// for use in SQL: they are made from the parsed id alone.
type partition struct {
	// table is the quoted name, bound the quoted tenant id.
	table, bound string
}

func partitionOf(tenantID uuid.UUID) partition {
	return partition{
		table: pgx.Identifier{partitionName(tenantID)}.Sanitize(),
		bound: "'" + tenantID.String() + "'",
	}
}

const partitionPrefix = "messages_"

func partitionName(tenantID uuid.UUID) string {
	return partitionPrefix + strings.ReplaceAll(tenantID.String(), "-", "_")
}

// tenantOf returns whose partition a table is by its name. A name that is written
// otherwise than partitionName does is that of somebody else's table.
func tenantOf(table string) (tenantID uuid.UUID, ok bool) {
	id, err := domain.ParseID(strings.ReplaceAll(strings.TrimPrefix(table, partitionPrefix), "_", "-"))
	return id, err == nil && partitionName(id) == table
}

type partitionState uint8

const (
	partitionAbsent   partitionState = iota + 1 // no such table
	partitionDetached                           // a table of its own
	partitionAttached
	partitionDetaching // a detachment was begun and not finished
)

// A server before version 14 has no column inhdetachpending, hence the detour
// through JSON.
const partitionStateSQL = `
SELECT i.inhrelid IS NOT NULL, coalesce((to_jsonb(i) ->> 'inhdetachpending')::boolean, false)
FROM (SELECT to_regclass($1) AS oid) AS t
LEFT JOIN pg_inherits i ON i.inhrelid = t.oid AND i.inhparent = 'messages'::regclass
WHERE t.oid IS NOT NULL`

func (p partition) state(ctx context.Context, on session) (partitionState, error) {
	var attached, pending bool
	err := on.QueryRow(ctx, partitionStateSQL, p.table).Scan(&attached, &pending)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return partitionAbsent, nil
	case err != nil:
		return 0, fmt.Errorf("look for partition: %w", err)
	case pending:
		return partitionDetaching, nil
	case attached:
		return partitionAttached, nil
	}
	return partitionDetached, nil
}

const listPartitionsSQL = `
SELECT c.relname, EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid AND i.inhparent = 'messages'::regclass)
FROM pg_class c
WHERE c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'messages'::regclass)
  AND c.relkind = 'r' AND c.relname LIKE 'messages\_%'`

// ListPartitions implements domain.PartitionInspector. Tables whose name is
// not that of a partition are left out.
func (s *Store) ListPartitions(ctx context.Context) (map[uuid.UUID]bool, error) {
	rows, err := s.general.Query(ctx, listPartitionsSQL)
	if err != nil {
		return nil, translate(err, "list partitions")
	}
	found := make(map[uuid.UUID]bool)
	var name string
	var attached bool
	_, err = pgx.ForEachRow(rows, []any{&name, &attached}, func() error {
		if id, ok := tenantOf(name); ok {
			found[id] = attached
		}
		return nil
	})
	return found, translate(err, "list partitions")
}

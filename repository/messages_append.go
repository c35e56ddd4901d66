package repository

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"lanekeeper/domain"
	"lanekeeper/pkg/postgres"
)

// maxAppendBytes bounds the messages of one call. The server keeps several copies
// of a statement's parameters.
const maxAppendBytes = 128 << 20

// lockStreamsSQL locks the streams of a batch in the order of their ids, so
// that batches of several processes cannot deadlock. The locks last until the
// commit, which makes the order of commits the order of seq.
const lockStreamsSQL = `
SELECT tenant_id FROM tenant_streams WHERE tenant_id = ANY($1::uuid[]) ORDER BY tenant_id FOR UPDATE`

// insertMessagesSQL raises each stream by the number of its messages and gives
// out the numbers in between. It names no partition and reads none, so only
// those that get rows are locked. The clock is that of the statement: it runs
// while the locks are held, so created_at goes with seq. A message that is
// stored already makes it fail. The size is that of the payload as jsonb writes
// it, because that is what readers get: it has spaces that were not sent,
// numbers without exponents, and each key once. The lists of types, ordering keys,
// headers and traces are empty where no message has any: unnest fills shorter lists up.
// It returns a row for each
// tenant, and not for each message: the seq before its first one, when they were
// stored, and how many were inserted for all tenants together.
const insertMessagesSQL = `
WITH raised AS (
    UPDATE tenant_streams s
    SET last_seq = s.last_seq + c.n, last_stored_at = statement_timestamp()
    FROM unnest($1::uuid[], $2::bigint[]) AS c (tenant_id, n)
    WHERE s.tenant_id = c.tenant_id
    RETURNING s.tenant_id, s.last_seq - c.n AS base
), inserted AS (
    INSERT INTO messages (id, tenant_id, payload, created_at, seq, bytes, type, ordering_key, headers, trace_context)
    SELECT m.id, m.tenant_id, m.payload, statement_timestamp(), r.base + m.n, octet_length(m.payload::text),
           coalesce(m.type, ''), nullif(m.ordering_key, ''), m.headers, nullif(m.trace_context, '')
    FROM unnest($3::uuid[], $4::uuid[], $5::bigint[], $6::jsonb[], $7::text[], $8::text[], $9::jsonb[], $10::text[])
        AS m (tenant_id, id, n, payload, type, ordering_key, headers, trace_context)
    JOIN raised r ON r.tenant_id = m.tenant_id
    RETURNING 1
)
SELECT tenant_id, base, statement_timestamp(), (SELECT count(*) FROM inserted) FROM raised`

// findStoredSQL looks for messages one by one: each look-up touches its
// tenant's partition only, and the list of all tenants lets the planner leave
// out every other one. OFFSET 0 keeps it from joining whole partitions. A row
// without a type is one of an earlier version, which kept nothing but the payload,
// of messages that may be delivered again with more. Which trace a message belongs to is
// no part of what it says: who publishes it again may do so in another one.
const findStoredSQL = `
SELECT i.ord - 1, coalesce(stored.payload = i.payload, false) AND (
    stored.type IS NULL
    OR stored.type = coalesce(i.type, '')
    AND coalesce(stored.ordering_key, '') = coalesce(i.ordering_key, '')
    AND nullif(stored.headers - '{traceparent,tracestate}'::text[], '{}') IS NOT DISTINCT FROM nullif(i.headers - '{traceparent,tracestate}'::text[], '{}'))
FROM unnest($1::uuid[], $2::uuid[], $3::jsonb[], $5::text[], $6::text[], $7::jsonb[])
    WITH ORDINALITY AS i (tenant_id, id, payload, type, ordering_key, headers, ord)
CROSS JOIN LATERAL (
    SELECT m.payload, m.type, m.ordering_key, m.headers
    FROM messages m
    WHERE m.tenant_id = i.tenant_id AND m.id = i.id AND m.tenant_id = ANY($4::uuid[])
    OFFSET 0
) AS stored`

// The writers' connections use generic plans, which suit the other statements
// best; that of findStoredSQL would lock all partitions.
const customPlansSQL = `SET LOCAL plan_cache_mode = force_custom_plan`

// visibleStreamsSQL counts the streams that can be seen with the rights with which
// messages are looked for.
const visibleStreamsSQL = `SELECT count(*) FROM tenant_streams WHERE tenant_id = ANY($1::uuid[])`

// streamsShownSQL tells whether who appends sees the streams of all tenants.
const streamsShownSQL = `
SELECT NOT row_security_active('tenant_streams') OR EXISTS (
    SELECT FROM pg_policy p
    WHERE p.polrelid = 'tenant_streams'::regclass AND p.polpermissive AND p.polcmd = '*'
      AND p.polroles = ARRAY[(SELECT oid FROM pg_roles WHERE rolname = current_user)]
)`

// errHidden: what is there may not be seen, and so must not be taken for gone.
var errHidden = errors.New("row-level security hides rows that have to be seen")

// errMiscounted: the server stored another number of messages than it was given.
var errMiscounted = errors.New("stored another number of messages")

// AppendMessages implements domain.MessageRepository. It first assumes that
// all messages are new, and looks for stored ones only when that turns out to
// be wrong.
func (s *Store) AppendMessages(ctx context.Context, messages []domain.Message) ([]domain.AppendResult, error) {
	if len(messages) == 0 {
		return nil, nil
	}
	size := 0
	for i := range messages {
		size += messages[i].Size()
	}
	if size > maxAppendBytes && len(messages) > 1 {
		return nil, domain.New(domain.ErrRejected, "append_too_large", "The messages are too large to be stored at once.")
	}
	appended := make([]domain.AppendResult, len(messages))
	err := s.appendNew(ctx, messages, appended)
	if isStoredAlready(err) {
		clear(appended)
		err = s.appendKnown(ctx, messages, appended)
	}
	if err != nil {
		return nil, translateAppend(ctx, err)
	}
	return appended, nil
}

// isStoredAlready reports whether an error is that a message is stored already.
func isStoredAlready(err error) bool {
	constraint, ok := postgres.UniqueViolation(err)
	return ok && isMessagesTable(constraint) && !isSeqConstraint(constraint)
}

// appendNew stores messages that are all new, or fails because one is not. It
// is a single round trip: where little comes, those are most of what storing
// takes.
func (s *Store) appendNew(ctx context.Context, messages []domain.Message, appended []domain.AppendResult) error {
	rows, err := newAppendRows(messages, appended)
	if err != nil {
		return err
	}
	return s.append(ctx, rows, func(tx session) error {
		var batch pgx.Batch
		batch.Queue(beginSQL)
		batch.Queue(lockStreamsSQL, postgres.UUIDs(rows.tenants))
		rows.queueInsert(&batch)
		batch.Queue(commitSQL)
		results := tx.SendBatch(ctx, &batch)
		defer results.Close()
		if _, err := results.Exec(); err != nil {
			return fmt.Errorf("begin: %w", err)
		}
		if err := rows.readStreams(results, messages, appended); err != nil {
			return err
		}
		return rows.readInsert(results, messages, appended)
	})
}

// appendKnown stores those messages that are not stored yet.
func (s *Store) appendKnown(ctx context.Context, messages []domain.Message, appended []domain.AppendResult) error {
	rows, err := newAppendRows(messages, appended)
	if err != nil {
		return err
	}
	roles := s.roles()
	return s.append(ctx, rows, func(tx session) error {
		if err := rows.findStored(ctx, tx, roles, messages, appended); err != nil {
			return err
		}
		fresh, err := newAppendRows(messages, appended)
		if err != nil || len(fresh.ids) == 0 {
			return err
		}
		var batch pgx.Batch
		if roles.Writer != "" {
			batch.Queue(roleSettingSQL, roles.Writer)
		}
		fresh.queueInsert(&batch)
		batch.Queue(commitSQL)
		results := tx.SendBatch(ctx, &batch)
		defer results.Close()
		if roles.Writer != "" {
			if _, err := results.Exec(); err != nil {
				return fmt.Errorf("act as the writer again: %w", err)
			}
		}
		err = fresh.readInsert(results, messages, appended)
		if isStoredAlready(err) {
			// Nobody else can have stored one: the streams are locked.
			return domain.Wrap(err, domain.ErrRejected, "repeated_id", "A message occurs twice.")
		}
		return err
	})
}

// append runs fn on a connection that appends. A tenant without a stream is gone only
// where all streams can be seen.
func (s *Store) append(ctx context.Context, rows *appendRows, fn func(session) error) error {
	return s.WithTenant(ctx, appendAccess, rows.tenants, func(tx session) error {
		if err := fn(tx); err != nil || rows.alive == len(rows.tenants) || s.roles().Writer == "" {
			return err
		}
		var shown bool
		if err := tx.QueryRow(ctx, streamsShownSQL).Scan(&shown); err != nil {
			return fmt.Errorf("look at policies: %w", err)
		}
		if !shown {
			return appendUnavailable(errHidden)
		}
		return nil
	})
}

// readStreams reads which tenants exist, and marks the messages of the others.
func (r *appendRows) readStreams(results pgx.BatchResults, messages []domain.Message, appended []domain.AppendResult) error {
	rows, err := results.Query()
	if err != nil {
		return fmt.Errorf("lock streams: %w", err)
	}
	alive := make(map[uuid.UUID]struct{}, len(r.tenants))
	var id uuid.UUID
	if _, err := pgx.ForEachRow(rows, []any{&id}, func() error { alive[id] = struct{}{}; return nil }); err != nil {
		return fmt.Errorf("lock streams: %w", err)
	}
	if r.alive = len(alive); r.alive == len(r.tenants) {
		return nil
	}
	for i := range messages {
		if _, ok := alive[messages[i].TenantID]; !ok && appended[i].Outcome == 0 {
			appended[i].Outcome = domain.AppendNoTenant
		}
	}
	return nil
}

// readInsert reads the results of the insert and of the commit after it, and
// marks the messages without an outcome as stored.
func (r *appendRows) readInsert(results pgx.BatchResults, messages []domain.Message, appended []domain.AppendResult) error {
	rows, err := results.Query()
	if err != nil {
		return fmt.Errorf("insert messages: %w", err)
	}
	last := make(map[uuid.UUID]int64, len(r.tenants))
	var tenant uuid.UUID
	var base, inserted int64
	var at time.Time
	_, err = pgx.ForEachRow(rows, []any{&tenant, &base, &at, &inserted}, func() error { last[tenant] = base; return nil })
	if err != nil {
		return fmt.Errorf("insert messages: %w", err)
	}
	if _, err := results.Exec(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	at = at.UTC()
	stored := int64(0)
	for i := range messages {
		if appended[i].Outcome != 0 {
			continue
		}
		// They have their numbers in the order of the batch.
		seq := last[messages[i].TenantID] + 1
		last[messages[i].TenantID] = seq
		appended[i] = domain.AppendResult{Outcome: domain.AppendStored, Seq: seq, CreatedAt: at}
		stored++
	}
	if inserted != stored {
		// The streams were locked, so this cannot be. To append again tells what
		// is stored and what is not.
		return fmt.Errorf("%w: %d of %d", errMiscounted, inserted, stored)
	}
	return nil
}

// findStored begins a transaction, locks the streams, and marks the messages
// that are stored already. It looks for them as who may, so the transaction goes on
// with these rights. To find nothing because it may not see them would store messages
// twice, or make dead letters of them.
func (r *appendRows) findStored(ctx context.Context, tx session, roles Roles, messages []domain.Message, appended []domain.AppendResult) error {
	var batch pgx.Batch
	batch.Queue(beginSQL)
	batch.Queue(customPlansSQL)
	batch.Queue(lockStreamsSQL, postgres.UUIDs(r.tenants))
	if roles.App != "" {
		look := scope{role: roles.App, tenants: scopeOf(r.tenants...).tenants}
		batch.QueuedQueries = append(batch.QueuedQueries, look.query())
		batch.Queue(visibleStreamsSQL, postgres.UUIDs(r.tenants))
	}
	batch.Queue(findStoredSQL, postgres.UUIDs(r.tenantIDs), postgres.UUIDs(r.ids), pgtype.FlatArray[[]byte](r.payloads), postgres.UUIDs(r.tenants),
		r.types, r.orderingKeys, pgtype.FlatArray[[]byte](r.headers))
	results := tx.SendBatch(ctx, &batch)
	defer results.Close()
	for range 2 {
		if _, err := results.Exec(); err != nil {
			return fmt.Errorf("begin with custom plans: %w", err)
		}
	}
	if err := r.readStreams(results, messages, appended); err != nil {
		return err
	}
	if roles.App != "" {
		if err := r.readVisible(results); err != nil {
			return err
		}
	}
	rows, err := results.Query()
	if err != nil {
		return fmt.Errorf("look for stored messages: %w", err)
	}
	var at int64
	var same bool
	_, err = pgx.ForEachRow(rows, []any{&at, &same}, func() error {
		switch {
		case appended[at].Outcome != 0: // the tenant is gone, its rows are not yet
		case same:
			appended[at].Outcome = domain.AppendDuplicate
		default:
			appended[at].Outcome = domain.AppendConflict
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("look for stored messages: %w", err)
	}
	return nil
}

// readVisible reads whether what is looked for can be seen.
func (r *appendRows) readVisible(results pgx.BatchResults) error {
	if _, err := results.Exec(); err != nil {
		return fmt.Errorf("act for the tenants: %w", err)
	}
	var visible int
	if err := results.QueryRow().Scan(&visible); err != nil {
		return fmt.Errorf("count streams: %w", err)
	}
	if visible != r.alive {
		return appendUnavailable(errHidden)
	}
	return nil
}

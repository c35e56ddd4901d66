package repository

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"lanekeeper/domain"
	"lanekeeper/pkg/postgres"
)

const listDeadLetterRefsSQL = `
SELECT letter.id, letter.message_id, letter.reason, letter.endpoint_id
FROM (` + wantedLettersSQL + `) AS wanted
CROSS JOIN LATERAL (
    SELECT id, message_id, reason, endpoint_id
    FROM dead_letters
    WHERE tenant_id = $1 AND id = wanted.id AND ($5 OR replayed_at IS NULL)
    OFFSET 0
) AS letter
ORDER BY letter.id
LIMIT $11`

// ListDeadLetterRefs implements domain.DeadLetterRepository.
func (s *Store) ListDeadLetterRefs(ctx context.Context, q domain.DeadLetterQuery) ([]domain.DeadLetterRef, error) {
	var refs []domain.DeadLetterRef
	err := s.WithTenant(ctx, queryAccess, []uuid.UUID{q.TenantID}, func(on session) error {
		rows, err := on.Query(ctx, listDeadLetterRefsSQL, append(letterArgs(&q, q.Limit), q.Limit)...)
		if err != nil {
			return fmt.Errorf("query: %w", err)
		}
		refs, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (domain.DeadLetterRef, error) {
			r := domain.DeadLetterRef{TenantID: q.TenantID}
			var endpointID *uuid.UUID
			err := row.Scan(&r.Seq, &r.MessageID, &r.Reason, &endpointID)
			if endpointID != nil {
				r.EndpointID = *endpointID
			}
			return r, err //nolint:wrapcheck // translated below
		})
		return err //nolint:wrapcheck // translated below
	})
	if err != nil {
		return nil, translate(err, "list dead letters")
	}
	return refs, nil
}

// Whatever is about an endpoint's deliveries locks its cursor first, in this order:
// settlements, other replays, and the deletion of the endpoint are waited for, and
// what is read afterwards stays as it is until the commit.
const lockLetterCursorsSQL = `
SELECT endpoint_id FROM endpoint_cursors
WHERE tenant_id = $1 AND (endpoint_id = ANY($2::uuid[])
   OR $3 AND endpoint_id = (SELECT u.endpoint_id FROM upgraded_endpoints u WHERE u.tenant_id = $1))
ORDER BY tenant_id, endpoint_id
FOR UPDATE`

// reopenDeliveriesSQL makes rows of deliveries for the letters $2, whose messages
// are stored as $3, and marks those of which it made one. Of several letters of one
// delivery it is the last that counts. Letters of earlier versions, $4, are those of
// the endpoint that the tenant had then.
//
// The rows have no ordering key: their place in the order has passed, so they wait
// for no other message and keep none waiting. The round is one in which the message
// was not given up before, so that it gets a letter of its own if it is again.
const reopenDeliveriesSQL = `
WITH wanted AS MATERIALIZED (
    SELECT DISTINCT ON (c.endpoint_id, m.seq) l.place, c.endpoint_id, m.seq, m.id AS message_id, l.round
    FROM unnest($2::bigint[], $3::uuid[], $4::boolean[]) AS w (letter, message, earlier)
    CROSS JOIN LATERAL (
        SELECT ctid AS place, id, round, CASE WHEN w.earlier THEN (SELECT u.endpoint_id FROM upgraded_endpoints u WHERE u.tenant_id = $1) ELSE endpoint_id END AS endpoint_id
        FROM dead_letters
        WHERE tenant_id = $1 AND id = w.letter AND replayed_at IS NULL
        OFFSET 0
    ) AS l
    CROSS JOIN LATERAL (SELECT id, seq FROM messages WHERE tenant_id = $1 AND id = w.message OFFSET 0) AS m
    CROSS JOIN LATERAL (
        SELECT endpoint_id FROM endpoint_cursors WHERE tenant_id = $1 AND endpoint_id = l.endpoint_id AND settled_seq >= m.seq OFFSET 0
    ) AS c
    ORDER BY c.endpoint_id, m.seq, l.id DESC
), opened AS (
    INSERT INTO deliveries (tenant_id, endpoint_id, seq, message_id, round, next_at)
    SELECT $1, w.endpoint_id, w.seq, w.message_id, 1 + greatest(w.round, (
               SELECT max(r.round) FROM dead_letters r WHERE r.tenant_id = $1 AND r.endpoint_id = w.endpoint_id AND r.seq = w.seq
           )), statement_timestamp()
    FROM wanted w
    ORDER BY w.endpoint_id, w.seq
    ON CONFLICT (tenant_id, endpoint_id, seq) DO NOTHING
    RETURNING endpoint_id, seq
)
UPDATE dead_letters SET replayed_at = clock_timestamp()
WHERE ctid = ANY (ARRAY(SELECT w.place FROM opened o JOIN wanted w ON w.endpoint_id = o.endpoint_id AND w.seq = o.seq))`

// ReopenDeliveries implements domain.DeadLetterRepository.
func (s *Store) ReopenDeliveries(ctx context.Context, tenantID uuid.UUID, letters []domain.DeadLetterRef) (int, error) {
	var reopened int
	err := s.sharedTransaction(ctx, tenantID, func(tx pgx.Tx) error {
		if _, err := lockLetterCursors(ctx, tx, tenantID, letters); err != nil {
			return err
		}
		var err error
		reopened, err = reopenDeliveries(ctx, tx, tenantID, letters)
		return err
	})
	if err != nil {
		return 0, translate(err, "replay deliveries")
	}
	return reopened, nil
}

// lockLetterCursors locks the cursors of the letters' endpoints, and returns which
// are there.
func lockLetterCursors(ctx context.Context, on session, tenantID uuid.UUID, letters []domain.DeadLetterRef) ([]uuid.UUID, error) {
	var endpoints []uuid.UUID
	earlier := false
	for i := range letters {
		earlier = earlier || letters[i].OfEarlierVersion()
		if id := letters[i].EndpointID; id != uuid.Nil && !slices.Contains(endpoints, id) {
			endpoints = append(endpoints, id)
		}
	}
	rows, err := on.Query(ctx, lockLetterCursorsSQL, tenantID, postgres.UUIDs(endpoints), earlier)
	if err != nil {
		return nil, fmt.Errorf("lock cursors: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return nil, fmt.Errorf("lock cursors: %w", err)
	}
	return found, nil
}

// reopenDeliveries reopens deliveries whose cursors are locked.
func reopenDeliveries(ctx context.Context, on session, tenantID uuid.UUID, letters []domain.DeadLetterRef) (int, error) {
	var seqs []int64
	var messages postgres.UUIDs
	var earlier []bool
	for i := range letters {
		l := &letters[i]
		if !l.OfDelivery() {
			continue
		}
		seqs, messages, earlier = append(seqs, l.Seq), append(messages, l.StoredAs()), append(earlier, l.OfEarlierVersion())
	}
	if len(seqs) == 0 {
		return 0, nil
	}
	tag, err := on.Exec(ctx, reopenDeliveriesSQL, tenantID, seqs, messages, earlier)
	if err != nil {
		return 0, fmt.Errorf("reopen deliveries: %w", err)
	}
	if tag.RowsAffected() > 0 {
		if _, err := on.Exec(ctx, announceDeliveriesSQL, tenantID); err != nil {
			return 0, fmt.Errorf("announce: %w", err)
		}
	}
	return int(tag.RowsAffected()), nil
}

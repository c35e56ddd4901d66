package repository

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"lanekeeper/domain"
	"lanekeeper/pkg/postgres"
)

// deadLetterChunk is how many dead letters one statement deletes. Each may
// have a MiB or more.
const deadLetterChunk = 500

// recordDeadLettersSQL locks the tenant's row while it takes numbers, which
// makes the order of commits the order of ids; a tenant that is being deleted
// gets no more letters, so that none is left behind by its erasure.
const recordDeadLettersSQL = `
WITH tenant AS MATERIALIZED (
    SELECT id FROM tenants WHERE id = $1 AND status NOT IN ('deleting', 'deleted') FOR NO KEY UPDATE
)
INSERT INTO dead_letters (tenant_id, letter_id, message_id, body, headers, reason, error, attempts, created_at, bytes, type)
SELECT t.id, l.letter_id, l.message_id, l.body, l.headers, l.reason, l.error, l.attempts, clock_timestamp(),
       octet_length(l.body) + octet_length(l.headers::text) + octet_length(l.type), nullif(l.type, '')
FROM tenant t
CROSS JOIN unnest($2::uuid[], $3::text[], $4::bytea[], $5::jsonb[], $6::text[], $7::text[], $8::int[], $9::text[])
    AS l (letter_id, message_id, body, headers, reason, error, attempts, type)
ON CONFLICT (letter_id, tenant_id) DO NOTHING`

// RecordDeadLetters implements domain.DeadLetterRepository, with a statement
// for each tenant and for as many letters as make up a page.
func (s *Store) RecordDeadLetters(ctx context.Context, letters []domain.DeadLetter) error {
	letters = slices.Clone(letters)
	slices.SortStableFunc(letters, func(a, b domain.DeadLetter) int { return slices.Compare(a.TenantID[:], b.TenantID[:]) })
	for len(letters) > 0 {
		n, size := 1, len(letters[0].Body)
		for n < len(letters) && letters[n].TenantID == letters[0].TenantID && size+len(letters[n].Body) <= maxPageBytes {
			size += len(letters[n].Body)
			n++
		}
		if err := s.recordDeadLetters(ctx, letters[:n]); err != nil {
			return translate(err, "record dead letters")
		}
		letters = letters[n:]
	}
	return nil
}

// recordDeadLetters records letters of one tenant.
func (s *Store) recordDeadLetters(ctx context.Context, letters []domain.DeadLetter) error {
	tenantID := letters[0].TenantID
	return s.WithTenant(ctx, queryAccess, []uuid.UUID{tenantID}, func(on session) error {
		recorded, err := insertDeadLetters(ctx, on, tenantID, letters)
		if err != nil || recorded == len(letters) {
			return err
		}
		again, err := diedAgain(ctx, on, tenantID, letters)
		if err != nil || len(again) == 0 {
			return err
		}
		_, err = insertDeadLetters(ctx, on, tenantID, again)
		return err
	})
}

// insertDeadLetters inserts those that are not there yet, and returns how many
// that were.
func insertDeadLetters(ctx context.Context, on session, tenantID uuid.UUID, letters []domain.DeadLetter) (int, error) {
	n := len(letters)
	ids, messageIDs, bodies, headers := make([]uuid.UUID, n), make([]string, n), make([][]byte, n), make([][]byte, n)
	reasons, texts, attempts, types := make([]string, n), make([]string, n), make([]int32, n), make([]string, n)
	for i := range letters {
		l := &letters[i]
		encoded, err := encodeHeaders(l.Headers)
		if err != nil {
			return 0, fmt.Errorf("encode headers: %w", err)
		}
		ids[i], messageIDs[i], headers[i] = l.ID, storableText(l.MessageID), encoded
		bodies[i] = append([]byte{}, l.Body...) // not NULL when it is empty
		reasons[i], texts[i] = storableText(string(l.Reason)), storableText(l.Error)
		types[i] = storableText(l.Type)
		attempts[i] = int32(min(max(l.Attempts, 0), 1<<30))
	}
	tag, err := on.Exec(ctx, recordDeadLettersSQL, tenantID, postgres.UUIDs(ids), messageIDs, pgtype.FlatArray[[]byte](bodies),
		pgtype.FlatArray[[]byte](headers), reasons, texts, attempts, types)
	return int(tag.RowsAffected()), err
}

const lastDeadLetterSQL = `SELECT coalesce((SELECT id FROM dead_letters WHERE tenant_id = $1 ORDER BY id DESC LIMIT 1), 0)`

// LastDeadLetter implements domain.DeadLetterRepository.
func (s *Store) LastDeadLetter(ctx context.Context, tenantID uuid.UUID) (int64, error) {
	var last int64
	err := s.WithTenant(ctx, queryAccess, []uuid.UUID{tenantID}, func(on session) error {
		return on.QueryRow(ctx, lastDeadLetterSQL, tenantID).Scan(&last)
	})
	return last, translate(err, "find the last dead letter")
}

// countDeadLettersSQL counts the parts of wantedLettersSQL, each up to $10.
const countDeadLettersSQL = `
SELECT (SELECT count(*) FROM (SELECT ` + waitingLettersSQL + ` LIMIT $10) AS waiting)
     + (SELECT count(*) FROM (SELECT ` + sentLettersSQL + ` LIMIT $10) AS sent)
     + (SELECT count(*) FROM (SELECT ` + allLettersSQL + ` LIMIT $10) AS every)`

// CountDeadLetters implements domain.DeadLetterRepository.
func (s *Store) CountDeadLetters(ctx context.Context, q domain.DeadLetterQuery) (int, error) {
	q.Seqs = nil
	var n int
	err := s.WithTenant(ctx, queryAccess, []uuid.UUID{q.TenantID}, func(on session) error {
		return on.QueryRow(ctx, countDeadLettersSQL, letterArgs(&q, q.Limit)...).Scan(&n)
	})
	if q.Limit > 0 {
		n = min(n, q.Limit)
	}
	return n, translate(err, "count dead letters")
}

const markReplayedSQL = `UPDATE dead_letters SET replayed_at = clock_timestamp() WHERE tenant_id = $1 AND id = ANY($2::bigint[])`

// MarkReplayed implements domain.DeadLetterRepository.
func (s *Store) MarkReplayed(ctx context.Context, tenantID uuid.UUID, seqs []int64) error {
	err := s.WithTenant(ctx, queryAccess, []uuid.UUID{tenantID}, func(on session) error {
		_, err := on.Exec(ctx, markReplayedSQL, tenantID, seqs)
		return err
	})
	return translate(err, "mark dead letters as replayed")
}

const deleteDeadLettersSQL = `DELETE FROM dead_letters WHERE tenant_id = $1 AND id = ANY($2::bigint[])`

// deleteDeadLettersUpToSQL deletes a chunk and returns where it ended, which
// is the same when somebody else deleted the letters at the same time.
const deleteDeadLettersUpToSQL = `
WITH chunk AS MATERIALIZED (
    SELECT id FROM dead_letters WHERE tenant_id = $1 AND id > $2 AND id <= $3 ORDER BY id LIMIT $4
), gone AS (
    DELETE FROM dead_letters WHERE tenant_id = $1 AND id = ANY(ARRAY(SELECT id FROM chunk)) RETURNING id
)
SELECT (SELECT count(*) FROM gone), coalesce((SELECT max(id) FROM chunk), 0)`

// DeleteDeadLetters implements domain.DeadLetterRepository.
func (s *Store) DeleteDeadLetters(ctx context.Context, tenantID uuid.UUID, seqs []int64, last int64) (int64, error) {
	var total int64
	if seqs == nil {
		total, err := s.deleteDeadLetters(ctx, tenantID, last)
		return total, translate(err, "delete dead letters")
	}
	for chunk := range slices.Chunk(seqs, deadLetterChunk) {
		err := s.WithTenant(ctx, queryAccess, []uuid.UUID{tenantID}, func(on session) error {
			tag, err := on.Exec(ctx, deleteDeadLettersSQL, tenantID, chunk)
			total += tag.RowsAffected()
			return err
		})
		if err != nil {
			return total, translate(err, "delete dead letters")
		}
	}
	return total, nil
}

// deleteDeadLetters deletes the tenant's letters up to the id last.
func (s *Store) deleteDeadLetters(ctx context.Context, tenantID uuid.UUID, last int64) (int64, error) {
	var total int64
	for after := int64(0); ; {
		var n int64
		err := s.WithTenant(ctx, queryAccess, []uuid.UUID{tenantID}, func(on session) error {
			return on.QueryRow(ctx, deleteDeadLettersUpToSQL, tenantID, after, last, deadLetterChunk).Scan(&n, &after)
		})
		total += n
		if err != nil || after == 0 {
			return total, err
		}
	}
}

// brokerDeathsSQL reads what the broker wrote into messages that it put there.
const brokerDeathsSQL = `
SELECT tenant_id, headers #>> '{x-death,0,reason}' AS death, count(*) AS count
FROM dead_letters
WHERE replayed_at IS NULL AND headers #>> '{x-death,0,reason}' IN ('expired', 'maxlen')
GROUP BY tenant_id, death
ORDER BY tenant_id, death`

// ListBrokerDeaths returns how many dead letters that are not replayed the
// broker put there because they were too old, or because there were too many.
// It reads all dead letters: it is for a doctor, not for a service.
func (s *Store) ListBrokerDeaths(ctx context.Context) ([]domain.BrokerDeaths, error) {
	rows, err := s.asSystem(s.general).Query(ctx, brokerDeathsSQL)
	if err != nil {
		return nil, translate(err, "list deaths by the broker")
	}
	deaths, err := pgx.CollectRows(rows, pgx.RowToStructByPos[domain.BrokerDeaths])
	return deaths, translate(err, "list deaths by the broker")
}

// storableText returns s with everything replaced that text cannot hold.
func storableText(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

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
INSERT INTO dead_letters (tenant_id, letter_id, message_id, body, headers, reason, error, attempts, created_at)
SELECT t.id, l.letter_id, l.message_id, l.body, l.headers, l.reason, l.error, l.attempts, clock_timestamp()
FROM tenant t
CROSS JOIN unnest($2::uuid[], $3::text[], $4::bytea[], $5::jsonb[], $6::text[], $7::text[], $8::int[])
    AS l (letter_id, message_id, body, headers, reason, error, attempts)
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
	reasons, texts, attempts := make([]string, n), make([]string, n), make([]int32, n)
	for i := range letters {
		l := &letters[i]
		encoded, err := encodeHeaders(l.Headers)
		if err != nil {
			return 0, fmt.Errorf("encode headers: %w", err)
		}
		ids[i], messageIDs[i], headers[i] = l.ID, storableText(l.MessageID), encoded
		bodies[i] = append([]byte{}, l.Body...) // not NULL when it is empty
		reasons[i], texts[i] = storableText(string(l.Reason)), storableText(l.Error)
		attempts[i] = int32(min(max(l.Attempts, 0), 1<<30))
	}
	tag, err := on.Exec(ctx, recordDeadLettersSQL, tenantID, postgres.UUIDs(ids), messageIDs, pgtype.FlatArray[[]byte](bodies),
		pgtype.FlatArray[[]byte](headers), reasons, texts, attempts)
	return int(tag.RowsAffected()), err
}

const deadLetterColumns = `id, letter_id, message_id, body, headers, reason, error, attempts, created_at, replayed_at`

// A page ends before the letter that makes it too large; the size of a body is
// known without reading it. The first letter always passes.
const (
	deadLetterPageSQL = `
SELECT ` + deadLetterColumns + `, total
FROM (
    SELECT ` + deadLetterColumns + `, count(*) OVER () AS total, row_number() OVER (ORDER BY id) AS place,
           sum(octet_length(body) + pg_column_size(headers)) OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) AS size
    FROM (`
	deadLetterPageEndSQL = `) AS page
) AS sized
WHERE place = 1 OR size <= $1
ORDER BY id`
)

const listDeadLettersSQL = deadLetterPageSQL + `
        SELECT ` + deadLetterColumns + `
        FROM dead_letters
        WHERE tenant_id = $2 AND id > $3 AND ($4::bigint = 0 OR id <= $4) AND ($5::boolean OR replayed_at IS NULL)
        ORDER BY id
        LIMIT $6` + deadLetterPageEndSQL

// ListDeadLetters implements domain.DeadLetterRepository. A page has 8 MiB at
// most, or a single letter.
func (s *Store) ListDeadLetters(ctx context.Context, q domain.DeadLetterQuery) ([]domain.DeadLetter, bool, error) {
	if q.Limit <= 0 {
		return nil, false, nil
	}
	letters, total, err := s.readDeadLetters(ctx, q.TenantID, listDeadLettersSQL,
		maxPageBytes, q.TenantID, q.After, q.UpTo, q.Replayed, q.Limit+1)
	if err != nil {
		return nil, false, translate(err, "list dead letters")
	}
	letters = letters[:min(len(letters), q.Limit)]
	return letters, total > len(letters), nil
}

const pickDeadLettersSQL = deadLetterPageSQL + `
        SELECT ` + deadLetterColumns + `
        FROM dead_letters
        WHERE tenant_id = $2 AND id = ANY($3::bigint[]) AND replayed_at IS NULL` + deadLetterPageEndSQL

// PickDeadLetters implements domain.DeadLetterRepository. It returns 8 MiB at
// most, or a single letter.
func (s *Store) PickDeadLetters(ctx context.Context, tenantID uuid.UUID, seqs []int64) ([]domain.DeadLetter, error) {
	letters, _, err := s.readDeadLetters(ctx, tenantID, pickDeadLettersSQL, maxPageBytes, tenantID, seqs)
	return letters, translate(err, "pick dead letters")
}

const findDeadLetterSQL = `SELECT ` + deadLetterColumns + `, 1 FROM dead_letters WHERE tenant_id = $1 AND id = $2`

// FindDeadLetter implements domain.DeadLetterRepository.
func (s *Store) FindDeadLetter(ctx context.Context, tenantID uuid.UUID, seq int64) (domain.DeadLetter, error) {
	letters, _, err := s.readDeadLetters(ctx, tenantID, findDeadLetterSQL, tenantID, seq)
	if err != nil {
		return domain.DeadLetter{}, translate(err, "find dead letter")
	}
	if len(letters) == 0 {
		return domain.DeadLetter{}, domain.DeadLetterNotFound()
	}
	return letters[0], nil
}

// readDeadLetters runs a query for letters of one tenant. The last column is
// how many there are with those that the page has no room for.
func (s *Store) readDeadLetters(ctx context.Context, tenantID uuid.UUID, query string, args ...any) (letters []domain.DeadLetter, total int, err error) {
	err = s.WithTenant(ctx, queryAccess, []uuid.UUID{tenantID}, func(on session) error {
		rows, err := on.Query(ctx, query, args...)
		if err != nil {
			return fmt.Errorf("query dead letters: %w", err)
		}
		letters, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (domain.DeadLetter, error) {
			l := domain.DeadLetter{TenantID: tenantID}
			var headers []byte
			var replayed *time.Time
			err := row.Scan(&l.Seq, &l.ID, &l.MessageID, &l.Body, &headers, &l.Reason, &l.Error, &l.Attempts, &l.CreatedAt, &replayed, &total)
			if err != nil {
				return l, err //nolint:wrapcheck // wrapped below
			}
			l.CreatedAt = l.CreatedAt.UTC()
			if replayed != nil {
				l.ReplayedAt = replayed.UTC()
			}
			l.Headers, err = decodeHeaders(headers)
			return l, err
		})
		if err != nil {
			return fmt.Errorf("read dead letters: %w", err)
		}
		return nil
	})
	return letters, total, err
}

const lastDeadLetterSQL = `SELECT id FROM dead_letters WHERE tenant_id = $1 ORDER BY id DESC LIMIT 1`

// LastDeadLetter implements domain.DeadLetterRepository.
func (s *Store) LastDeadLetter(ctx context.Context, tenantID uuid.UUID) (int64, error) {
	var last int64
	err := s.WithTenant(ctx, queryAccess, []uuid.UUID{tenantID}, func(on session) error {
		return on.QueryRow(ctx, lastDeadLetterSQL, tenantID).Scan(&last)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	return last, translate(err, "find the last dead letter")
}

const countDeadLettersSQL = `SELECT count(*) FROM dead_letters WHERE tenant_id = $1 AND id <= $2 AND replayed_at IS NULL`

// CountDeadLetters implements domain.DeadLetterRepository.
func (s *Store) CountDeadLetters(ctx context.Context, tenantID uuid.UUID, last int64) (int, error) {
	var n int
	err := s.WithTenant(ctx, queryAccess, []uuid.UUID{tenantID}, func(on session) error {
		return on.QueryRow(ctx, countDeadLettersSQL, tenantID, last).Scan(&n)
	})
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

const (
	deleteReplayedDeadLettersSQL = `
DELETE FROM dead_letters
WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM dead_letters WHERE replayed_at < now() - $1::interval
    ORDER BY replayed_at LIMIT $2 FOR UPDATE SKIP LOCKED
))`
	deleteOtherDeadLettersSQL = `
DELETE FROM dead_letters
WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM dead_letters WHERE replayed_at IS NULL AND created_at < now() - $1::interval
    ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED
))`
)

// DeleteOldDeadLetters implements domain.DeadLetterRepository.
func (s *Store) DeleteOldDeadLetters(ctx context.Context, replayed, others time.Duration, limit int) (int, error) {
	deleted := 0
	for query, age := range map[string]time.Duration{deleteReplayedDeadLettersSQL: replayed, deleteOtherDeadLettersSQL: others} {
		if age <= 0 {
			continue
		}
		n, err := s.deleteSome(ctx, "delete old dead letters", query, age, max(0, limit-deleted))
		deleted += n
		if err != nil {
			return deleted, err
		}
	}
	return deleted, nil
}

const waitingDeadLettersSQL = `SELECT tenant_id, count(*) FROM dead_letters WHERE replayed_at IS NULL GROUP BY tenant_id`

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
	rows, err := s.general.Query(ctx, brokerDeathsSQL)
	if err != nil {
		return nil, translate(err, "list deaths by the broker")
	}
	deaths, err := pgx.CollectRows(rows, pgx.RowToStructByPos[domain.BrokerDeaths])
	return deaths, translate(err, "list deaths by the broker")
}

// WaitingDeadLetters implements domain.DeadLetterRepository.
func (s *Store) WaitingDeadLetters(ctx context.Context) (map[uuid.UUID]int64, error) {
	waiting := make(map[uuid.UUID]int64)
	rows, err := s.general.Query(ctx, waitingDeadLettersSQL)
	if err != nil {
		return nil, translate(err, "count waiting dead letters")
	}
	var id uuid.UUID
	var n int64
	if _, err := pgx.ForEachRow(rows, []any{&id, &n}, func() error { waiting[id] = n; return nil }); err != nil {
		return nil, translate(err, "count waiting dead letters")
	}
	return waiting, nil
}

// storableText returns s with everything replaced that text cannot hold.
func storableText(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

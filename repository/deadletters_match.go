package repository

import (
	"github.com/google/uuid"

	"lanekeeper/domain"
)

// wantedLettersSQL finds the ids of the letters that a query is about, in their
// order: those of $2, or where that is NULL the first $10 (NULL for all) of tenant
// $1 that match. These have ids after $3 and up to $4, where 0 is no bound, and were
// not replayed unless $5 lets all through; they are of reason $6 and endpoint $7,
// recorded from $8 and before $9, where NULL restricts nothing. Those of $2 are to
// be looked at: they may be another tenant's.
//
// Plans are made for the arguments, so what restricts nothing is no part of them,
// and of the first three parts one or two are left. Each is read in the order of
// ids from an index that has nothing else. Left to itself, the planner would sort
// everything. Only letters with reason delivery_failed have an endpoint, so where both are
// given, the index by endpoint is the only one that can be read.
//
// A time becomes an id, because ids are in the order of times; where the clock was
// set back, letters of about that time may be missing. The time itself is looked at
// in a form that no index has, so that the planner does not read by time. The id is a
// query of its own, because the planner uses no index for a condition that might give
// away rows before their policy was asked, which it supposes of coalesce with a column.
const (
	letterMatchSQL = `$2::bigint[] IS NULL AND tenant_id = $1 AND id > $3 AND ($4::bigint = 0 OR id <= $4)
                AND ($6::text IS NULL OR $7 IS NOT NULL OR reason = $6)
                AND ($7::uuid IS NULL OR endpoint_id = $7 AND ($6 IS NULL OR $6 = 'delivery_failed'))
                AND ($8::timestamptz IS NULL OR created_at + interval '0 s' >= $8 AND id >= (SELECT coalesce((
                    SELECT f.id FROM dead_letters f WHERE f.tenant_id = $1 AND f.created_at >= $8 ORDER BY f.created_at, f.id LIMIT 1
                ), 9223372036854775807)))
                AND ($9::timestamptz IS NULL OR created_at + interval '0 s' < $9 AND id <= (SELECT coalesce((
                    SELECT f.id FROM dead_letters f WHERE f.tenant_id = $1 AND f.created_at < $9 ORDER BY f.created_at DESC, f.id DESC LIMIT 1
                ), 0)))`

	// Those that wait, those that were replayed, and all: with a part for the first
	// two, or the last one alone.
	waitingLettersSQL = `FROM dead_letters
             WHERE replayed_at IS NULL AND NOT ($5::boolean AND $6::text IS NULL AND $7::uuid IS NULL) AND ` + letterMatchSQL
	sentLettersSQL = `FROM dead_letters
             WHERE replayed_at IS NOT NULL AND $5 AND NOT ($6 IS NULL AND $7 IS NULL) AND ` + letterMatchSQL
	allLettersSQL = `FROM dead_letters
             WHERE $5 AND $6 IS NULL AND $7 IS NULL AND ` + letterMatchSQL

	wantedLettersSQL = `
        SELECT id FROM (
            (SELECT id ` + waitingLettersSQL + ` ORDER BY id LIMIT $10)
            UNION ALL
            (SELECT id ` + sentLettersSQL + ` ORDER BY id LIMIT $10)
            UNION ALL
            (SELECT id ` + allLettersSQL + ` ORDER BY id LIMIT $10)
            UNION ALL
            SELECT DISTINCT id FROM unnest($2) AS named (id) WHERE id > $3 AND ($4 = 0 OR id <= $4)
        ) AS matching
        ORDER BY id
        LIMIT CASE WHEN $2 IS NULL THEN $10::bigint END`
)

// letterArgs returns the arguments of wantedLettersSQL; a limit of 0 is none.
func letterArgs(q *domain.DeadLetterQuery, limit int) []any {
	args := []any{q.TenantID, q.Seqs, q.After, q.UpTo, q.Replayed, nil, nil, nil, nil, nil}
	if q.Filter.Reason != "" {
		args[5] = string(q.Filter.Reason)
	}
	if q.Filter.EndpointID != uuid.Nil {
		args[6] = q.Filter.EndpointID
	}
	args[7], args[8] = nullTime(q.Filter.From), nullTime(q.Filter.To)
	if limit > 0 {
		args[9] = limit
	}
	return args
}

// listDeadLettersSQL reads a page of letters like one of messages: a letter counts
// for the size of its body and headers as text, which is known without reading
// them; the page ends before the first that has no room in $11 bytes, of which the
// size alone is returned. The size of headers that were stored before it was known
// is estimated.
const listDeadLettersSQL = `
SELECT id, letter_id, message_id, CASE WHEN upto <= $11 THEN body END, CASE WHEN upto <= $11 THEN headers END,
       reason, error, attempts, created_at, replayed_at, coalesce(type, ''), endpoint_id, coalesce(seq, 0), round, upto <= $11, size, total
FROM (
    SELECT letter.*, count(*) OVER () AS total, sum(size) OVER place AS upto
    FROM (` + wantedLettersSQL + `) AS wanted
    CROSS JOIN LATERAL (
        SELECT id, letter_id, message_id, body, headers, reason, error, attempts, created_at, replayed_at, type, endpoint_id, seq, round,
               coalesce(bytes, octet_length(body) + least(pg_column_size(headers)::bigint * 64, 262144)::int) + 256 AS size
        FROM dead_letters
        WHERE tenant_id = $1 AND id = wanted.id AND ($5 OR replayed_at IS NULL)
        OFFSET 0
    ) AS letter
    WINDOW place AS (ORDER BY letter.id ROWS UNBOUNDED PRECEDING)
) AS sized
WHERE upto - size <= $11
ORDER BY id`

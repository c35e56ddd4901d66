package repository

import (
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"lanekeeper/domain"
	"lanekeeper/pkg/postgres"
)

// deleteDoneSQL deletes rows of deliveries that are done, or given up.
const deleteDoneSQL = countingSQL + `
)
DELETE FROM deliveries WHERE ctid = ANY (ARRAY(
    SELECT d.ctid
    FROM unnest($3::bigint[], $4::bigint[]) AS o (n, seq)
    JOIN s ON s.n = o.n
    CROSS JOIN LATERAL (
        SELECT f.ctid FROM deliveries f WHERE f.tenant_id = s.tenant_id AND f.endpoint_id = s.endpoint_id AND f.seq = o.seq OFFSET 0
    ) AS d
))`

func (b *settleBatch) queueDone(settlements []domain.Settlement) {
	var places, seqs []int64
	for i := range settlements {
		for _, seq := range settlements[i].Done {
			places, seqs = append(places, int64(i+1)), append(seqs, seq)
		}
		for j := range settlements[i].GivenUp {
			places, seqs = append(places, int64(i+1)), append(seqs, settlements[i].GivenUp[j].Seq)
		}
	}
	if len(seqs) > 0 {
		b.Queue(deleteDoneSQL, b.tenants, b.endpoints, places, seqs)
	}
}

const openRowsSQL = countingSQL + `
), r AS MATERIALIZED (
    SELECT s.tenant_id, s.endpoint_id, o.seq, o.message_id, nullif(o.ordering_key, '') AS ordering_key, o.attempts, o.round,
           nullif(o.replay_id, '00000000-0000-0000-0000-000000000000') AS replay_id,
           CASE WHEN NOT o.waits THEN statement_timestamp() + o.next_in * interval '1 microsecond' END AS next_at, o.last_status, o.last_error
    FROM unnest($3::bigint[], $4::bigint[], $5::uuid[], $6::text[], $7::int[], $8::int[], $9::uuid[], $10::boolean[], $11::bigint[], $12::int[], $13::text[])
        AS o (n, seq, message_id, ordering_key, attempts, round, replay_id, waits, next_in, last_status, last_error)
    JOIN s ON s.n = o.n
)`

// What was known is changed only where it still is: it may have been skipped, or
// its message has expired. What is new may be there all the same, when somebody
// asked for it to be sent again: an attempt that was made just now counts, and
// what was not attempted stays as it is. So it does for a replay, which leaves
// out what is open.
const (
	insertOpenSQL = openRowsSQL + `
INSERT INTO deliveries (tenant_id, endpoint_id, seq, message_id, ordering_key, attempts, round, replay_id, next_at, last_status, last_error)
SELECT * FROM r`

	updateOpenSQL = insertOpenSQL + `
WHERE EXISTS (SELECT FROM deliveries d WHERE d.tenant_id = r.tenant_id AND d.endpoint_id = r.endpoint_id AND d.seq = r.seq OFFSET 0)
ON CONFLICT (tenant_id, endpoint_id, seq) DO UPDATE SET
    ordering_key = excluded.ordering_key, attempts = excluded.attempts, round = excluded.round, replay_id = excluded.replay_id,
    next_at = excluded.next_at, last_status = excluded.last_status, last_error = excluded.last_error`

	addOpenSQL = insertOpenSQL + `
ON CONFLICT (tenant_id, endpoint_id, seq) DO UPDATE SET
    ordering_key = excluded.ordering_key, attempts = excluded.attempts, round = excluded.round,
    next_at = excluded.next_at, last_status = excluded.last_status, last_error = excluded.last_error
WHERE excluded.attempts > 0 AND excluded.replay_id IS NULL`
)

// queueOpen comes before queueDone: what is said of a row that is done is from before.
func (b *settleBatch) queueOpen(settlements []domain.Settlement) {
	var known, added openRows
	for i := range settlements {
		for _, o := range latest(settlements[i].Open) {
			if o.Known {
				known.add(i, o)
			} else {
				added.add(i, o)
			}
		}
	}
	known.queue(b, updateOpenSQL)
	added.queue(b, addOpenSQL)
}

// latest returns the rows, and where one occurs more than once what was said last; it
// is known if it was at first.
func latest(rows []domain.OpenDelivery) []*domain.OpenDelivery {
	list := make([]*domain.OpenDelivery, 0, len(rows))
	at := make(map[int64]int, len(rows))
	for i := range rows {
		o := &rows[i]
		place, twice := at[o.Seq]
		if !twice {
			at[o.Seq] = len(list)
			list = append(list, o)
			continue
		}
		last := *o
		last.Known = list[place].Known
		list[place] = &last
	}
	return list
}

// openRows holds the columns of rows.
type openRows struct {
	places, seqs, nexts        []int64
	messages, replays          postgres.UUIDs
	keys, texts                []string
	attempts, rounds, statuses []int32
	waits                      []bool
}

// add adds a row of the settlement with that index.
func (r *openRows) add(i int, o *domain.OpenDelivery) {
	r.places, r.seqs, r.nexts = append(r.places, int64(i+1)), append(r.seqs, o.Seq), append(r.nexts, o.NextIn.Microseconds())
	r.messages, r.replays = append(r.messages, o.MessageID), append(r.replays, o.ReplayID)
	r.keys, r.texts = append(r.keys, storableText(o.OrderingKey)), append(r.texts, storableText(o.LastError))
	r.attempts, r.rounds = append(r.attempts, int32(o.Attempts)), append(r.rounds, int32(o.Round)) //nolint:gosec // both are small
	r.statuses, r.waits = append(r.statuses, int32(o.LastStatus)), append(r.waits, o.Waits)        //nolint:gosec // it is small
}

func (r *openRows) queue(b *settleBatch, query string) {
	if len(r.seqs) > 0 {
		b.Queue(query, b.tenants, b.endpoints, r.places, r.seqs, r.messages, r.keys, r.attempts, r.rounds, r.replays, r.waits, r.nexts, r.statuses, r.texts)
	}
}

// insertLettersSQL locks the tenants while letters get their numbers, as
// recordDeadLettersSQL does, in the order of their ids.
const insertLettersSQL = countingSQL + `
), tenant AS MATERIALIZED (
    SELECT id FROM tenants
    WHERE id = ANY(ARRAY(SELECT tenant_id FROM s)) AND status NOT IN ('deleting', 'deleted')
    ORDER BY id FOR NO KEY UPDATE
)
INSERT INTO dead_letters (tenant_id, letter_id, message_id, body, headers, reason, error, attempts, created_at, bytes, type, endpoint_id, seq, round)
SELECT t.id, l.letter_id, l.message_id, l.body, l.headers, l.reason, l.error, l.attempts, clock_timestamp(),
       octet_length(l.body) + octet_length(l.headers::text) + octet_length(l.type), nullif(l.type, ''), s.endpoint_id, l.seq, l.round
FROM unnest($3::bigint[], $4::uuid[], $5::text[], $6::bytea[], $7::jsonb[], $8::text[], $9::text[], $10::int[], $11::bigint[], $12::int[], $13::text[])
    AS l (n, letter_id, message_id, body, headers, reason, error, attempts, seq, round, type)
JOIN s ON s.n = l.n
JOIN tenant t ON t.id = s.tenant_id
ON CONFLICT (letter_id, tenant_id) DO NOTHING`

func (b *settleBatch) queueGivenUp(settlements []domain.Settlement) error {
	var places, seqs []int64
	var ids postgres.UUIDs
	var bodies, headers [][]byte
	var messages, reasons, texts, types []string
	var attempts, rounds []int32
	for i := range settlements {
		for j := range settlements[i].GivenUp {
			g := &settlements[i].GivenUp[j]
			encoded, err := encodeHeaders(g.Letter.Headers)
			if err != nil {
				return fmt.Errorf("encode headers: %w", err)
			}
			places, seqs, ids = append(places, int64(i+1)), append(seqs, g.Seq), append(ids, g.Letter.ID)
			body := g.Letter.Body
			if body == nil {
				body = []byte{} // not NULL
			}
			bodies, headers = append(bodies, body), append(headers, encoded)
			messages, reasons = append(messages, storableText(g.Letter.MessageID)), append(reasons, storableText(string(g.Letter.Reason)))
			texts, types = append(texts, storableText(g.Letter.Error)), append(types, storableText(g.Letter.Type))
			attempts, rounds = append(attempts, int32(g.Letter.Attempts)), append(rounds, int32(g.Round)) //nolint:gosec // both are small
		}
	}
	if len(ids) > 0 {
		b.Queue(insertLettersSQL, b.tenants, b.endpoints, places, ids, messages, flatBytes(bodies), flatBytes(headers), reasons, texts, attempts, seqs, rounds, types)
	}
	return nil
}

// startNextSQL makes the first row of each key due, if it waits.
const startNextSQL = countingSQL + `
)
UPDATE deliveries SET next_at = statement_timestamp() WHERE ctid = ANY (ARRAY(
    SELECT first.ctid
    FROM unnest($3::bigint[], $4::text[]) AS k (n, ordering_key)
    JOIN s ON s.n = k.n
    CROSS JOIN LATERAL (
        SELECT f.ctid, f.next_at FROM deliveries f
        WHERE f.tenant_id = s.tenant_id AND f.endpoint_id = s.endpoint_id AND f.ordering_key = k.ordering_key
        ORDER BY f.seq LIMIT 1
    ) AS first
    WHERE first.next_at IS NULL
))`

func (b *settleBatch) queueKeys(settlements []domain.Settlement) {
	var places []int64
	var keys []string
	for i := range settlements {
		for _, key := range settlements[i].Keys {
			places, keys = append(places, int64(i+1)), append(keys, storableText(key))
		}
	}
	if len(keys) > 0 {
		b.Queue(startNextSQL, b.tenants, b.endpoints, places, keys)
	}
}

// moveReplaysSQL counts what the cursor passes once, however often it is told.
const moveReplaysSQL = countingSQL + `
), r AS MATERIALIZED (
    SELECT s.tenant_id, s.endpoint_id, o.id, o.cursor_seq, o.done, o.ended
    FROM unnest($3::bigint[], $4::uuid[], $5::bigint[], $6::bigint[], $7::boolean[]) AS o (n, id, cursor_seq, done, ended)
    JOIN s ON s.n = o.n
)
UPDATE replays p SET
    done = p.done + CASE WHEN r.cursor_seq > p.cursor_seq THEN r.done ELSE 0 END,
    cursor_seq = greatest(p.cursor_seq, r.cursor_seq),
    state = CASE WHEN r.ended AND p.state = 'running' THEN 'done' ELSE p.state END,
    ended_at = CASE WHEN r.ended AND p.state = 'running' THEN statement_timestamp() ELSE p.ended_at END
FROM r WHERE p.tenant_id = r.tenant_id AND p.endpoint_id = r.endpoint_id AND p.id = r.id`

func (b *settleBatch) queueReplays(settlements []domain.Settlement) {
	var places, cursors, done []int64
	var ids postgres.UUIDs
	var ended []bool
	for i := range settlements {
		if p := settlements[i].Replay; p != nil {
			places, ids = append(places, int64(i+1)), append(ids, p.ID)
			cursors, done, ended = append(cursors, p.Cursor), append(done, p.Done), append(ended, p.Ended)
		}
	}
	if len(ids) > 0 {
		b.Queue(moveReplaysSQL, b.tenants, b.endpoints, places, ids, cursors, done, ended)
	}
}

const disableSQL = countingSQL + `
), r AS MATERIALIZED (
    SELECT s.tenant_id, s.endpoint_id, o.reason FROM unnest($3::bigint[], $4::text[]) AS o (n, reason) JOIN s ON s.n = o.n
)
UPDATE endpoints e SET status = 'disabled', status_reason = r.reason, updated_at = statement_timestamp()
FROM r WHERE e.tenant_id = r.tenant_id AND e.id = r.endpoint_id AND e.status = 'active'`

func (b *settleBatch) queueDisable(settlements []domain.Settlement) {
	var places []int64
	var reasons []string
	for i := range settlements {
		if reason := settlements[i].Disable; reason != "" {
			places, reasons = append(places, int64(i+1)), append(reasons, storableText(reason))
		}
	}
	if len(reasons) > 0 {
		b.Queue(disableSQL, b.tenants, b.endpoints, places, reasons)
	}
}

// milliseconds returns a duration as it is stored.
func milliseconds(d time.Duration) int32 {
	return int32(min(max(d.Milliseconds(), 0), math.MaxInt32))
}

// bytesOrNil returns nil for nothing, which is stored as NULL.
func bytesOrNil(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}

// flatBytes is an argument of type bytea[] or jsonb[].
func flatBytes(all [][]byte) pgtype.FlatArray[[]byte] { return pgtype.FlatArray[[]byte](all) }

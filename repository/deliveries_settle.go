package repository

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"lanekeeper/domain"
	"lanekeeper/pkg/postgres"
)

// The plans of these statements are made once, when the tables may be empty, and
// have to be right when they are not. So rows are looked up one by one, by keys whose
// columns all come from one place, which leaves the planner no other choice.

// lockCursorsSQL locks the cursors in the order in which they are given. All
// settlements have the same, so that those of several replicas cannot deadlock.
// Whatever else is about an endpoint's deliveries locks its cursor first, too.
const lockCursorsSQL = `
SELECT FROM unnest($1::uuid[], $2::uuid[]) AS s (tenant_id, endpoint_id)
CROSS JOIN LATERAL (
    SELECT FROM endpoint_cursors c WHERE c.tenant_id = s.tenant_id AND c.endpoint_id = s.endpoint_id FOR UPDATE
) AS locked`

// moveCursorsSQL moves the cursors of the settlements that count. It sees what was
// committed when they were locked: a claim locks them, too, so an epoch that is
// right here is right until the commit.
const moveCursorsSQL = `
WITH s AS MATERIALIZED (
    SELECT u.*,
        EXISTS (SELECT FROM endpoint_cursors c WHERE c.tenant_id = u.tenant_id AND c.endpoint_id = u.endpoint_id OFFSET 0) AS exists,
        EXISTS (SELECT FROM delivery_claims d WHERE d.tenant_id = u.tenant_id AND d.epoch = u.epoch AND d.owner = $10 OFFSET 0) AS claimed
    FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::boolean[], $7::timestamptz[], $8::timestamptz[], $9::boolean[])
        WITH ORDINALITY AS u (tenant_id, endpoint_id, epoch, version, settled_seq, healthy, opened_at, failing_since, stopped, n)
), moved AS (
    UPDATE endpoint_cursors c SET
        settled_seq = greatest(c.settled_seq, s.settled_seq),
        breaker_opened_at = CASE WHEN NOT s.healthy THEN c.breaker_opened_at WHEN s.opened_at IS NOT NULL THEN least(s.opened_at, statement_timestamp()) END,
        failing_since = CASE WHEN NOT s.healthy THEN c.failing_since WHEN s.failing_since IS NOT NULL THEN least(s.failing_since, statement_timestamp()) END,
        reading_stopped = CASE WHEN s.healthy THEN s.stopped ELSE c.reading_stopped END
    FROM s
    WHERE c.tenant_id = s.tenant_id AND c.endpoint_id = s.endpoint_id AND c.version = s.version AND s.claimed
    RETURNING s.n
)
SELECT s.n - 1, s.exists, s.claimed, moved.n IS NOT NULL FROM s LEFT JOIN moved ON moved.n = s.n`

// What follows works on settlements $1 and $2, tenants and endpoints, and names
// them by their place. Those count whose cursor this transaction has changed; the
// others have it as it was, or not at all.
const (
	existingSQL = `
WITH s AS MATERIALIZED (
    SELECT u.n, u.tenant_id, u.endpoint_id
    FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS u (tenant_id, endpoint_id, n)
    CROSS JOIN LATERAL (
        SELECT c.xmin FROM endpoint_cursors c WHERE c.tenant_id = u.tenant_id AND c.endpoint_id = u.endpoint_id OFFSET 0
    ) AS c`
	countingSQL = existingSQL + `
    WHERE c.xmin = pg_current_xact_id()::xid`
)

// Settle implements domain.DeliveryRepository, in one round trip. Of an endpoint that is gone nothing
// is recorded, so nothing is left behind by its tenant's erasure.
func (s *Store) Settle(ctx context.Context, name string, settlements []domain.Settlement) ([]domain.SettleOutcome, error) {
	if len(settlements) == 0 {
		return nil, nil
	}
	if err := checkSettlements(settlements); err != nil {
		return nil, err
	}
	outcomes, err := s.settle(ctx, name, settlements, true)
	if table, ok := postgres.NoPartition(err); ok && table == attemptsTable {
		// The attempts are lost, and the settlements must not be.
		if outcomes, err = s.settle(ctx, name, settlements, false); err == nil {
			s.makeMissingAttemptDays(ctx)
		}
	}
	if err != nil {
		return nil, translateSettle(ctx, err)
	}
	return outcomes, nil
}

// checkSettlements returns an ErrRejected for what cannot be settled at once.
func checkSettlements(settlements []domain.Settlement) error {
	if len(settlements) == 1 {
		return nil
	}
	type key struct{ tenantID, endpointID uuid.UUID }
	seen := make(map[key]struct{}, len(settlements))
	size := 0
	for i := range settlements {
		t := &settlements[i]
		k := key{t.TenantID, t.EndpointID}
		if _, twice := seen[k]; twice {
			return domain.New(domain.ErrRejected, "settled_twice", "An endpoint occurs twice.")
		}
		seen[k] = struct{}{}
		for j := range t.GivenUp {
			size += len(t.GivenUp[j].Letter.Body)
		}
	}
	if size > maxAppendBytes {
		return domain.New(domain.ErrRejected, "settlement_too_large", "The dead letters are too large to be recorded at once.")
	}
	return nil
}

// settle does it, with the attempts or without them.
func (s *Store) settle(ctx context.Context, name string, settlements []domain.Settlement, attempts bool) ([]domain.SettleOutcome, error) {
	outcomes := make([]domain.SettleOutcome, len(settlements))
	b := newSettleBatch(settlements)
	b.Queue(beginSQL)
	b.queueLock()
	b.queueMove(name, settlements, outcomes)
	b.queueOpen(settlements)
	b.queueDone(settlements)
	if err := b.queueGivenUp(settlements); err != nil {
		return nil, err
	}
	b.queueKeys(settlements)
	b.queueReplays(settlements)
	b.queueDisable(settlements)
	if attempts {
		b.queueAttempts(settlements)
	}
	b.Queue(commitSQL)
	err := s.WithTenant(ctx, settleAccess, b.tenants, func(tx session) error {
		if err := tx.SendBatch(ctx, &b.Batch).Close(); err != nil {
			return fmt.Errorf("settle: %w", err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return outcomes, nil
}

// settleBatch is the transaction that carries out settlements.
type settleBatch struct {
	pgx.Batch

	tenants, endpoints postgres.UUIDs
}

func newSettleBatch(settlements []domain.Settlement) *settleBatch {
	n := len(settlements)
	b := &settleBatch{tenants: make(postgres.UUIDs, n), endpoints: make(postgres.UUIDs, n)}
	for i := range settlements {
		b.tenants[i], b.endpoints[i] = settlements[i].TenantID, settlements[i].EndpointID
	}
	return b
}

// queueLock locks the cursors in the order of their keys.
func (b *settleBatch) queueLock() {
	order := make([]int, len(b.tenants))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		return cmp.Or(bytes.Compare(b.tenants[i][:], b.tenants[j][:]), bytes.Compare(b.endpoints[i][:], b.endpoints[j][:]))
	})
	tenants, endpoints := make(postgres.UUIDs, len(order)), make(postgres.UUIDs, len(order))
	for at, i := range order {
		tenants[at], endpoints[at] = b.tenants[i], b.endpoints[i]
	}
	b.Queue(lockCursorsSQL, tenants, endpoints)
}

// queueMove moves the cursors, and reads what becomes of each settlement.
func (b *settleBatch) queueMove(name string, settlements []domain.Settlement, outcomes []domain.SettleOutcome) {
	n := len(settlements)
	epochs, versions, settled := make([]int64, n), make([]int64, n), make([]int64, n)
	healthy, stopped := make([]bool, n), make([]bool, n)
	opened, failing := make([]*time.Time, n), make([]*time.Time, n)
	for i := range settlements {
		t := &settlements[i]
		epochs[i], versions[i], settled[i] = t.Epoch, t.Version, t.Settled
		if h := t.Health; h != nil {
			healthy[i], stopped[i] = true, h.ReadingStopped
			opened[i], failing[i] = timeOrNil(h.BreakerOpenedAt), timeOrNil(h.FailingSince)
		}
	}
	b.Queue(moveCursorsSQL, b.tenants, b.endpoints, epochs, versions, settled, healthy, opened, failing, stopped, name).Query(func(rows pgx.Rows) error {
		var at int64
		var exists, claimed, moved bool
		_, err := pgx.ForEachRow(rows, []any{&at, &exists, &claimed, &moved}, func() error {
			switch {
			case moved:
				outcomes[at] = domain.SettleDone
			case !exists:
				outcomes[at] = domain.SettleGone
			case !claimed:
				outcomes[at] = domain.SettleLost
			default:
				outcomes[at] = domain.SettleStale
			}
			return nil
		})
		return err //nolint:wrapcheck // wrapped by the caller
	})
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

const insertAttemptsSQL = existingSQL + `
)
INSERT INTO attempts (id, tenant_id, endpoint_id, message_id, seq, replay_id, number, probe, at, duration_ms, status, error, answer, next_at)
SELECT a.id, s.tenant_id, s.endpoint_id, a.message_id, a.seq, nullif(a.replay_id, '00000000-0000-0000-0000-000000000000'), a.number, a.probe,
       statement_timestamp() - a.ago * interval '1 microsecond', a.duration_ms, a.status, a.error, a.answer,
       CASE WHEN a.next_in > 0 THEN statement_timestamp() + a.next_in * interval '1 microsecond' END
FROM unnest($3::bigint[], $4::uuid[], $5::uuid[], $6::bigint[], $7::uuid[], $8::int[], $9::boolean[], $10::bigint[], $11::int[], $12::int[], $13::text[],
            $14::bytea[], $15::bigint[])
    AS a (n, id, message_id, seq, replay_id, number, probe, ago, duration_ms, status, error, answer, next_in)
JOIN s ON s.n = a.n`

// queueAttempts records the attempts of all settlements whose endpoints exist.
func (b *settleBatch) queueAttempts(settlements []domain.Settlement) {
	n := 0
	for i := range settlements {
		n += len(settlements[i].Attempts)
	}
	if n == 0 {
		return
	}
	places, seqs := make([]int64, 0, n), make([]int64, 0, n)
	ids, messages, replays := make(postgres.UUIDs, 0, n), make(postgres.UUIDs, 0, n), make(postgres.UUIDs, 0, n)
	numbers, durations, statuses := make([]int32, 0, n), make([]int32, 0, n), make([]int32, 0, n)
	probes, texts, answers := make([]bool, 0, n), make([]string, 0, n), make([][]byte, 0, n)
	agos, nexts := make([]int64, 0, n), make([]int64, 0, n)
	for i := range settlements {
		for j := range settlements[i].Attempts {
			a := &settlements[i].Attempts[j]
			places, seqs = append(places, int64(i+1)), append(seqs, a.Seq)
			ids, messages, replays = append(ids, a.ID), append(messages, a.MessageID), append(replays, a.ReplayID)
			numbers, statuses, durations = append(numbers, int32(a.Number)), append(statuses, int32(a.Status)), append(durations, milliseconds(a.Duration)) //nolint:gosec // both are small
			probes, texts, answers = append(probes, a.Probe), append(texts, storableText(a.Error)), append(answers, bytesOrNil(a.Answer))
			agos, nexts = append(agos, a.Ago.Microseconds()), append(nexts, a.NextIn.Microseconds())
		}
	}
	b.Queue(insertAttemptsSQL, b.tenants, b.endpoints, places, ids, messages, seqs, replays, numbers, probes, agos, durations, statuses, texts,
		flatBytes(answers), nexts)
}

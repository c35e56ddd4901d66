package repository

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"lanekeeper/domain"
)

const attemptColumns = `
    id, tenant_id, endpoint_id, message_id, seq, replay_id, number, probe, at, duration_ms, status, error, answer, next_at`

// A page of attempts is those before ($3, $4), which are $2 as a whole or the failed or
// the other ones, and one more, to know whether any follow. $1 is the tenant.
const (
	attemptPageSQL = `
  AND at <= $3 AND (at < $3 OR id < $4) AND ($2 = '' OR $2 = 'failed' AND error <> '' OR $2 = 'succeeded' AND error = '')
ORDER BY at DESC, id DESC
LIMIT $5`

	// listEndpointAttemptsSQL reads the partitions one after the other, the newest
	// first, each by the index of its times, until the page is full.
	listEndpointAttemptsSQL = `
SELECT ` + attemptColumns + ` FROM attempts WHERE tenant_id = $1 AND endpoint_id = $6` + attemptPageSQL

	// listFailedAttemptsSQL does the same by the index of those that failed.
	listFailedAttemptsSQL = `
SELECT ` + attemptColumns + ` FROM attempts WHERE tenant_id = $1 AND endpoint_id = $6 AND error <> ''` + attemptPageSQL

	// listMessageAttemptsSQL finds those of a message, which are few, in each
	// partition before it puts them in order. By their times they would be looked for
	// among all others.
	listMessageAttemptsSQL = `
WITH found AS MATERIALIZED (
    SELECT ` + attemptColumns + ` FROM attempts WHERE tenant_id = $1 AND message_id = $7
)
SELECT ` + attemptColumns + ` FROM found
WHERE ($6 = '00000000-0000-0000-0000-000000000000'::uuid OR endpoint_id = $6)` + attemptPageSQL

	// listTenantAttemptsSQL takes a page of each of the endpoints that there are.
	listTenantAttemptsSQL = `
SELECT a.* FROM endpoints e CROSS JOIN LATERAL (
    SELECT ` + attemptColumns + ` FROM attempts WHERE tenant_id = $1 AND endpoint_id = e.id` + attemptPageSQL + `
) AS a
WHERE e.tenant_id = $1
ORDER BY a.at DESC, a.id DESC
LIMIT $5`
)

// ListAttempts implements domain.AttemptRepository.
func (s *Store) ListAttempts(ctx context.Context, q domain.AttemptQuery) (attempts []domain.Attempt, more bool, err error) {
	if q.Limit <= 0 {
		return nil, false, nil
	}
	outcome := ""
	switch {
	case q.Failed && !q.Succeeded:
		outcome = "failed"
	case q.Succeeded && !q.Failed:
		outcome = "succeeded"
	}
	before, beforeID := pgtype.Timestamptz{InfinityModifier: pgtype.Infinity, Valid: true}, uuid.Max
	if !q.BeforeAt.IsZero() {
		before, beforeID = pgtype.Timestamptz{Time: q.BeforeAt, Valid: true}, q.BeforeID
	}
	query, args := listTenantAttemptsSQL, []any{q.TenantID, outcome, before, beforeID, q.Limit + 1}
	switch {
	case q.MessageID != uuid.Nil:
		query, args = listMessageAttemptsSQL, append(args, q.EndpointID, q.MessageID)
	case q.EndpointID != uuid.Nil:
		query, args = listEndpointAttemptsSQL, append(args, q.EndpointID)
		if outcome == "failed" {
			query = listFailedAttemptsSQL
		}
	}
	err = s.readInTurn(ctx, q.TenantID, q.Limit*domain.MaxAttemptAnswer, func(on session) error {
		rows, err := on.Query(ctx, query, args...)
		if err != nil {
			return fmt.Errorf("query attempts: %w", err)
		}
		attempts, err = pgx.CollectRows(rows, scanAttempt)
		return err
	})
	if err != nil {
		return nil, false, translate(err, "list attempts")
	}
	if len(attempts) > q.Limit {
		attempts, more = attempts[:q.Limit], true
	}
	return attempts, more, nil
}

// scanAttempt reads attemptColumns.
func scanAttempt(row pgx.CollectableRow) (domain.Attempt, error) {
	var a domain.Attempt
	var replayID *uuid.UUID
	var next *time.Time
	var ms int64
	err := row.Scan(&a.ID, &a.TenantID, &a.EndpointID, &a.MessageID, &a.Seq, &replayID, &a.Number, &a.Probe, &a.At, &ms, &a.Status, &a.Error, &a.Answer, &next)
	if replayID != nil {
		a.ReplayID = *replayID
	}
	a.At, a.Duration, a.NextAt = a.At.UTC(), time.Duration(ms)*time.Millisecond, timeOrZero(next)
	return a, err //nolint:wrapcheck // the caller says what was read
}

// summarizeAttemptsSQL reads the newest attempts by the index of their times, and one
// more than $4, to know whether there are more.
const summarizeAttemptsSQL = `
WITH newest AS MATERIALIZED (
    SELECT at, number, error, duration_ms FROM attempts
    WHERE tenant_id = $1 AND endpoint_id = $2 AND at >= now() - $3::interval
    ORDER BY at DESC, id DESC LIMIT $4 + 1
), looked_at AS (
    SELECT * FROM newest LIMIT $4
)
SELECT (SELECT count(*) > $4 FROM newest), count(*), count(*) FILTER (WHERE error = ''),
       count(*) FILTER (WHERE number = 1), count(*) FILTER (WHERE number = 1 AND error = ''),
       coalesce(percentile_disc(0.5) WITHIN GROUP (ORDER BY duration_ms), 0), coalesce(percentile_disc(0.99) WITHIN GROUP (ORDER BY duration_ms), 0),
       CASE WHEN (SELECT count(*) > $4 FROM newest) THEN min(at) ELSE now() - $3::interval END
FROM looked_at`

// SummarizeAttempts implements domain.AttemptRepository.
func (s *Store) SummarizeAttempts(ctx context.Context, tenantID, endpointID uuid.UUID, within time.Duration) (sum domain.AttemptSummary, err error) {
	err = s.WithTenant(ctx, queryAccess, []uuid.UUID{tenantID}, func(on session) error {
		var median, p99 int64
		err := on.QueryRow(ctx, summarizeAttemptsSQL, tenantID, endpointID, within, domain.MaxSummarizedAttempts).Scan(
			&sum.Truncated, &sum.Counted, &sum.Succeeded, &sum.First, &sum.FirstSucceeded, &median, &p99, &sum.Since)
		sum.Since, sum.Median, sum.P99 = sum.Since.UTC(), time.Duration(median)*time.Millisecond, time.Duration(p99)*time.Millisecond
		return err //nolint:wrapcheck // translated below
	})
	return sum, translate(err, "summarize attempts")
}

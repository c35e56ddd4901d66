package repository

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"lanekeeper/domain"
)

// jobColumnsSQL are what scanJob reads.
const jobColumnsSQL = `
j.id, j.tenant_id, j.owner, j.action, coalesce(j.reason, ''), j.endpoint_id, j.from_at, j.to_at, j.last_letter, j.state,
j.total, j.done, j.skipped, j.waits_for, j.cursor_id, j.turn, j.created_at, j.ended_at`

func scanJob(row pgx.Row) (domain.DeadLetterJob, error) {
	var j domain.DeadLetterJob
	var endpointID *uuid.UUID
	var from, to, ended *time.Time
	err := row.Scan(&j.ID, &j.TenantID, &j.Owner, &j.Action, &j.Filter.Reason, &endpointID, &from, &to, &j.Last, &j.State,
		&j.Total, &j.Done, &j.Skipped, &j.WaitsFor, &j.Cursor, &j.Turn, &j.CreatedAt, &ended)
	if endpointID != nil {
		j.Filter.EndpointID = *endpointID
	}
	j.Filter.From, j.Filter.To, j.EndedAt, j.CreatedAt = timeOrZero(from), timeOrZero(to), timeOrZero(ended), j.CreatedAt.UTC()
	return j, err //nolint:wrapcheck // wrapped by the callers
}

// insertJobSQL keeps the tenant from being deleted until the job is committed, so that
// none is left behind by its erasure.
const insertJobSQL = `
WITH tenant AS MATERIALIZED (
    SELECT id FROM tenants WHERE id = $1 AND status NOT IN ('deleting', 'deleted') FOR SHARE
), j AS (
    INSERT INTO dead_letter_jobs (tenant_id, id, owner, action, reason, endpoint_id, from_at, to_at, last_letter, total)
    SELECT id, $2, $3, $4, $5, $6, $7, $8, $9, $10 FROM tenant
    ON CONFLICT (tenant_id) WHERE state = 'running' DO NOTHING
    RETURNING *
)
SELECT ` + jobColumnsSQL + ` FROM j`

const findRunningJobSQL = `SELECT id FROM dead_letter_jobs WHERE tenant_id = $1 AND state = 'running'`

// InsertDeadLetterJob implements domain.DeadLetterJobRepository.
func (s *Store) InsertDeadLetterJob(ctx context.Context, j domain.DeadLetterJob) (domain.DeadLetterJob, error) {
	q := j.Query(0)
	filter := letterArgs(&q, 0)[5:9]
	err := s.WithTenant(ctx, queryAccess, []uuid.UUID{j.TenantID}, func(on session) error {
		inserted, err := scanJob(on.QueryRow(ctx, insertJobSQL, j.TenantID, j.ID, j.Owner, string(j.Action),
			filter[0], filter[1], filter[2], filter[3], j.Last, j.Total))
		if !errors.Is(err, pgx.ErrNoRows) {
			j = inserted
			return err
		}
		var running uuid.UUID
		err = on.QueryRow(ctx, findRunningJobSQL, j.TenantID).Scan(&running)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return domain.TenantNotFound()
		case err != nil:
			return fmt.Errorf("find the job that runs: %w", err)
		}
		return domain.New(domain.ErrConflict, "dead_letter_job_running",
			fmt.Sprintf("The job %s about dead letters of this tenant is still running.", running))
	})
	if err != nil {
		return domain.DeadLetterJob{}, translate(err, "insert a job")
	}
	return j, nil
}

const findJobSQL = `SELECT ` + jobColumnsSQL + ` FROM dead_letter_jobs j WHERE j.tenant_id = $1 AND j.id = $2`

// FindDeadLetterJob implements domain.DeadLetterJobRepository.
func (s *Store) FindDeadLetterJob(ctx context.Context, tenantID, id uuid.UUID) (domain.DeadLetterJob, error) {
	return s.oneJob(ctx, "find a job", tenantID, findJobSQL, id)
}

// listJobsSQL has the order of the primary key: ids are in the order of times.
const listJobsSQL = `SELECT ` + jobColumnsSQL + ` FROM dead_letter_jobs j WHERE j.tenant_id = $1 ORDER BY j.id DESC LIMIT $2`

// ListDeadLetterJobs implements domain.DeadLetterJobRepository.
func (s *Store) ListDeadLetterJobs(ctx context.Context, tenantID uuid.UUID, limit int) (jobs []domain.DeadLetterJob, err error) {
	err = s.WithTenant(ctx, queryAccess, []uuid.UUID{tenantID}, func(on session) error {
		rows, err := on.Query(ctx, listJobsSQL, tenantID, limit)
		if err != nil {
			return fmt.Errorf("query jobs: %w", err)
		}
		jobs, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (domain.DeadLetterJob, error) { return scanJob(row) })
		return err //nolint:wrapcheck // translated below
	})
	return jobs, translate(err, "list jobs")
}

const cancelJobSQL = `
UPDATE dead_letter_jobs j
SET state = CASE WHEN state = 'running' THEN 'canceled' ELSE state END, ended_at = coalesce(ended_at, clock_timestamp()), waits_for = ''
WHERE j.tenant_id = $1 AND j.id = $2
RETURNING ` + jobColumnsSQL

// CancelDeadLetterJob implements domain.DeadLetterJobRepository.
func (s *Store) CancelDeadLetterJob(ctx context.Context, tenantID, id uuid.UUID) (domain.DeadLetterJob, error) {
	return s.oneJob(ctx, "cancel a job", tenantID, cancelJobSQL, id)
}

// oneJob runs a query that returns a job, or none.
func (s *Store) oneJob(ctx context.Context, verb string, tenantID uuid.UUID, sql string, args ...any) (j domain.DeadLetterJob, err error) {
	err = s.WithTenant(ctx, queryAccess, []uuid.UUID{tenantID}, func(on session) error {
		var err error
		j, err = scanJob(on.QueryRow(ctx, sql, append([]any{tenantID}, args...)...))
		return err
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return domain.DeadLetterJob{}, domain.DeadLetterJobNotFound()
	}
	return j, translate(err, verb)
}

// takeJobSQL gives owners their turns in order, and the tenants of each.
const takeJobSQL = `
WITH owners AS (
    SELECT owner, max(turn_at) AS turn_at FROM dead_letter_jobs WHERE state = 'running' GROUP BY owner
), next AS (
    SELECT j.tenant_id, j.id
    FROM dead_letter_jobs j JOIN owners o ON o.owner = j.owner
    WHERE j.state = 'running' AND j.due_at <= now()
    ORDER BY o.turn_at NULLS FIRST, j.turn_at NULLS FIRST, j.id
    LIMIT 1
    FOR UPDATE OF j SKIP LOCKED
)
UPDATE dead_letter_jobs j
SET turn = j.turn + 1, turn_at = clock_timestamp(), due_at = clock_timestamp() + $1::interval
FROM next n
WHERE j.tenant_id = n.tenant_id AND j.id = n.id
RETURNING ` + jobColumnsSQL

// TakeDeadLetterJob implements domain.DeadLetterJobRepository.
func (s *Store) TakeDeadLetterJob(ctx context.Context, lease time.Duration) (domain.DeadLetterJob, bool, error) {
	j, err := scanJob(s.asSystem(s.general).QueryRow(ctx, takeJobSQL, lease))
	if errors.Is(err, pgx.ErrNoRows) {
		return domain.DeadLetterJob{}, false, nil
	}
	return j, err == nil, translate(err, "take a job")
}

const pauseJobSQL = `
UPDATE dead_letter_jobs SET due_at = clock_timestamp() + $4::interval, waits_for = $5
WHERE tenant_id = $1 AND id = $2 AND turn = $3 AND state = 'running'`

// PauseDeadLetterJob implements domain.DeadLetterJobRepository.
func (s *Store) PauseDeadLetterJob(ctx context.Context, j domain.DeadLetterJob, pause time.Duration, waitsFor string) error {
	return s.changeJob(ctx, "end a turn", pauseJobSQL, j, pause, waitsFor)
}

const finishJobSQL = `
UPDATE dead_letter_jobs
SET state = 'done', ended_at = clock_timestamp(), waits_for = '', skipped = skipped + greatest(0, total - done), done = greatest(done, total)
WHERE tenant_id = $1 AND id = $2 AND turn = $3 AND state = 'running'`

// FinishDeadLetterJob implements domain.DeadLetterJobRepository.
func (s *Store) FinishDeadLetterJob(ctx context.Context, j domain.DeadLetterJob) error {
	return s.changeJob(ctx, "finish a job", finishJobSQL, j)
}

func (s *Store) changeJob(ctx context.Context, verb, sql string, j domain.DeadLetterJob, args ...any) error {
	err := s.WithTenant(ctx, queryAccess, []uuid.UUID{j.TenantID}, func(on session) error {
		_, err := on.Exec(ctx, sql, append([]any{j.TenantID, j.ID, j.Turn}, args...)...)
		return err
	})
	return translate(err, verb)
}

const deleteOldJobsSQL = `
DELETE FROM dead_letter_jobs WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM dead_letter_jobs WHERE ended_at < now() - $1::interval ORDER BY ended_at LIMIT $2 FOR UPDATE SKIP LOCKED
))`

// DeleteOldDeadLetterJobs implements domain.DeadLetterJobRepository.
func (s *Store) DeleteOldDeadLetterJobs(ctx context.Context, age time.Duration, limit int) (int, error) {
	return s.deleteSome(ctx, "delete old jobs", deleteOldJobsSQL, age, max(0, limit))
}

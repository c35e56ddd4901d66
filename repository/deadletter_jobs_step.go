package repository

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"lanekeeper/domain"
	"lanekeeper/pkg/postgres"
)

// maxReopenedDue is how many deliveries of an endpoint may be due before a job opens
// more: the endpoint's other deliveries have to wait for those before them, and it is
// better if letters wait than rows.
const maxReopenedDue = 1000

const anyEndpointBusySQL = `
SELECT EXISTS (
    SELECT FROM unnest($2::uuid[]) AS e (endpoint_id)
    CROSS JOIN LATERAL (
        SELECT FROM deliveries d
        WHERE d.tenant_id = $1 AND d.endpoint_id = e.endpoint_id AND d.next_at <= statement_timestamp()
        OFFSET $3 LIMIT 1
    ) AS last
)`

const stepJobSQL = `
UPDATE dead_letter_jobs j
SET cursor_id = greatest(cursor_id, $4), done = done + $5, skipped = skipped + $6, due_at = clock_timestamp() + $7::interval, waits_for = ''
WHERE j.tenant_id = $1 AND j.id = $2 AND j.turn = $3 AND j.state = 'running'
RETURNING ` + jobColumnsSQL

// StepDeadLetterJob implements domain.DeadLetterJobRepository. Cursors are locked
// first, and the job last.
func (s *Store) StepDeadLetterJob(ctx context.Context, j domain.DeadLetterJob, step domain.DeadLetterStep, lease time.Duration) (domain.DeadLetterJob, error) {
	err := s.sharedTransaction(ctx, j.TenantID, func(tx pgx.Tx) error {
		skipped := step.Skipped
		if len(step.Reopen) > 0 {
			n, err := reopenForJob(ctx, tx, j.TenantID, step.Reopen)
			if err != nil {
				return err
			}
			skipped += len(step.Reopen) - n
		}
		if len(step.Replayed) > 0 {
			if _, err := tx.Exec(ctx, markReplayedSQL, j.TenantID, step.Replayed); err != nil {
				return fmt.Errorf("mark as replayed: %w", err)
			}
		}
		if len(step.Delete) > 0 {
			tag, err := tx.Exec(ctx, deleteDeadLettersSQL, j.TenantID, step.Delete)
			if err != nil {
				return fmt.Errorf("delete: %w", err)
			}
			skipped += len(step.Delete) - int(tag.RowsAffected())
		}
		next, err := scanJob(tx.QueryRow(ctx, stepJobSQL, j.TenantID, j.ID, j.Turn, step.Cursor, step.Size(), skipped, lease))
		if errors.Is(err, pgx.ErrNoRows) {
			return domain.New(domain.ErrConflict, "dead_letter_job_lost", "The job has ended, or another replica works on it.")
		}
		j = next
		return err
	})
	if err != nil {
		return domain.DeadLetterJob{}, translate(err, "take a step of a job")
	}
	return j, nil
}

// reopenForJob reopens deliveries, unless one of the endpoints has too many that are
// due.
func reopenForJob(ctx context.Context, tx pgx.Tx, tenantID uuid.UUID, letters []domain.DeadLetterRef) (int, error) {
	endpoints, err := lockLetterCursors(ctx, tx, tenantID, letters)
	if err != nil {
		return 0, err
	}
	var busy bool
	if err := tx.QueryRow(ctx, anyEndpointBusySQL, tenantID, postgres.UUIDs(endpoints), maxReopenedDue-1).Scan(&busy); err != nil {
		return 0, fmt.Errorf("count deliveries: %w", err)
	}
	if busy {
		return 0, domain.New(domain.ErrLimited, "endpoint_busy",
			fmt.Sprintf("An endpoint has %d deliveries or more that are due; the job goes on when it has fewer.", maxReopenedDue))
	}
	return reopenDeliveries(ctx, tx, tenantID, letters)
}

package repository

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"lanekeeper/domain"
)

// failureColumnsSQL are cut: a text may be long, and its beginning says what it is.
const failureColumnsSQL = `
SELECT id, reason, endpoint_id, left(error, 300) AS error, created_at, left(message_id, 255) AS message_id, left(type, 255) AS type, replayed_at `

// listFailuresSQL has the parts of wantedLettersSQL, from the other end.
const listFailuresSQL = `
SELECT id, reason, endpoint_id, error, created_at, message_id, coalesce(type, ''), replayed_at FROM (
    (` + failureColumnsSQL + waitingLettersSQL + ` ORDER BY id DESC LIMIT $10)
    UNION ALL
    (` + failureColumnsSQL + sentLettersSQL + ` ORDER BY id DESC LIMIT $10)
    UNION ALL
    (` + failureColumnsSQL + allLettersSQL + ` ORDER BY id DESC LIMIT $10)
) AS newest
ORDER BY id DESC
LIMIT $10`

// ListDeadLetterFailures implements domain.DeadLetterRepository.
func (s *Store) ListDeadLetterFailures(ctx context.Context, q domain.DeadLetterQuery) ([]domain.DeadLetterFailure, error) {
	q.Seqs = nil
	failures := make([]domain.DeadLetterFailure, 0, q.Limit)
	err := s.WithTenant(ctx, queryAccess, []uuid.UUID{q.TenantID}, func(on session) error {
		rows, err := on.Query(ctx, listFailuresSQL, letterArgs(&q, q.Limit)...)
		if err != nil {
			return fmt.Errorf("query: %w", err)
		}
		var f domain.DeadLetterFailure
		var endpointID *uuid.UUID
		var replayed *time.Time
		_, err = pgx.ForEachRow(rows, []any{&f.Seq, &f.Reason, &endpointID, &f.Error, &f.CreatedAt, &f.MessageID, &f.Type, &replayed}, func() error {
			f.CreatedAt, f.ReplayedAt, f.EndpointID = f.CreatedAt.UTC(), timeOrZero(replayed), uuid.Nil
			if endpointID != nil {
				f.EndpointID = *endpointID
			}
			failures = append(failures, f)
			return nil
		})
		return err //nolint:wrapcheck // translated below
	})
	if err != nil {
		return nil, translate(err, "list why dead letters were given up")
	}
	return failures, nil
}

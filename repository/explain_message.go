package repository

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"lanekeeper/domain"
)

const (
	explainMessageSQL = `
SELECT seq, created_at, coalesce(type, ''), coalesce(ordering_key, '') FROM messages WHERE tenant_id = $1 AND id = $2`

	explainLetterSQL = `
SELECT id, reason, error, attempts, created_at, coalesce(replayed_at, 'epoch') FROM dead_letters
WHERE tenant_id = $1 AND message_id = $2 AND endpoint_id IS NULL
ORDER BY id DESC LIMIT 1`
)

// explainWaysSQL reads for each endpoint the open delivery of a message, the one of the
// same key before it, what is on record of attempts, and the newest dead letter.
const explainWaysSQL = `
SELECT e.id, d.seq IS NOT NULL, coalesce(d.attempts, 0), coalesce(d.last_status, 0), coalesce(d.last_error, ''), coalesce(d.next_at, 'epoch'),
       coalesce(b.seq, 0), coalesce(b.message_id, '00000000-0000-0000-0000-000000000000'), coalesce(b.attempts, 0),
       coalesce(b.last_status, 0), coalesce(b.last_error, ''), coalesce(b.next_at, 'epoch'),
       coalesce(a.n, 0), coalesce(a.status, 0), coalesce(a.delivered_at, 'epoch'),
       coalesce(l.id, 0), coalesce(l.created_at, 'epoch'), coalesce(l.attempts, 0), coalesce(l.error, ''), l.replayed_at IS NOT NULL
FROM endpoints e
LEFT JOIN deliveries d ON d.tenant_id = $1 AND d.endpoint_id = e.id AND d.seq = $2
LEFT JOIN LATERAL (
    SELECT seq, message_id, attempts, last_status, last_error, next_at FROM deliveries
    WHERE tenant_id = $1 AND endpoint_id = e.id AND ordering_key = $4 AND seq < $2 AND e.ordering = 'key'
    ORDER BY seq LIMIT 1
) AS b ON true
LEFT JOIN LATERAL (
    SELECT count(*) AS n, (array_agg(status ORDER BY at DESC, id DESC))[1] AS status, max(at) FILTER (WHERE error = '') AS delivered_at
    FROM attempts WHERE tenant_id = $1 AND message_id = $3 AND endpoint_id = e.id
) AS a ON true
LEFT JOIN LATERAL (
    SELECT id, created_at, attempts, error, replayed_at FROM dead_letters
    WHERE tenant_id = $1 AND endpoint_id = e.id AND seq = $2 ORDER BY id DESC LIMIT 1
) AS l ON true
WHERE e.tenant_id = $1`

// MessageFacts implements domain.ExplainRepository. The attempts are read after the
// deliveries, by a statement that begins later than what it is compared with.
func (s *Store) MessageFacts(ctx context.Context, tenantID, id uuid.UUID) (domain.MessageFacts, error) {
	facts := domain.MessageFacts{Ways: make(map[uuid.UUID]domain.MessageWay)}
	err := s.shared(ctx, tenantID, func(conn *pgxpool.Conn) error {
		on := s.ofTenants(conn, tenantID)
		if err := readLetterOf(ctx, on, tenantID, id, &facts); err != nil {
			return err
		}
		err := on.QueryRow(ctx, explainMessageSQL, tenantID, id).Scan(&facts.Seq, &facts.StoredAt, &facts.Type, &facts.OrderingKey)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("find the message: %w", err)
		}
		facts.StoredAt = facts.StoredAt.UTC()
		rows, err := on.Query(ctx, explainWaysSQL, tenantID, facts.Seq, id, facts.OrderingKey)
		if err != nil {
			return fmt.Errorf("query deliveries: %w", err)
		}
		return collectWays(rows, facts.Ways)
	})
	if err != nil {
		return domain.MessageFacts{}, translateExplain(err, "explain a message")
	}
	return facts, nil
}

func readLetterOf(ctx context.Context, on session, tenantID, id uuid.UUID, facts *domain.MessageFacts) error {
	rows, err := on.Query(ctx, explainLetterSQL, tenantID, id.String())
	if err != nil {
		return fmt.Errorf("query dead letters: %w", err)
	}
	letters, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*domain.DeadLetter, error) {
		l := &domain.DeadLetter{TenantID: tenantID, MessageID: id.String()}
		err := row.Scan(&l.Seq, &l.Reason, &l.Error, &l.Attempts, &l.CreatedAt, &l.ReplayedAt)
		l.CreatedAt, l.ReplayedAt = l.CreatedAt.UTC(), epochIsNever(l.ReplayedAt)
		return l, err //nolint:wrapcheck // wrapped below
	})
	if err != nil {
		return fmt.Errorf("read dead letters: %w", err)
	}
	if len(letters) > 0 {
		facts.Letter = letters[0]
	}
	return nil
}

func collectWays(rows pgx.Rows, ways map[uuid.UUID]domain.MessageWay) error {
	var id uuid.UUID
	var w domain.MessageWay
	var recordedStatus int
	b := &w.Before
	_, err := pgx.ForEachRow(rows, []any{
		&id, &w.Open, &w.Attempts, &w.LastStatus, &w.LastError, &w.NextAt,
		&b.Seq, &b.MessageID, &b.Attempts, &b.LastStatus, &b.LastError, &w.BeforeNext,
		&w.Recorded, &recordedStatus, &w.DeliveredAt,
		&w.Letter, &w.LetterAt, &w.LetterAttempts, &w.LetterError, &w.LetterReplayed,
	}, func() error {
		way := w
		if !way.Open {
			way.LastStatus = recordedStatus
		}
		way.NextAt, way.BeforeNext = epochIsNever(w.NextAt), epochIsNever(w.BeforeNext)
		way.DeliveredAt, way.LetterAt = epochIsNever(w.DeliveredAt), epochIsNever(w.LetterAt)
		ways[id] = way
		return nil
	})
	if err != nil {
		return fmt.Errorf("read deliveries: %w", err)
	}
	return nil
}

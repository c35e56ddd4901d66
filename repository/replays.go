package repository

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"lanekeeper/domain"
	"lanekeeper/pkg/postgres"
)

const (
	replayRunningConstraint = "replays_running_key"
	// replayWindow is how many messages one read of a replay looks at.
	replayWindow = 10_000
)

const replayColumns = `
    id, tenant_id, endpoint_id, from_seq, to_seq, only_failed, last_letter, types, rate, state, cursor_seq, total, done, created_at, ended_at`

const runningReplaySQL = `
SELECT ` + replayColumns + ` FROM replays WHERE tenant_id = $1 AND endpoint_id = $2 AND state = 'running'`

// scanReplay reads replayColumns.
func scanReplay(row pgx.CollectableRow) (domain.Replay, error) {
	var r domain.Replay
	var types []string
	var ended *time.Time
	err := row.Scan(&r.ID, &r.TenantID, &r.EndpointID, &r.From, &r.To, &r.OnlyFailed, &r.LastLetter, &types, &r.Rate, &r.State, &r.Cursor,
		&r.Total, &r.Done, &r.CreatedAt, &ended)
	for _, t := range types {
		r.Types = append(r.Types, domain.TypePattern(t))
	}
	r.CreatedAt, r.EndedAt = r.CreatedAt.UTC(), timeOrZero(ended)
	return r, err //nolint:wrapcheck // the caller says what was read
}

// insertReplaySQL begins a replay of an endpoint that is there. The cursor is locked
// as by all who are about its deliveries.
const insertReplaySQL = `
INSERT INTO replays (id, tenant_id, endpoint_id, from_seq, to_seq, only_failed, last_letter, types, rate, state, cursor_seq, total)
SELECT $3::uuid, tenant_id, endpoint_id, $4::bigint, $5::bigint, $6::boolean, $7::bigint, $8::text[], $9::int, 'running', $4 - 1, $10::bigint
FROM endpoint_cursors WHERE tenant_id = $1 AND endpoint_id = $2
FOR UPDATE
RETURNING ` + replayColumns

// InsertReplay implements domain.ReplayRepository.
func (s *Store) InsertReplay(ctx context.Context, q domain.ReplayQuery) (domain.Replay, error) {
	r, err := s.CountReplay(ctx, q)
	if err != nil {
		return domain.Replay{}, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return domain.Replay{}, fmt.Errorf("make replay id: %w", err)
	}
	return s.oneReplay(ctx, q.TenantID, "begin a replay", func(batch *pgx.Batch) *pgx.QueuedQuery {
		query := batch.Queue(insertReplaySQL, q.TenantID, q.EndpointID, id, r.From, r.To, r.OnlyFailed, r.LastLetter, patternTexts(r.Types), r.Rate, r.Total)
		queueReplayRecord(ctx, batch, domain.AuditReplayStart, q.TenantID, q.EndpointID, id, domain.Facts{
			"replay_id": id.String(), "from_seq": r.From, "to_seq": r.To, "only_failed": r.OnlyFailed, "total": r.Total,
		})
		batch.Queue(announceDeliveriesSQL, q.TenantID)
		return query
	})
}

const findReplaySQL = `SELECT ` + replayColumns + ` FROM replays WHERE tenant_id = $1 AND endpoint_id = $2 AND id = $3`

// FindReplay implements domain.ReplayRepository.
func (s *Store) FindReplay(ctx context.Context, tenantID, endpointID, id uuid.UUID) (domain.Replay, error) {
	return s.oneReplay(ctx, tenantID, "find replay", func(batch *pgx.Batch) *pgx.QueuedQuery {
		return batch.Queue(findReplaySQL, tenantID, endpointID, id)
	})
}

const cancelReplaySQL = `
UPDATE replays SET
    ended_at = CASE WHEN state = 'running' THEN statement_timestamp() ELSE ended_at END,
    state = CASE WHEN state = 'running' THEN 'canceled' ELSE state END
WHERE tenant_id = $1 AND endpoint_id = $2 AND id = $3
RETURNING ` + replayColumns

// CancelReplay implements domain.ReplayRepository.
func (s *Store) CancelReplay(ctx context.Context, tenantID, endpointID, id uuid.UUID) (domain.Replay, error) {
	return s.oneReplay(ctx, tenantID, "cancel replay", func(batch *pgx.Batch) *pgx.QueuedQuery {
		batch.Queue(lockCursorSQL, tenantID, endpointID)
		query := batch.Queue(cancelReplaySQL, tenantID, endpointID, id)
		queueReplayRecord(ctx, batch, domain.AuditReplayCancel, tenantID, endpointID, id, domain.Facts{"replay_id": id.String()})
		batch.Queue(announceDeliveriesSQL, tenantID)
		return query
	})
}

// listReplaysSQL has the order of the primary key: ids are in the order of times.
const listReplaysSQL = `
SELECT ` + replayColumns + ` FROM replays WHERE tenant_id = $1 AND endpoint_id = $2 ORDER BY id DESC LIMIT $3`

// ListReplays implements domain.ReplayRepository.
func (s *Store) ListReplays(ctx context.Context, tenantID, endpointID uuid.UUID, limit int) (replays []domain.Replay, err error) {
	err = s.WithTenant(ctx, queryAccess, []uuid.UUID{tenantID}, func(on session) error {
		rows, err := on.Query(ctx, listReplaysSQL, tenantID, endpointID, limit)
		if err != nil {
			return fmt.Errorf("query replays: %w", err)
		}
		replays, err = pgx.CollectRows(rows, scanReplay)
		return err //nolint:wrapcheck // translated below
	})
	return replays, translate(err, "list replays")
}

// oneReplay sends a batch, which is a transaction, one statement of which returns a
// replay. Verb says what is being done.
func (s *Store) oneReplay(ctx context.Context, tenantID uuid.UUID, verb string, queue func(*pgx.Batch) *pgx.QueuedQuery) (domain.Replay, error) {
	var found *domain.Replay
	err := s.WithTenant(ctx, queryAccess, []uuid.UUID{tenantID}, func(on session) error {
		var batch pgx.Batch
		queue(&batch).Query(func(rows pgx.Rows) (err error) {
			found, err = collectReplay(rows)
			return err
		})
		return on.SendBatch(ctx, &batch).Close() //nolint:wrapcheck // translated below
	})
	constraint, taken := postgres.UniqueViolation(err)
	switch {
	case taken && constraint == replayRunningConstraint:
		return domain.Replay{}, domain.Wrap(err, domain.ErrConflict, "replay_running", "The endpoint has a replay that runs; wait for its end, or cancel it.")
	case err != nil:
		return domain.Replay{}, translate(err, verb)
	case found == nil:
		return domain.Replay{}, domain.ReplayNotFound()
	}
	return *found, nil
}

// patternTexts returns patterns as they are stored.
func patternTexts(patterns []domain.TypePattern) []string {
	texts := make([]string, len(patterns))
	for i, p := range patterns {
		texts[i] = string(p)
	}
	return texts
}

// likePatterns returns what LIKE takes for patterns: a segment of * stands for one or
// more, so for anything that dots may be in. Nothing selects the type ”.
func likePatterns(patterns []domain.TypePattern) []string {
	texts := make([]string, len(patterns))
	for i, p := range patterns {
		texts[i] = strings.ReplaceAll(strings.ReplaceAll(string(p), "_", `\_`), "*", "%")
	}
	return texts
}

// A read of a replay finds its members, of which there are no more than a page ($3)
// and none that has an open delivery, and reads them like any other page. $5 is the
// last that is looked at, $6 the endpoint, and $7 the patterns of types.
const (
	replayTypesSQL = `(cardinality($7::text[]) = 0 OR type <> '' AND type LIKE ANY($7))`

	notOpenSQL = `
        AND NOT EXISTS (SELECT FROM deliveries o WHERE o.tenant_id = $1 AND o.endpoint_id = $6 AND o.seq = messages.seq)`

	readReplaySQL = pageBeginSQL + `seq > $2 AND seq <= $5 AND ` + replayTypesSQL + notOpenSQL + pageAscendingSQL

	// readFailedReplaySQL reads those that were given up, up to the letter $8, and were
	// not replayed before $9.
	readFailedReplaySQL = pageBeginSQL + `seq > $2 AND seq <= $5 AND ` + replayTypesSQL + notOpenSQL + `
        AND EXISTS (` + memberLettersSQL + ` AND l.seq = messages.seq)` + pageAscendingSQL

	memberLettersSQL = `
            SELECT FROM dead_letters l
            WHERE l.tenant_id = $1 AND l.endpoint_id = $6 AND l.id <= $8 AND (l.replayed_at IS NULL OR l.replayed_at >= $9)`

	// nextFailedSQL finds the next one that was given up.
	nextFailedSQL = `
SELECT l.seq FROM dead_letters l WHERE l.tenant_id = $1 AND l.endpoint_id = $2 AND l.seq > $3 AND l.seq <= $4 AND l.id <= $5 ORDER BY l.seq LIMIT 1`
)

// ReadReplay implements domain.DeliveryRepository. It looks at 10,000 messages at
// most, and may find no member among them.
func (s *Store) ReadReplay(ctx context.Context, r *domain.Replay, cursor int64, limit, maxBytes int) (members []domain.Message, next int64, err error) {
	cursor = max(cursor, r.From-1)
	if limit <= 0 || cursor >= r.To {
		return nil, max(cursor, r.To), nil
	}
	got, end, err := s.readReplay(ctx, r, cursor, limit, maxBytes)
	for err == nil && len(got.messages) == 0 && got.next > 0 { // again when that one is deleted meanwhile
		got, end, err = s.readReplay(ctx, r, cursor, 1, got.next)
	}
	if err != nil {
		return nil, 0, translate(err, "read a replay")
	}
	if got.more {
		end = got.messages[len(got.messages)-1].Seq
	}
	return got.messages, end, nil
}

// readReplay also returns up to where it has looked.
func (s *Store) readReplay(ctx context.Context, r *domain.Replay, cursor int64, limit, maxBytes int) (got messageRows, end int64, err error) {
	err = s.WithTenant(ctx, deliveryAccess, []uuid.UUID{r.TenantID}, func(on session) error {
		if r.OnlyFailed { // few are, and far from each other
			var first int64
			err := on.QueryRow(ctx, nextFailedSQL, r.TenantID, r.EndpointID, cursor, r.To, r.LastLetter).Scan(&first)
			if errors.Is(err, pgx.ErrNoRows) {
				end = r.To
				return nil
			}
			if err != nil {
				return fmt.Errorf("look for the next one: %w", err)
			}
			cursor = first - 1
		}
		end = min(r.To, cursor+replayWindow)
		query, args := readReplaySQL, []any{r.TenantID, cursor, limit + 1, maxBytes, end, r.EndpointID, likePatterns(r.Types)}
		if r.OnlyFailed {
			query, args = readFailedReplaySQL, append(args, r.LastLetter, r.CreatedAt)
		}
		rows, err := on.Query(ctx, query, args...)
		if err != nil {
			return fmt.Errorf("query messages: %w", err)
		}
		got, err = collectMessages(rows, r.TenantID, limit, maxBytes)
		return err
	})
	return got, end, err
}

// RunningReplay implements domain.DeliveryRepository.
func (s *Store) RunningReplay(ctx context.Context, tenantID, endpointID uuid.UUID) (*domain.Replay, error) {
	var running *domain.Replay
	err := s.WithTenant(ctx, deliveryAccess, []uuid.UUID{tenantID}, func(on session) error {
		rows, err := on.Query(ctx, runningReplaySQL, tenantID, endpointID)
		if err != nil {
			return fmt.Errorf("query replays: %w", err)
		}
		running, err = collectReplay(rows)
		return err
	})
	return running, translate(err, "find the replay that runs")
}

// collectReplay returns the only replay of a read, or nil.
func collectReplay(rows pgx.Rows) (*domain.Replay, error) {
	replays, err := pgx.CollectRows(rows, scanReplay)
	if err != nil || len(replays) == 0 {
		return nil, err //nolint:wrapcheck // wrapped by the caller
	}
	return &replays[0], nil
}

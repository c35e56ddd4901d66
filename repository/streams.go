package repository

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"lanekeeper/domain"
)

const streamBoundsSQL = `SELECT first_seq, last_seq FROM tenant_streams WHERE tenant_id = $1`

// StreamBounds implements domain.StreamRepository.
func (s *Store) StreamBounds(ctx context.Context, tenantID uuid.UUID) (domain.StreamBounds, error) {
	var b domain.StreamBounds
	err := s.WithTenant(ctx, streamAccess, []uuid.UUID{tenantID}, func(on session) error {
		return scanBounds(on.QueryRow(ctx, streamBoundsSQL, tenantID), &b)
	})
	if err != nil {
		return domain.StreamBounds{}, translate(err, "read the bounds of a history")
	}
	return b, nil
}

func scanBounds(row pgx.Row, b *domain.StreamBounds) error {
	err := row.Scan(&b.First, &b.Last)
	if errors.Is(err, pgx.ErrNoRows) {
		return domain.TenantNotFound()
	}
	if err != nil {
		return fmt.Errorf("read the bounds: %w", err)
	}
	return nil
}

// What is not kept any longer is left to the bounds.
const readStreamSQL = pageBeginSQL + `seq > $2` + pageAscendingSQL

// ReadStream implements domain.StreamRepository. The bounds are read after the
// messages, in the same round trip: whatever is deleted was behind the first
// of them before, so nothing that is missing escapes them.
func (s *Store) ReadStream(ctx context.Context, tenantID uuid.UUID, cursor int64, limit, maxBytes int) ([]domain.Message, bool, error) {
	if limit <= 0 {
		return nil, false, nil
	}
	got, err := s.readStream(ctx, tenantID, cursor, limit, maxBytes)
	for err == nil && len(got.messages) == 0 && got.next > 0 { // again when that one is deleted meanwhile
		got, err = s.readStream(ctx, tenantID, cursor, 1, got.next)
	}
	if err != nil {
		return nil, false, translate(err, "read a stream")
	}
	return got.messages, got.more, nil
}

func (s *Store) readStream(ctx context.Context, tenantID uuid.UUID, cursor int64, limit, maxBytes int) (messageRows, error) {
	var got messageRows
	err := s.WithTenant(ctx, streamAccess, []uuid.UUID{tenantID}, func(on session) error {
		var batch pgx.Batch
		batch.Queue(readStreamSQL, tenantID, cursor, limit+1, maxBytes)
		batch.Queue(streamBoundsSQL, tenantID)
		results := on.SendBatch(ctx, &batch)
		defer results.Close()
		rows, err := results.Query()
		if err != nil {
			return fmt.Errorf("query messages: %w", err)
		}
		if got, err = collectMessages(rows, tenantID, limit, maxBytes); err != nil {
			return err
		}
		var b domain.StreamBounds
		if err := scanBounds(results.QueryRow(), &b); err != nil {
			return err
		}
		switch {
		case cursor < b.First-1:
			return domain.CursorExpired()
		case cursor > b.Last:
			return domain.CursorAhead()
		}
		return nil
	})
	return got, err
}

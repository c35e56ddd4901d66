package repository

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"lanekeeper/domain"
)

// announceDeliveriesSQL wakes up whoever delivers the tenant's messages, once the
// transaction is committed.
const announceDeliveriesSQL = `SELECT pg_notify('lanekeeper_changes', 'deliveries:' || $1::uuid)`

// findBlockingSQL finds the oldest delivery that failed: one that has not failed yet
// blocks nothing, it may just be under way. The round is one that has no dead letter.
const findBlockingSQL = `
SELECT d.seq, d.message_id, d.attempts, d.last_status, d.last_error, coalesce(m.payload, 'null')::text,
       coalesce(m.type, ''), coalesce(m.ordering_key, ''), coalesce(m.headers, '{}'),
       greatest(d.round, coalesce((SELECT max(l.round) + 1 FROM dead_letters l WHERE l.tenant_id = $1 AND l.endpoint_id = $2 AND l.seq = d.seq), 0))
FROM deliveries d JOIN messages m ON m.tenant_id = d.tenant_id AND m.id = d.message_id
WHERE d.tenant_id = $1 AND d.endpoint_id = $2 AND d.attempts > 0
ORDER BY d.seq
LIMIT 1
FOR UPDATE OF d`

const deleteDeliverySQL = `DELETE FROM deliveries WHERE tenant_id = $1 AND endpoint_id = $2 AND seq = $3`

// insertSkippedSQL locks the tenant's row while the letter gets its number, as
// recordDeadLettersSQL does.
const insertSkippedSQL = `
WITH tenant AS MATERIALIZED (
    SELECT id FROM tenants WHERE id = $1 AND status NOT IN ('deleting', 'deleted') FOR NO KEY UPDATE
)
INSERT INTO dead_letters (tenant_id, letter_id, message_id, body, headers, reason, error, attempts, created_at, bytes, endpoint_id, seq, round, type)
SELECT t.id, $2, $3, $4::bytea, $5::jsonb, $6, $7, $8, clock_timestamp(),
       octet_length($4::bytea) + octet_length($5::jsonb::text) + octet_length($12::text), $9, $10, $11, nullif($12::text, '')
FROM tenant t
RETURNING id, created_at`

// SkipBlocking implements domain.EndpointRepository.
func (s *Store) SkipBlocking(ctx context.Context, tenantID, id uuid.UUID) (domain.DeadLetter, error) {
	l := domain.DeadLetter{TenantID: tenantID, EndpointID: id, Reason: domain.ReasonDeliveryFailed}
	err := s.sharedTransaction(ctx, tenantID, func(tx pgx.Tx) error {
		endpoint, err := s.lockEndpoint(ctx, tx, tenantID, id)
		if err != nil {
			return err
		}
		if endpoint.Ordering != domain.OrderingFIFO {
			return nothingToSkip()
		}
		var messageID uuid.UUID
		var status int
		var e domain.Envelope
		err = tx.QueryRow(ctx, findBlockingSQL, tenantID, id).
			Scan(&l.MessageSeq, &messageID, &l.Attempts, &status, &l.Error, &l.Body, &e.Type, &e.OrderingKey, &e.Headers, &l.Round)
		if errors.Is(err, pgx.ErrNoRows) {
			return nothingToSkip()
		}
		if err != nil {
			return fmt.Errorf("find what blocks: %w", err)
		}
		l.Type, l.Headers = e.Type, e.AMQPHeaders()
		if status != 0 {
			l.Headers[domain.HeaderStatus] = strconv.Itoa(status)
		}
		headers, err := encodeHeaders(l.Headers)
		if err != nil {
			return err
		}
		l.ID, l.MessageID = domain.DeliveryLetterID(tenantID, id, messageID, l.Round), messageID.String()
		err = tx.QueryRow(ctx, insertSkippedSQL, tenantID, l.ID, l.MessageID, l.Body, headers, string(l.Reason), l.Error, l.Attempts,
			id, l.MessageSeq, l.Round, l.Type).Scan(&l.Seq, &l.CreatedAt)
		if errors.Is(err, pgx.ErrNoRows) {
			return domain.TenantNotFound()
		}
		if err != nil {
			return fmt.Errorf("record the dead letter: %w", err)
		}
		if _, err := tx.Exec(ctx, deleteDeliverySQL, tenantID, id, l.MessageSeq); err != nil {
			return fmt.Errorf("end the delivery: %w", err)
		}
		if _, err := tx.Exec(ctx, announceDeliveriesSQL, tenantID); err != nil {
			return fmt.Errorf("announce: %w", err)
		}
		return nil
	})
	if err != nil {
		return domain.DeadLetter{}, translate(err, "skip a delivery")
	}
	l.CreatedAt = l.CreatedAt.UTC()
	return l, nil
}

func nothingToSkip() error {
	return domain.New(domain.ErrConflict, "nothing_to_skip",
		"There is nothing to skip: only a message that failed at an endpoint with ordering fifo keeps others from being delivered.")
}

const findResendSQL = `SELECT seq FROM messages WHERE tenant_id = $1 AND id = $2`

// resendSQL makes a delivery that waits for its next attempt due; for one that waits
// for another one of its key it returns no row. A new one has the key of none, so it
// waits for none and keeps none from being delivered; its round is one in which the
// message was not given up before, so that it gets a dead letter of its own.
const resendSQL = `
INSERT INTO deliveries AS d (tenant_id, endpoint_id, seq, message_id, round, next_at)
SELECT $1, $2, $3, $4,
       coalesce((SELECT max(round) + 1 FROM dead_letters WHERE tenant_id = $1 AND endpoint_id = $2 AND seq = $3), 0),
       statement_timestamp()
ON CONFLICT (tenant_id, endpoint_id, seq) DO UPDATE SET next_at = least(d.next_at, excluded.next_at)
WHERE d.next_at IS NOT NULL
RETURNING seq`

// Resend implements domain.EndpointRepository.
func (s *Store) Resend(ctx context.Context, tenantID, id, messageID uuid.UUID) error {
	err := s.sharedTransaction(ctx, tenantID, func(tx pgx.Tx) error {
		var settled, seq int64
		err := tx.QueryRow(ctx, lockCursorSQL, tenantID, id).Scan(&settled)
		if errors.Is(err, pgx.ErrNoRows) {
			return domain.EndpointNotFound()
		}
		if err != nil {
			return fmt.Errorf("lock cursor: %w", err)
		}
		err = tx.QueryRow(ctx, findResendSQL, tenantID, messageID).Scan(&seq)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return domain.MessageNotFound()
		case err != nil:
			return fmt.Errorf("find message: %w", err)
		case seq > settled:
			return domain.New(domain.ErrConflict, "not_yet_settled",
				"The endpoint has not got as far as this message: it is delivered in its turn, if it is for the endpoint.")
		}
		err = tx.QueryRow(ctx, resendSQL, tenantID, id, seq, messageID).Scan(&seq)
		if errors.Is(err, pgx.ErrNoRows) {
			return domain.New(domain.ErrConflict, "waits_for_key",
				"The message waits behind another one of its ordering key, and is delivered after that.")
		}
		if err != nil {
			return fmt.Errorf("open the delivery: %w", err)
		}
		if _, err := tx.Exec(ctx, announceDeliveriesSQL, tenantID); err != nil {
			return fmt.Errorf("announce: %w", err)
		}
		return nil
	})
	return translate(err, "resend a message")
}

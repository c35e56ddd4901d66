package repository

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"lanekeeper/domain"
)

// messageDeliveriesSQL returns what there is of a message for each endpoint: where its
// cursor is, the open delivery, the last dead letter.
const messageDeliveriesSQL = `
SELECT e.id, e.types, c.settled_seq,
       d.seq IS NOT NULL, coalesce(d.attempts, 0), coalesce(d.last_status, 0), coalesce(d.next_at, 'epoch'),
       l.attempts IS NOT NULL, coalesce(l.attempts, 0)
FROM endpoints e
JOIN endpoint_cursors c ON c.tenant_id = e.tenant_id AND c.endpoint_id = e.id
LEFT JOIN deliveries d ON d.tenant_id = e.tenant_id AND d.endpoint_id = e.id AND d.seq = $2
LEFT JOIN LATERAL (
    SELECT attempts FROM dead_letters WHERE tenant_id = $1 AND endpoint_id = e.id AND seq = $2 ORDER BY id DESC LIMIT 1
) AS l ON true
WHERE e.tenant_id = $1
ORDER BY e.created_at, e.id`

// messageAttemptsSQL returns what is on record of a message's attempts to each
// endpoint.
const messageAttemptsSQL = `
SELECT endpoint_id, count(*), bool_or(error = ''), (array_agg(status ORDER BY at DESC, id DESC))[1]
FROM attempts
WHERE tenant_id = $1 AND message_id = $2
GROUP BY endpoint_id`

// attemptsOf is what is on record of a message's attempts to one endpoint.
type attemptsOf struct {
	count, lastStatus int
	succeeded         bool
}

// MessageDeliveries implements domain.MessageDeliveryRepository. The attempts are read
// last, so that what is settled in between is seen as delivered rather than as lost.
func (s *Store) MessageDeliveries(ctx context.Context, m *domain.Message) ([]domain.MessageDelivery, error) {
	var deliveries []domain.MessageDelivery
	err := s.WithTenant(ctx, queryAccess, []uuid.UUID{m.TenantID}, func(on session) error {
		var batch pgx.Batch
		batch.Queue(messageDeliveriesSQL, m.TenantID, m.Seq)
		batch.Queue(messageAttemptsSQL, m.TenantID, m.ID)
		results := on.SendBatch(ctx, &batch)
		defer results.Close()
		rows, err := results.Query()
		if err != nil {
			return fmt.Errorf("query deliveries: %w", err)
		}
		found, err := pgx.CollectRows(rows, scanMessageDelivery)
		if err != nil {
			return fmt.Errorf("read deliveries: %w", err)
		}
		if rows, err = results.Query(); err != nil {
			return fmt.Errorf("query attempts: %w", err)
		}
		attempts := make(map[uuid.UUID]attemptsOf)
		var id uuid.UUID
		var a attemptsOf
		if _, err := pgx.ForEachRow(rows, []any{&id, &a.count, &a.succeeded, &a.lastStatus}, func() error { attempts[id] = a; return nil }); err != nil {
			return fmt.Errorf("read attempts: %w", err)
		}
		for i := range found {
			if d, concerned := found[i].delivery(m, attempts[found[i].endpoint.ID]); concerned {
				deliveries = append(deliveries, d)
			}
		}
		return nil
	})
	if err != nil {
		return nil, translate(err, "find deliveries of a message")
	}
	return deliveries, nil
}

// messageDelivery is a row of messageDeliveriesSQL.
type messageDelivery struct {
	endpoint             domain.Endpoint
	settled              int64
	open, givenUp        bool
	attempts, lastStatus int
	letterAttempts       int
	nextAt               time.Time
}

func scanMessageDelivery(row pgx.CollectableRow) (messageDelivery, error) {
	var d messageDelivery
	var types []string
	err := row.Scan(&d.endpoint.ID, &types, &d.settled, &d.open, &d.attempts, &d.lastStatus, &d.nextAt, &d.givenUp, &d.letterAttempts)
	for _, pattern := range types {
		d.endpoint.Types = append(d.endpoint.Types, domain.TypePattern(pattern))
	}
	return d, err
}

// delivery returns how far the message is, and whether the endpoint has to do with it
// at all.
func (d *messageDelivery) delivery(m *domain.Message, a attemptsOf) (domain.MessageDelivery, bool) {
	found := domain.MessageDelivery{EndpointID: d.endpoint.ID, Attempts: a.count, LastStatus: a.lastStatus}
	switch {
	case d.open:
		found.State, found.Attempts, found.LastStatus, found.NextAt = domain.DeliveryRetrying, d.attempts, d.lastStatus, epochIsNever(d.nextAt)
		if d.attempts == 0 {
			found.State = domain.DeliveryPending
		}
	case a.succeeded:
		found.State = domain.DeliveryDelivered
	case d.givenUp:
		found.State, found.Attempts = domain.DeliveryFailed, d.letterAttempts
	case !d.endpoint.Wants(m.Type):
		return found, false
	case m.Seq > d.settled:
		found.State = domain.DeliveryPending
	default:
		found.State = domain.DeliveryPassed
	}
	return found, true
}

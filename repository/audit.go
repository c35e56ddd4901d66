package repository

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"lanekeeper/domain"
)

var _ domain.AuditRepository = (*Store)(nil)

// intoAudit begins what writes a line, of the values of auditValues.
const intoAudit = `INSERT INTO audit (actor_kind, actor_id, key_id, address, action, tenant_id, target, request_id, before, after)
`

const insertAuditSQL = intoAudit + `VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`

// auditColumns is how many parameters insertAuditSQL has.
const auditColumns = 10

// record records a change in the transaction that makes it, if somebody makes it.
func record(ctx context.Context, on session, e domain.AuditEntry) error {
	values := auditValues(ctx, &e)
	if values == nil {
		return nil
	}
	if _, err := on.Exec(ctx, insertAuditSQL, values...); err != nil {
		return fmt.Errorf("record in the audit log: %w", err)
	}
	return nil
}

// auditValues returns the parameters of insertAuditSQL; nil when nobody does it.
func auditValues(ctx context.Context, e *domain.AuditEntry) []any {
	actor, ok := domain.ActorOf(ctx)
	if !ok {
		return nil
	}
	return []any{
		string(actor.Kind), nullID(actor.UserID), nullID(cmp.Or(actor.LinkID, actor.KeyID)), nullText(actor.Address), string(e.Action), nullID(e.TenantID),
		nullText(e.Target), nullText(domain.RequestID(ctx)), factsJSON(e.Before), factsJSON(e.After),
	}
}

// auditOrNone returns the parameters of a statement that inserts into the audit log
// unless the first of them is NULL, which they all are when nobody does it.
func auditOrNone(ctx context.Context, e domain.AuditEntry) []any {
	if values := auditValues(ctx, &e); values != nil {
		return values
	}
	return make([]any, auditColumns)
}

// recordReplaySQL records what is done to a replay, if it is there.
const recordReplaySQL = intoAudit + `SELECT $1::text, $2::uuid, $3::uuid, $4::text, $5::text, $6::uuid, $7::text, $8::text, $9::jsonb, $10::jsonb
FROM replays WHERE id = $11 AND tenant_id = $6 AND $1 IS NOT NULL`

// queueReplayRecord adds what is done to a replay to the transaction that does it.
func queueReplayRecord(ctx context.Context, batch *pgx.Batch, action domain.AuditAction, tenantID, endpointID, id uuid.UUID, after domain.Facts) {
	values := auditValues(ctx, &domain.AuditEntry{Action: action, TenantID: tenantID, Target: endpointID.String(), After: after})
	if values != nil {
		batch.Queue(recordReplaySQL, append(values, id)...)
	}
}

// factsJSON returns facts as they are stored; nil for none.
func factsJSON(facts domain.Facts) []byte {
	if len(facts) == 0 {
		return nil
	}
	text, err := json.Marshal(facts)
	if err != nil {
		return nil // facts are texts, numbers and lists of them
	}
	return text
}

// RecordAudit implements domain.AuditRepository.
func (s *Store) RecordAudit(ctx context.Context, e domain.AuditEntry) error {
	return translate(record(ctx, s.callers, e), "record in the audit log")
}

const listAuditSQL = `
SELECT a.id, a.at, a.actor_kind, a.actor_id, a.key_id, coalesce(a.address, ''), a.action, a.tenant_id, coalesce(a.target, ''),
       coalesce(a.request_id, ''), a.before, a.after
FROM audit a
WHERE ($1::bigint = 0 OR a.id < $1) AND ($2::uuid IS NULL OR a.tenant_id = $2) AND ($3::uuid IS NULL OR a.actor_id = $3)
  AND ($4 = '' OR a.action = $4 OR right($4, 1) = '.' AND starts_with(a.action, $4))
  AND ($5::uuid IS NULL OR a.actor_id = $5 OR a.tenant_id IN (SELECT id FROM tenants WHERE user_id = $5))
ORDER BY a.id DESC
LIMIT $6`

// ListAudit implements domain.AuditRepository.
func (s *Store) ListAudit(ctx context.Context, q domain.AuditQuery) ([]domain.AuditEntry, error) {
	var entries []domain.AuditEntry
	err := s.shared(ctx, q.TenantID, func(conn *pgxpool.Conn) error {
		rows, err := s.asSystem(conn).Query(ctx, listAuditSQL, q.Before, nullID(q.TenantID), nullID(q.ActorID), q.Action, nullID(q.VisibleTo), q.Limit)
		if err != nil {
			return fmt.Errorf("query audit log: %w", err)
		}
		entries, err = pgx.CollectRows(rows, scanAudit)
		return err //nolint:wrapcheck // translated below
	})
	return entries, translate(err, "list the audit log")
}

func scanAudit(row pgx.CollectableRow) (domain.AuditEntry, error) {
	var e domain.AuditEntry
	var kind, action string
	var actor, key, tenant uuid.NullUUID
	var before, after []byte
	if err := row.Scan(&e.ID, &e.At, &kind, &actor, &key, &e.Actor.Address, &action, &tenant, &e.Target, &e.RequestID, &before, &after); err != nil {
		return e, err //nolint:wrapcheck // translated by the caller
	}
	e.At, e.Action, e.TenantID = e.At.UTC(), domain.AuditAction(action), tenant.UUID
	e.Actor.Kind, e.Actor.UserID, e.Actor.KeyID = domain.ActorKind(kind), actor.UUID, key.UUID
	if e.Actor.Kind == domain.ActorPortal {
		e.Actor.LinkID, e.Actor.KeyID = key.UUID, uuid.Nil
	}
	e.Before, e.After = readFacts(before), readFacts(after)
	return e, nil
}

func readFacts(text []byte) domain.Facts {
	var facts domain.Facts
	if json.Unmarshal(text, &facts) != nil {
		return nil
	}
	return facts
}

const deleteAuditSQL = `
DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at < now() - $1::interval ORDER BY at LIMIT $2)`

// DeleteAudit implements domain.AuditRepository.
func (s *Store) DeleteAudit(ctx context.Context, age time.Duration, limit int) (int, error) {
	return s.deleteSome(ctx, "delete from the audit log", deleteAuditSQL, age, max(0, limit))
}

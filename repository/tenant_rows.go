package repository

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// deleteTenantTables deletes what tables other than messages hold of a tenant
// that is being erased. The cursors go first: without them nothing is settled
// that would leave rows behind in the other tables.
func (s *Store) deleteTenantTables(ctx context.Context, tenantID uuid.UUID) error {
	for _, table := range []string{
		"endpoint_cursors", "endpoints", "delivery_claims", "deliveries", "replays", "upgraded_endpoints", "transmissions", "dead_letter_jobs", "tenant_moves",
	} {
		if err := s.deleteTenantRows(ctx, table, tenantID); err != nil {
			return err
		}
	}
	return s.deleteAttempts(ctx, tenantID)
}

// deleteTenantRows deletes the tenant's rows of a table in chunks, each in a
// transaction of its own. The table must have an index that begins with
// tenant_id.
func (s *Store) deleteTenantRows(ctx context.Context, table string, tenantID uuid.UUID) error {
	name := pgx.Identifier{table}.Sanitize()
	deleteSQL := `DELETE FROM ` + name + ` WHERE ctid = ANY (ARRAY(SELECT ctid FROM ` + name + ` WHERE tenant_id = $1 LIMIT $2))`
	return s.WithTenant(ctx, queryAccess, []uuid.UUID{tenantID}, func(on session) error {
		for {
			tag, err := on.Exec(ctx, deleteSQL, tenantID, eraseChunk)
			if err != nil {
				return fmt.Errorf("delete from %s: %w", table, err)
			}
			if tag.RowsAffected() < eraseChunk {
				return nil
			}
		}
	})
}

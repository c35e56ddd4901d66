package repository

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"lanekeeper/pkg/postgres"
)

const lastSeqsSQL = `SELECT tenant_id, last_seq FROM tenant_streams WHERE tenant_id = ANY($1::uuid[])`

// LastSeqs implements domain.TailRepository. It waits for no lock, neither for
// that of a stream to which messages are appended.
func (s *Store) LastSeqs(ctx context.Context, tenantIDs []uuid.UUID) (map[uuid.UUID]int64, error) {
	ends := make(map[uuid.UUID]int64, len(tenantIDs))
	err := s.WithTenant(ctx, lookupAccess, tenantIDs, func(on session) error {
		rows, err := on.Query(ctx, lastSeqsSQL, postgres.UUIDs(tenantIDs))
		if err != nil {
			return fmt.Errorf("query streams: %w", err)
		}
		var id uuid.UUID
		var last int64
		_, err = pgx.ForEachRow(rows, []any{&id, &last}, func() error { ends[id] = last; return nil })
		return err //nolint:wrapcheck // translated below
	})
	if err != nil {
		return nil, translate(err, "read the ends of histories")
	}
	return ends, nil
}

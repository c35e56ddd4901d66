package repository

import "context"

const countTenantsSQL = `SELECT count(*) FROM tenants WHERE status <> 'deleted'`

// CountTenants returns how many tenants there are that are not entirely
// deleted.
func (s *Store) CountTenants(ctx context.Context) (int, error) {
	var n int
	err := s.asSystem(s.general).QueryRow(ctx, countTenantsSQL).Scan(&n)
	return n, translate(err, "count tenants")
}

package repository

import "context"

// The update changes nothing; it makes the statement return the row in either
// case.
//
//nolint:gosec // SQL about secrets, not a secret
const ensureSecretSQL = `
INSERT INTO secrets (name, value) VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE SET name = excluded.name
RETURNING value`

// EnsureSecret implements domain.SecretRepository.
func (s *Store) EnsureSecret(ctx context.Context, name string, fresh []byte) ([]byte, error) {
	var value []byte
	if err := s.callers.QueryRow(ctx, ensureSecretSQL, name, fresh).Scan(&value); err != nil {
		return nil, translate(err, "ensure secret")
	}
	return value, nil
}

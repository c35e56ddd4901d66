package domain

import "github.com/google/uuid"

// Retention says for how long a tenant keeps its messages.
type Retention struct {
	TenantID uuid.UUID
	// Days is at least 1.
	Days int
}

package domain

import "github.com/google/uuid"

// Retention says for how long a tenant keeps its messages.
type Retention struct {
	TenantID uuid.UUID
	// Days is at least 1.
	Days int
}

// Expiry is what became of a tenant's old messages.
type Expiry struct {
	// Deleted counts the messages that were deleted.
	Deleted int
	// More: others are to be deleted.
	More bool
	// Lost counts, by endpoint, messages that were not delivered and are not kept any
	// longer: those that were still open, and all between the cursor and the new
	// beginning of the history, also such as were not for the endpoint or under way.
	// Endpoints that lost none are left out.
	Lost map[uuid.UUID]int64
}

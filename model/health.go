package model

// Health is the answer of the health checks.
type Health struct {
	// Status is ok, ready, degraded, or what stands in the way.
	Status string `json:"status" validate:"required" example:"ready"`
	// Details has the state of each server that is needed.
	Details map[string]string `json:"details,omitempty"`
} //@name Health

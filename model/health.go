package model

// Health is the answer of the health checks.
type Health struct {
	// Status is ok, ready, degraded, or what stands in the way.
	Status string `json:"status" validate:"required" example:"ready"`
	// Details says how each server that is needed does.
	Details map[string]string `json:"details,omitempty"`
} //@name Health

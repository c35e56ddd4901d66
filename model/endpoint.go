package model

import (
	"encoding/base64"
	"time"

	"lanekeeper/domain"
)

// secretPrefix marks a signing secret, as Standard Webhooks has it.
const secretPrefix = "whsec_"

// PutEndpoint is the body of PUT /tenants/{id}/endpoint.
type PutEndpoint struct {
	// URL is an http or https URL with at most 2000 bytes.
	URL *string `json:"url" validate:"required" example:"https://example.com/hooks/orders"`
	// TimeoutMS is how long the endpoint may take for its answer, in
	// milliseconds.
	TimeoutMS *int `json:"timeout_ms" minimum:"100" maximum:"15000" default:"5000" example:"5000"`
	// RotateSecret asks for another signing secret.
	RotateSecret *bool `json:"rotate_secret" default:"false" example:"false"`
} //@name PutEndpoint

// Domain returns what the caller asks for, or an ErrInvalid when there is no
// URL.
func (r *PutEndpoint) Domain() (domain.EndpointChange, error) {
	if r.URL == nil {
		return domain.EndpointChange{}, domain.WithFields(domain.FieldError{Pointer: "/url", Message: "is required"})
	}
	return domain.EndpointChange{URL: *r.URL, TimeoutMS: r.TimeoutMS, RotateSecret: r.RotateSecret != nil && *r.RotateSecret}, nil
}

// Endpoint is a tenant's endpoint as callers see it.
type Endpoint struct {
	TenantID  string `json:"tenant_id" validate:"required" format:"uuid" example:"0197a3a2-7d2c-7c3e-8f7e-0242ac120002"`
	URL       string `json:"url" validate:"required" example:"https://example.com/hooks/orders"`
	TimeoutMS int64  `json:"timeout_ms" validate:"required" example:"5000"`
	// Status paused means that no messages are sent until it is set again.
	Status string `json:"status" validate:"required" enums:"active,paused" example:"active"`
	// PausedReason says why it is paused.
	PausedReason string `json:"paused_reason,omitempty" example:"the endpoint answered 410 Gone"`
	// Secret signs what is sent. It is shown only when it was just made.
	Secret    string    `json:"secret,omitempty" example:"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDdtpzqqGaj3M="`
	CreatedAt time.Time `json:"created_at" validate:"required" format:"date-time" example:"2026-11-21T10:00:00Z"`
	UpdatedAt time.Time `json:"updated_at" validate:"required" format:"date-time" example:"2026-11-21T10:00:00Z"`
} //@name Endpoint

// FromEndpoint returns an endpoint as callers see it, with the secret or
// without.
func FromEndpoint(e *domain.Endpoint, withSecret bool) Endpoint {
	answer := Endpoint{
		TenantID: e.TenantID.String(), URL: e.URL, TimeoutMS: e.Timeout.Milliseconds(),
		Status: "active", PausedReason: e.PausedReason, CreatedAt: e.CreatedAt.UTC(), UpdatedAt: e.UpdatedAt.UTC(),
	}
	if e.Paused() {
		answer.Status = "paused"
	}
	if withSecret {
		answer.Secret = secretPrefix + base64.StdEncoding.EncodeToString(e.Secret)
	}
	return answer
}

// EndpointTest is the answer to POST /tenants/{id}/endpoint/test.
type EndpointTest struct {
	// Status is the HTTP status of the answer; null when there was none.
	Status *int `json:"status" validate:"required" extensions:"x-nullable" example:"204"`
	// Error says what is wrong; "" when the endpoint took the message.
	Error string `json:"error" validate:"required" example:""`
	// DurationMS is how long it took, in milliseconds.
	DurationMS int64 `json:"duration_ms" validate:"required" example:"41"`
} //@name EndpointTest

// FromEndpointTest returns the outcome of a test.
func FromEndpointTest(r *domain.TransmitResult, took time.Duration) EndpointTest {
	answer := EndpointTest{Status: optionalStatus(r.Status), DurationMS: took.Milliseconds()}
	if r.Err != nil {
		answer.Error = r.Err.Error()
	}
	return answer
}

// Delivery is how far the transmission of a message got.
type Delivery struct {
	// State pending means that the first attempt is still to come or not over,
	// and failed that the message was given up and is a dead letter.
	State    string `json:"state" validate:"required" enums:"pending,retrying,succeeded,failed" example:"succeeded"`
	Attempts int    `json:"attempts" validate:"required" example:"1"`
	// LastStatus is the HTTP status of the last attempt; null when there was
	// no answer.
	LastStatus *int `json:"last_status" validate:"required" extensions:"x-nullable" example:"204"`
} //@name Delivery

// FromTransmission returns what is known of a message's way to the endpoint; nil
// for none.
func FromTransmission(t *domain.Transmission) *Delivery {
	if t == nil {
		return nil
	}
	return &Delivery{State: string(t.State), Attempts: t.Attempts, LastStatus: optionalStatus(t.LastStatus)}
}

// optionalStatus returns nil for no status.
func optionalStatus(status int) *int {
	if status == 0 {
		return nil
	}
	return &status
}

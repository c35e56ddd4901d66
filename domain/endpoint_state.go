package domain

import (
	"fmt"
	"slices"
	"time"
)

// Hold keeps messages from being delivered until Resume. One that is held stays so; a
// disabled one, which gets nothing anyway, is an ErrConflict: it would forget why.
func (e *Endpoint) Hold() error {
	if e.Status == EndpointDisabled {
		return New(ErrConflict, "endpoint_disabled", "The endpoint is disabled, so nothing is delivered to it anyway; resume it first to hold it.")
	}
	e.Status = EndpointHeld
	return nil
}

// Resume makes the endpoint active, whatever it was. One whose secret cannot be
// decrypted is an ErrConflict: it would be disabled again.
func (e *Endpoint) Resume() error {
	if e.Unreadable {
		return EndpointUnreadable()
	}
	e.Status, e.StatusReason = EndpointActive, ""
	return nil
}

// SecretRotation is what a caller says of a change of secrets.
type SecretRotation struct {
	// Grace is for how long the secret before signs along, as time.ParseDuration
	// takes it; nil for DefaultSecretGrace.
	Grace *string
	// Secret is the caller's own, as ParseSecret takes it; nil for a fresh one.
	Secret *string
}

// Check returns an ErrInvalid that names every value out of range, or nil.
func (r *SecretRotation) Check() error {
	_, _, fields := r.parse()
	if len(fields) > 0 {
		return WithFields(fields...)
	}
	return nil
}

func (r *SecretRotation) parse() (secret []byte, grace time.Duration, fields []FieldError) {
	grace = DefaultSecretGrace
	if r.Grace != nil {
		var err error
		if grace, err = time.ParseDuration(*r.Grace); err != nil || grace < 0 || grace > MaxSecretGrace {
			fields = append(fields, FieldError{"/grace", fmt.Sprintf(`must be a duration with a unit, such as "90m", and at most %gh`, MaxSecretGrace.Hours())})
		}
	}
	if r.Secret == nil {
		return NewSecret(), grace, fields
	}
	secret, problem := ParseSecret(*r.Secret)
	if problem != "" {
		fields = append(fields, FieldError{"/secret", problem})
	}
	return secret, grace, fields
}

// Apply gives the endpoint another secret. Errors are those of Check, and an
// ErrConflict when the one before cannot be decrypted.
func (r *SecretRotation) Apply(e *Endpoint, now time.Time) error {
	secret, grace, fields := r.parse()
	if len(fields) > 0 {
		return WithFields(fields...)
	}
	switch {
	case e.Unreadable:
		return EndpointUnreadable()
	case slices.Equal(secret, e.Secret): // the caller's own, again
		return nil
	}
	e.OldSecret, e.OldSecretUntil = e.Secret, now.Add(grace)
	if e.Secret = secret; grace == 0 {
		e.OldSecret, e.OldSecretUntil = nil, time.Time{}
	}
	return nil
}

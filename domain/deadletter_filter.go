package domain

import (
	"slices"
	"time"

	"github.com/google/uuid"
)

// DeadLetterFilter restricts which of a tenant's dead letters are meant; what is
// zero does not.
type DeadLetterFilter struct {
	Reason     DeadLetterReason
	EndpointID uuid.UUID
	// From and To are between which times letters were recorded, by the clock of
	// the database; a letter of To is none of them.
	From, To time.Time
}

// Empty reports whether the filter restricts nothing.
func (f *DeadLetterFilter) Empty() bool { return *f == DeadLetterFilter{} }

// ParseDeadLetterFilter returns the filter that a caller has written; nil stands for
// what was not given. It also returns what is wrong with it, with the names of the
// fields as pointers.
func ParseDeadLetterFilter(reason, endpointID, from, to *string) (DeadLetterFilter, []FieldError) {
	var f DeadLetterFilter
	var wrong []FieldError
	if reason != nil {
		f.Reason = DeadLetterReason(*reason)
		if !slices.Contains(append(DeadLetterReasons(), ReasonUnknown), f.Reason) {
			wrong = append(wrong, FieldError{"reason", "must be a reason for dead letters"})
		}
	}
	if endpointID != nil {
		var err error
		if f.EndpointID, err = ParseID(*endpointID); err != nil || f.EndpointID == uuid.Nil {
			wrong = append(wrong, FieldError{"endpoint_id", "must be the id of an endpoint, a UUID"})
		}
	}
	for _, at := range []struct {
		name string
		said *string
		time *time.Time
	}{{"from", from, &f.From}, {"to", to, &f.To}} {
		if at.said == nil {
			continue
		}
		parsed, err := time.Parse(time.RFC3339, *at.said)
		if err != nil || parsed.Unix() < 0 { // among these would be the zero time
			wrong = append(wrong, FieldError{at.name, "must be a time like 2026-11-21T10:00:00Z"})
			continue
		}
		*at.time = parsed.UTC()
	}
	if !f.From.IsZero() && !f.To.IsZero() && !f.To.After(f.From) {
		wrong = append(wrong, FieldError{"to", "must be after from"})
	}
	return f, wrong
}

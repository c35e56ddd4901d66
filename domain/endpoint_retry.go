package domain

import (
	"fmt"
	"slices"
	"time"
)

// Limits of a RetryPolicy.
const (
	MaxRetrySteps = 30
	MinRetryWait  = time.Second
	MaxRetryWait  = 72 * time.Hour
	// MaxRetryAfter is how much later than planned an attempt may be because the
	// endpoint asked for it.
	MaxRetryAfter = 2 * time.Hour
	// RetryJitter is by how much of it a wait is shorter or longer.
	RetryJitter = 0.1
)

// RetryPolicy says when a delivery that failed is tried again.
type RetryPolicy struct {
	// Schedule has the waits before the second, third, ... attempt. When it is used
	// up the message is given up.
	Schedule []time.Duration
	// Final are the HTTP statuses after which nothing is tried again.
	Final []int
}

// DefaultRetryPolicy has 8 attempts over 27 h 35 m.
func DefaultRetryPolicy() RetryPolicy {
	return RetryPolicy{Schedule: []time.Duration{
		5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 10 * time.Hour,
	}}
}

// IsFinal reports whether nothing is tried again after such an answer.
func (p *RetryPolicy) IsFinal(status int) bool { return slices.Contains(p.Final, status) }

// Wait returns how long to wait after that many attempts, without jitter, and
// whether there is another one. RetryAfter is how long the endpoint asked to be
// left alone; zero for not.
func (p *RetryPolicy) Wait(attempts int, retryAfter time.Duration) (wait time.Duration, more bool) {
	if attempts < 1 || attempts > len(p.Schedule) {
		return 0, false
	}
	wait = p.Schedule[attempts-1]
	return min(max(wait, retryAfter), wait+MaxRetryAfter), true
}

// LastWait returns the longest that the schedule ends with, for a message that is
// tried on until it succeeds.
func (p *RetryPolicy) LastWait(retryAfter time.Duration) time.Duration {
	wait := DefaultRetryPolicy().Schedule[0]
	if n := len(p.Schedule); n > 0 {
		wait = p.Schedule[n-1]
	}
	return min(max(wait, retryAfter), wait+MaxRetryAfter)
}

// Check returns what is wrong with a policy that a caller asks for.
func (p *RetryPolicy) Check() []FieldError {
	var fields []FieldError
	if len(p.Schedule) > MaxRetrySteps {
		fields = append(fields, FieldError{"/retry/schedule", fmt.Sprintf("must have at most %d steps", MaxRetrySteps)})
	}
	for i, wait := range p.Schedule {
		if wait < MinRetryWait || wait > MaxRetryWait {
			fields = append(fields, FieldError{fmt.Sprintf("/retry/schedule/%d", i), fmt.Sprintf("must be between %s and %s", MinRetryWait, MaxRetryWait)})
		}
	}
	for i, status := range p.Final {
		switch {
		case status < 300 || status > 599:
			fields = append(fields, FieldError{fmt.Sprintf("/retry/final/%d", i), "must be an HTTP status from 300 to 599"})
		case slices.Contains(p.Final[:i], status):
			fields = append(fields, FieldError{fmt.Sprintf("/retry/final/%d", i), "must not occur twice"})
		}
	}
	return fields
}

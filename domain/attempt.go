package domain

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// MaxAttemptAnswer is how much of an endpoint's answer is kept, in bytes.
const MaxAttemptAnswer = 4 << 10

// Attempt is one attempt to deliver a message to an endpoint.
type Attempt struct {
	ID         uuid.UUID
	TenantID   uuid.UUID
	EndpointID uuid.UUID
	MessageID  uuid.UUID
	Seq        int64
	// ReplayID is the replay of which it was a part; zero for none.
	ReplayID uuid.UUID
	// Number counts the attempts of this delivery; 1 for the first. Probes, which
	// use up none, have the number of the next.
	Number int
	// Probe: the attempt did not count, because the breaker was open, or it failed at
	// the URL that the endpoint had before.
	Probe bool
	// At is when it began, by the database's clock; of one that is to be recorded,
	// Ago says it instead.
	At  time.Time
	Ago time.Duration
	// Duration is how long it took.
	Duration time.Duration
	// Status is the HTTP status; 0 when there was no answer.
	Status int
	// Error is "" for a delivery that succeeded, else what went wrong, free of
	// secrets and fit to be shown to the tenant.
	Error string
	// Answer is the beginning of the answer's body, as it came.
	Answer []byte
	// NextAt is when the next one is due, zero for none; of one that is to be
	// recorded, NextIn says it instead.
	NextAt time.Time
	NextIn time.Duration
}

// Succeeded reports whether the endpoint took the message.
func (a *Attempt) Succeeded() bool { return a.Error == "" }

// AttemptQuery asks for a page of attempts, newest first.
type AttemptQuery struct {
	TenantID uuid.UUID
	// EndpointID or MessageID restrict the answer; zero for not.
	EndpointID uuid.UUID
	MessageID  uuid.UUID
	// Failed and Succeeded restrict it to these; both false means all.
	Failed, Succeeded bool
	// Before continues after the attempt that the page before ended with: its At
	// and ID; zero begins with the newest.
	BeforeAt time.Time
	BeforeID uuid.UUID
	Limit    int
}

// MaxSummarizedAttempts is how many attempts a summary looks at: the newest.
const MaxSummarizedAttempts = 10_000

// AttemptSummary is what came of an endpoint's attempts of late.
type AttemptSummary struct {
	// Since is from when on attempts were looked at: Counted, the newest. Truncated
	// says that there were more within the time asked for, and Since then is when the
	// oldest that was looked at began.
	Since     time.Time
	Counted   int
	Truncated bool
	// Succeeded counts those that the endpoint took, First those that were the first
	// of their delivery, and FirstSucceeded those that are both.
	Succeeded, First, FirstSucceeded int
	// Median and P99 are of how long they took; zero where there were none.
	Median, P99 time.Duration
}

// AttemptRepository keeps attempts, a partition a day. Methods are safe for
// concurrent use; they are recorded by DeliveryRepository.Settle.
type AttemptRepository interface {
	// ListAttempts returns at most q.Limit attempts, and whether more follow.
	ListAttempts(ctx context.Context, q AttemptQuery) (attempts []Attempt, more bool, err error)
	// SummarizeAttempts returns what came of the attempts of an endpoint that began
	// within this time until now, of at most MaxSummarizedAttempts.
	SummarizeAttempts(ctx context.Context, tenantID, endpointID uuid.UUID, within time.Duration) (AttemptSummary, error)
	// KeepAttemptDays makes the partitions of today and the next days, and drops
	// those of before keep days ago. It returns how many it dropped.
	KeepAttemptDays(ctx context.Context, keep int) (dropped int, err error)
}

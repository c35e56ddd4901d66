package model

import (
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

// Attempt is one attempt to deliver a message to an endpoint.
type Attempt struct {
	ID         string `json:"id" validate:"required" format:"uuid" example:"0197a3a3-11d2-7a51-9a3e-0242ac120009"`
	EndpointID string `json:"endpoint_id" validate:"required" format:"uuid" example:"0197a3a2-7d2c-7c3e-8f7e-0242ac120004"`
	MessageID  string `json:"message_id" validate:"required" format:"uuid" example:"0197a3a3-11d2-7a51-9a3e-0242ac120003"`
	// Seq is that of the message.
	Seq int64 `json:"seq" validate:"required" example:"1842"`
	// ReplayID is the replay of which it was a part; null for none.
	ReplayID *string `json:"replay_id" validate:"required" format:"uuid" extensions:"x-nullable" example:"0197a3a3-11d2-7a51-9a3e-0242ac12000a"`
	// Number counts the attempts of the delivery; 1 for the first.
	Number int `json:"number" validate:"required" example:"1"`
	// Probe: the breaker was open, or it failed at a URL that is another by now, and the attempt used up none of the schedule.
	Probe bool `json:"probe" validate:"required" example:"false"`
	// At is when it began.
	At         time.Time `json:"at" validate:"required" format:"date-time" example:"2026-11-21T10:00:00.123456Z"`
	DurationMS int64     `json:"duration_ms" validate:"required" example:"41"`
	// Status is the HTTP status; null when there was no answer.
	Status *int `json:"status" validate:"required" extensions:"x-nullable" example:"503"`
	// Error is "" for a delivery that succeeded, else what went wrong.
	Error string `json:"error" validate:"required" example:"status 503"`
	AnswerBody
	// NextAt is when the next one is due; null for none.
	NextAt *time.Time `json:"next_at" validate:"required" format:"date-time" extensions:"x-nullable" example:"2026-11-21T10:00:05Z"`
} //@name Attempt

// AttemptPage is a page of attempts, newest first.
type AttemptPage struct {
	Data []Attempt `json:"data" validate:"required"`
	// NextCursor begins the next page; "" at the end.
	NextCursor string `json:"next_cursor" validate:"required" example:"1795428000123456-0197a3a3-11d2-7a51-9a3e-0242ac120009"`
} //@name AttemptPage

// FromAttempts returns a page of attempts.
func FromAttempts(attempts []domain.Attempt, more bool) AttemptPage {
	page := AttemptPage{Data: make([]Attempt, len(attempts))}
	for i := range attempts {
		a := &attempts[i]
		page.Data[i] = Attempt{
			ID: a.ID.String(), EndpointID: a.EndpointID.String(), MessageID: a.MessageID.String(), Seq: a.Seq, ReplayID: optionalID(a.ReplayID),
			Number: a.Number, Probe: a.Probe, At: a.At.UTC(), DurationMS: a.Duration.Milliseconds(), Status: optionalNumber(a.Status), Error: a.Error,
			AnswerBody: answerBody(a.Answer), NextAt: optionalTime(a.NextAt),
		}
	}
	if more && len(attempts) > 0 {
		last := &attempts[len(attempts)-1]
		page.NextCursor = strconv.FormatInt(last.At.UnixMicro(), 10) + "-" + last.ID.String()
	}
	return page
}

// ParseAttemptCursor returns the attempt that a page ended with, and whether the text
// is a cursor. StartCursor is the beginning.
func ParseAttemptCursor(text string) (at time.Time, id uuid.UUID, ok bool) {
	if text == StartCursor {
		return time.Time{}, uuid.Nil, true
	}
	micros, name, found := strings.Cut(text, "-")
	n, err := strconv.ParseInt(micros, 10, 64)
	// Beyond the year 9999 the database has no times.
	if latest := time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro(); !found || err != nil || n < 0 || n > latest {
		return time.Time{}, uuid.Nil, false
	}
	id, err = domain.ParseID(name)
	return time.UnixMicro(n).UTC(), id, err == nil
}

// AttemptSummary is what came of an endpoint's attempts in the last hour.
type AttemptSummary struct {
	// Since is from when on attempts count: an hour ago, or later where truncated says that there were more than 10,000, of which the newest count.
	Since     time.Time `json:"since" validate:"required" format:"date-time" example:"2026-11-21T09:00:00Z"`
	Truncated bool      `json:"truncated" validate:"required" example:"false"`
	// Attempts is how many it were, and succeeded how many of them the endpoint took.
	Attempts  int `json:"attempts" validate:"required" example:"1210"`
	Succeeded int `json:"succeeded" validate:"required" example:"1180"`
	// First is how many were the first of their delivery, and first_succeeded how many of these the endpoint took.
	First          int `json:"first" validate:"required" example:"1180"`
	FirstSucceeded int `json:"first_succeeded" validate:"required" example:"1159"`
	// P50MS and P99MS are how long they took, in milliseconds: half of them, and all but one in a hundred, were not slower.
	P50MS int64 `json:"p50_ms" validate:"required" example:"41"`
	P99MS int64 `json:"p99_ms" validate:"required" example:"380"`
} //@name AttemptSummary

// FromAttemptSummary returns a summary of attempts.
func FromAttemptSummary(s *domain.AttemptSummary) AttemptSummary {
	return AttemptSummary{
		Since: s.Since, Truncated: s.Truncated, Attempts: s.Counted, Succeeded: s.Succeeded, First: s.First, FirstSucceeded: s.FirstSucceeded,
		P50MS: s.Median.Milliseconds(), P99MS: s.P99.Milliseconds(),
	}
}

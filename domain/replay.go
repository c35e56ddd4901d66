package domain

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Limits of a replay.
const (
	DefaultReplayRate = 100 // messages a second
	MaxReplayRate     = 10_000
)

// ReplayState is how far a replay is.
type ReplayState string

// The states of a replay.
const (
	ReplayRunning  ReplayState = "running"
	ReplayDone     ReplayState = "done"
	ReplayCanceled ReplayState = "canceled"
)

// Replay has messages of a range delivered to an endpoint again. Its members are
// those that there were when it began.
type Replay struct {
	ID         uuid.UUID
	TenantID   uuid.UUID
	EndpointID uuid.UUID
	// From and To are the first and last seq of the range.
	From, To int64
	// OnlyFailed restricts it to messages that were given up, with a dead letter up
	// to LastLetter that was not replayed before this began.
	OnlyFailed bool
	LastLetter int64
	// Types restricts it, as those of the endpoint do, which count as well.
	Types []TypePattern
	// Rate is how many deliveries begin in a second.
	Rate  int
	State ReplayState
	// Cursor is up to where members were delivered, or have an open delivery.
	Cursor int64
	// Total counts the members, Done those that the cursor has passed.
	Total, Done int64
	CreatedAt   time.Time
	// EndedAt is zero while it runs.
	EndedAt time.Time
}

// ReplayEmpty is the answer where there is nothing to be replayed.
func ReplayEmpty() error {
	return New(ErrNotFound, "nothing_to_replay",
		"There is nothing to replay in this range: of what is kept, the endpoint has got to none of it yet, or none was asked for.")
}

// ReplayProgress is how far a replay is.
type ReplayProgress struct {
	ID uuid.UUID
	// Cursor is where its cursor is moved to, and Done how many members that passes.
	Cursor int64
	Done   int64
	// Ended: there are no more.
	Ended bool
}

// ReplayQuery says what a replay is to be of.
type ReplayQuery struct {
	TenantID, EndpointID uuid.UUID
	// FromSeq and ToSeq are the first and last seq, and From and To the times
	// between which messages were stored, both included; zero where they do not
	// restrict it. What the endpoint's cursor has not passed yet is no part of it: it
	// is delivered in its turn.
	FromSeq, ToSeq int64
	From, To       time.Time
	OnlyFailed     bool
	Types          []TypePattern
	Rate           int
}

// ReplayNotFound is the answer for a replay that the endpoint does not have.
func ReplayNotFound() error {
	return New(ErrNotFound, "replay_not_found", "There is no such replay.")
}

// ReplayRequest is what a caller says of a replay; nil stands for what does not
// restrict it.
type ReplayRequest struct {
	FromSeq, ToSeq *int
	// From and To are times in the form of RFC 3339.
	From, To *string
	// Only is all, which is the default, or failed.
	Only   *string
	Types  []string
	Rate   *int
	DryRun bool
}

// Query returns what is to be replayed. The error is an ErrInvalid that names every
// value out of range.
func (r *ReplayRequest) Query(tenantID, endpointID uuid.UUID) (ReplayQuery, error) {
	q := ReplayQuery{TenantID: tenantID, EndpointID: endpointID, Rate: DefaultReplayRate}
	var fields []FieldError
	wrong := func(pointer, problem string) { fields = append(fields, FieldError{pointer, problem}) }
	for _, seq := range []struct {
		pointer string
		said    *int
		to      *int64
	}{{"/from_seq", r.FromSeq, &q.FromSeq}, {"/to_seq", r.ToSeq, &q.ToSeq}} {
		if seq.said == nil {
			continue
		}
		if *seq.to = int64(*seq.said); *seq.to < 1 {
			wrong(seq.pointer, "must be 1 or more")
		}
	}
	for _, at := range []struct {
		pointer string
		said    *string
		to      *time.Time
	}{{"/from", r.From, &q.From}, {"/to", r.To, &q.To}} {
		if at.said == nil {
			continue
		}
		var err error
		if *at.to, err = time.Parse(time.RFC3339, *at.said); err != nil || at.to.Year() < 1 {
			wrong(at.pointer, "must be a time as RFC 3339 has it, such as 2026-11-21T10:00:00Z")
		}
	}
	if len(fields) == 0 && q.FromSeq > 0 && q.ToSeq > 0 && q.ToSeq < q.FromSeq {
		wrong("/to_seq", "must not be below from_seq")
	}
	if len(fields) == 0 && !q.From.IsZero() && !q.To.IsZero() && q.To.Before(q.From) {
		wrong("/to", "must not be before from")
	}
	if r.Only != nil {
		if q.OnlyFailed = *r.Only == "failed"; !q.OnlyFailed && *r.Only != "all" {
			wrong("/only", `must be "all" or "failed"`)
		}
	}
	types, problems := parseTypePatterns(r.Types)
	q.Types, fields = types, append(fields, problems...)
	if r.Rate != nil {
		if q.Rate = *r.Rate; q.Rate < 1 || q.Rate > MaxReplayRate {
			wrong("/rate", fmt.Sprintf("must be between 1 and %d", MaxReplayRate))
		}
	}
	if len(fields) > 0 {
		return ReplayQuery{}, WithFields(fields...)
	}
	return q, nil
}

// ReplayRepository keeps replays. Methods are safe for concurrent use.
type ReplayRepository interface {
	// CountReplay returns how many members a replay would have, and its range.
	// ErrNotFound when there is nothing in the range. Where types select from very
	// many messages, their number is estimated.
	CountReplay(ctx context.Context, q ReplayQuery) (Replay, error)
	// InsertReplay begins a replay, and announces it. ErrConflict (code
	// replay_running) when the endpoint has one that runs, ErrNotFound when there is
	// nothing in the range.
	InsertReplay(ctx context.Context, q ReplayQuery) (Replay, error)
	// FindReplay returns ErrNotFound where there is none.
	FindReplay(ctx context.Context, tenantID, endpointID, id uuid.UUID) (Replay, error)
	// ListReplays returns the newest replays of an endpoint, the newest first.
	ListReplays(ctx context.Context, tenantID, endpointID uuid.UUID, limit int) ([]Replay, error)
	// CancelReplay ends a replay that runs, and announces it; one that has ended
	// stays as it is.
	CancelReplay(ctx context.Context, tenantID, endpointID, id uuid.UUID) (Replay, error)
}

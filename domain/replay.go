package domain

import (
	"context"
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
	// to LastLetter.
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
	// between which messages were stored; zero where they do not restrict it.
	FromSeq, ToSeq int64
	From, To       time.Time
	OnlyFailed     bool
	Types          []TypePattern
	Rate           int
}

// ReplayRepository keeps replays. Methods are safe for concurrent use.
type ReplayRepository interface {
	// CountReplay returns how many members a replay would have, and its range.
	// ErrNotFound when there is nothing in the range.
	CountReplay(ctx context.Context, q ReplayQuery) (Replay, error)
	// InsertReplay begins a replay, and announces it. ErrConflict (code
	// replay_running) when the endpoint has one that runs, ErrNotFound when there is
	// nothing in the range.
	InsertReplay(ctx context.Context, q ReplayQuery) (Replay, error)
	// FindReplay returns ErrNotFound where there is none.
	FindReplay(ctx context.Context, tenantID, endpointID, id uuid.UUID) (Replay, error)
	// CancelReplay ends a replay that runs; one that has ended stays as it is.
	CancelReplay(ctx context.Context, tenantID, endpointID, id uuid.UUID) (Replay, error)
}

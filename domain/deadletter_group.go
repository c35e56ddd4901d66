package domain

import (
	"time"

	"github.com/google/uuid"
)

// MaxDeadLetterGroups is how many groups are told apart in an answer.
const MaxDeadLetterGroups = 100

// MaxGroupedDeadLetters is how many letters are looked at to make groups of them:
// the newest.
const MaxGroupedDeadLetters = 100_000

// DeadLetterFailure is why a recorded letter was given up.
type DeadLetterFailure struct {
	Seq        int64
	Reason     DeadLetterReason
	EndpointID uuid.UUID
	// Error is the beginning of the text.
	Error     string
	CreatedAt time.Time
	// MessageID and Type are what the message came with, or the beginning of it.
	MessageID, Type string
	// ReplayedAt is zero for never.
	ReplayedAt time.Time
}

// DeadLetterGroup is letters that were given up for the same reason, at the same
// endpoint if any, and with errors that differ in nothing but numbers, ids, quoted
// texts and addresses.
type DeadLetterGroup struct {
	Reason     DeadLetterReason
	EndpointID uuid.UUID
	// Error is the text, with placeholders for what differs.
	Error string
	Count int
	// First and Last are when the oldest and the newest were recorded; Example is
	// the Seq of the newest.
	First, Last time.Time
	Example     int64
}

// DeadLetterFailures is a page of why letters were given up, the newest first.
type DeadLetterFailures struct {
	Failures []DeadLetterFailure
	// Next is the Seq above which everything was looked at, where there may be more;
	// 0 at the end.
	Next int64
}

// DeadLetterGroups is what letters were given up for.
type DeadLetterGroups struct {
	// Groups are the largest, by their size.
	Groups []DeadLetterGroup
	// Others counts the letters of all other groups.
	Others int
	// Counted is how many letters were looked at, the newest; Truncated says that
	// there are more.
	Counted   int
	Truncated bool
}

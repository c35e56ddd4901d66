package domain

import (
	"context"

	"github.com/google/uuid"
)

// AnswerMemory divides the memory for answers that are large: while one is on
// its way to a client that takes its time, what it holds is counted. It is safe
// for concurrent use.
type AnswerMemory interface {
	// Reserve waits until the tenant, and the owner whose share the context
	// counts towards, may hold so many bytes more, and returns what gives them
	// back. Errors are ErrUnavailable when that takes too long, and that of ctx.
	Reserve(ctx context.Context, tenantID uuid.UUID, bytes int) (release func(), err error)
}

// NoAnswerMemory is an AnswerMemory without limits.
type NoAnswerMemory struct{}

// Reserve implements AnswerMemory.
func (NoAnswerMemory) Reserve(context.Context, uuid.UUID, int) (func(), error) {
	return func() {}, nil
}

const (
	// SmallAnswer is how many bytes are read without a reservation.
	SmallAnswer = 64 << 10
	// AnswerChunk is how many bytes of a large answer are read at a time, unless
	// a single item is larger, and MaxAnswer how many the items of an answer have
	// together.
	AnswerChunk = 512 << 10
	MaxAnswer   = 8 << 20
)

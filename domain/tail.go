package domain

import (
	"context"

	"github.com/google/uuid"
)

// Tails hands out readers of what was stored last. Methods are safe for
// concurrent use.
type Tails interface {
	// Open returns a tail of the tenant's history. The tenant's window in memory
	// exists as long as it has tails: Close it afterwards. It does not fail, for
	// unknown tenants neither: readers of their tails are behind.
	Open(tenantID uuid.UUID) Tail
}

// Tail is one reader's access to the window of a tenant. It keeps no position,
// and is safe for concurrent use.
type Tail interface {
	// After returns, oldest first, messages that directly follow the cursor and
	// are in memory: at most limit, and at most maxBytes as Message.Size counts,
	// but at least one; there may be more than it returns. It never waits
	// and never touches the database.
	After(cursor int64, limit, maxBytes int) TailView
	// Close gives the tail back. It may be called more than once; After must
	// not be called afterwards.
	Close()
}

// TailView is what a reader finds after its cursor: messages; or that it has to
// read the database, once; or else a channel to wait for.
//
// A reader that is behind goes on after the last message that it found in the
// database. Where that has none after its cursor, and no error either, those up to
// Last were deleted by hand, and the reader goes on after Last, if that is ahead.
type TailView struct {
	// Messages are as the history gives them, to the byte. They are shared by
	// all readers, and never changed.
	Messages []Message
	// Behind: messages follow the cursor, or may, that are not in memory; or the
	// cursor is ahead of the history, or the history is gone. The database knows.
	Behind bool
	// Last is the highest seq known.
	Last int64
	// Changed is closed when it is worth looking again. It is set when Messages
	// is empty and Behind is false.
	Changed <-chan struct{}
}

// TailRepository says where histories end. Methods are safe for concurrent use.
type TailRepository interface {
	// LastSeqs returns the highest seq that was ever given, for each of these
	// tenants that has a history.
	LastSeqs(ctx context.Context, tenantIDs []uuid.UUID) (map[uuid.UUID]int64, error)
}

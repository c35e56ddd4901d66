package domain

import (
	"time"

	"github.com/google/uuid"
)

// Message is one message of a tenant as it is stored.
type Message struct {
	ID       uuid.UUID
	TenantID uuid.UUID
	// Seq is the position in the tenant's history: 1, 2, 3, ... without
	// holes. It is given by the store.
	Seq int64
	// Type is what kind of message it is, for readers that want some kinds only;
	// "" for none.
	Type string
	// OrderingKey names the messages among which order matters to readers that
	// keep it by key; "" for none.
	OrderingKey string
	// Headers is what else the publisher said of the message; nil for nothing.
	Headers map[string]string
	// Trace is the trace that the message belongs to, where it is known and Headers
	// do not say it; see TraceContext.
	Trace TraceContext
	// Payload is the JSON text, as the caller sent it before it was stored,
	// and normalised by the store afterwards.
	Payload []byte
	// Bytes is the length of the payload as the store gives it; 0 before it was
	// stored.
	Bytes int
	// CreatedAt is when the message was stored.
	CreatedAt time.Time
}

// MessageNotFound is the answer for a message that the tenant does not have.
func MessageNotFound() error {
	return New(ErrNotFound, "message_not_found", "There is no such message.")
}

// CursorExpired is the answer to a cursor after which messages are missing,
// because they were older than the tenant keeps them.
func CursorExpired() error {
	return New(ErrGone, "cursor_expired", "Messages after this cursor are not kept any longer; begin again with cursor 0, at the oldest message that is.")
}

// CursorAhead is the answer to a cursor that the history has not reached.
func CursorAhead() error {
	return New(ErrConflict, "cursor_ahead", "This cursor is ahead of the history, so it cannot come from it; begin again with the last one that the history gave.")
}

// AppendOutcome is what became of one message handed to the store.
type AppendOutcome uint8

// The outcomes of an append.
const (
	// AppendStored: it has a row now.
	AppendStored AppendOutcome = iota + 1
	// AppendDuplicate: the same message was stored before; nothing changed.
	AppendDuplicate
	// AppendConflict: a message with another payload, type, ordering key or
	// headers is stored under its id.
	AppendConflict
	// AppendNoTenant: its tenant is gone; the message is discarded.
	AppendNoTenant
)

// AppendResult is the outcome for one message handed to the store and, when it was
// stored, what the store gave it.
type AppendResult struct {
	Outcome AppendOutcome
	// Seq and CreatedAt are zero unless Outcome is AppendStored.
	Seq       int64
	CreatedAt time.Time
}

// StoreResult is what became of one message handed to a MessageWriter.
type StoreResult struct {
	Outcome AppendOutcome
	// Err is why the store refuses the message for good; then Outcome is
	// zero.
	Err error
}

// HistoryQuery asks for a page of a tenant's history.
type HistoryQuery struct {
	TenantID uuid.UUID
	// Cursor is the seq after which (or before which, when Descending) the
	// page begins. Descending with HasCursor false begins at the newest.
	Cursor     int64
	HasCursor  bool
	Limit      int
	Descending bool
	// MaxBytes is how much the messages may take together, as Message.Size
	// counts; 0 for some MiB, or a single message of any size.
	MaxBytes int
}

// RowOverhead is about what a message takes in an answer beside its payload and
// its envelope.
const RowOverhead = 256

// HistoryPage is one page of a tenant's history.
type HistoryPage struct {
	Messages []Message
	// More reports that messages follow after the last of this page.
	More bool
	// NextBytes is how much the first of those takes, when it is for want of room
	// that the page ends before it; else 0.
	NextBytes int
	// Last is the highest seq that was ever given, as it was when the page was
	// about to be read; 0 for none.
	Last int64
}

// End returns where a reader goes on later that found the page of q empty. That
// is never ahead of the history, wherever the query began: what is stored next
// would be missed.
func (p *HistoryPage) End(q HistoryQuery) int64 {
	if q.Descending && q.HasCursor {
		return min(q.Cursor, p.Last)
	}
	return p.Last
}

// Submission is one message that a caller wants published.
type Submission struct {
	Payload []byte
	// Type, OrderingKey and Headers are as in Message.
	Type        string
	OrderingKey string
	Headers     map[string]string
	// IdempotencyKey is empty for none.
	IdempotencyKey string
}

// Receipt is the answer to one submission.
type Receipt struct {
	ID uuid.UUID
	// Replayed: an earlier call with the same key was accepted.
	Replayed bool
	// Err is why it was not accepted, or nil.
	Err error
}

// Outgoing is a message on its way to a tenant's queue.
type Outgoing struct {
	ID uuid.UUID
	// MessageID is what the message is called instead of ID, unless it is
	// empty: an id that need not be a UUID.
	MessageID string
	// Type, OrderingKey and Headers are as in Message.
	Type        string
	OrderingKey string
	Headers     map[string]string
	Body        []byte
	// Encoding is the content encoding of the body; "" for none.
	Encoding string
	// Trace is as in Message.
	Trace TraceContext
}

// Refusal is why a delivery becomes a dead letter without being looked into any
// further.
type Refusal struct {
	Reason DeadLetterReason
	// Error may be shown to callers.
	Error string
}

// Delivery is a message that the broker handed to a consumer.
type Delivery struct {
	// Tag names the delivery within its subscription, for the ack.
	Tag uint64
	// MessageID is the message_id property; "" for none.
	MessageID string
	// Type is the type property; "" for none.
	Type string
	Body []byte
	// Encoding is the content encoding of the body; "" for none.
	Encoding string
	Headers  map[string]any
	// Refusal is why it cannot become a message, whatever its body is; zero for
	// nothing.
	Refusal Refusal
	// Published differs between two publications of one message: it is PublishedHere,
	// else the timestamp property; zero for none.
	Published time.Time
	// PublishedHere is when this service published the message, or zero: from a
	// header of its own, in which others who may publish to the queue may have
	// written anything.
	PublishedHere time.Time
}

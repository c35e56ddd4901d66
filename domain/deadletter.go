package domain

import (
	"context"
	"maps"
	"time"

	"github.com/google/uuid"
)

// DeadLetterReason is why a message was given up.
type DeadLetterReason string

// The reasons for dead letters.
const (
	ReasonInvalidPayload DeadLetterReason = "invalid_payload"
	// ReasonInvalidHeaders: its headers cannot be read, or no message can have
	// them, its type or its ordering key.
	ReasonInvalidHeaders DeadLetterReason = "invalid_headers"
	ReasonIDConflict     DeadLetterReason = "id_conflict"
	ReasonNotStorable    DeadLetterReason = "not_storable"
	// ReasonDeliveryFailed: stored, and an endpoint did not take it in the allowed
	// number of attempts.
	ReasonDeliveryFailed DeadLetterReason = "delivery_failed"
	// ReasonUnknown: it was found in the dead-letter queue, and it was not
	// Lanekeeper that put it there.
	ReasonUnknown DeadLetterReason = "unknown"
)

// The reasons that earlier versions gave instead of ReasonDeliveryFailed. Letters
// with them stay as they are.
const (
	reasonTransmitFailed DeadLetterReason = "transmit_failed"
	reasonEndpointPaused DeadLetterReason = "endpoint_paused"
)

// DeadLetterReasons returns the reasons for which Lanekeeper itself gives a
// message up, or gave it up in an earlier version.
func DeadLetterReasons() []DeadLetterReason {
	return []DeadLetterReason{ReasonInvalidPayload, ReasonInvalidHeaders, ReasonIDConflict, ReasonNotStorable, ReasonDeliveryFailed, reasonTransmitFailed, reasonEndpointPaused}
}

// MaxDeadLetterIDs is how many dead letters one call may name.
const MaxDeadLetterIDs = MaxDeadLettersAtOnce

// DeadLetter is a message that cannot be processed.
type DeadLetter struct {
	// Seq numbers the recorded dead letters of all tenants; zero until it is
	// recorded. It is the id that callers use.
	Seq int64
	// ID identifies the letter, so that it is recorded once however often it
	// is delivered.
	ID        uuid.UUID
	TenantID  uuid.UUID
	MessageID string
	// Type is the type that the message came with, whether a message can have it
	// or not; "" for none.
	Type    string
	Body    []byte
	Headers map[string]any
	Reason  DeadLetterReason
	// Error is the text of what went wrong, free of secrets.
	Error    string
	Attempts int
	// DiedAt is when it was given up, by the clock of the process that did so;
	// zero when that is not known, and for letters that are read from the store.
	DiedAt time.Time
	// CreatedAt is when it was recorded; ReplayedAt when it was last sent
	// again, zero for never.
	CreatedAt  time.Time
	ReplayedAt time.Time
	// EndpointID, MessageSeq and Round are of the delivery that was given up: to
	// which endpoint, the place of its message in the history, and how often the
	// message was given up before. Zero for letters with other reasons, and of
	// earlier versions.
	EndpointID uuid.UUID
	MessageSeq int64
	Round      int
}

// HeaderContentEncoding is where a letter keeps the content encoding of a body
// that is as it was received.
const HeaderContentEncoding = "x-content-encoding"

// Encoding returns the content encoding of the body; "" for none. It goes along
// when the letter is sent again.
func (l *DeadLetter) Encoding() string {
	encoding, _ := l.Headers[HeaderContentEncoding].(string)
	return encoding
}

// LetterHeaders returns the headers of a letter that d becomes.
func LetterHeaders(d *Delivery) map[string]any {
	headers := maps.Clone(d.Headers)
	delete(headers, HeaderContentEncoding) // not ours
	if d.Encoding != "" {
		if headers == nil {
			headers = make(map[string]any)
		}
		headers[HeaderContentEncoding] = d.Encoding
	}
	return headers
}

// Envelope returns what a message can have of what the letter came with; it
// goes along when the letter is sent again.
func (l *DeadLetter) Envelope() Envelope {
	e, _ := ReadEnvelope(l.Type, l.Headers)
	return e
}

// Replayed reports whether the letter was sent again.
func (l *DeadLetter) Replayed() bool { return !l.ReplayedAt.IsZero() }

// DeadLetterNotFound is the answer for a dead letter the tenant does not have.
func DeadLetterNotFound() error {
	return New(ErrNotFound, "dead_letter_not_found", "There is no such dead letter.")
}

// DeadLetterQuery asks for a page of a tenant's dead letters, oldest first.
type DeadLetterQuery struct {
	TenantID uuid.UUID
	After    int64
	Limit    int
	// UpTo is the highest Seq of the page; 0 for any.
	UpTo int64
	// Replayed includes those that were replayed.
	Replayed bool
	// Seqs are the only ones that are meant; nil for all that Filter lets through,
	// which does not count else.
	Seqs   []int64
	Filter DeadLetterFilter
	// MaxBytes is how much the letters may take together; 0 for some MiB, or a
	// single letter of any size.
	MaxBytes int
}

// DeadLetterPage is one page of a tenant's dead letters.
type DeadLetterPage struct {
	Letters []DeadLetter
	// More reports that letters follow after the last of this page.
	More bool
	// NextBytes is how much the first of those takes, when it is for want of room
	// that the page ends before it; else 0.
	NextBytes int
	// Last is the highest Seq of all letters of the tenant, as it was when the
	// page was about to be read; 0 for none.
	Last int64
}

// End returns where to go on later when the page of q was empty. That is never
// ahead of the tenant's letters, wherever the query began: what dies next would
// be missed.
func (p *DeadLetterPage) End(q DeadLetterQuery) int64 { return min(q.After, p.Last) }

// DeadLetterSelection says which of a tenant's dead letters a call is about: All that
// are there when it begins, those of them that Filter lets through, which is not
// empty then, or those with the Seqs.
type DeadLetterSelection struct {
	All    bool
	Filter DeadLetterFilter
	Seqs   []int64
}

// ReplayResult is what became of a call to replay dead letters.
type ReplayResult struct {
	// Replayed counts the letters that the broker confirmed, and the deliveries that
	// begin anew.
	Replayed int
	// Skipped counts the others that were asked for: those that the tenant
	// does not have, that were replayed before, that have nowhere to go, or that were
	// not through in time. They stay as they are.
	Skipped int
	// Job is what the call became that was about more than MaxDeadLettersAtOnce; nil
	// for others.
	Job *DeadLetterJob
}

// DeleteResult is what became of a call to delete dead letters.
type DeleteResult struct {
	Deleted int64
	// Job is as in ReplayResult.
	Job *DeadLetterJob
}

// DeadLetterRepository keeps recorded dead letters. Methods are safe for
// concurrent use.
type DeadLetterRepository interface {
	// RecordDeadLetters stores the letters, each once per ID. Those of tenants
	// that are gone are dropped. It is safe to repeat after an error. A letter
	// has a higher Seq than all that its tenant had before.
	RecordDeadLetters(ctx context.Context, letters []DeadLetter) error
	// DeadLetterPage returns at most q.Limit letters; fewer, and also none, when
	// they are large: no body beyond q.MaxBytes is read.
	DeadLetterPage(ctx context.Context, q DeadLetterQuery) (DeadLetterPage, error)
	// ListDeadLetters returns at most q.Limit letters, fewer when they are
	// large, and whether more follow. It leaves q.MaxBytes out of account.
	ListDeadLetters(ctx context.Context, q DeadLetterQuery) (letters []DeadLetter, more bool, err error)
	// LastDeadLetter returns the highest Seq of the tenant, 0 for none: what
	// dies afterwards has a higher one.
	LastDeadLetter(ctx context.Context, tenantID uuid.UUID) (int64, error)
	// CountDeadLetters returns how many letters q asks for; no more than q.Limit,
	// where 0 is no limit. It leaves q.Seqs and q.MaxBytes out of account.
	CountDeadLetters(ctx context.Context, q DeadLetterQuery) (int, error)
	// PickDeadLetters returns those of seqs that the tenant has and that were
	// not replayed yet, in the order of Seq; fewer when they are large: ask
	// again for those after the last.
	PickDeadLetters(ctx context.Context, tenantID uuid.UUID, seqs []int64) ([]DeadLetter, error)
	// ListDeadLetterRefs returns the first q.Limit letters of q, in the order of
	// Seq, and reads nothing of what they carry.
	ListDeadLetterRefs(ctx context.Context, q DeadLetterQuery) ([]DeadLetterRef, error)
	// ListDeadLetterFailures returns the last q.Limit letters of q, the newest first.
	// It leaves q.Seqs and q.MaxBytes out of account.
	ListDeadLetterFailures(ctx context.Context, q DeadLetterQuery) ([]DeadLetterFailure, error)
	// ReopenDeliveries has the deliveries of these letters of one tenant begin anew
	// at their endpoints, due now and with all of their attempts, and marks the
	// letters as replayed, in one transaction; it announces it, and returns how many
	// it were. The others stay as they are: their message or endpoint is gone, the
	// endpoint's cursor has not passed the message, the message is on its way to the
	// endpoint already, or the letter was replayed before, or is of no delivery.
	ReopenDeliveries(ctx context.Context, tenantID uuid.UUID, letters []DeadLetterRef) (int, error)
	// MarkReplayed notes the time for those letters.
	MarkReplayed(ctx context.Context, tenantID uuid.UUID, seqs []int64) error
	// DeleteDeadLetters deletes these letters, or with nil all of the
	// tenant's up to seq last, in chunks, and returns how many there were. An
	// error may come with the number of those that are gone already.
	DeleteDeadLetters(ctx context.Context, tenantID uuid.UUID, seqs []int64, last int64) (int64, error)
	// DeleteOldDeadLetters deletes at most limit letters, of any tenant but
	// those excepted, that were replayed longer ago than replayed, or recorded
	// longer ago than others; zero keeps them for ever. It returns how many it
	// deleted, and the tenants of which some could not be deleted.
	DeleteOldDeadLetters(ctx context.Context, replayed, others time.Duration, limit int, except []uuid.UUID) (deleted int, blocked []uuid.UUID, err error)
	// WaitingDeadLetters returns how many letters each tenant has that were
	// not replayed; tenants without one are left out.
	WaitingDeadLetters(ctx context.Context) (map[uuid.UUID]int64, error)
}

// DeadLetterQueues gives access to the tenants' dead-letter queues. Methods
// are safe for concurrent use.
type DeadLetterQueues interface {
	// DeadLetterDepth returns how many letters are ready in the tenant's
	// dead-letter queue. Errors are ErrUnavailable, or ErrNotFound when the
	// queue does not exist.
	DeadLetterDepth(ctx context.Context, tenantID uuid.UUID) (int64, error)
	// SubscribeDeadLetters subscribes to that queue, as Subscriber.Subscribe
	// does to the main queue.
	SubscribeDeadLetters(ctx context.Context, tenantID uuid.UUID, tag string, prefetch int) (Subscription, error)
	// ReadDeadLetter makes a dead letter of a delivery from that queue. It
	// returns true for a message that the broker put there because it came back
	// to the main queue too often: nothing is wrong with it, and it is to be
	// requeued.
	ReadDeadLetter(tenantID uuid.UUID, d Delivery) (letter DeadLetter, exhausted bool)
	// Requeue publishes a delivery from that queue to the tenant's main queue;
	// nil once confirmed.
	Requeue(ctx context.Context, tenantID uuid.UUID, d Delivery) error
}

// DeadLetterCollector moves the dead letters of tenants from their queues into
// the store. It is safe for concurrent use.
type DeadLetterCollector interface {
	// Collect begins to collect a tenant's letters, until the collection is
	// stopped; that ctx ends does not stop it. Taken counts what was ever taken from
	// the tenant's main queue: while nothing is, there is less need to look.
	Collect(ctx context.Context, tenantID uuid.UUID, taken func() int64) DeadLetterCollection
}

// DeadLetterCollection is the collecting of one tenant's letters. It is safe for
// concurrent use.
type DeadLetterCollection interface {
	// Notify says that there are letters, which are collected at once. It does
	// not block.
	Notify()
	// Stop ends collecting and returns when it has ended. What is not recorded
	// by then stays in the queue. It may be called more than once.
	Stop()
}

// NoDeadLetterCollector leaves dead letters in their queues.
type NoDeadLetterCollector struct{}

// Collect implements DeadLetterCollector.
func (NoDeadLetterCollector) Collect(context.Context, uuid.UUID, func() int64) DeadLetterCollection {
	return noCollection{}
}

type noCollection struct{}

func (noCollection) Notify() {}
func (noCollection) Stop()   {}

// BrokerReason returns why the broker itself put the letter there, as its
// header x-death says of the last time; "" for one that was put there otherwise.
func (l *DeadLetter) BrokerReason() string {
	deaths, _ := l.Headers["x-death"].([]any)
	if len(deaths) == 0 {
		return ""
	}
	death, _ := deaths[0].(map[string]any)
	reason, _ := death["reason"].(string)
	return reason
}

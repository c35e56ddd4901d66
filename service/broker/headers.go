package broker

import (
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"lanekeeper/domain"
	"lanekeeper/pkg/rabbitmq"
	"lanekeeper/pkg/rabbitmq/publisher"
)

// Headers of messages that Lanekeeper publishes.
const (
	// HeaderPublished is when the message was published, in Unix
	// milliseconds; AMQP's timestamp has whole seconds only.
	HeaderPublished = "x-published-ms"
	// HeaderReason, HeaderError, HeaderAttempts and HeaderDeadLetterID describe a
	// dead letter.
	HeaderReason       = "x-reason"
	HeaderError        = "x-error"
	HeaderAttempts     = "x-attempts"
	HeaderDeadLetterID = "x-dead-letter-id"
	// HeaderDiedAt is when it died, in Unix milliseconds.
	HeaderDiedAt = "x-buried-ms"
)

// maxForeignHeaders is how much of the headers that a message came with goes
// along, in bytes. All properties of a message have to fit into one frame of
// 128 KiB, or the broker closes the connection and would do so again at every
// attempt.
const maxForeignHeaders = 64 << 10

// ownHeaders returns the names of the headers that we add to messages.
func ownHeaders() []string {
	return []string{
		HeaderPublished, HeaderReason, HeaderError, HeaderAttempts, HeaderDeadLetterID, HeaderDiedAt,
		domain.HeaderOrderingKey, domain.HeaderContentEncoding, rabbitmq.HeaderUnreadable,
		domain.HeaderTraceParent, domain.HeaderTraceState,
	}
}

// messageHeaders returns the headers of a message that is published at the time
// now: its own, and ours.
func messageHeaders(m *domain.Outgoing, now time.Time) amqp.Table {
	headers := make(amqp.Table, len(m.Headers)+2)
	for name, value := range m.Headers {
		headers[name] = value
	}
	headers[HeaderPublished] = now.UnixMilli()
	if m.OrderingKey != "" {
		headers[domain.HeaderOrderingKey] = m.OrderingKey
	}
	if m.Trace != "" {
		headers[domain.HeaderTraceParent] = m.Trace.Parent()
		if state := m.Trace.State(); state != "" {
			headers[domain.HeaderTraceState] = state
		}
	}
	return headers
}

// deadLetterHeaders returns the headers of a dead letter: ours, and those it
// came with.
func deadLetterHeaders(letter *domain.DeadLetter) amqp.Table {
	headers := amqp.Table{
		HeaderReason: string(letter.Reason), HeaderError: letter.Error,
		HeaderAttempts: int64(letter.Attempts), HeaderDeadLetterID: letter.ID.String(),
		HeaderDiedAt: time.Now().UnixMilli(),
	}
	publisher.AddHeaders(headers, letter.Headers, maxForeignHeaders)
	return headers
}

// passedOn returns the headers of a delivery that is published again: ours, when it
// was first published here, and those it came with.
func passedOn(d *domain.Delivery, ours amqp.Table) amqp.Table {
	if !d.PublishedHere.IsZero() { // a sender's timestamp does not become ours
		ours[HeaderPublished] = d.PublishedHere.UnixMilli()
	}
	publisher.AddHeaders(ours, d.Headers, maxForeignHeaders)
	return ours
}

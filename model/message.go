package model

import (
	"encoding/json"
	"strconv"
	"time"

	"lanekeeper/domain"
)

// The values of Accepted.Status and BatchItem.Status.
const (
	StatusAccepted = "accepted"
	StatusRejected = "rejected"
)

// PublishMessage is the body of POST /messages.
type PublishMessage struct {
	// Payload is any JSON value, null included.
	Payload json.RawMessage `json:"payload" validate:"required" swaggertype:"object,string" example:"text:hello"`
	// Type is what kind of message it is: at most 128 characters of A-Z, a-z, 0-9, '.', '_' and '-'. No type is the same as "".
	Type *string `json:"type" maxLength:"128" example:"order.created"`
	// OrderingKey names the messages among which order matters: at most 128 bytes of UTF-8 without control characters. No key is the same as "".
	OrderingKey *string `json:"ordering_key" maxLength:"128" example:"order-1842"`
	// Headers are at most 20 of text, with names like those of types and at most 1000 bytes of UTF-8 without control characters. CC, BCC, timestamp_in_ms and what begins with x- belongs to the message broker.
	Headers map[string]string `json:"headers" example:"source:shop"`
} //@name PublishMessage

// Domain returns the message to be published under an idempotency key, or an
// ErrInvalid. The payload shares the memory of the request.
func (r *PublishMessage) Domain(key string) (domain.Submission, error) {
	if r.Payload == nil {
		return domain.Submission{}, payloadMissing()
	}
	return domain.Submission{
		Payload: r.Payload, Type: textOf(r.Type), OrderingKey: textOf(r.OrderingKey), Headers: r.Headers, IdempotencyKey: key,
	}, nil
}

// textOf returns what a member that may be left out says; "" for nothing.
func textOf(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// Accepted is the answer to POST /messages.
type Accepted struct {
	ID       string `json:"id" validate:"required" format:"uuid" example:"0197a3a3-11d2-7a51-9a3e-0242ac120003"`
	TenantID string `json:"tenant_id" validate:"required" format:"uuid" example:"0197a3a2-7d2c-7c3e-8f7e-0242ac120002"`
	Status   string `json:"status" validate:"required" enums:"accepted" example:"accepted"`
} //@name Accepted

// FromReceipt returns the answer to an accepted message.
func FromReceipt(t *domain.Tenant, r *domain.Receipt) Accepted {
	return Accepted{ID: r.ID.String(), TenantID: t.ID.String(), Status: StatusAccepted}
}

// Message is a stored message.
type Message struct {
	ID       string `json:"id" validate:"required" format:"uuid" example:"0197a3a3-11d2-7a51-9a3e-0242ac120003"`
	TenantID string `json:"tenant_id" validate:"required" format:"uuid" example:"0197a3a2-7d2c-7c3e-8f7e-0242ac120002"`
	// Seq is the position in the tenant's history: 1, 2, 3, ... without holes.
	Seq int64 `json:"seq" validate:"required" example:"1"`
	// Type is what kind of message it is, and left out where it has none. By AMQP it may be any text.
	Type string `json:"type,omitempty" example:"order.created"`
	// OrderingKey names the messages among which order matters, and is left out where there is none.
	OrderingKey string `json:"ordering_key,omitempty" example:"order-1842"`
	// Headers are those that it was published with, and left out where there are none.
	Headers map[string]string `json:"headers,omitempty" example:"source:shop"`
	// Payload is the JSON value that was published.
	Payload json.RawMessage `json:"payload" validate:"required" swaggertype:"object,string" example:"text:hello"`
	// CreatedAt is when the message was stored.
	CreatedAt time.Time `json:"created_at" validate:"required" format:"date-time" example:"2026-11-21T10:00:00.123456Z"`
} //@name Message

// FromMessage returns a stored message.
func FromMessage(m *domain.Message) Message {
	return Message{
		ID: m.ID.String(), TenantID: m.TenantID.String(), Seq: m.Seq,
		Type: m.Type, OrderingKey: m.OrderingKey, Headers: m.Headers,
		Payload: m.Payload, CreatedAt: m.CreatedAt.UTC(),
	}
}

// EncodeMessage returns the JSON of a stored message in three pieces, of which the
// middle one is the payload in the memory of m, which must not be used afterwards.
func EncodeMessage(m *domain.Message) (head, payload, tail []byte) {
	return AppendMessageHead(nil, m), PayloadOf(m), append(AppendMessageTail(nil, m), '}')
}

// MessagePage is a page of a tenant's history.
type MessagePage struct {
	Data []Message `json:"data" validate:"required"`
	// NextCursor begins the next page; "" at the end.
	NextCursor string `json:"next_cursor" validate:"required" example:""`
	// LastCursor says where to go on later.
	LastCursor string `json:"last_cursor" validate:"required" example:"1"`
} //@name MessagePage

// HistoryCursors returns the cursors of a page of a tenant's history: seq is
// that of its last message, 0 when it is empty, and end the part that was read
// last.
func HistoryCursors(q *domain.HistoryQuery, seq int64, end *domain.HistoryPage) (nextCursor, lastCursor string) {
	if seq == 0 {
		seq = end.End(*q)
	}
	return cursors(strconv.FormatInt(seq, 10), end.More, "")
}

func payloadMissing() error {
	return domain.WithFields(domain.FieldError{Pointer: "/payload", Message: "is required; null is a payload, leaving it out is not"})
}

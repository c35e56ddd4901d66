package model

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"lanekeeper/domain"
)

// DeadLetter is a message that was given up.
type DeadLetter struct {
	// ID names the letter within its tenant; later ones have higher ids.
	ID       int64  `json:"id" validate:"required" format:"int64" example:"17"`
	TenantID string `json:"tenant_id" validate:"required" format:"uuid" example:"0197a3a2-7d2c-7c3e-8f7e-0242ac120002"`
	// MessageID is the id the message had, which need not be a UUID; "" for
	// none.
	MessageID string `json:"message_id" validate:"required" example:"0197a3a3-11d2-7a51-9a3e-0242ac120003"`
	// Reason is why it was given up; unknown for what came to the dead-letter
	// queue from elsewhere.
	Reason string `json:"reason" validate:"required" enums:"invalid_payload,invalid_headers,id_conflict,not_storable,delivery_failed,transmit_failed,endpoint_paused,unknown" example:"invalid_payload"`
	// Error says what went wrong.
	Error    string `json:"error" validate:"required" example:"not JSON at byte 0"`
	Attempts int    `json:"attempts" validate:"required" example:"1"`
	// EndpointID and Seq are the endpoint that did not take the message, and the
	// message's place in the history; null for letters with other reasons than
	// delivery_failed.
	EndpointID *string `json:"endpoint_id" validate:"required" format:"uuid" extensions:"x-nullable" example:"0197a3a4-7d2c-7c3e-8f7e-0242ac120004"`
	Seq        *int64  `json:"seq" validate:"required" format:"int64" extensions:"x-nullable" example:"1842"`
	// Type is the type that it came with, and left out where it had none.
	Type string `json:"type,omitempty" example:"order.created"`
	// OrderingKey is left out where there is none that a message can have.
	OrderingKey string `json:"ordering_key,omitempty" example:"order-1842"`
	// Body is the body as it was received, or what was packed in it, when that is a JSON value.
	Body json.RawMessage `json:"body,omitempty" swaggertype:"object,string" example:"text:hello"`
	// BodyBase64 is the body, byte for byte, when it is not.
	BodyBase64 *string `json:"body_base64,omitempty" example:"bm90IGpzb24="`
	// Headers are the headers it came with. Text that is not UTF-8, and bytes,
	// are objects with one member, base64. Of a body that could not be
	// unpacked, x-content-encoding is its encoding.
	Headers   map[string]any `json:"headers" validate:"required" swaggertype:"object"`
	CreatedAt time.Time      `json:"created_at" validate:"required" format:"date-time" example:"2026-11-21T10:00:00.123456Z"`
	// ReplayedAt is when it was last sent again; null for never.
	ReplayedAt *time.Time `json:"replayed_at" validate:"required" format:"date-time" extensions:"x-nullable" example:"2026-11-21T11:00:00Z"`
} //@name DeadLetter

// deadLetterHead and deadLetterTail are what a DeadLetter has before its body,
// and after it.
type deadLetterHead struct {
	ID          int64   `json:"id"`
	TenantID    string  `json:"tenant_id"`
	MessageID   string  `json:"message_id"`
	Reason      string  `json:"reason"`
	Error       string  `json:"error"`
	Attempts    int     `json:"attempts"`
	EndpointID  *string `json:"endpoint_id"`
	Seq         *int64  `json:"seq"`
	Type        string  `json:"type,omitempty"`
	OrderingKey string  `json:"ordering_key,omitempty"`
}

type deadLetterTail struct {
	Headers    map[string]any `json:"headers"`
	CreatedAt  time.Time      `json:"created_at"`
	ReplayedAt *time.Time     `json:"replayed_at"`
}

// EncodeDeadLetter returns the JSON of a DeadLetter in three pieces, of which
// the middle one is its body, in the memory of l or encoded, so that a large one
// is not held twice. The body of l must not be used afterwards.
func EncodeDeadLetter(l *domain.DeadLetter) (head, body, tail []byte, err error) {
	begin := deadLetterHead{
		ID: l.Seq, TenantID: l.TenantID.String(), MessageID: l.MessageID,
		Reason: string(l.Reason), Error: l.Error, Attempts: l.Attempts,
		Type: l.Type, OrderingKey: l.Envelope().OrderingKey,
	}
	if begin.EndpointID = optionalID(l.EndpointID); begin.EndpointID != nil {
		begin.Seq = &l.MessageSeq
	}
	if head, err = encode(begin); err != nil {
		return nil, nil, nil, err
	}
	end := deadLetterTail{Headers: l.Headers, CreatedAt: l.CreatedAt.UTC()}
	if end.Headers == nil {
		end.Headers = map[string]any{}
	}
	if l.Replayed() {
		at := l.ReplayedAt.UTC()
		end.ReplayedAt = &at
	}
	if tail, err = encode(end); err != nil {
		return nil, nil, nil, err
	}
	head = head[:len(head)-1] // the braces between the pieces
	tail[0] = ','
	if utf8.Valid(l.Body) && json.Valid(l.Body) {
		return append(head, `,"body":`...), compactInPlace(l.Body), tail, nil
	}
	return append(head, `,"body_base64":"`...), base64.StdEncoding.AppendEncode(nil, l.Body), append([]byte{'"'}, tail...), nil
}

// encode returns the JSON of a value. Text is not escaped for HTML.
func encode(value any) ([]byte, error) {
	var buf bytes.Buffer
	encoder := json.NewEncoder(&buf)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

// DeadLetterPage is a page of a tenant's dead letters.
type DeadLetterPage struct {
	Data []DeadLetter `json:"data" validate:"required"`
	// NextCursor begins the next page; "" at the end.
	NextCursor string `json:"next_cursor" validate:"required" example:""`
	// LastCursor says where to go on later.
	LastCursor string `json:"last_cursor" validate:"required" example:"17"`
} //@name DeadLetterPage

// DeadLetterCursors returns the cursors of a page of dead letters: seq is that
// of its last letter, 0 when it is empty, and end the part that was read last.
func DeadLetterCursors(q *domain.DeadLetterQuery, seq int64, end *domain.DeadLetterPage) (nextCursor, lastCursor string) {
	if seq == 0 {
		seq = end.End(*q)
	}
	return cursors(strconv.FormatInt(seq, 10), end.More, "")
}

// Replayed is the answer to POST /dead-letters/replay.
type Replayed struct {
	// Replayed is how many letters the broker has confirmed, or are on their way to
	// their endpoint.
	Replayed int `json:"replayed" validate:"required" example:"2"`
	// Skipped is how many others were asked for: unknown, replayed before, without
	// an endpoint or a message to be replayed, or not through in time. They are left
	// as they were.
	Skipped int `json:"skipped" validate:"required" example:"0"`
	// JobID, State, Total and Done are those of the job that does it when more than
	// 1,000 letters are asked for; else they are left out.
	JobID string `json:"job_id,omitempty" format:"uuid" example:"0197a3a5-7d2c-7c3e-8f7e-0242ac120005"`
	State string `json:"state,omitempty" enums:"running,done,canceled" example:"running"`
	Total *int64 `json:"total,omitempty" format:"int64" example:"250000"`
	Done  *int64 `json:"done,omitempty" format:"int64" example:"0"`
} //@name Replayed

// FromReplay returns the answer to a replay.
func FromReplay(r *domain.ReplayResult) Replayed {
	answer := Replayed{Replayed: r.Replayed, Skipped: r.Skipped}
	if j := r.Job; j != nil {
		answer.JobID, answer.State, answer.Total, answer.Done = j.ID.String(), string(j.State), &j.Total, &j.Done
	}
	return answer
}

// Deleted is the answer to DELETE /dead-letters.
type Deleted struct {
	Deleted int64 `json:"deleted" validate:"required" example:"2"`
} //@name Deleted

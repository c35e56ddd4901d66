package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Message is a stored message.
type Message struct {
	ID       string `json:"id"`
	TenantID string `json:"tenant_id"`
	// Seq is its place in the tenant's history: 1, 2, 3, ... without holes.
	Seq         int64             `json:"seq"`
	Type        string            `json:"type,omitempty"`
	OrderingKey string            `json:"ordering_key,omitempty"`
	Headers     map[string]string `json:"headers,omitempty"`
	Payload     json.RawMessage   `json:"payload"`
	// CreatedAt is when it was stored.
	CreatedAt time.Time `json:"created_at"`
}

// NewMessage is a message to be published.
type NewMessage struct {
	// Payload is any JSON value, null included; JSON makes one of a value.
	Payload json.RawMessage
	// Type is what kind of message it is; at most 128 of A-Z, a-z, 0-9, '.', '_', '-'.
	Type string
	// OrderingKey names the messages among which order matters; at most 128 bytes.
	OrderingKey string
	// Headers are at most 20.
	Headers map[string]string
	// IdempotencyKey makes publishing safe to repeat for 24 hours: of several with
	// one key, one is stored. Without one, one is generated.
	IdempotencyKey string
}

// Receipt says that a message was accepted: it is durable, and will be stored.
type Receipt struct {
	ID       string `json:"id"`
	TenantID string `json:"tenant_id"`
	// Replayed: it had been accepted before, with the same key.
	Replayed bool `json:"-"`
	// IdempotencyKey is the one that it was published with.
	IdempotencyKey string `json:"-"`
}

// MessageDetail is a message and what became of its deliveries.
type MessageDetail struct {
	Message

	// TraceID is the trace that the message belongs to, in OpenTelemetry's words; ""
	// where none is known.
	TraceID    string            `json:"trace_id,omitempty"`
	Deliveries []MessageDelivery `json:"deliveries"`
}

// MessageDelivery is the delivery of a message to an endpoint.
type MessageDelivery struct {
	EndpointID string `json:"endpoint_id"`
	// State is pending, retrying, delivered, failed or passed.
	State    string `json:"state"`
	Attempts int    `json:"attempts"`
	// LastStatus is the HTTP status of the last attempt; nil when there was no answer.
	LastStatus    *int       `json:"last_status"`
	NextAttemptAt *time.Time `json:"next_attempt_at"`
}

// Ticket opens a stream for a browser.
type Ticket struct {
	Ticket    string    `json:"ticket"`
	ExpiresAt time.Time `json:"expires_at"`
}

// HistoryOptions says which messages of the history; the zero value is for all, the
// oldest first.
type HistoryOptions struct {
	// After is the seq after which to begin; 0 is before the oldest one that is kept.
	After int64
	// Descending: the newest first, and After means nothing.
	Descending bool
	// Before is, with Descending, the seq before which to begin; 0 for the newest.
	Before int64
	// Limit is how many messages at most; 0 for any number.
	Limit int
	// PageSize is how many are fetched at a time, 1 to 1000; 0 for 500.
	PageSize int
	// Follow goes on with what is stored from then on, as Stream does. It is not for
	// Descending.
	Follow bool
}

const defaultPageSize = 500

// JSON returns a value as JSON, to be published.
func JSON(value any) (json.RawMessage, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, fmt.Errorf("encode as JSON: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Publish publishes a message for the client's tenant. When it returns a receipt the
// message is durable. When the error is one of the connection or the context, or 503,
// it may be published or not, and publishing it again with the same key makes sure: a
// caller that wants to do that gives it one.
func (c *Client) Publish(ctx context.Context, m NewMessage) (*Receipt, error) {
	key := c.api.keyFor(m.IdempotencyKey)
	body, err := appendMessage(nil, &m, "")
	if err != nil {
		return nil, err
	}
	r := call{method: http.MethodPost, path: "/messages", tenant: c.tenant, key: key, body: body, media: jsonType}
	r.again = r.repeatable()
	receipt := new(Receipt)
	got, err := c.api.exchange(ctx, &r, receipt)
	if err != nil {
		return nil, err
	}
	receipt.Replayed = got.header.Get("Idempotent-Replayed") == "true"
	receipt.IdempotencyKey = key
	return receipt, nil
}

// PublishValue publishes a value as JSON.
func (c *Client) PublishValue(ctx context.Context, value any) (*Receipt, error) {
	payload, err := JSON(value)
	if err != nil {
		return nil, err
	}
	return c.Publish(ctx, NewMessage{Payload: payload})
}

// PublishBatch publishes messages for the client's tenant, in as few calls as
// possible, one after the other. There is a result for each message, in their order.
// The error is nil when all were accepted, else a *PublishError. A message that is
// refused does not keep the others from being published; those that the service could
// not take at the moment are tried again, behind the rest of their call.
func (c *Client) PublishBatch(ctx context.Context, messages []NewMessage) ([]Published, error) {
	return publishAll(ctx, c.api, c.tenant, messages)
}

// NewPublisher returns a publisher for the client's tenant. It lives until Close, or
// until ctx ends, which cuts off the calls that are under way.
func (c *Client) NewPublisher(ctx context.Context, o PublisherOptions) *Publisher {
	return newPublisher(ctx, c.api, c.tenant, o)
}

// Message returns one message of the client's tenant.
func (c *Client) Message(ctx context.Context, id string) (*MessageDetail, error) {
	return fetch[MessageDetail](ctx, c.api, &call{method: http.MethodGet, path: join("messages", id), tenant: c.tenant, again: always})
}

// MessageByMessageID returns the message that an AMQP client sent with this property
// message_id.
func (c *Client) MessageByMessageID(ctx context.Context, messageID string) (*MessageDetail, error) {
	return fetch[MessageDetail](ctx, c.api, &call{method: http.MethodGet, path: join("messages", "by-message-id", messageID), tenant: c.tenant, again: always})
}

// ExplainMessage says where a message of the client's tenant is, stored or not, and why it
// is not further.
func (c *Client) ExplainMessage(ctx context.Context, id string) (*MessageExplanation, error) {
	return fetch[MessageExplanation](ctx, c.api, &call{method: http.MethodGet, path: join("messages", id, "explain"), tenant: c.tenant, again: always})
}

// MessageAttempts yields the attempts to deliver a message, the newest first.
func (c *Client) MessageAttempts(ctx context.Context, id string, o AttemptOptions) iter.Seq2[Attempt, error] {
	return pages[Attempt](ctx, c.api, &call{path: join("messages", id, "attempts"), tenant: c.tenant, query: o.query()})
}

// StreamTicket returns a ticket for the stream of the client's tenant.
func (c *Client) StreamTicket(ctx context.Context) (*Ticket, error) {
	return fetch[Ticket](ctx, c.api, &call{method: http.MethodPost, path: "/messages/stream/tickets", tenant: c.tenant, again: always})
}

// History yields the messages of the client's tenant. It misses none, and yields none
// twice, also while messages are stored. After has to be one that is kept
// (CodeCursorExpired).
func (c *Client) History(ctx context.Context, o HistoryOptions) iter.Seq2[Message, error] {
	r := &call{path: "/messages", tenant: c.tenant, query: o.query()}
	return func(yield func(Message, error) bool) {
		left, last := o.Limit, o.After
		for m, err := range pages[Message](ctx, c.api, r) {
			if !yield(m, err) || err != nil {
				return
			}
			last = m.Seq
			if left--; left == 0 {
				return
			}
		}
		if !o.Follow || o.Descending {
			return
		}
		for m, err := range c.Stream(ctx, StreamOptions{After: last}) {
			if !yield(m, err) || err != nil {
				return
			}
			if left--; left == 0 {
				return
			}
		}
	}
}

// Stream yields the messages of the client's tenant as they are stored, in the order of
// seq, without a hole and without repetition. It connects again whenever the
// connection ends, or is silent for 45 seconds, and goes on where it was. WithAttempts
// tells of it.
//
// It ends with the context, and yields the context's error; or with the first refusal
// that waiting does not help: *Error, such as CodeCursorAhead (409) for an After that
// is ahead of the history, and CodeCursorExpired (410) for one that is not kept any
// longer. That the service cannot be reached ends it only at the beginning, as any
// other call; once it was open, it tries for ever.
func (c *Client) Stream(ctx context.Context, o StreamOptions) iter.Seq2[Message, error] {
	return follow(ctx, c.api, c.tenant, o)
}

func (o *HistoryOptions) query() url.Values {
	size := o.PageSize
	if size == 0 {
		size = defaultPageSize
	}
	if o.Limit > 0 {
		size = min(size, o.Limit)
	}
	cursor := o.After
	q := listing("", size)
	if o.Descending {
		q.Set("order", "desc")
		cursor = o.Before
	}
	if cursor > 0 {
		q.Set("cursor", strconv.FormatInt(cursor, 10))
	}
	return q
}

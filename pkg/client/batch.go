package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"lanekeeper/pkg/backoff"
)

const (
	jsonType   = "application/json"
	ndjsonType = "application/x-ndjson"

	// MaxBatchMessages is how many messages the service takes in one call.
	MaxBatchMessages = 1000
	// DefaultBatchBytes is how large a batch gets: well below what the service takes,
	// so that many can be under way at a time.
	DefaultBatchBytes = 4 << 20
)

// Published is what became of a message.
type Published struct {
	// Index is the message's place: in the list, or among the calls of
	// Publisher.Publish, from 0.
	Index int64
	// IdempotencyKey is the one that it was published with; "" for none.
	IdempotencyKey string
	// ID is that of an accepted message.
	ID string
	// Replayed: it had been accepted before, with the same key.
	Replayed bool
	// Err is nil for an accepted message. An *Error is the refusal of the message, or
	// of the batch that it was in. After any other, and after status 503, it is not
	// known whether the message was published; publishing it again with its key makes sure.
	Err error
}

// PublishError says that some messages were not accepted. It wraps the error of the
// first one.
type PublishError struct {
	// Failed is how many, of Total.
	Failed, Total int64
	// First is the error of the first one.
	First error
}

// Error implements error.
func (e *PublishError) Error() string {
	return fmt.Sprintf("%d of %d messages were not accepted: %v", e.Failed, e.Total, e.First)
}

// Unwrap returns the error of the first message.
func (e *PublishError) Unwrap() error { return e.First }

// tally counts what becomes of messages.
type tally struct {
	total, failed int64
	first         error
}

func (t *tally) add(p *Published) {
	t.total++
	if p.Err != nil {
		if t.failed++; t.first == nil {
			t.first = p.Err
		}
	}
}

func (t *tally) err() error {
	if t.failed == 0 {
		return nil
	}
	return &PublishError{t.failed, t.total, t.first}
}

// publishAll publishes messages in as few calls as possible; see Client.PublishBatch.
func publishAll(ctx context.Context, c *caller, tenant string, messages []NewMessage) ([]Published, error) {
	results := make([]Published, len(messages))
	var sum tally
	var b batch
	flush := func() {
		b.publish(ctx, c, tenant, 0)
		for i := range b.items {
			results[b.items[i].Index] = b.items[i]
		}
		b.reset()
	}
	var line []byte
	for i := range messages {
		m := &messages[i]
		item := Published{Index: int64(i), IdempotencyKey: c.keyFor(m.IdempotencyKey)}
		plain := m.bare() && item.IdempotencyKey == ""
		if line, item.Err = appendLine(line[:0], m, item.IdempotencyKey, plain); item.Err != nil {
			results[i] = item
			continue
		}
		if !b.fits(line, plain, MaxBatchMessages, DefaultBatchBytes) {
			flush()
		}
		b.add(item, line, plain)
	}
	if len(b.items) > 0 {
		flush()
	}
	for i := range results {
		sum.add(&results[i])
	}
	return results, sum.err()
}

// batch is messages that are published in one call, as lines of JSON.
type batch struct {
	// seq counts the batches of a publisher.
	seq   int64
	items []Published
	body  []byte
	ends  []int // of the lines in body, by item
	// plain: the lines are payloads; else they are messages.
	plain bool
	// keyless: some have no key, so that nothing may be tried again that may have
	// been carried out.
	keyless bool
}

// fits reports whether a line can be added.
func (b *batch) fits(line []byte, plain bool, messages, size int) bool {
	return len(b.items) == 0 || b.plain == plain && len(b.items) < messages && len(b.body)+len(line) <= size
}

func (b *batch) add(item Published, line []byte, plain bool) {
	b.plain = plain
	b.keyless = b.keyless || item.IdempotencyKey == ""
	b.items = append(b.items, item)
	b.body = append(b.body, line...)
	b.ends = append(b.ends, len(b.body))
}

func (b *batch) reset() {
	*b = batch{items: b.items[:0], body: b.body[:0], ends: b.ends[:0]}
}

func (b *batch) line(i int) []byte {
	begin := 0
	if i > 0 {
		begin = b.ends[i-1]
	}
	return b.body[begin:b.ends[i]]
}

// batchAnswer is what the service says of a batch.
type batchAnswer struct {
	Results []struct {
		Index    int    `json:"index"`
		ID       string `json:"id"`
		Status   string `json:"status"`
		Replayed bool   `json:"replayed"`
		Error    *Error `json:"error"`
	} `json:"results"`
}

// publish publishes the messages and says in the items what became of them. For how
// long it tries again is as for call.
func (b *batch) publish(ctx context.Context, c *caller, tenant string, retryFor time.Duration) {
	begun := time.Now()
	pauses := backoff.New(firstPause, longestPause)
	limit := c.retryFor
	if retryFor > 0 {
		limit = retryFor
	}
	r := call{method: http.MethodPost, path: "/messages/batch", tenant: tenant, media: ndjsonType, retryFor: retryFor}
	if !b.plain {
		r.query = url.Values{"envelope": {"true"}}
	}
	if !b.keyless {
		r.again = always
	}
	open := make([]int, len(b.items)) // items that are to be published
	for i := range open {
		open[i] = i
	}
	r.body = b.body
	for {
		var answer batchAnswer
		err := c.do(ctx, &r, &answer)
		if err == nil && len(answer.Results) != len(open) {
			err = fmt.Errorf("the answer has %d results for %d messages", len(answer.Results), len(open))
		}
		if err != nil {
			for _, i := range open {
				b.items[i].Err = err
			}
			return
		}
		var later []int
		var reason error
		for at, i := range open {
			item, got := &b.items[i], &answer.Results[at]
			item.ID, item.Replayed, item.Err = got.ID, got.Replayed, nil
			if got.Status == "accepted" {
				continue
			}
			item.Err = refusal(got.Error)
			if again(r.again, item.Err) {
				later, reason = append(later, i), item.Err
			}
		}
		wait := pauses.Next()
		if len(later) == 0 || time.Since(begun)+wait > limit {
			return
		}
		c.report(&r, reason, wait)
		if backoff.Sleep(ctx, wait) != nil {
			return
		}
		var body []byte
		for _, i := range later {
			body = append(body, b.line(i)...)
		}
		open, r.body = later, body
	}
}

// refusal returns the error of a message; e is nil where the service gave none.
func refusal(e *Error) error {
	if e == nil {
		return errors.New("refused without a reason")
	}
	return e
}

// bare reports whether the message is nothing but a payload.
func (m *NewMessage) bare() bool { return m.Type == "" && m.OrderingKey == "" && len(m.Headers) == 0 }

// appendLine appends a message, or its payload alone, and a line feed.
func appendLine(b []byte, m *NewMessage, key string, plain bool) ([]byte, error) {
	var err error
	if plain {
		b, err = appendPayload(b, m.Payload)
	} else {
		b, err = appendMessage(b, m, key)
	}
	return append(b, '\n'), err
}

// appendMessage appends a message as JSON without line feeds. The key is left out
// when it is empty.
func appendMessage(b []byte, m *NewMessage, key string) ([]byte, error) {
	b, err := appendPayload(append(b, `{"payload":`...), m.Payload)
	if err != nil {
		return b, err
	}
	b = appendField(b, `,"type":`, m.Type)
	b = appendField(b, `,"ordering_key":`, m.OrderingKey)
	b = appendField(b, `,"idempotency_key":`, key)
	if len(m.Headers) > 0 {
		headers, err := json.Marshal(m.Headers)
		if err != nil {
			return b, fmt.Errorf("encode headers: %w", err)
		}
		b = append(append(b, `,"headers":`...), headers...)
	}
	return append(b, '}'), nil
}

// appendPayload appends a JSON value without line feeds.
func appendPayload(b []byte, payload json.RawMessage) ([]byte, error) {
	if !json.Valid(payload) {
		return b, ErrNotJSON
	}
	if bytes.IndexByte(payload, '\n') < 0 && bytes.IndexByte(payload, '\r') < 0 {
		return append(b, payload...), nil
	}
	compact := bytes.NewBuffer(b)
	if err := json.Compact(compact, payload); err != nil {
		return b, ErrNotJSON
	}
	return compact.Bytes(), nil
}

// appendField appends a field that has text.
func appendField(b []byte, name, text string) []byte {
	if text == "" {
		return b
	}
	b = append(b, name...)
	for i := range len(text) {
		if c := text[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(text) // text can always be encoded
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), text...), '"')
}

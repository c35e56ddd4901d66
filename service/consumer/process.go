package consumer

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/jsonb"
)

const (
	buryTimeout = 5 * time.Second
	// clockSkew is how far the clocks of replicas and of the database may be
	// apart.
	clockSkew = time.Minute
	// longestWait is more than the largest bucket of the metric, so that what
	// took longer counts there, and bounds what a single message adds to its sum.
	longestWait = 24 * time.Hour
	// maxErrorText bounds the error text that a dead letter carries, in bytes.
	maxErrorText = 500
)

// process stores a chunk of deliveries and buries what cannot be stored. What
// is stored is offered to next, which returns true when it takes care of the
// delivery. It calls finished with the tags of the others that are done; those
// it could not finish before ctx ended are left to be delivered again.
func (c *consumer) process(ctx context.Context, chunk []domain.Delivery, next func(stored) bool, finished func([]uint64)) {
	messages := make([]domain.Message, 0, len(chunk))
	sources := make([]int, 0, len(chunk))
	var letters []domain.DeadLetter
	var letterTags []uint64
	bury := func(d *domain.Delivery, reason domain.DeadLetterReason, text string) {
		letters = append(letters, c.deadLetter(d, reason, text))
		letterTags = append(letterTags, d.Tag)
	}
	for i := range chunk {
		d := &chunk[i]
		if d.Refusal.Reason != "" {
			bury(d, d.Refusal.Reason, d.Refusal.Error)
			continue
		}
		if err := jsonb.Check(d.Body); err != nil {
			bury(d, domain.ReasonInvalidPayload, err.Error())
			continue
		}
		messages = append(messages, domain.Message{ID: c.messageID(d), TenantID: c.tenant, Payload: d.Body})
		sources = append(sources, i)
	}
	if len(messages) > 0 {
		results, err := c.shared.Writer.Store(ctx, messages)
		if err != nil {
			return // aborted; nothing is acknowledged
		}
		tags := make([]uint64, 0, len(results))
		var counts outcomeCounts
		now := time.Now()
		for i, r := range results {
			d := &chunk[sources[i]]
			switch {
			case r.Err != nil:
				bury(d, domain.ReasonNotStorable, r.Err.Error())
				continue
			case r.Outcome == domain.AppendConflict:
				bury(d, domain.ReasonIDConflict, "another payload is stored under this message id")
				continue
			case r.Outcome == domain.AppendStored:
				c.observeEndToEnd(d, now)
			}
			counts[r.Outcome]++
			if r.Outcome != domain.AppendNoTenant && next(stored{*d, messages[i], r.Outcome == domain.AppendDuplicate}) {
				continue
			}
			tags = append(tags, d.Tag)
		}
		c.count(counts)
		if len(tags) > 0 {
			finished(tags)
		}
	}
	for i := range letters {
		if !c.bury(ctx, &letters[i]) {
			return
		}
		finished([]uint64{letterTags[i]})
	}
}

// observeEndToEnd counts how long a message took that this service published.
// Whatever else is in the queue says nothing about that, and whoever may publish
// there may claim anything: a time before the tenant was made, or one to come,
// is not counted, and none as more than the longest that makes a difference.
func (c *consumer) observeEndToEnd(d *domain.Delivery, now time.Time) {
	at := d.PublishedHere
	if at.IsZero() || at.Before(c.created.Add(-clockSkew)) || at.After(now.Add(clockSkew)) {
		return
	}
	c.shared.Metrics.ObserveEndToEnd(min(max(0, now.Sub(at)), longestWait).Seconds())
}

// messageID returns the id under which a delivery is stored. A message id
// that is no UUID becomes a UUIDv5 within the tenant, so that it stays the
// same when the message is delivered again; without one an id is made up, and
// the message is stored at least once.
func (c *consumer) messageID(d *domain.Delivery) uuid.UUID {
	if d.MessageID == "" {
		return uuid.Must(uuid.NewV7())
	}
	if id, err := domain.ParseID(d.MessageID); err == nil {
		return id
	}
	return uuid.NewSHA1(c.tenant, []byte(d.MessageID))
}

// letterID returns the id of the dead letter that a delivery becomes. It is the
// same however often the message is delivered: it may be buried, and its
// acknowledgement be lost. The reason is no part of it, because the endpoint may
// be paused by the time it is delivered again. The body is, because others may
// publish anything under the same id at the same time. What is replayed is
// published anew, at another time, and becomes a letter of its own; and so does
// every delivery without a message id.
func (c *consumer) letterID(d *domain.Delivery) uuid.UUID {
	if d.MessageID == "" {
		return uuid.Must(uuid.NewV7())
	}
	var published int64
	if !d.Published.IsZero() {
		published = d.Published.UnixMilli()
	}
	body := sha256.Sum256(d.Body)
	name := binary.BigEndian.AppendUint64(body[:], uint64(published))
	return uuid.NewSHA1(c.tenant, append(name, d.MessageID...))
}

func (c *consumer) deadLetter(d *domain.Delivery, reason domain.DeadLetterReason, text string) domain.DeadLetter {
	return domain.DeadLetter{
		ID: c.letterID(d), TenantID: c.tenant, MessageID: d.MessageID,
		Body: d.Body, Headers: domain.LetterHeaders(d), Reason: reason,
		Error: strings.ToValidUTF8(text[:min(len(text), maxErrorText)], ""), Attempts: 1,
	}
}

// bury publishes a dead letter, and tries on until it is confirmed or ctx
// ends.
func (c *consumer) bury(ctx context.Context, letter *domain.DeadLetter) bool {
	for wait := minResubscribe; ; wait = min(2*wait, maxResubscribe) {
		buryCtx, cancel := context.WithTimeout(ctx, buryTimeout)
		err := c.shared.Publisher.Bury(buryCtx, *letter)
		cancel()
		if err == nil {
			c.shared.Metrics.AddMessages(c.tenant, "dead_lettered", 1)
			c.shared.Log.WarnContext(ctx, "message dead-lettered",
				slog.String("message_id", letter.MessageID), slog.String("reason", string(letter.Reason)))
			c.letters.kick()
			return true
		}
		if !errors.Is(err, context.Canceled) {
			c.shared.Log.WarnContext(ctx, "dead letter not confirmed, trying on", slog.Any("error", err))
		}
		if errors.Is(err, domain.ErrQueueMissing) && c.shared.QueueMissing != nil {
			c.shared.QueueMissing(c.tenant)
		}
		select {
		case <-time.After(jitter(wait)):
		case <-ctx.Done():
			return false
		}
	}
}

// outcomeCounts counts results by domain.AppendOutcome.
type outcomeCounts [domain.AppendNoTenant + 1]int

func (c *consumer) count(counts outcomeCounts) {
	names := [...]string{
		domain.AppendStored: "stored", domain.AppendDuplicate: "duplicate",
		domain.AppendNoTenant: "discarded",
	}
	for outcome, n := range counts {
		if n > 0 {
			c.shared.Metrics.AddMessages(c.tenant, names[outcome], n)
		}
	}
}

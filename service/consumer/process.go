package consumer

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/backoff"
	"lanekeeper/pkg/jsonb"
)

const (
	deadLetterTimeout = 5 * time.Second
	// clockSkew is how far the clocks of replicas and of the database may be
	// apart.
	clockSkew = time.Minute
	// longestDelay is more than the largest bucket of the metric, so that what
	// took longer counts there, and bounds what a single message adds to its sum.
	longestDelay = 24 * time.Hour
	// maxErrorText bounds the error text that a dead letter carries, in bytes.
	maxErrorText = 500
)

// processor makes messages of one tenant's deliveries and has them stored, or
// makes dead letters of them. It is safe for concurrent use by the workers.
type processor struct {
	shared  *shared
	tenant  uuid.UUID
	created time.Time // the tenant
	// letters collects the dead letters; set before the first session.
	letters domain.DeadLetterCollection
	// oldest is told what was stored.
	oldest oldest
}

// process stores a chunk of deliveries and dead-letters what cannot be stored. What
// is stored already may have come back from an earlier version of the service, and is
// taken care of then. It calls finished with the tags of those that are done; those it
// could not finish before ctx ended are left to be delivered again.
func (p *processor) process(ctx context.Context, chunk []domain.Delivery, finished func([]uint64)) {
	messages := make([]domain.Message, 0, len(chunk))
	sources := make([]int, 0, len(chunk))
	var letters []domain.DeadLetter
	var letterTags []uint64
	var back cameBack
	var traced spans
	giveUp := func(d *domain.Delivery, reason domain.DeadLetterReason, text string) {
		letters = append(letters, p.newLetter(d, reason, text))
		letterTags = append(letterTags, d.Tag)
	}
	refuse := func(d *domain.Delivery, reason domain.DeadLetterReason, text string) {
		if p.shared.Traces != nil {
			recordRefused(ctx, p.shared.Traces, p.tenant, d, reason)
		}
		giveUp(d, reason, text)
	}
	for i := range chunk {
		d := &chunk[i]
		if d.Refusal.Reason != "" {
			refuse(d, d.Refusal.Reason, d.Refusal.Error)
			continue
		}
		if err := jsonb.Check(d.Body); err != nil {
			refuse(d, domain.ReasonInvalidPayload, err.Error())
			continue
		}
		envelope, err := domain.ReadEnvelope(d.Type, d.Headers)
		if err != nil {
			back.unreadable = append(back.unreadable, unreadable{d, p.messageID(d), err.Error()})
			continue
		}
		messages = append(messages, domain.Message{
			ID: p.messageID(d), TenantID: p.tenant, Type: envelope.Type, OrderingKey: envelope.OrderingKey, Headers: envelope.Headers,
			Payload: d.Body,
		})
		sources = append(sources, i)
		if p.shared.Traces != nil {
			traced = traced.with(len(messages)-1, beginSpan(ctx, p.shared.Traces, d, &messages[len(messages)-1]))
		}
	}
	if len(messages) > 0 {
		results, err := p.shared.Writer.Store(ctx, messages)
		if err != nil {
			traced.abandon()
			return // aborted; nothing is acknowledged
		}
		tags := make([]uint64, 0, len(results))
		var counts outcomeCounts
		now := time.Now()
		for i, r := range results {
			d := &chunk[sources[i]]
			traced.end(i, &r)
			switch {
			case r.Err != nil:
				giveUp(d, domain.ReasonNotStorable, r.Err.Error())
				continue
			case r.Outcome == domain.AppendConflict:
				giveUp(d, domain.ReasonIDConflict, "another message is stored under this message id")
				continue
			}
			published := p.publishedAt(d, now)
			if r.Outcome == domain.AppendStored && !published.IsZero() {
				p.shared.Metrics.ObserveEndToEnd(min(max(0, now.Sub(published)), longestDelay).Seconds())
			}
			p.oldest.stored(published)
			counts[r.Outcome]++
			if r.Outcome == domain.AppendDuplicate {
				back.duplicates, back.tags = append(back.duplicates, messages[i]), append(back.tags, d.Tag)
				continue
			}
			tags = append(tags, d.Tag)
		}
		p.count(counts)
		if len(tags) > 0 {
			finished(tags)
		}
	}
	if !p.takeBack(ctx, &back, finished, func(u unreadable) { refuse(u.delivery, domain.ReasonInvalidHeaders, u.why) }) {
		return
	}
	for i := range letters {
		if !p.deadLetter(ctx, &letters[i]) {
			return
		}
		finished([]uint64{letterTags[i]})
	}
}

// publishedAt returns when this service published a message, or zero. What others
// publish to the queue may claim anything: a time before the tenant was made, or one in
// the future, does not count.
func (p *processor) publishedAt(d *domain.Delivery, now time.Time) time.Time {
	at := d.PublishedHere
	if at.IsZero() || at.Before(p.created.Add(-clockSkew)) || at.After(now.Add(clockSkew)) {
		return time.Time{}
	}
	return at
}

// messageID returns the id under which a delivery is stored. Without one an id is
// made up, and the message is stored at least once.
func (p *processor) messageID(d *domain.Delivery) uuid.UUID {
	if d.MessageID == "" {
		return uuid.Must(uuid.NewV7())
	}
	return domain.StoredMessageID(p.tenant, d.MessageID)
}

// letterID returns the id of the dead letter that a delivery becomes. It is the
// same however often the message is delivered: its acknowledgement may be lost
// after it was dead-lettered. The reason is no part of it, because another version
// of the service may find another one. The body is, and with it the type and the
// headers, because others may publish anything under the same id at the same
// time. What is replayed is
// published anew, at another time, and becomes a letter of its own; and so does
// every delivery without a message id.
func (p *processor) letterID(d *domain.Delivery) uuid.UUID {
	if d.MessageID == "" {
		return uuid.Must(uuid.NewV7())
	}
	var published int64
	if !d.Published.IsZero() {
		published = d.Published.UnixMilli()
	}
	body := sha256.Sum256(d.Body)
	name := binary.BigEndian.AppendUint64(body[:], uint64(published))
	name = append(name, d.MessageID...)
	if d.Type != "" {
		name = fmt.Appendf(name, "\x00%q", d.Type)
	}
	for _, header := range slices.Sorted(maps.Keys(d.Headers)) {
		if header == domain.HeaderOrderingKey || !domain.ReservedHeader(header) { // the broker's change
			name = fmt.Appendf(name, "\x00%q %v", header, d.Headers[header])
		}
	}
	return uuid.NewSHA1(p.tenant, name)
}

// newLetter returns the dead letter that a delivery becomes.
func (p *processor) newLetter(d *domain.Delivery, reason domain.DeadLetterReason, text string) domain.DeadLetter {
	return domain.DeadLetter{
		ID: p.letterID(d), TenantID: p.tenant, MessageID: d.MessageID,
		Type: d.Type, Body: d.Body, Headers: domain.LetterHeaders(d), Reason: reason,
		Error: strings.ToValidUTF8(text[:min(len(text), maxErrorText)], ""), Attempts: 1,
	}
}

// deadLetter publishes a dead letter, and tries on until it is confirmed or ctx
// ends, when it returns false.
func (p *processor) deadLetter(ctx context.Context, letter *domain.DeadLetter) bool {
	ctx = inTrace(ctx, p.shared.Traces, letter.Headers)
	retries := backoff.New(minResubscribe, maxResubscribe)
	for {
		limited, cancel := context.WithTimeout(ctx, deadLetterTimeout)
		err := p.shared.Publisher.DeadLetter(limited, *letter)
		cancel()
		if err == nil {
			p.shared.Metrics.AddMessages(p.tenant, "dead_lettered", 1)
			p.shared.Log.WarnContext(ctx, "message dead-lettered",
				slog.String("message_id", letter.MessageID), slog.String("reason", string(letter.Reason)))
			p.letters.Notify()
			return true
		}
		if !errors.Is(err, context.Canceled) {
			p.shared.Log.WarnContext(ctx, "dead letter not confirmed, trying on", slog.Any("error", err))
		}
		if errors.Is(err, domain.ErrQueueMissing) && p.shared.QueueMissing != nil {
			p.shared.QueueMissing(p.tenant)
		}
		if retries.Wait(ctx) != nil {
			return false
		}
	}
}

// outcomeCounts counts results by domain.AppendOutcome.
type outcomeCounts [domain.AppendNoTenant + 1]int

func (p *processor) count(counts outcomeCounts) {
	for outcome, n := range counts {
		if n > 0 {
			p.shared.Metrics.AddMessages(p.tenant, outcomeName(domain.AppendOutcome(outcome)), n)
		}
	}
}

// outcomeName returns what the metrics call an outcome.
func outcomeName(outcome domain.AppendOutcome) string {
	switch outcome {
	case domain.AppendDuplicate:
		return "duplicate"
	case domain.AppendNoTenant:
		return "discarded"
	case domain.AppendStored, domain.AppendConflict:
	}
	return "stored"
}

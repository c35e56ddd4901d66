package message

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/jsonb"
)

// claimRetryAfter is what callers are told when their key could not be
// claimed.
const claimRetryAfter = 2 * time.Second

// publication is one call of Publish on its way. A message is answered once
// its receipt has an error or is marked as replayed.
type publication struct {
	tenantID uuid.UUID
	subs     []domain.Submission
	receipts []domain.Receipt
	// keyed are the positions of the messages that claim a key, in order.
	keyed []keyed
	// repeats maps the position of a message whose key occurred earlier in
	// the same call to the position where it did.
	repeats map[int]int
}

type keyed struct {
	at   int
	hash [32]byte
}

// check answers the messages that cannot be published and sorts out the keys.
func (p *publication) check() {
	var scratch []byte
	var first map[string]keyed
	for i, sub := range p.subs {
		compact, err := checkSubmission(sub)
		if err != nil {
			p.receipts[i].Err = err
			continue
		}
		if sub.IdempotencyKey == "" {
			continue
		}
		payload := sub.Payload
		if !compact {
			scratch = jsonb.Compact(scratch[:0], payload)
			payload = scratch
		}
		k := keyed{at: i, hash: hashOf(payload, sub.Envelope())}
		earlier, again := first[sub.IdempotencyKey]
		switch {
		case !again:
			if first == nil {
				first = make(map[string]keyed, len(p.subs))
				p.repeats = make(map[int]int)
			}
			first[sub.IdempotencyKey] = k
			p.keyed = append(p.keyed, k)
		case earlier.hash == k.hash:
			p.repeats[i] = earlier.at
		default:
			p.receipts[i].Err = domain.IdempotencyMismatch()
		}
	}
}

// checkSubmission returns what is wrong with a message, else whether its payload
// is compact.
func checkSubmission(sub domain.Submission) (compact bool, err error) {
	compact, err = jsonb.Scan(sub.Payload)
	if err != nil {
		return false, payloadError(err)
	}
	envelope := sub.Envelope()
	if err := envelope.Check(); err != nil {
		return false, err //nolint:wrapcheck // names the fields
	}
	if sub.IdempotencyKey != "" {
		return compact, domain.CheckIdempotencyKey(sub.IdempotencyKey, "/idempotency_key")
	}
	return compact, nil
}

// hashOf returns the hash of a message with a key: that of its compact payload
// where it has nothing else, as versions did that knew nothing else, so that
// their keys go on to hold. No payload begins with the byte that begins the
// other form.
func hashOf(payload []byte, e domain.Envelope) [32]byte {
	hash := sha256.Sum256(payload)
	if e.Empty() {
		return hash
	}
	text := append(make([]byte, 0, 64+e.Size()), 0)
	text = append(text, hash[:]...)
	for _, part := range []string{e.Type, e.OrderingKey} {
		text = appendPart(text, part)
	}
	for _, name := range slices.Sorted(maps.Keys(e.Headers)) {
		text = appendPart(appendPart(text, name), e.Headers[name])
	}
	return sha256.Sum256(text)
}

// appendPart appends a text and before it its length, which keeps it apart from
// the next.
func appendPart(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

func payloadError(err error) error {
	var e *jsonb.Error
	if !errors.As(err, &e) {
		return err
	}
	kind := domain.ErrInvalid
	if e.Code == jsonb.CodeTooLarge {
		kind = domain.ErrTooLarge
	}
	problem := domain.New(kind, string(e.Code), e.Message)
	problem.Fields = []domain.FieldError{{Pointer: "/payload", Message: fmt.Sprintf("is not acceptable at byte %d", e.Offset)}}
	return problem
}

// claims gives every message that has no answer yet a fresh id and returns
// the claims for those with a key.
func (p *publication) claims() ([]domain.IdempotencyClaim, error) {
	for i := range p.receipts {
		if _, repeated := p.repeats[i]; repeated || p.receipts[i].Err != nil {
			continue
		}
		id, err := uuid.NewV7()
		if err != nil {
			p.failAll(err)
			return nil, fmt.Errorf("make message id: %w", err)
		}
		p.receipts[i].ID = id
	}
	if len(p.keyed) == 0 {
		return nil, nil
	}
	claims := make([]domain.IdempotencyClaim, len(p.keyed))
	for i, k := range p.keyed {
		claims[i] = domain.IdempotencyClaim{
			Scope: p.tenantID, Key: p.subs[k.at].IdempotencyKey, Hash: k.hash, ID: p.receipts[k.at].ID,
		}
	}
	return claims, nil
}

func (p *publication) grant(grants []domain.IdempotencyGrant) {
	for i, k := range p.keyed {
		if g := grants[i]; g.Mismatch {
			p.receipts[k.at] = domain.Receipt{Err: domain.IdempotencyMismatch()}
		} else {
			p.receipts[k.at] = domain.Receipt{ID: g.ID, Replayed: g.Confirmed}
		}
	}
}

// failClaims answers the messages with keys.
func (p *publication) failClaims(cause error) {
	err := cause
	if errors.Is(cause, domain.ErrUnavailable) || errors.Is(cause, context.DeadlineExceeded) {
		err = domain.Wrap(cause, domain.ErrUnavailable, "idempotency_unavailable",
			"Idempotency keys cannot be checked at the moment; try again with the same key.").After(claimRetryAfter)
	}
	for _, k := range p.keyed {
		p.receipts[k.at] = domain.Receipt{Err: err}
	}
}

// failAll answers every message that has no answer yet.
func (p *publication) failAll(err error) {
	for i := range p.receipts {
		if p.receipts[i].Err == nil {
			p.receipts[i] = domain.Receipt{Err: err}
		}
	}
}

// units returns what the messages without an answer cost.
func (p *publication) units() int {
	n := 0
	for i := range p.subs {
		if p.receipts[i].Err == nil {
			envelope := p.subs[i].Envelope()
			n += unitsOf(len(p.subs[i].Payload) + envelope.Size())
		}
	}
	return n
}

// outgoing returns the messages without an answer, and where their receipts
// are.
func (p *publication) outgoing() (batch []domain.Outgoing, positions []int) {
	batch = make([]domain.Outgoing, 0, len(p.subs))
	positions = make([]int, 0, len(p.subs))
	for i, sub := range p.subs {
		receipt := p.receipts[i]
		if _, repeated := p.repeats[i]; repeated || receipt.Err != nil || receipt.Replayed {
			continue
		}
		batch = append(batch, domain.Outgoing{
			ID: receipt.ID, Type: sub.Type, OrderingKey: sub.OrderingKey, Headers: sub.Headers, Body: sub.Payload,
		})
		positions = append(positions, i)
	}
	return batch, positions
}

// accepted reports whether the broker has any of the messages now.
func (p *publication) accepted() bool {
	return slices.ContainsFunc(p.receipts, func(r domain.Receipt) bool { return r.Err == nil && !r.Replayed && r.ID != uuid.Nil })
}

// takeBack answers all messages with err that the broker has now.
func (p *publication) takeBack(err error) {
	for i := range p.receipts {
		if r := &p.receipts[i]; r.Err == nil && !r.Replayed {
			*r = domain.Receipt{Err: err}
		}
	}
}

// carriedOut returns the keys whose messages the broker has now.
func (p *publication) carriedOut() []domain.ConfirmedKey {
	var keys []domain.ConfirmedKey
	for _, k := range p.keyed {
		if receipt := p.receipts[k.at]; receipt.Err == nil && !receipt.Replayed {
			keys = append(keys, domain.ConfirmedKey{Key: p.subs[k.at].IdempotencyKey, ID: receipt.ID})
		}
	}
	return keys
}

// answerRepeated gives messages that repeat one of the same call its answer.
func (p *publication) answerRepeated() {
	for at, earlier := range p.repeats {
		p.receipts[at] = p.receipts[earlier]
		p.receipts[at].Replayed = p.receipts[at].Err == nil
	}
}

package delivery

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"lanekeeper/domain"
	"lanekeeper/pkg/backoff"
)

// verdict is what follows from an attempt that failed.
type verdict uint8

const (
	// verdictUncounted: the breaker is open; the message stays as it is.
	verdictUncounted verdict = iota + 1
	// verdictRetry: it is tried again.
	verdictRetry
	// verdictGiveUp: it becomes a dead letter.
	verdictGiveUp
	// verdictGone: the endpoint wants no more messages.
	verdictGone
)

// judge returns what follows from a failed attempt, after which attempts were made;
// wait is for how long it is left alone, without jitter.
func judge(target *domain.DeliveryTarget, counts bool, attempts, status int, retryAfter time.Duration) (v verdict, wait time.Duration) {
	if status == http.StatusGone {
		return verdictGone, 0
	}
	if !counts {
		return verdictUncounted, 0
	}
	wait, more := target.Retry.Wait(attempts, retryAfter)
	switch {
	case target.Retry.IsFinal(status):
		return verdictGiveUp, 0
	case more:
		return verdictRetry, wait
	case target.Ordering == domain.OrderingFIFO && target.OnFailure == domain.FailureBlocks:
		return verdictRetry, target.Retry.LastWait(retryAfter)
	}
	return verdictGiveUp, 0
}

// jittered returns a duration that is longer or shorter than d by domain.RetryJitter
// at most.
func jittered(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (1 + domain.RetryJitter*(2*rand.Float64()-1))) //nolint:gosec // nobody may gain by guessing it
}

// letterOf returns the dead letter of a delivery: the same for the same round of the
// same message, however often it is settled.
func letterOf(target *domain.DeliveryTarget, e *entry, attempts, status int, reason string) domain.DeadLetter {
	envelope := e.message.Envelope()
	headers := envelope.AMQPHeaders()
	if status != 0 {
		headers[domain.HeaderStatus] = strconv.Itoa(status)
	}
	return domain.DeadLetter{
		ID: domain.DeliveryLetterID(target.TenantID, target.ID, e.message.ID, e.round), TenantID: target.TenantID, MessageID: e.message.ID.String(),
		Type: e.message.Type, Body: e.message.Payload, Headers: headers, Reason: domain.ReasonDeliveryFailed, Error: reason, Attempts: attempts,
	}
}

// publishLetter publishes a letter where they are not collected, and returns true
// once the broker has confirmed it, or false when ctx ends.
func (s *Service) publishLetter(ctx context.Context, letter domain.DeadLetter) bool {
	retries := backoff.New(retryFirst, retryMax)
	for {
		limited, cancel := context.WithTimeout(ctx, repositoryTimeout)
		err := s.o.Letters.DeadLetter(limited, letter)
		cancel()
		if err == nil {
			return true
		}
		s.o.Log.DebugContext(ctx, "dead letter of a delivery not confirmed, trying on", slog.Any("error", err))
		if retries.Wait(ctx) != nil {
			return false
		}
	}
}

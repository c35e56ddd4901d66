package consumer

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/backoff"
)

// recordTimeout bounds one attempt to record a transmission.
const recordTimeout = 5 * time.Second

// stored is a delivery whose message has its row.
type stored struct {
	delivery domain.Delivery
	message  domain.Message
	// known is set when the row was there before, so that something may be
	// recorded of an earlier transmission.
	known bool
}

// sender transmits the stored messages of one tenant to its endpoint. Its
// methods are safe for concurrent use by the workers.
type sender struct {
	p        *processor
	endpoint domain.Endpoint
	paused   atomic.Bool
}

func newSender(p *processor, endpoint *domain.Endpoint) *sender {
	s := &sender{p: p, endpoint: *endpoint}
	s.paused.Store(endpoint.Paused())
	return s
}

// send brings one message a step further: transmitted, on its way to a retry
// tier, or dead. It returns true when the delivery is done with; false means
// that ctx ended first, and the message will be delivered again.
func (s *sender) send(ctx context.Context, item *stored) bool {
	most := s.p.shared.MaxAttempts
	before := 0
	if item.known {
		found, err := s.recorded(ctx, item.message.ID)
		if err != nil || found.State == domain.TransmissionSucceeded {
			return err == nil
		}
		before = min(item.delivery.Attempt, most)
		if found.State != "" {
			before = min(before, found.Attempts)
		}
	}
	if s.paused.Load() {
		return s.giveUp(ctx, item, domain.ReasonEndpointPaused, "the endpoint is paused", before, 0)
	}
	result := s.p.shared.Transmitter.Transmit(ctx, s.endpoint, item.message)
	if result.Err != nil && ctx.Err() != nil {
		return false
	}
	attempts := min(before+1, most)
	switch {
	case result.Err == nil:
		s.p.shared.Metrics.AddTransmissions(s.p.tenant, "succeeded", 1)
		return s.record(ctx, item.message.ID, domain.TransmissionSucceeded, attempts, result.Status)
	case result.Gone:
		s.p.shared.Metrics.AddTransmissions(s.p.tenant, "gone", 1)
		s.pauseEndpoint(ctx)
		return s.giveUp(ctx, item, domain.ReasonTransmitFailed, result.Err.Error(), attempts, result.Status)
	case attempts >= most:
		s.p.shared.Metrics.AddTransmissions(s.p.tenant, "failed", 1)
		return s.giveUp(ctx, item, domain.ReasonTransmitFailed, result.Err.Error(), attempts, result.Status)
	}
	s.p.shared.Metrics.AddTransmissions(s.p.tenant, "retried", 1)
	return s.record(ctx, item.message.ID, domain.TransmissionRetrying, attempts, result.Status) && s.retry(ctx, item, attempts)
}

// recorded returns what is recorded of the message, if anything: of a success,
// after which it is not sent again, and of the attempts that were made, because
// the header that counts them may be a sender's.
func (s *sender) recorded(ctx context.Context, id uuid.UUID) (domain.Transmission, error) {
	var last domain.Transmission
	err := s.insist(ctx, "read transmission", func(ctx context.Context) error {
		found, err := s.p.shared.Endpoints.FindTransmissions(ctx, s.p.tenant, []uuid.UUID{id})
		for _, t := range found {
			last = t
		}
		return err
	})
	return last, err
}

func (s *sender) record(ctx context.Context, id uuid.UUID, state domain.TransmissionState, attempts, status int) bool {
	return s.insist(ctx, "record transmission", func(ctx context.Context) error {
		return s.p.shared.Endpoints.RecordTransmission(ctx, domain.Transmission{
			TenantID: s.p.tenant, MessageID: id, State: state, Attempts: attempts, LastStatus: status,
		})
	}) == nil
}

// retry hands the message to the tier for its attempt.
func (s *sender) retry(ctx context.Context, item *stored, attempts int) bool {
	d := item.delivery
	if d.MessageID == "" {
		d.MessageID = item.message.ID.String() // under which it is stored
	}
	return s.insist(ctx, "publish to retry tier", func(ctx context.Context) error {
		return s.p.shared.Publisher.Retry(ctx, s.p.tenant, d, attempts)
	}) == nil
}

// giveUp makes a dead letter of a message that is stored.
func (s *sender) giveUp(ctx context.Context, item *stored, reason domain.DeadLetterReason, text string, attempts, status int) bool {
	letter := s.p.newLetter(&item.delivery, reason, text)
	letter.Attempts = attempts
	if letter.MessageID == "" {
		letter.MessageID = item.message.ID.String()
	}
	return s.record(ctx, item.message.ID, domain.TransmissionFailed, attempts, status) && s.p.deadLetter(ctx, &letter)
}

// pauseEndpoint stops transmissions to an endpoint that wants no more.
func (s *sender) pauseEndpoint(ctx context.Context) {
	if s.paused.Swap(true) {
		return
	}
	err := s.insist(ctx, "pause endpoint", func(ctx context.Context) error {
		return s.p.shared.Endpoints.PauseEndpoint(ctx, s.p.tenant, s.endpoint.Version, "the endpoint answered 410 Gone")
	})
	s.p.shared.Log.WarnContext(ctx, "endpoint paused, it answered 410", slog.Any("error", err))
}

// insist tries until the operation succeeds or ctx ends: the delivery is held
// meanwhile. Errors that trying again cannot mend are logged and passed over,
// because a record must never stop a tenant.
func (s *sender) insist(ctx context.Context, what string, operation func(context.Context) error) error {
	retries := backoff.New(minResubscribe, maxResubscribe)
	for {
		limited, cancel := context.WithTimeout(ctx, recordTimeout)
		err := operation(limited)
		cancel()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case !errors.Is(err, domain.ErrUnavailable) && !errors.Is(err, domain.ErrContended):
			s.p.shared.Log.ErrorContext(ctx, "transmission step failed, going on without it", slog.String("step", what), slog.Any("error", err))
			return nil
		}
		s.p.shared.Log.DebugContext(ctx, "transmission step failed, trying on", slog.String("step", what), slog.Any("error", err))
		if err := retries.Wait(ctx); err != nil {
			return err //nolint:wrapcheck // the end of ctx
		}
	}
}

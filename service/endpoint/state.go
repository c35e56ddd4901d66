package endpoint

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/webhook"
)

// maxTestTime is how long a test waits for the endpoint, whatever its timeout: the
// caller waits too.
const maxTestTime = 5 * time.Second

// Hold keeps messages from being delivered to an endpoint until Resume: nothing of
// them is lost, and no attempt is used up. One that is held stays so; a disabled one
// is ErrConflict with code endpoint_disabled.
func (s *Service) Hold(ctx context.Context, p domain.Principal, tenantID, id uuid.UUID) (domain.EndpointReport, error) {
	return s.setStatus(ctx, p, tenantID, id, func(e *domain.Endpoint) error { return e.Hold() })
}

// Resume lets messages be delivered again to an endpoint that was held or disabled,
// from where it stopped. One that is active stays so. The error is ErrConflict with
// code endpoint_unreadable where the secret cannot be decrypted.
func (s *Service) Resume(ctx context.Context, p domain.Principal, tenantID, id uuid.UUID) (domain.EndpointReport, error) {
	return s.setStatus(ctx, p, tenantID, id, func(e *domain.Endpoint) error { return e.Resume() })
}

func (s *Service) setStatus(ctx context.Context, p domain.Principal, tenantID, id uuid.UUID, set func(*domain.Endpoint) error) (domain.EndpointReport, error) {
	e, err := s.managed(ctx, p, tenantID, id)
	if err != nil {
		return domain.EndpointReport{}, err
	}
	return s.change(ctx, &e, set)
}

// RotateSecret gives an endpoint another secret, a fresh one or the caller's own, and
// returns it with that. The one before signs along for grace, nil for
// domain.DefaultSecretGrace; one that was still signing along before that no longer
// does. Errors are ErrInvalid for values out of range, and ErrConflict with code
// endpoint_unreadable where the secret before cannot be decrypted.
func (s *Service) RotateSecret(ctx context.Context, p domain.Principal, tenantID, id uuid.UUID, r domain.SecretRotation) (domain.EndpointReport, error) {
	e, err := s.managed(ctx, p, tenantID, id)
	if err != nil {
		return domain.EndpointReport{}, err
	}
	if err := r.Check(); err != nil {
		return domain.EndpointReport{}, err
	}
	return s.change(ctx, &e, func(e *domain.Endpoint) error { return r.Apply(e, s.o.Now().UTC()) })
}

// Skip gives up the message that an endpoint with ordering fifo is stuck at, and
// returns what became of it. ErrConflict with code nothing_to_skip where it is not.
func (s *Service) Skip(ctx context.Context, p domain.Principal, tenantID, id uuid.UUID) (domain.DeadLetter, error) {
	if _, err := s.gate.manage(ctx, p, tenantID); err != nil {
		return domain.DeadLetter{}, err
	}
	letter, err := s.o.Endpoints.SkipBlocking(ctx, tenantID, id)
	if err != nil {
		return domain.DeadLetter{}, fmt.Errorf("skip: %w", err)
	}
	return letter, nil
}

// Resend has one stored message delivered to an endpoint, again or for the first time,
// whatever its type: now, or once the endpoint is resumed. It goes out of order, and
// has all attempts of the endpoint's schedule. The tenant must be one that the caller
// may access. Errors are ErrNotFound for a message that is not stored, and ErrConflict
// for one that is on its way already: not_yet_settled where the endpoint has not got
// as far as that, waits_for_key where another one of its ordering key comes first.
func (s *Service) Resend(ctx context.Context, t domain.Tenant, id, messageID uuid.UUID) (domain.EndpointReport, error) {
	if err := s.o.Endpoints.Resend(ctx, t.ID, id, messageID); err != nil {
		return domain.EndpointReport{}, fmt.Errorf("resend: %w", err)
	}
	return s.read(ctx, t.ID, id)
}

// Test sends a message to an endpoint now, active or not, and returns how that went.
// Nothing is stored or tried again, and it counts for nothing. The error is
// ErrConflict with code endpoint_unreadable where the secret cannot be decrypted.
func (s *Service) Test(ctx context.Context, p domain.Principal, tenantID, id uuid.UUID) (domain.EndpointTest, error) {
	e, err := s.managed(ctx, p, tenantID, id)
	if err != nil {
		return domain.EndpointTest{}, err
	}
	if e.Unreadable {
		return domain.EndpointTest{}, domain.EndpointUnreadable()
	}
	now := s.o.Now()
	messageID, err := uuid.NewV7()
	if err != nil {
		return domain.EndpointTest{}, fmt.Errorf("make message id: %w", err)
	}
	payload, err := json.Marshal(map[string]string{
		"type": "lanekeeper.test", "tenant_id": tenantID.String(), "endpoint_id": id.String(), "timestamp": now.UTC().Format(time.RFC3339),
	})
	if err != nil {
		return domain.EndpointTest{}, fmt.Errorf("make test message: %w", err)
	}
	result := s.o.Sender.Send(ctx, webhook.Request{
		To: webhook.To(e.URL), Timeout: min(e.Timeout, maxTestTime), Secrets: e.Secrets(now), ID: messageID.String(), Body: payload, Headers: e.Headers,
	})
	test := domain.EndpointTest{Status: result.Status, Answer: result.Answer, Duration: result.Duration}
	if result.Err != nil {
		test.Error = result.Err.Error()
	}
	return test, nil
}

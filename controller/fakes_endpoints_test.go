package controller

import (
	"context"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

var endpointID = uuid.MustParse("0197a3a2-7d2c-7c3e-8f7e-0242ac120004")

func someEndpoint() domain.Endpoint {
	return domain.Endpoint{
		ID: endpointID, TenantID: tenantID, URL: "https://example.com/hook", Timeout: 5 * time.Second, Ordering: domain.OrderingNone,
		OnFailure: domain.FailureBlocks, Retry: domain.DefaultRetryPolicy(), Secret: []byte("0123456789abcdef01234567"), Status: domain.EndpointActive,
		CreatedAt: someTime, UpdatedAt: someTime,
	}
}

// fakeEndpoints answers with one endpoint, and records what it was called with.
type (
	fakeEndpoints struct {
		*fakeServices
		state *fakeEndpointState
	}
	fakeAttempts fakeEndpoints
	fakeReplays  fakeEndpoints
)

type fakeEndpointState struct {
	endpoint domain.Endpoint
	progress domain.EndpointProgress
	fresh    bool
	replayed bool
	test     domain.EndpointTest
	attempts []domain.Attempt

	deliveries []domain.MessageDelivery
	more       bool
	replay     domain.Replay
	summary    domain.AttemptSummary

	change     domain.EndpointChange
	key        domain.IdempotencyKey
	externalID string
	rotation   domain.SecretRotation
	query      domain.AttemptQuery
	request    domain.ReplayRequest
	messageID  uuid.UUID
}

func newFakeEndpoints(f *fakeServices) fakeEndpoints {
	return fakeEndpoints{f, &fakeEndpointState{endpoint: someEndpoint(), replay: domain.Replay{ID: otherID, EndpointID: endpointID, State: domain.ReplayRunning}}}
}

func (f fakeEndpoints) report(do func(s *fakeEndpointState)) (r domain.EndpointReport, err error) {
	err = f.record(func() {
		do(f.state)
		r = domain.EndpointReport{Endpoint: f.state.endpoint, Progress: f.state.progress}
	})
	return r, err
}

func (f fakeEndpoints) Create(_ context.Context, _ domain.Principal, _ uuid.UUID, c *domain.EndpointChange, key domain.IdempotencyKey) (domain.EndpointReport, bool, error) {
	r, err := f.report(func(s *fakeEndpointState) { s.change, s.key = *c, key })
	return r, f.state.replayed, err
}

func (f fakeEndpoints) Upsert(_ context.Context, _ domain.Principal, _ uuid.UUID, externalID string, c *domain.EndpointChange) (domain.EndpointReport, bool, error) {
	r, err := f.report(func(s *fakeEndpointState) { s.change, s.externalID = *c, externalID })
	return r, f.state.fresh, err
}

func (f fakeEndpoints) Get(context.Context, domain.Principal, uuid.UUID, uuid.UUID) (domain.EndpointReport, error) {
	return f.report(func(*fakeEndpointState) {})
}

func (f fakeEndpoints) List(context.Context, domain.Principal, uuid.UUID) ([]domain.EndpointReport, error) {
	r, err := f.report(func(*fakeEndpointState) {})
	return []domain.EndpointReport{r}, err
}

func (f fakeEndpoints) Change(_ context.Context, _ domain.Principal, _, _ uuid.UUID, c *domain.EndpointChange) (domain.EndpointReport, error) {
	return f.report(func(s *fakeEndpointState) { s.change = *c })
}

func (f fakeEndpoints) Delete(context.Context, domain.Principal, uuid.UUID, uuid.UUID) (int64, error) {
	return 7, f.record(func() {})
}

func (f fakeEndpoints) Hold(context.Context, domain.Principal, uuid.UUID, uuid.UUID) (domain.EndpointReport, error) {
	return f.report(func(s *fakeEndpointState) { s.endpoint.Status = domain.EndpointHeld })
}

func (f fakeEndpoints) Resume(context.Context, domain.Principal, uuid.UUID, uuid.UUID) (domain.EndpointReport, error) {
	return f.report(func(s *fakeEndpointState) { s.endpoint.Status = domain.EndpointActive })
}

func (f fakeEndpoints) Skip(context.Context, domain.Principal, uuid.UUID, uuid.UUID) (domain.DeadLetter, error) {
	err := f.record(func() {})
	return domain.DeadLetter{Seq: 17, TenantID: tenantID, MessageID: messageID.String(), Body: []byte(`{"a":1}`), Reason: domain.ReasonUnknown, CreatedAt: someTime}, err
}

func (f fakeEndpoints) Test(context.Context, domain.Principal, uuid.UUID, uuid.UUID) (domain.EndpointTest, error) {
	return f.state.test, f.record(func() {})
}

func (f fakeEndpoints) RotateSecret(_ context.Context, _ domain.Principal, _, _ uuid.UUID, r domain.SecretRotation) (domain.EndpointReport, error) {
	return f.report(func(s *fakeEndpointState) { s.rotation = r })
}

func (f fakeEndpoints) Resend(_ context.Context, _ domain.Tenant, _, id uuid.UUID) (domain.EndpointReport, error) {
	return f.report(func(s *fakeEndpointState) { s.messageID = id })
}

func (f fakeAttempts) OfEndpoint(_ context.Context, _ domain.Principal, q domain.AttemptQuery) ([]domain.Attempt, bool, error) {
	err := f.record(func() { f.state.query = q })
	return f.state.attempts, f.state.more, err
}

func (f fakeAttempts) Summary(context.Context, domain.Principal, uuid.UUID, uuid.UUID) (domain.AttemptSummary, error) {
	return f.state.summary, f.record(func() {})
}

func (f fakeAttempts) OfMessage(_ context.Context, q domain.AttemptQuery) ([]domain.Attempt, bool, error) {
	err := f.record(func() { f.state.query = q })
	return f.state.attempts, f.state.more, err
}

func (f fakeAttempts) Deliveries(context.Context, *domain.Message) ([]domain.MessageDelivery, error) {
	return f.state.deliveries, nil
}

func (f fakeReplays) Start(_ context.Context, _ domain.Principal, _, _ uuid.UUID, r *domain.ReplayRequest) (domain.Replay, error) {
	err := f.record(func() { f.state.request = *r })
	return f.state.replay, err
}

func (f fakeReplays) Get(context.Context, domain.Principal, uuid.UUID, uuid.UUID, uuid.UUID) (domain.Replay, error) {
	return f.state.replay, f.record(func() {})
}

func (f fakeReplays) List(context.Context, domain.Principal, uuid.UUID, uuid.UUID) ([]domain.Replay, error) {
	return []domain.Replay{f.state.replay}, f.record(func() {})
}

func (f fakeReplays) Cancel(context.Context, domain.Principal, uuid.UUID, uuid.UUID, uuid.UUID) (domain.Replay, error) {
	return f.state.replay, f.record(func() {})
}

package message

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/janitor"
	"lanekeeper/pkg/tracing"
)

// How long the steps of a publication may take. Together they stay below the
// 6 seconds that callers are promised, with time left for finding the caller.
const (
	claimTimeout   = 2 * time.Second
	publishTimeout = 4500 * time.Millisecond // the claim included
	confirmTimeout = 500 * time.Millisecond
)

const (
	// janitorEvery is how often expired keys are looked for, and janitorChunk how
	// many are deleted in one statement.
	janitorEvery = time.Minute
	janitorChunk = 5000
)

// MaxPageSize is the largest number of messages that a page of history may
// be asked to have.
const MaxPageSize = 1000

// backlogRetryAfter is what callers are told when the queue is full.
const backlogRetryAfter = 5 * time.Second

// stoppedRetryAfter is the same where nothing takes messages out of it.
const stoppedRetryAfter = 30 * time.Second

// Observer is told how publications go. Methods must be safe for concurrent
// use.
type Observer interface {
	// AddPublished counts n messages that got the same answer.
	AddPublished(outcome string, n int)
	// ObservePublish records how long the broker took for one call.
	ObservePublish(seconds float64)
}

// Options configure NewService.
type Options struct {
	Publisher domain.Publisher
	Messages  domain.MessageRepository
	Keys      domain.IdempotencyRepository
	// Memory is what large answers hold while they are read; nil for any.
	Memory domain.AnswerMemory
	// MaxBacklog is how many messages may wait in a queue before publishing
	// to it is refused; 0 for any number.
	MaxBacklog int64
	// Limits are those of owners, for what waits in queues in bytes and for what is
	// published in a second; nil for none.
	Limits domain.LimitFinder
	// Rate is how many messages a tenant may publish in a second through this
	// service, where one counts for each 4 KiB begun; 0 for any number. Calls
	// beyond it take up to half a second longer, and are refused beyond that.
	Rate int
	// Depth returns what a consumer, here or elsewhere, last reported of its
	// queue's depth, and whether it is known. It must not block. It may be nil
	// when MaxBacklog is 0.
	Depth func(tenantID uuid.UUID) (depth int64, known bool)
	// Queues is asked for the depth of queues without a consumer. It may be
	// nil when MaxBacklog is 0.
	Queues queues
	// StillThere is asked after messages were published, and returns an error
	// when the tenant was deleted meanwhile, or may have been; then they are
	// not accepted. It may ask the database only when a change was announced,
	// and ends before its context does. It may be nil when no other process
	// deletes tenants.
	StillThere func(ctx context.Context, tenantID uuid.UUID) error
	Observer   Observer
	// Traces makes spans of publications; nil for none.
	Traces *tracing.Tracer
	Log    *slog.Logger
}

// Service publishes and reads messages. It is safe for concurrent use.
type Service struct {
	o            Options
	depths       *depths
	backlogs     *backlogs
	rateLimiters *rateLimiters
	inFlight     *inFlight
}

// NewService returns a Service.
func NewService(o Options) *Service {
	if o.Memory == nil {
		o.Memory = domain.NoAnswerMemory{}
	}
	if o.Limits == nil {
		o.Limits = domain.NoLimits{}
	}
	s := &Service{o: o, depths: newDepths(o.Queues), rateLimiters: newRateLimiters(), inFlight: newInFlight()}
	s.backlogs = newBacklogs(s.depth)
	return s
}

// Publish publishes messages to a tenant's queue in the order given and
// returns a receipt for each. It takes less than 6 seconds in any state of
// the broker and of the database. A receipt without an error means that the
// broker has the message; one with an ErrUnavailable that it may or may not
// have it, and that trying again with the same key is safe. Other errors are
// those of Tenant.AcceptsMessages, ErrLimited with code "backlog_full" or
// "rate_exceeded", or "quota_exceeded" where it is a limit of the owner, and ErrInvalid or ErrTooLarge for what is wrong with the
// message itself. Without idempotency keys it makes no call to the database.
func (s *Service) Publish(ctx context.Context, t domain.Tenant, subs []domain.Submission) []domain.Receipt {
	if s.o.Traces != nil {
		return publishTraced(ctx, s.o.Traces, t, subs, s.publishAll)
	}
	return s.publishAll(ctx, t, subs)
}

func (s *Service) publishAll(ctx context.Context, t domain.Tenant, subs []domain.Submission) []domain.Receipt {
	p := &publication{tenantID: t.ID, subs: subs, receipts: make([]domain.Receipt, len(subs))}
	by := s.payers(ctx, &t)
	if err := s.admit(ctx, &t, by); err != nil {
		return s.refuse(p, err)
	}
	limited, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	p.check()
	if err := s.rateLimiters.wait(limited, by, p.units()); err != nil {
		return s.refuse(p, err)
	}
	if err := s.claim(limited, p); err != nil {
		s.o.Log.WarnContext(ctx, "idempotency keys could not be claimed", slog.Any("error", err))
	}
	s.publish(limited, &t, by, p)
	s.review(limited, p)
	if err := s.confirm(ctx, p); err != nil {
		// The next call with the key publishes again under the same id.
		s.o.Log.WarnContext(ctx, "idempotency keys could not be confirmed", slog.Any("error", err))
	}
	p.answerRepeated()
	countOutcomes(s.o.Observer, p.receipts)
	return p.receipts
}

// refuse answers every message that has no answer yet with err.
func (s *Service) refuse(p *publication, err error) []domain.Receipt {
	p.failAll(err)
	countOutcomes(s.o.Observer, p.receipts)
	return p.receipts
}

// Admit returns why nothing at all may be published to the tenant at the
// moment, or nil: an error of Tenant.AcceptsMessages, or an ErrLimited. It does
// not wait for anything. A caller that asks it first need not read what it would
// publish; a call that it refuses counts as one message.
func (s *Service) Admit(ctx context.Context, t domain.Tenant) error {
	err := s.admit(ctx, &t, s.payers(ctx, &t))
	if err != nil {
		countOutcomes(s.o.Observer, []domain.Receipt{{Err: err}})
	}
	return err
}

// Refusal returns what Admit does, for somebody who wants to know and not to publish: it
// counts as no message.
func (s *Service) Refusal(ctx context.Context, t domain.Tenant) error {
	return s.admit(ctx, &t, s.payers(ctx, &t))
}

// Pace waits until messages of these sizes in bytes may be published to the
// tenant, as part of its rate, by a caller that has until the deadline of ctx. It
// returns an error of Tenant.AcceptsMessages, an ErrLimited when their turn does
// not come in time or the backlog is full, and an ErrUnavailable when ctx ends
// otherwise. Live calls get in between.
func (s *Service) Pace(ctx context.Context, t domain.Tenant, sizes []int) error {
	if err := t.AcceptsMessages(); err != nil {
		return err
	}
	if err := s.checkBacklog(ctx, &t); err != nil {
		return err
	}
	units := 0
	for _, size := range sizes {
		units += unitsOf(size)
	}
	return s.rateLimiters.waitPatiently(ctx, s.payers(ctx, &t), units)
}

func (s *Service) admit(ctx context.Context, t *domain.Tenant, by []payer) error {
	if err := t.AcceptsMessages(); err != nil {
		return err
	}
	if err := s.rateLimiters.admit(by); err != nil {
		return err
	}
	return s.checkBacklog(ctx, t)
}

// payers returns who is charged for what is published to a tenant.
func (s *Service) payers(ctx context.Context, t *domain.Tenant) []payer {
	by := make([]payer, 0, 2)
	if s.o.Rate > 0 {
		by = append(by, payer{id: t.ID, rate: s.o.Rate})
	}
	if t.OwnerID != uuid.Nil {
		if rate := s.o.Limits.LimitsOf(ctx, t.OwnerID).PublishRate; rate > 0 {
			by = append(by, payer{id: t.OwnerID, rate: rate, owner: true})
		}
	}
	return by
}

// checkBacklog returns an ErrLimited when too much waits in the tenant's queue, or in
// those of its owner.
func (s *Service) checkBacklog(ctx context.Context, t *domain.Tenant) error {
	if s.o.MaxBacklog > 0 {
		if depth, known := s.depth(t.ID); known && depth >= s.o.MaxBacklog {
			return domain.New(domain.ErrLimited, "backlog_full",
				fmt.Sprintf("The tenant's queue holds %d messages or more; try again when it has shrunk.", s.o.MaxBacklog)).After(backlogWait(t)).Because(domain.ErrBacklogFull)
		}
	}
	return s.backlogs.check(ctx, t, s.o.Limits)
}

// depth returns how many messages wait in a tenant's queue, as far as known.
func (s *Service) depth(tenantID uuid.UUID) (depth int64, known bool) {
	if s.o.Depth != nil {
		depth, known = s.o.Depth(tenantID)
	}
	if !known && s.o.Queues != nil {
		depth, known = s.depths.last(tenantID)
	}
	return depth, known
}

// claim decides the ids of the messages with keys. On error these have the
// error as their answer, and the others go on.
func (s *Service) claim(ctx context.Context, p *publication) error {
	claims, err := p.claims()
	if len(claims) == 0 || err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()
	grants, err := s.o.Keys.ClaimKeys(ctx, claims)
	if err != nil {
		p.failClaims(err)
		return fmt.Errorf("claim %d keys: %w", len(claims), err)
	}
	p.grant(grants)
	return nil
}

// publish hands everything that has no answer yet to the broker.
func (s *Service) publish(ctx context.Context, t *domain.Tenant, by []payer, p *publication) {
	batch, positions := p.outgoing()
	if len(batch) == 0 {
		return
	}
	leave, err := s.enter(ctx, t, by, len(batch))
	if err != nil {
		for _, at := range positions {
			p.receipts[at].Err = err
		}
		return
	}
	defer leave()
	if s.o.Traces != nil {
		carryTrace(ctx, batch)
	}
	begun := time.Now()
	errs := s.o.Publisher.Publish(ctx, p.tenantID, batch)
	s.o.Observer.ObservePublish(time.Since(begun).Seconds())
	var bytes int64
	for i, at := range positions {
		p.receipts[at].Err = errs[i]
		bytes += int64(len(batch[i].Body))
	}
	s.backlogs.published(t, len(batch), bytes)
}

// enter is inFlight.enter for tenants whose owner pays; others do not wait.
func (s *Service) enter(ctx context.Context, t *domain.Tenant, by []payer, n int) (leave func(), err error) {
	crowded := s.inFlight.note(t.OwnerID)
	if !slices.ContainsFunc(by, func(p payer) bool { return p.owner }) {
		return func() {}, nil
	}
	return s.inFlight.enter(ctx, t, n, crowded)
}

// review takes back what was accepted for a tenant that was deleted while it
// was published: its queue may have been emptied and counted before.
func (s *Service) review(ctx context.Context, p *publication) {
	if s.o.StillThere == nil || !p.accepted() {
		return
	}
	if err := s.o.StillThere(ctx, p.tenantID); err != nil {
		p.takeBack(err)
	}
}

// confirm records which keys were carried out. It does so even when the
// caller has gone.
func (s *Service) confirm(ctx context.Context, p *publication) error {
	keys := p.carriedOut()
	if len(keys) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), confirmTimeout)
	defer cancel()
	if err := s.o.Keys.ConfirmKeys(ctx, p.tenantID, keys); err != nil {
		return fmt.Errorf("confirm %d keys: %w", len(keys), err)
	}
	return nil
}

// RunDepths asks the broker for the depths of queues that are published to and
// have no consumer, until ctx ends. Without it, and without a limit of the
// backlog, only what consumers report is known.
func (s *Service) RunDepths(ctx context.Context) { s.depths.run(ctx) }

// RunJanitor deletes expired idempotency keys, in chunks, until ctx ends. Any
// number of replicas may run one.
func (s *Service) RunJanitor(ctx context.Context) {
	janitor.Run(ctx, janitorEvery, func(ctx context.Context) {
		if err := janitor.Sweep(ctx, janitorChunk, s.o.Keys.DeleteExpiredKeys); err != nil {
			s.o.Log.DebugContext(ctx, "expired idempotency keys not deleted, trying again later", slog.Any("error", err))
		}
	})
}

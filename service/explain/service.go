package explain

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

const (
	// askTimeout is how long each of those who know something is waited for, all at
	// once, and askAgain how long for what is asked because of what they said. Together
	// they leave a request time for the rest.
	askTimeout = 1500 * time.Millisecond
	askAgain   = time.Second
	// secondLook is how long after the first one it is looked again whether anything
	// moves, before it is said that nothing does.
	secondLook = 700 * time.Millisecond
)

// BrokerState says how the broker can be used, as this process sees it.
type BrokerState struct {
	// Away: there is no connection. Blocked: it takes no publications.
	Away, Blocked bool
}

// broker is asked about a tenant's queue.
type broker interface {
	QueueCounts(ctx context.Context, tenantID uuid.UUID) (domain.QueueCounts, error)
	// Answers returns nil when the broker answers what is about no queue.
	Answers(ctx context.Context) error
}

// Options configure New. All but Policies must be set.
type Options struct {
	// Tenant returns a tenant, as last known while the database is away.
	Tenant func(ctx context.Context, id uuid.UUID) (domain.Tenant, error)
	Facts  domain.ExplainRepository
	// Database is asked whether it answers at all.
	Database domain.DatabaseClock
	Broker   broker
	State    func() BrokerState
	// Replica is the name of this process.
	Replica string
	// Consumer returns the tenant's consumer, wherever it runs.
	Consumer func(ctx context.Context, t domain.Tenant) domain.ConsumerStatus
	// Here returns the tenant's consumer in this process, and false where it has none.
	Here func(tenantID uuid.UUID) (domain.ConsumerStatus, bool)
	// Refusal returns why nothing may be published to the tenant at the moment, or nil.
	Refusal func(ctx context.Context, t domain.Tenant) error
	// Policies returns what policies of the broker do to the tenant's queues; nil where
	// that cannot be asked.
	Policies func(ctx context.Context, tenantID uuid.UUID) ([]domain.ShortenedQueue, error)
	// ProbeEvery is how often a delivery is tried while a breaker is open.
	ProbeEvery time.Duration
	// Now is the fleet's clock.
	Now func() time.Time
	Log *slog.Logger
}

// Service explains. It is safe for concurrent use.
type Service struct{ o Options }

// New returns a Service.
func New(o Options) *Service { return &Service{o} }

// Tenant says why messages of a tenant are not stored or not delivered, also while
// servers are away. Errors are TenantNotFound, also for one that the caller may not
// access, and an ErrUnavailable for a tenant that is not known here while the database is
// away.
func (s *Service) Tenant(ctx context.Context, p domain.Principal, id uuid.UUID) (domain.Explanation, error) {
	t, err := s.o.Tenant(ctx, id)
	switch {
	case errors.Is(err, domain.ErrNotFound):
		return domain.Explanation{}, domain.TenantNotFound()
	case err != nil:
		return domain.Explanation{}, err
	case t.Gone() || !p.MayAccess(&t):
		return domain.Explanation{}, domain.TenantNotFound()
	}
	return s.gather(ctx, p, t, uuid.Nil).explain(), nil
}

// Message says where a message of the tenant is, stored or not, and why it is not
// further. The tenant must be one that the caller may access.
func (s *Service) Message(ctx context.Context, p domain.Principal, t domain.Tenant, id uuid.UUID) domain.Explanation {
	return message{s.gather(ctx, p, t, id).sayOf()}.explainMessage(id)
}

// facts is all that is known of a tenant at a moment. What could not be found out has an
// error.
type facts struct {
	now        time.Time
	replica    string
	probeEvery time.Duration
	tenant     domain.Tenant
	caller     domain.Principal

	consumer domain.ConsumerStatus
	broker   BrokerState
	queue    domain.QueueCounts
	queueErr error
	// brokerSilent: neither the queue answered, nor the broker another question.
	brokerSilent bool
	refusal      error
	policies     []domain.ShortenedQueue

	databaseErr error
	known       domain.TenantFacts
	knownErr    error
	progress    domain.StoreProgress
	progressErr error
	locks       []domain.LockHolder
	// still: nothing moved between two looks.
	still bool

	// wanted is the message that was asked for, if one was.
	wanted    domain.MessageFacts
	wantedErr error
}

// gather asks everybody at once, and then again where an answer gives rise to it.
// MessageID is zero for a tenant as a whole.
func (s *Service) gather(ctx context.Context, p domain.Principal, t domain.Tenant, messageID uuid.UUID) *facts {
	f := &facts{now: s.o.Now().UTC(), replica: s.o.Replica, probeEvery: s.o.ProbeEvery, tenant: t, caller: p, broker: s.o.State()}
	asked, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var asking sync.WaitGroup
	s.look(asked, &asking, f)
	asking.Go(func() { _, f.databaseErr = s.o.Database.DatabaseTime(asked) })
	asking.Go(func() { f.known, f.knownErr = s.o.Facts.TenantFacts(asked, t.ID) })
	asking.Go(func() { f.refusal = s.o.Refusal(asked, t) })
	if s.o.Policies != nil {
		asking.Go(func() {
			var err error
			if f.policies, err = s.o.Policies(asked, t.ID); err != nil {
				s.o.Log.DebugContext(ctx, "policies of the broker cannot be read", slog.Any("error", err))
			}
		})
	}
	if messageID != uuid.Nil {
		asking.Go(func() { f.wanted, f.wantedErr = s.o.Facts.MessageFacts(asked, t.ID, messageID) })
	}
	asking.Wait()
	s.noteHeld(f)
	s.followUp(ctx, f)
	return f
}

// noteHeld asks once more what a consumer of this process holds, after the queue was
// asked: a message that was delivered in between would be in neither.
func (s *Service) noteHeld(f *facts) {
	if here, there := s.o.Here(f.tenant.ID); there && f.consumer.Replica == f.replica {
		f.consumer.Held = here.Held
	}
}

// look asks for what may move from one moment to the next.
func (s *Service) look(ctx context.Context, asking *sync.WaitGroup, f *facts) {
	asking.Go(func() { f.consumer = s.o.Consumer(ctx, f.tenant) })
	asking.Go(func() { f.progress, f.progressErr = s.o.Facts.StoreProgress(ctx, f.tenant.ID) })
	asking.Go(func() {
		if f.queueErr = s.awayError(f); f.queueErr == nil {
			f.queue, f.queueErr = s.o.Broker.QueueCounts(ctx, f.tenant.ID)
		}
	})
}

// awayError is what asking a broker comes to that is known to be away.
func (s *Service) awayError(f *facts) error {
	if f.broker.Away {
		return domain.ErrUnavailable
	}
	return nil
}

// followUp asks what the first answers give rise to.
func (s *Service) followUp(ctx context.Context, f *facts) {
	asked, cancel := context.WithTimeout(ctx, askAgain)
	defer cancel()
	var asking sync.WaitGroup
	if f.queueUnanswered() && !f.broker.Away {
		asking.Go(func() { f.brokerSilent = s.o.Broker.Answers(asked) != nil })
	}
	if f.mayBeLocked() {
		asking.Go(func() {
			var err error
			if f.locks, err = s.o.Facts.LockHolders(asked, f.tenant.ID); err != nil {
				s.o.Log.DebugContext(ctx, "locks of the database cannot be read", slog.Any("error", err))
			}
		})
	}
	if f.seemsStill() {
		again := *f
		select {
		case <-time.After(secondLook):
		case <-ctx.Done():
		}
		later, cancel := context.WithTimeout(ctx, askAgain)
		defer cancel()
		var looking sync.WaitGroup
		s.look(later, &looking, &again)
		looking.Wait()
		s.noteHeld(&again)
		f.still = again.seemsStill()
		f.consumer, f.queue, f.queueErr, f.progress, f.progressErr = again.consumer, again.queue, again.queueErr, again.progress, again.progressErr
	}
	asking.Wait()
}

package delivery

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"lanekeeper/domain"
	"lanekeeper/pkg/backoff"
	"lanekeeper/pkg/logger"
)

const (
	// settleEvery is how long a result waits for others to be settled with, and
	// settleResults how many of them are enough.
	settleEvery   = 100 * time.Millisecond
	settleResults = 256
	// maxUnrecorded is how many results of this process may not be recorded: when
	// it is reached, nothing more is begun.
	maxUnrecorded = 512
	// settleTimeout is the backstop of one transaction; the server's own statement
	// timeout comes first.
	settleTimeout  = 10 * time.Second
	minSettleRetry = 50 * time.Millisecond
	maxSettleRetry = 2 * time.Second
	// deferredAgain is when a settlement is tried again for which others held a lock.
	deferredAgain = 200 * time.Millisecond
)

// settler commits what became of deliveries, of all dispatchers together. Its
// goroutine is that of run; the other methods are safe for concurrent use.
type settler struct {
	repository deliveryRepository
	replica    string
	log        *slog.Logger
	keep       func(*domain.Attempt) bool
	problems   logger.Changes

	// deferred are settlements whose rows others have locked. It belongs to run.
	deferred []taken

	mu         sync.Mutex // guards the rest; nothing waits while it is held
	dirty      []*outbox
	unrecorded int
	// room is closed, and replaced, when results were recorded.
	room chan struct{}
	// kick holds a token when the settler is to look, full when there is enough.
	kick, full chan struct{}
}

func newSettler(repository deliveryRepository, replica string, keep func(*domain.Attempt) bool, log *slog.Logger) *settler {
	return &settler{
		repository: repository, replica: replica, keep: keep, log: log, problems: logger.Changes{Remind: time.Minute},
		room: make(chan struct{}), kick: make(chan struct{}, 1), full: make(chan struct{}, 1),
	}
}

// add notes that so many results were put into an outbox, and when tell is set that
// the outbox waits for the settler; urgent ones are settled at once.
func (s *settler) add(o *outbox, tell bool, results int, urgent bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if tell {
		s.dirty = append(s.dirty, o)
		signal(s.kick)
	}
	s.unrecorded += results
	if urgent || s.unrecorded >= settleResults {
		signal(s.full)
	}
}

// hasRoom reports whether a delivery may be begun; if not, the channel is closed
// when it is worth asking again.
func (s *settler) hasRoom() (bool, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unrecorded < maxUnrecorded, s.room
}

// forget notes that so many results will not be recorded.
func (s *settler) forget(results int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unrecorded -= results
	close(s.room)
	s.room = make(chan struct{})
}

// run settles until ctx ends. What is not settled by then is delivered again.
func (s *settler) run(ctx context.Context) {
	for {
		select {
		case <-s.kick:
		case <-ctx.Done():
			return
		}
		linger := time.NewTimer(settleEvery)
		select {
		case <-s.full:
		case <-linger.C:
		case <-ctx.Done():
		}
		linger.Stop()
		if ctx.Err() != nil {
			return
		}
		s.settleAll(ctx)
	}
}

// taken is a settlement and where it came from.
type taken struct {
	outbox     *outbox
	settlement domain.Settlement
}

// settleAll settles what the outboxes have.
func (s *settler) settleAll(ctx context.Context) {
	s.mu.Lock()
	outboxes := s.dirty
	s.dirty = nil
	s.mu.Unlock()
	batch := s.deferred
	s.deferred = nil
	for _, o := range outboxes {
		if settlement, ok := o.take(); ok {
			batch = append(batch, taken{o, settlement})
		}
	}
	for len(batch) > 0 {
		n := 0
		for size := 0; n < len(batch) && (n == 0 || size < 2*maxUnrecorded); n++ {
			size += batch[n].settlement.Size()
		}
		s.settle(ctx, batch[:n])
		batch = batch[n:]
	}
	if len(s.deferred) > 0 {
		time.AfterFunc(deferredAgain, func() { signal(s.kick) })
	}
}

// settle settles a batch; what is refused, in halves, until one bad result is
// alone, or the one for which others hold a lock.
func (s *settler) settle(ctx context.Context, batch []taken) {
	settlements := make([]domain.Settlement, len(batch))
	for i := range batch {
		settlements[i] = s.record(batch[i].settlement)
	}
	outcomes, err := s.insist(ctx, settlements)
	switch {
	case err == nil:
		for i := range batch {
			s.finish(batch[i], outcomes[i])
		}
	case ctx.Err() != nil:
		for i := range batch {
			s.finish(batch[i], 0)
		}
	case len(batch) > 1:
		s.settle(ctx, batch[:len(batch)/2])
		s.settle(ctx, batch[len(batch)/2:])
	case errors.Is(err, domain.ErrContended):
		s.deferred = append(s.deferred, batch[0])
	default:
		s.finish(batch[0], s.salvage(ctx, settlements[0], err))
	}
}

// salvage settles what it can of a settlement that was refused: without the
// answers, and then without the attempts, which are only there to be looked at.
func (s *settler) salvage(ctx context.Context, one domain.Settlement, cause error) domain.SettleOutcome {
	ctx = domain.WithTenantID(ctx, one.TenantID)
	s.log.ErrorContext(ctx, "results of deliveries are refused by the database, their records are dropped",
		slog.String("endpoint_id", one.EndpointID.String()), slog.Any("error", cause))
	attempts := make([]domain.Attempt, len(one.Attempts))
	for i, a := range one.Attempts {
		a.Answer = nil
		attempts[i] = a
	}
	for _, rest := range [][]domain.Attempt{attempts, nil} {
		one.Attempts = rest
		outcomes, err := s.insist(ctx, []domain.Settlement{one})
		switch {
		case err == nil:
			return outcomes[0]
		case ctx.Err() != nil:
			return 0
		}
		cause = err
	}
	s.log.ErrorContext(ctx, "deliveries cannot be settled and will be made again",
		slog.String("endpoint_id", one.EndpointID.String()), slog.Any("error", cause))
	return domain.SettleLost
}

// record returns the settlement with those attempts only that are to be kept.
func (s *settler) record(one domain.Settlement) domain.Settlement {
	kept := one.Attempts[:0:0]
	for i := range one.Attempts {
		if s.keep(&one.Attempts[i]) {
			kept = append(kept, one.Attempts[i])
		}
	}
	one.Attempts = kept
	return one
}

// insist tries until the database takes the settlements or refuses them, or ctx
// ends. Meanwhile results pile up, until nothing is begun any more.
func (s *settler) insist(ctx context.Context, settlements []domain.Settlement) ([]domain.SettleOutcome, error) {
	retries := backoff.New(minSettleRetry, maxSettleRetry)
	begun := time.Now()
	for {
		limited, cancel := context.WithTimeout(ctx, settleTimeout)
		outcomes, err := s.repository.Settle(limited, s.replica, aged(settlements, time.Since(begun)))
		cancel()
		switch {
		case err == nil:
			if s.problems.Recovered() {
				s.log.InfoContext(ctx, "deliveries can be settled again")
			}
			return outcomes, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, domain.ErrRejected), errors.Is(err, domain.ErrContended):
			return nil, err //nolint:wrapcheck // the caller looks at its kind
		case s.problems.Failed(""):
			s.log.WarnContext(ctx, "deliveries cannot be settled, trying on", slog.Any("error", err))
		}
		if err := retries.Wait(ctx); err != nil {
			return nil, err //nolint:wrapcheck // the end of ctx
		}
	}
}

// aged returns the settlements as they are after having waited that long: times
// are relative to the moment at which they are stored.
func aged(settlements []domain.Settlement, by time.Duration) []domain.Settlement {
	if by < time.Second {
		return settlements
	}
	older := make([]domain.Settlement, len(settlements))
	for i, one := range settlements {
		attempts, open := make([]domain.Attempt, len(one.Attempts)), make([]domain.OpenDelivery, len(one.Open))
		for k, a := range one.Attempts {
			a.Ago += by
			a.NextIn -= by
			attempts[k] = a
		}
		for k, row := range one.Open {
			row.NextIn -= by
			open[k] = row
		}
		one.Attempts, one.Open = attempts, open
		older[i] = one
	}
	return older
}

// finish tells the dispatcher, and makes room for as many results.
func (s *settler) finish(t taken, outcome domain.SettleOutcome) {
	t.outbox.finish(settled{t.settlement, outcome})
	s.forget(len(t.settlement.Attempts))
}

// signal puts a token into a channel with room for one. It does not block.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

package quota

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"lanekeeper/pkg/rabbitmq"
)

const (
	// firstChannels is how many channels are taken without trying: with fewer
	// there is no service.
	firstChannels = 8
	// keptChannels is what lasting channels leave for those that come and go:
	// topology, publishing, trials of queues, dead letters.
	keptChannels = 10
	// margin is left alone of what the broker was seen to allow, for what is
	// opened without asking here: the first channel of each connection.
	margin = 2
	// trialStep is the least for which room is tried; it grows with what is used.
	trialStep = 32
	// trialsAtOnce is how many of them are opened at a time.
	trialsAtOnce = 64
	// trialTimeout bounds one trial, settleTime is how long the broker has to
	// notice its end, for it counts channels after the fact: twice as long each time
	// that it was seen not to be enough, up to maxSettleTime. RetryAfter is how long
	// nothing is tried after the limit was met.
	trialTimeout  = 5 * time.Second
	settleTime    = 250 * time.Millisecond
	maxSettleTime = 4 * settleTime
	retryAfter    = 20 * time.Second
)

// Quota hands out channels within what the broker was seen to allow. It is safe
// for concurrent use.
type Quota struct {
	connect func(ctx context.Context) (*rabbitmq.Session, error)
	log     *slog.Logger
	// trial holds a token while no trial runs.
	trial chan struct{}
	// opening is held for reading while a channel is opened, and for writing
	// during a trial, which may use up everything for a moment.
	opening contextLock

	mu      sync.Mutex
	used    int
	lasting int // of those used
	allowed int
	// limited is set once a limit was met, and settle is the settleTime by now, as a
	// time.Duration.
	limited atomic.Bool
	settle  atomic.Int64
	// full is until when no more is tried, and refusal the broker's answer;
	// guarded by mu, like all below it.
	full    time.Time
	refusal error
	freed   chan struct{} // closed and replaced when used falls
}

// New returns a Quota that nothing is known of yet. Connect opens a session for
// a trial, which ends with it; log receives what is only of use in a search for
// faults.
func New(connect func(context.Context) (*rabbitmq.Session, error), log *slog.Logger) *Quota {
	q := &Quota{connect: connect, log: log, allowed: firstChannels, trial: make(chan struct{}, 1), freed: make(chan struct{})}
	q.settle.Store(int64(settleTime))
	q.trial <- struct{}{}
	q.opening.init()
	return q
}

// Slot is the place of one channel. It is safe for concurrent use.
type Slot struct {
	quota   *Quota
	lasting bool
	opened  sync.Once
	freed   sync.Once
}

// Take returns a slot for a channel that is opened at once: then call Opened, and
// Release when the channel is closed. Lasting channels are refused with
// rabbitmq.ErrLimitReached when lasting ones have all that there is for them; what
// those that come and go have at the moment is waited for, until ctx ends.
func (q *Quota) Take(ctx context.Context, lasting bool) (*Slot, error) {
	for {
		ok, freed, err := q.tryTake(lasting)
		switch {
		case err != nil:
			return nil, err
		case ok:
			if err := q.opening.rLock(ctx); err != nil {
				q.release(lasting)
				return nil, err
			}
			return &Slot{quota: q, lasting: lasting}, nil
		case freed != nil: // the limit is known
			select {
			case <-freed:
			case <-time.After(retryAfter):
			case <-ctx.Done():
				return nil, fmt.Errorf("wait for a channel: %w", ctx.Err())
			}
			continue
		}
		if err := q.try(ctx, lasting); err != nil {
			return nil, err
		}
	}
}

// Refusal returns the error of Take for a lasting channel when it is known that
// it would be refused, else nil.
func (q *Quota) Refusal() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.lastingHaveRoomLocked() || !time.Now().Before(q.full) {
		return nil
	}
	return rabbitmq.LimitReached(q.refusal)
}

// tryTake takes a slot if there is one. Freed is not nil when the limit is known
// and all that is left is to wait.
func (q *Quota) tryTake(lasting bool) (ok bool, freed <-chan struct{}, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.hasRoomLocked(lasting):
		q.used++
		if lasting {
			q.lasting++
		}
		return true, nil, nil
	case !time.Now().Before(q.full):
		return false, nil, nil
	case lasting && !q.lastingHaveRoomLocked():
		return false, nil, rabbitmq.LimitReached(q.refusal)
	}
	return false, q.freed, nil
}

func (q *Quota) hasRoomLocked(lasting bool) bool {
	return q.used < q.allowed && (!lasting || q.lastingHaveRoomLocked())
}

func (q *Quota) lastingHaveRoomLocked() bool { return q.lasting < q.allowed-keptChannels }

// ConnectionLost is called with the reason for which a connection ended. When
// that is the limit, others took what was left since it was tried out.
func (q *Quota) ConnectionLost(why error) {
	if !rabbitmq.IsNotAllowed(why) {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.allowed = max(firstChannels, min(q.allowed, q.used-1))
	q.full, q.refusal = time.Now().Add(retryAfter), why
	q.limited.Store(true)
}

func (q *Quota) release(lasting bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.used--
	if lasting {
		q.lasting--
	}
	close(q.freed)
	q.freed = make(chan struct{})
}

// Opened says that the channel is open, or will not be.
func (s *Slot) Opened() { s.opened.Do(s.quota.opening.rUnlock) }

// Release gives the slot back. It may be called more than once. Where the limit
// is known the slot counts for a moment longer, as it does for the broker.
func (s *Slot) Release() {
	s.Opened()
	if s.quota.limited.Load() {
		time.AfterFunc(s.quota.settling(), s.giveBack)
		return
	}
	s.giveBack()
}

func (s *Slot) giveBack() {
	s.freed.Do(func() { s.quota.release(s.lasting) })
}

// settling returns how long a channel that is closed counts on for the broker.
func (q *Quota) settling() time.Duration { return time.Duration(q.settle.Load()) }

// try finds out whether there is room for more, unless another trial just has.
func (q *Quota) try(ctx context.Context, lasting bool) error {
	select {
	case <-q.trial:
		defer func() { q.trial <- struct{}{} }()
	case <-ctx.Done():
		return fmt.Errorf("wait for a channel: %w", ctx.Err())
	}
	q.mu.Lock()
	known := q.hasRoomLocked(lasting) || time.Now().Before(q.full)
	q.mu.Unlock()
	if known {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, trialTimeout)
	defer cancel()
	if err := q.opening.lock(ctx); err != nil {
		return fmt.Errorf("wait for channels that are being opened: %w", err)
	}
	defer q.opening.unlock()
	q.mu.Lock()
	used := q.used
	q.mu.Unlock()
	more := max(trialStep, used/2)
	found, err := q.count(ctx, more)
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case err == nil:
		q.allowed = used + found
	case rabbitmq.IsNotAllowed(err):
		q.allowed, q.full, q.refusal = used+max(0, found-margin), time.Now().Add(retryAfter), err
		q.limited.Store(true)
	case errors.Is(err, errNoTrial):
		q.log.DebugContext(ctx, "room for more channels cannot be tried out", slog.Any("error", err))
		q.allowed = used + more
	case found == 0:
		return fmt.Errorf("try for more channels: %w", err)
	default:
		q.allowed = used + found
	}
	return nil
}

// errNoTrial: there is no connection for a trial, because connections are
// limited, too.
var errNoTrial = errors.New("no connection for a trial")

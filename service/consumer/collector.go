package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

const (
	// collectEvery is how often a tenant's dead-letter queue is looked at.
	// What this process buries itself is collected at once.
	collectEvery = 10 * time.Second
	// collectPrefetch and collectSessions bound the letters in memory, each of
	// which may have a MiB or more, and the connections to the store.
	collectPrefetch = 16
	collectSessions = 4
	// collectFirst is how long a session waits for its first letter, and
	// collectNext for another; collectTurn is how long it may last, because
	// other tenants wait.
	collectFirst = 500 * time.Millisecond
	collectNext  = 50 * time.Millisecond
	collectTurn  = 5 * time.Second

	collectTimeout = 10 * time.Second
	// storePause is how long nobody tries again after the store was away.
	storePause = 2 * time.Second
)

// CollectorOptions configure a Collector.
type CollectorOptions struct {
	Queues domain.DeadLetterQueues
	Store  DeadLetterStore
	Log    *slog.Logger
	// Replica is part of every consumer tag.
	Replica string
	// QueueMissing is told of tenants whose dead-letter queue does not exist;
	// it must not block. It may be nil.
	QueueMissing func(tenantID uuid.UUID)
	// Died is told why the broker itself put a letter there, for each that was
	// recorded; it must not block. It may be nil.
	Died func(reason string)
}

// DeadLetterStore records dead letters; see domain.DeadLetterRepository.
type DeadLetterStore interface {
	RecordDeadLetters(ctx context.Context, letters []domain.DeadLetter) error
}

// Collector moves dead letters from the tenants' queues into the store. A
// tenant whose queue is empty has no channel for it: one is opened when there
// are letters, and closed once there are none. A letter is acknowledged after
// it was recorded; one that cannot be recorded for now stays in its queue.
type Collector struct {
	options CollectorOptions
	every   time.Duration
	// sessions has a slot for each session at a time, first come, first served.
	sessions chan struct{}
	// paused is until when the store is left alone, by the monotonic clock; nil
	// if it never was.
	paused atomic.Pointer[time.Time]
}

// NewCollector returns a Collector, which collects for the tenants that have a
// consumer in a TenantManager.
func NewCollector(o CollectorOptions) *Collector {
	return &Collector{options: o, every: collectEvery, sessions: make(chan struct{}, collectSessions)}
}

// start begins to collect a tenant's letters, until stop is called. A nil
// Collector leaves them in their queues.
func (c *Collector) start(ctx context.Context, tenant uuid.UUID) *collection {
	if c == nil {
		return nil
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l := &collection{collector: c, tenant: tenant, kicked: make(chan struct{}, 1), cancel: cancel, done: make(chan struct{})}
	go l.run(ctx)
	return l
}

// collection is what collects the letters of one tenant. Its goroutine owns
// the session; a nil collection does nothing.
type collection struct {
	collector *Collector
	tenant    uuid.UUID
	kicked    chan struct{} // capacity 1: somebody knows of letters
	cancel    func()
	done      chan struct{}
	epoch     int
}

// kick tells that there are letters. It does not block.
func (l *collection) kick() {
	if l == nil {
		return
	}
	select {
	case l.kicked <- struct{}{}:
	default:
	}
}

// stop ends collecting and returns when it has ended. What is not recorded by
// then stays in the queue.
func (l *collection) stop() {
	if l == nil {
		return
	}
	l.cancel()
	<-l.done
}

func (l *collection) run(ctx context.Context) {
	defer close(l.done)
	log := l.collector.options.Log
	look := time.NewTimer(rand.N(l.collector.every)) //nolint:gosec // spreads the tenants, guards nothing
	defer look.Stop()
	for {
		letters := true
		select {
		case <-l.kicked:
		case <-look.C:
			letters = l.waiting(ctx)
		case <-ctx.Done():
			return
		}
		level := slog.LevelWarn // of the first failure; later ones say the same
		for wait := minResubscribe; letters; {
			var err error
			if letters, err = l.session(ctx); err == nil {
				wait, level = minResubscribe, slog.LevelWarn
				continue
			}
			if ctx.Err() == nil {
				log.Log(ctx, level, "dead letters are left in their queue for now", slog.Any("error", err))
				level = slog.LevelDebug
			}
			if sleep(ctx, jitter(wait)) != nil {
				return
			}
			wait = min(2*wait, maxResubscribe)
		}
		look.Reset(jitter(2 * l.collector.every))
	}
}

// waiting asks the broker whether there are letters.
func (l *collection) waiting(ctx context.Context) bool {
	limited, cancel := context.WithTimeout(ctx, depthTimeout)
	defer cancel()
	depth, err := l.collector.options.Queues.DeadLetterDepth(limited, l.tenant)
	l.noteMissing(err)
	return err == nil && depth > 0
}

func (l *collection) noteMissing(err error) {
	if errors.Is(err, domain.ErrNotFound) && l.collector.options.QueueMissing != nil {
		l.collector.options.QueueMissing(l.tenant)
	}
}

// session collects until no more letters come, and reports whether there may
// be more.
func (l *collection) session(ctx context.Context) (more bool, err error) {
	c := l.collector
	select {
	case c.sessions <- struct{}{}:
		defer func() { <-c.sessions }()
	case <-ctx.Done():
		return false, nil
	}
	if err := sleep(ctx, c.pause()); err != nil {
		return false, nil // it was told to stop
	}
	select {
	case <-l.kicked: // what that is about is there by now
	default:
	}
	l.epoch++
	tag := fmt.Sprintf("tenant_%s_%s_dlq_%d", l.tenant, c.options.Replica, l.epoch)
	sub, err := c.options.Queues.SubscribeDeadLetters(ctx, l.tenant, tag, collectPrefetch)
	if err != nil {
		l.noteMissing(err)
		return !errors.Is(err, domain.ErrNotFound), fmt.Errorf("subscribe to dead letters: %w", err)
	}
	defer func() { err = errors.Join(err, sub.Close()) }()
	acks := newAcker(collectPrefetch, sub.Ack)
	patience := collectFirst
	for begun := time.Now(); time.Since(begun) < collectTurn; patience = collectNext {
		batch := nextLetters(ctx, sub, patience)
		if len(batch) == 0 {
			select {
			case <-sub.Done():
				return true, fmt.Errorf("collect dead letters: %w", sub.Err())
			default:
				return false, nil
			}
		}
		if err := l.collect(ctx, batch, acks); err != nil {
			return true, err
		}
	}
	return true, nil // after the others
}

// nextLetters waits for a delivery and returns it with what else is there;
// none when nothing comes.
func nextLetters(ctx context.Context, sub domain.Subscription, patience time.Duration) []domain.Delivery {
	idle := time.NewTimer(patience)
	defer idle.Stop()
	var batch []domain.Delivery
	select {
	case d, ok := <-sub.Deliveries():
		if !ok {
			<-sub.Done()
			return nil
		}
		batch = append(batch, d)
	case <-idle.C:
		return nil
	case <-ctx.Done():
		return nil
	}
	for len(batch) < collectPrefetch {
		select {
		case d, ok := <-sub.Deliveries():
			if !ok {
				return batch
			}
			batch = append(batch, d)
		default:
			return batch
		}
	}
	return batch
}

// collect records what was buried, and publishes again what only came back
// too often. Each is acknowledged when that is done.
func (l *collection) collect(ctx context.Context, batch []domain.Delivery, acks *acker) error {
	queues := l.collector.options.Queues
	var letters []domain.DeadLetter
	var tags []uint64
	var exhausted []domain.Delivery
	for _, d := range batch {
		letter, again := queues.ReadDeadLetter(l.tenant, d)
		if again {
			exhausted = append(exhausted, d)
			continue
		}
		letters, tags = append(letters, letter), append(tags, d.Tag)
	}
	recorded, err := l.record(ctx, letters, tags)
	if err = errors.Join(err, acks.done(recorded), acks.flush()); err != nil {
		return err
	}
	for i := range exhausted {
		if err := l.revive(ctx, &exhausted[i], acks); err != nil {
			return err
		}
	}
	return nil
}

// pause returns how long the store is to be left alone.
func (c *Collector) pause() time.Duration {
	until := c.paused.Load()
	if until == nil {
		return 0
	}
	return time.Until(*until)
}

// record returns the tags of the letters that are recorded. One that the store
// refuses does not keep the others from it; it stays in the queue.
func (l *collection) record(ctx context.Context, letters []domain.DeadLetter, tags []uint64) ([]uint64, error) {
	if len(letters) == 0 {
		return nil, nil
	}
	c := l.collector
	limited, cancel := context.WithTimeout(ctx, collectTimeout)
	err := c.options.Store.RecordDeadLetters(limited, letters)
	cancel()
	switch {
	case err == nil:
		c.options.Log.DebugContext(ctx, "dead letters recorded", slog.Int("letters", len(letters)))
		c.countDeaths(letters)
		return tags, nil
	case ctx.Err() != nil, errors.Is(err, domain.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		c.paused.Store(new(time.Now().Add(storePause)))
		return nil, fmt.Errorf("record dead letters: %w", err)
	case len(letters) == 1:
		c.options.Log.ErrorContext(ctx, "dead letter cannot be recorded and stays in its queue",
			slog.String("message_id", letters[0].MessageID), slog.Any("error", err))
		return nil, nil
	}
	var recorded []uint64
	for i := range letters {
		one, err := l.record(ctx, letters[i:i+1], tags[i:i+1])
		recorded = append(recorded, one...)
		if err != nil {
			return recorded, err
		}
	}
	return recorded, nil
}

// countDeaths tells of those that the broker itself put there.
func (c *Collector) countDeaths(letters []domain.DeadLetter) {
	if c.options.Died == nil {
		return
	}
	for i := range letters {
		if reason := letters[i].BrokerReason(); reason != "" {
			c.options.Died(reason)
		}
	}
}

func (l *collection) revive(ctx context.Context, d *domain.Delivery, acks *acker) error {
	limited, cancel := context.WithTimeout(ctx, buryTimeout)
	defer cancel()
	if err := l.collector.options.Queues.Revive(limited, l.tenant, *d); err != nil {
		return fmt.Errorf("publish a message again that came back too often: %w", err)
	}
	l.collector.options.Log.WarnContext(ctx, "message came back to its queue too often, trying it again", slog.String("message_id", d.MessageID))
	return errors.Join(acks.done([]uint64{d.Tag}), acks.flush())
}

// sleep waits for d, or returns the error of ctx when it ends before.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

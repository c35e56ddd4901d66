package deadletter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/backoff"
	"lanekeeper/pkg/rabbitmq/acks"
)

const (
	depthTimeout   = 2 * time.Second
	requeueTimeout = 5 * time.Second
	// firstWait is how long a session waits for its first letter, and nextWait
	// for another; maxTurn is how long it may last, because other tenants wait.
	firstWait = 500 * time.Millisecond
	nextWait  = 50 * time.Millisecond
	maxTurn   = 5 * time.Second
	// maxQuiet is how often it looks in vain before the time between two looks does
	// not grow any more: by then it is four times as long.
	maxQuiet = 3

	minRetry = 200 * time.Millisecond
	maxRetry = 5 * time.Second
)

// collection collects the letters of one tenant. It has a goroutine while it looks for
// letters or collects them, and otherwise a timer:
//
//	asleep --time to look, or Notify--> at work --nothing left--> asleep
//	either --Stop--> ended
//
// The goroutine owns the session.
type collection struct {
	collector *Collector
	tenant    uuid.UUID
	taken     func() int64
	ctx       context.Context //nolint:containedctx // lives until Stop
	cancel    func()
	epoch     int   // of sessions; the goroutine's
	seen      int64 // what was taken when it last looked; the goroutine's
	quiet     int   // how often it has looked since in vain; the goroutine's

	mu       sync.Mutex
	notified bool // there are letters
	atWork   bool
	stopped  bool
	look     *time.Timer    // runs while it is asleep
	work     sync.WaitGroup // the goroutine; added to under mu
}

// begin has it look for the first time.
func (l *collection) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.look = time.AfterFunc(rand.N(l.collector.options.PollEvery), func() { l.wake(false) }) //nolint:gosec // spreads the tenants, guards nothing
}

// Notify implements domain.DeadLetterCollection.
func (l *collection) Notify() { l.wake(true) }

func (l *collection) wake(notified bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.notified = l.notified || notified
	if l.atWork || l.stopped {
		return
	}
	l.atWork = true
	l.look.Stop()
	l.work.Go(l.run)
}

// heed takes a notification, and reports whether there was one.
func (l *collection) heed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	notified := l.notified
	l.notified = false
	return notified
}

// sleep ends the goroutine, unless there was a notification meanwhile.
func (l *collection) sleep() (asleep bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.notified && !l.stopped {
		return false
	}
	l.atWork = false
	if !l.stopped {
		l.look.Reset(backoff.Jitter(l.interval(), 0.5))
	}
	return true
}

// interval is until it looks again: the broker itself makes letters only of what comes
// from the tenant's queue, so where nothing comes they are looked for less often.
func (l *collection) interval() time.Duration {
	if taken := l.taken(); taken != l.seen {
		l.seen, l.quiet = taken, 0
	} else {
		l.quiet = min(l.quiet+1, maxQuiet)
	}
	return 2 * l.collector.options.PollEvery << max(0, l.quiet-1)
}

// Stop implements domain.DeadLetterCollection.
func (l *collection) Stop() {
	l.mu.Lock()
	l.stopped = true
	l.look.Stop()
	l.mu.Unlock()
	l.cancel()
	l.work.Wait()
}

// run looks for letters and collects until there are none.
func (l *collection) run() {
	for {
		if letters := l.heed() || l.waiting(l.ctx); letters {
			l.quiet = 0
			l.collectAll(l.ctx)
		}
		if l.sleep() {
			return
		}
	}
}

// collectAll collects in sessions until there are no letters, or ctx ends.
func (l *collection) collectAll(ctx context.Context) {
	retries := backoff.New(minRetry, maxRetry)
	level := slog.LevelWarn // of the first failure; later ones say the same
	for letters := true; letters; {
		var err error
		if letters, err = l.session(ctx); err == nil {
			retries.Reset()
			level = slog.LevelWarn
			continue
		}
		if ctx.Err() == nil {
			l.collector.options.Log.Log(ctx, level, "dead letters are left in their queue for now", slog.Any("error", err))
			level = slog.LevelDebug
		}
		if retries.Wait(ctx) != nil {
			return
		}
	}
}

// waiting asks the broker whether there are letters.
func (l *collection) waiting(ctx context.Context) bool {
	limited, cancel := context.WithTimeout(ctx, depthTimeout)
	defer cancel()
	depth, err := l.collector.options.Queues.DeadLetterDepth(limited, l.tenant)
	l.reportMissing(err)
	return err == nil && depth > 0
}

func (l *collection) reportMissing(err error) {
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
	if err := backoff.Sleep(ctx, c.cooldown()); err != nil {
		return false, nil // it was told to stop
	}
	l.heed() // what that is about is there by now
	l.epoch++
	tag := fmt.Sprintf("tenant_%s_%s_dlq_%d", l.tenant, c.options.Replica, l.epoch)
	sub, err := c.options.Queues.SubscribeDeadLetters(ctx, l.tenant, tag, collectPrefetch)
	if err != nil {
		l.reportMissing(err)
		return !errors.Is(err, domain.ErrNotFound), fmt.Errorf("subscribe to dead letters: %w", err)
	}
	defer func() { err = errors.Join(err, sub.Close()) }()
	deliveries := domain.Deliveries(sub, collectPrefetch)
	batcher := acks.NewBatcher(collectPrefetch, sub.Ack)
	wait := firstWait
	for begun := time.Now(); time.Since(begun) < maxTurn; wait = nextWait {
		batch := nextLetters(ctx, deliveries, wait)
		if len(batch) == 0 {
			select {
			case <-sub.Done():
				return true, fmt.Errorf("collect dead letters: %w", sub.Err())
			default:
				return false, nil
			}
		}
		if err := l.collect(ctx, batch, batcher); err != nil {
			return true, err
		}
	}
	return true, nil // after the others
}

// nextLetters waits for a delivery and returns it with what else is there;
// none when nothing comes.
func nextLetters(ctx context.Context, deliveries <-chan domain.Delivery, wait time.Duration) []domain.Delivery {
	idle := time.NewTimer(wait)
	defer idle.Stop()
	var batch []domain.Delivery
	select {
	case d, ok := <-deliveries:
		if !ok {
			return nil // the subscription has ended
		}
		batch = append(batch, d)
	case <-idle.C:
		return nil
	case <-ctx.Done():
		return nil
	}
	for len(batch) < collectPrefetch {
		select {
		case d, ok := <-deliveries:
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

// collect records dead letters, and publishes again what only came back too
// often. Each is acknowledged when that is done.
func (l *collection) collect(ctx context.Context, batch []domain.Delivery, batcher *acks.Batcher) error {
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
	recorded, err := l.collector.record(ctx, letters, tags)
	if err = errors.Join(err, batcher.Done(recorded), batcher.Flush()); err != nil {
		return err
	}
	for i := range exhausted {
		if err := l.requeue(ctx, &exhausted[i], batcher); err != nil {
			return err
		}
	}
	return nil
}

func (l *collection) requeue(ctx context.Context, d *domain.Delivery, batcher *acks.Batcher) error {
	limited, cancel := context.WithTimeout(ctx, requeueTimeout)
	defer cancel()
	if err := l.collector.options.Queues.Requeue(limited, l.tenant, *d); err != nil {
		return fmt.Errorf("publish a message again that came back too often: %w", err)
	}
	l.collector.options.Log.WarnContext(ctx, "message came back to its queue too often, trying it again", slog.String("message_id", d.MessageID))
	return errors.Join(batcher.Done([]uint64{d.Tag}), batcher.Flush())
}

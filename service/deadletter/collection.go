package deadletter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
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

	minRetry = 200 * time.Millisecond
	maxRetry = 5 * time.Second
)

// collection collects the letters of one tenant. Its goroutine owns the session.
type collection struct {
	collector *Collector
	tenant    uuid.UUID
	notified  chan struct{} // capacity 1: there are letters
	cancel    func()
	done      chan struct{}
	epoch     int
}

// Notify implements domain.DeadLetterCollection.
func (l *collection) Notify() {
	select {
	case l.notified <- struct{}{}:
	default:
	}
}

// Stop implements domain.DeadLetterCollection.
func (l *collection) Stop() {
	l.cancel()
	<-l.done
}

func (l *collection) run(ctx context.Context) {
	defer close(l.done)
	o := l.collector.options
	poll := time.NewTimer(rand.N(o.PollEvery)) //nolint:gosec // spreads the tenants, guards nothing
	defer poll.Stop()
	retries := backoff.New(minRetry, maxRetry)
	for {
		letters := true
		select {
		case <-l.notified:
		case <-poll.C:
			letters = l.waiting(ctx)
		case <-ctx.Done():
			return
		}
		retries.Reset()
		level := slog.LevelWarn // of the first failure; later ones say the same
		for letters {
			var err error
			if letters, err = l.session(ctx); err == nil {
				retries.Reset()
				level = slog.LevelWarn
				continue
			}
			if ctx.Err() == nil {
				o.Log.Log(ctx, level, "dead letters are left in their queue for now", slog.Any("error", err))
				level = slog.LevelDebug
			}
			if retries.Wait(ctx) != nil {
				return
			}
		}
		poll.Reset(backoff.Jitter(2*o.PollEvery, 0.5))
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
	select {
	case <-l.notified: // what that is about is there by now
	default:
	}
	l.epoch++
	tag := fmt.Sprintf("tenant_%s_%s_dlq_%d", l.tenant, c.options.Replica, l.epoch)
	sub, err := c.options.Queues.SubscribeDeadLetters(ctx, l.tenant, tag, collectPrefetch)
	if err != nil {
		l.reportMissing(err)
		return !errors.Is(err, domain.ErrNotFound), fmt.Errorf("subscribe to dead letters: %w", err)
	}
	defer func() { err = errors.Join(err, sub.Close()) }()
	batcher := acks.NewBatcher(collectPrefetch, sub.Ack)
	wait := firstWait
	for begun := time.Now(); time.Since(begun) < maxTurn; wait = nextWait {
		batch := nextLetters(ctx, sub, wait)
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
func nextLetters(ctx context.Context, sub domain.Subscription, wait time.Duration) []domain.Delivery {
	idle := time.NewTimer(wait)
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

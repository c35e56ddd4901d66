package deadletter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

const (
	// pollEvery is how often a tenant's dead-letter queue is asked for letters, at
	// most: every 15 s on average, and every minute where nothing comes from its main
	// queue. Those that its consumer publishes itself are collected at once.
	pollEvery = 10 * time.Second
	// collectPrefetch and maxSessions bound the letters in memory, each of
	// which may have a MiB or more, and the connections to the store.
	collectPrefetch = 16
	maxSessions     = 4

	recordTimeout = 10 * time.Second
	// storeCooldown is how long the store is left alone after it was away.
	storeCooldown = 2 * time.Second
)

// CollectorOptions configure a Collector.
type CollectorOptions struct {
	Queues domain.DeadLetterQueues
	Store  Store
	Log    *slog.Logger
	// Replica is part of every consumer tag.
	Replica string
	// QueueMissing is called for tenants whose dead-letter queue does not exist;
	// it must not block. It may be nil.
	QueueMissing func(tenantID uuid.UUID)
	// Died is called with the reason for each recorded letter that the broker
	// itself put into the queue; it must not block. It may be nil.
	Died func(reason string)
	// PollEvery is how often queues are asked for letters, at most; 10 s by default.
	PollEvery time.Duration
}

// Store records dead letters; see domain.DeadLetterRepository.
type Store interface {
	RecordDeadLetters(ctx context.Context, letters []domain.DeadLetter) error
}

// Collector moves dead letters from the tenants' queues into the store. A
// tenant whose queue is empty has no channel for it: one is opened when there
// are letters, and closed once there are none. A letter is acknowledged after
// it was recorded; one that cannot be recorded for now stays in its queue. It is
// safe for concurrent use.
type Collector struct {
	options CollectorOptions
	// sessions has a slot for each session at a time, first come, first served.
	sessions chan struct{}
	// storeAway is until when the store is left alone, by the monotonic clock;
	// nil if it was never away.
	storeAway atomic.Pointer[time.Time]
}

var _ domain.DeadLetterCollector = (*Collector)(nil)

// NewCollector returns a Collector that collects nothing until Collect is called.
func NewCollector(o CollectorOptions) *Collector {
	o.PollEvery = cmp.Or(o.PollEvery, pollEvery)
	return &Collector{options: o, sessions: make(chan struct{}, maxSessions)}
}

// Collect implements domain.DeadLetterCollector.
func (c *Collector) Collect(ctx context.Context, tenantID uuid.UUID, taken func() int64) domain.DeadLetterCollection {
	l := &collection{collector: c, tenant: tenantID, taken: taken}
	l.ctx, l.cancel = context.WithCancel(context.WithoutCancel(ctx))
	l.begin()
	return l
}

// cooldown returns how long the store is to be left alone.
func (c *Collector) cooldown() time.Duration {
	until := c.storeAway.Load()
	if until == nil {
		return 0
	}
	return time.Until(*until)
}

// record returns the tags of the letters that are recorded. One that the store
// refuses does not keep the others from it; it stays in the queue.
func (c *Collector) record(ctx context.Context, letters []domain.DeadLetter, tags []uint64) ([]uint64, error) {
	if len(letters) == 0 {
		return nil, nil
	}
	limited, cancel := context.WithTimeout(ctx, recordTimeout)
	err := c.options.Store.RecordDeadLetters(limited, letters)
	cancel()
	switch {
	case err == nil:
		c.options.Log.DebugContext(ctx, "dead letters recorded", slog.Int("letters", len(letters)))
		c.countDeaths(letters)
		return tags, nil
	case ctx.Err() != nil, errors.Is(err, domain.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		c.storeAway.Store(new(time.Now().Add(storeCooldown)))
		return nil, fmt.Errorf("record dead letters: %w", err)
	case len(letters) == 1:
		c.options.Log.ErrorContext(ctx, "dead letter cannot be recorded and stays in its queue",
			slog.String("message_id", letters[0].MessageID), slog.Any("error", err))
		return nil, nil
	}
	var recorded []uint64
	for i := range letters {
		one, err := c.record(ctx, letters[i:i+1], tags[i:i+1])
		recorded = append(recorded, one...)
		if err != nil {
			return recorded, err
		}
	}
	return recorded, nil
}

// countDeaths reports the letters that the broker itself put into the queue.
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

package stream

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"lanekeeper/pkg/backoff"
	"lanekeeper/pkg/logger"
)

const (
	// wakeChannel carries the ids of tenants that were stored for: 16 bytes
	// for the sender, and 16 for each tenant, or the zero UUID for all.
	wakeChannel = "lanekeeper.wake"
	idBytes     = 16
	// payloadIDs is how many tenants one message names.
	payloadIDs = 512
	// maxPending is how many tenants may wait to be published; when there are
	// more, others have to look at all of theirs.
	maxPending = 8192

	// publishTimeout bounds one exchange with Redis.
	publishTimeout = 500 * time.Millisecond
	// pingPause is how often the subscription is tried. An answer that takes
	// longer than slowAnswer makes Redis unhealthy, and after deadAnswer the
	// connection is given up.
	pingPause  = time.Second
	slowAnswer = 500 * time.Millisecond
	deadAnswer = 3 * time.Second
	watchStep  = 250 * time.Millisecond
)

// bus exchanges wake-ups with other replicas through Redis:
//
//	connecting --subscribed--> healthy <--answers late, in time--> slow
//	    ^                         |                                  |
//	    '---- connection lost ----+--------- no answer for 3 s ------'
//
// No caller waits for it: what cannot be published is dropped, and made up for
// by having the others look at all of their tenants once that works again.
type bus struct {
	client *redis.Client
	log    *slog.Logger
	// stored is called with the tenants that others name, or with none for all.
	stored func(tenants []uuid.UUID)
	// self is in our own messages.
	self uuid.UUID
	// healthy says that wake-ups of others arrive, and in time. Written by
	// the subscriber's goroutines, read by anyone.
	healthy atomic.Bool
	// ready holds a token when something is to be published.
	ready chan struct{}

	mu      sync.Mutex
	pending map[uuid.UUID]struct{}
	all     bool // some were dropped
}

// newBus returns a bus that connects when it runs.
func newBus(o *redis.Options, log *slog.Logger, stored func([]uuid.UUID)) *bus {
	options := *o
	// One connection is in use at a time, and nothing waits for retries or
	// outlives its timeout.
	options.PoolSize, options.MinIdleConns, options.PipelinePoolSize = 4, 0, -1
	options.DialTimeout, options.DialerRetries = publishTimeout, 1
	options.ReadTimeout, options.WriteTimeout, options.PoolTimeout = publishTimeout, publishTimeout, publishTimeout
	options.ContextTimeoutEnabled = true
	options.MaxRetries = -1
	options.DisableIdentity = true
	options.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return &bus{
		client: redis.NewClient(&options), log: log, stored: stored,
		self: uuid.New(), ready: make(chan struct{}, 1), pending: make(map[uuid.UUID]struct{}),
	}
}

// run publishes and subscribes until ctx ends.
func (b *bus) run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { b.publish(ctx) })
	running.Go(func() { b.subscribe(ctx) })
	running.Wait()
	_ = b.client.Close() // nothing is under way any more
}

// add notes tenants to be published. It never blocks.
func (b *bus) add(tenants []uuid.UUID) {
	if !b.healthy.Load() {
		return // others look by themselves, and are told to afterwards
	}
	b.mu.Lock()
	for _, id := range tenants {
		if len(b.pending) >= maxPending {
			b.all = true
			break
		}
		b.pending[id] = struct{}{}
	}
	b.mu.Unlock()
	b.signal()
}

func (b *bus) signal() {
	select {
	case b.ready <- struct{}{}:
	default:
	}
}

// addAll notes that the others are to look at all of their tenants.
func (b *bus) addAll() {
	b.mu.Lock()
	b.all = true
	b.mu.Unlock()
	b.signal()
}

// take returns the next message, or nil when there is nothing to publish.
func (b *bus) take() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.all {
		b.all = false
		clear(b.pending)
		return append(b.self[:len(b.self):len(b.self)], uuid.Nil[:]...)
	}
	if len(b.pending) == 0 {
		return nil
	}
	n := min(len(b.pending), payloadIDs)
	payload := append(make([]byte, 0, (1+n)*idBytes), b.self[:]...)
	for id := range b.pending {
		if n--; n < 0 {
			break
		}
		delete(b.pending, id)
		payload = append(payload, id[:]...)
	}
	return payload
}

// publish sends what is noted, one message at a time; what is noted meanwhile
// goes into the next. While the subscription does not work it sends nothing:
// that connection tells when Redis is back.
func (b *bus) publish(ctx context.Context) {
	retry := backoff.New(retryFirst, retryMax)
	var problems logger.Changes
	for {
		select {
		case <-b.ready:
		case <-ctx.Done():
			b.flush(ctx)
			return
		}
		if !b.healthy.Load() {
			continue // it is asked again when that changes
		}
		err := b.send(ctx)
		if err == nil {
			if problems.Recovered() {
				b.log.InfoContext(ctx, "wake-ups are published again")
			}
			retry.Reset()
			continue
		}
		if ctx.Err() == nil && problems.Failed("") {
			b.log.WarnContext(ctx, "wake-ups cannot be published, trying again", slog.Any("error", err))
		}
		_ = retry.Wait(ctx) // the loop ends with ctx
		b.addAll()          // in the place of what was dropped
	}
}

// send publishes all that is noted.
func (b *bus) send(ctx context.Context) error {
	for payload := b.take(); payload != nil; payload = b.take() {
		if err := b.sendOne(ctx, payload); err != nil {
			return err
		}
	}
	return nil
}

func (b *bus) sendOne(ctx context.Context, payload []byte) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	return b.client.Publish(ctx, wakeChannel, payload).Err()
}

// flush publishes what was committed last.
func (b *bus) flush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishTimeout)
	defer cancel()
	if !b.healthy.Load() {
		return
	}
	_ = b.send(ctx) // the others read by themselves soon
}

// receive passes on which tenants a message names.
func (b *bus) receive(payload string) {
	if len(payload)%idBytes != 0 || len(payload) < 2*idBytes || payload[:idBytes] == string(b.self[:]) {
		return
	}
	ids := []byte(payload[idBytes:])
	tenants := make([]uuid.UUID, 0, len(ids)/idBytes)
	for ; len(ids) > 0; ids = ids[idBytes:] {
		id := uuid.UUID(ids[:idBytes])
		if id == uuid.Nil {
			b.stored(nil)
			return
		}
		tenants = append(tenants, id)
	}
	b.stored(tenants)
}

// setHealthy has this replica look for itself after every change, because
// wake-ups may have been lost, and when Redis is back the others, because ours may
// have been.
func (b *bus) setHealthy(ctx context.Context, healthy bool, cause error) {
	if ctx.Err() != nil || b.healthy.Swap(healthy) == healthy {
		return // at the end, what was committed last is still published
	}
	if healthy {
		b.log.InfoContext(ctx, "redis delivers wake-ups")
		b.addAll()
	} else {
		b.log.WarnContext(ctx, "redis does not deliver wake-ups, looking every second", slog.Any("error", cause))
	}
	b.stored(nil)
}

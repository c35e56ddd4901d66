package consumer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/tracing"
)

const (
	// heldTotal bounds the deliveries that all consumers together hold. Each
	// gets its share, within limits: with few tenants a commit should have
	// many rows, with thousands a tenant should still get some.
	heldTotal   = 25_600
	maxPrefetch = 1024
	minPrefetch = 16
)

// ErrClosed is returned when the manager is shutting down.
var ErrClosed = errors.New("tenant manager is shutting down")

// Metrics is what consumers report to.
type Metrics interface {
	// AddMessages counts n messages of a tenant with an outcome: stored,
	// duplicate, discarded or dead_lettered.
	AddMessages(tenantID uuid.UUID, outcome string, n int)
	// ObserveEndToEnd takes the seconds from publication to commit.
	ObserveEndToEnd(seconds float64)
}

// QueueCounter counts the messages that wait in a tenant's queue, and its
// consumers.
type QueueCounter interface {
	QueueCounts(ctx context.Context, tenantID uuid.UUID) (domain.QueueCounts, error)
}

// Options configure a TenantManager.
type Options struct {
	Subscriber domain.Subscriber
	Publisher  domain.Publisher
	Queues     QueueCounter
	Writer     domain.MessageWriter
	// Returned is told of messages that are stored already; nil for nobody.
	Returned domain.ReturnedMessages
	Metrics  Metrics
	// Traces makes spans of messages that are stored; nil for none.
	Traces *tracing.Tracer
	Log    *slog.Logger
	// Replica is part of every consumer tag.
	Replica string
	// QueueMissing is called for tenants whose queue does not exist; it must not
	// block. It may be nil.
	QueueMissing func(tenantID uuid.UUID)
	// EndsConnections reports whether something in the tenant's queue seems to end every
	// connection on which it is delivered; nil for never.
	EndsConnections func(tenantID uuid.UUID) bool
	// Collector collects the dead letters of the tenants that have a consumer
	// here; nil leaves them in their queues.
	Collector domain.DeadLetterCollector
	// Budget is how many bytes all consumers together may hold before those
	// with large bodies get fewer at a time; 0 for a quarter of GOMEMLIMIT, or
	// 256 MiB without one.
	Budget int64
	// SampleEvery is how often the depths of queues are sampled; 5 s by default.
	// Those of tenants that do nothing are sampled every sixth time.
	SampleEvery time.Duration
}

// TenantManager runs a consumer for each tenant it was told to start. The
// mutex guards the map only: an entry is put in before any I/O, so that no
// tenant is started twice, and what has to wait waits on the entry. It is safe
// for concurrent use.
type TenantManager struct {
	shared *shared
	ctx    context.Context //nolint:containedctx // the life of all consumers, ended by Close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	entries map[uuid.UUID]*consumer
	closed  bool
}

var _ domain.ConsumerManager = (*TenantManager)(nil)

// NewTenantManager returns a manager without consumers. Close ends it.
func NewTenantManager(o Options) *TenantManager {
	if o.Collector == nil {
		o.Collector = domain.NoDeadLetterCollector{}
	}
	if o.Returned == nil {
		o.Returned = nothingReturned{}
	}
	ctx, cancel := context.WithCancel(context.Background())
	m := &TenantManager{ctx: ctx, cancel: cancel, entries: make(map[uuid.UUID]*consumer)}
	m.shared = &shared{Options: o, prefetch: m.prefetch, budget: newBudget(o.Budget, m.count), prefetchCooldown: minPrefetchCooldown}
	m.wg.Go(func() { m.every(cmp.Or(o.SampleEvery, sampleEvery), m.readDepths) })
	m.wg.Go(func() { m.every(holdCheck, m.checkStore) })
	return m
}

// Start implements domain.ConsumerManager. The error is that of the first
// attempt to subscribe; the consumer goes on trying.
func (m *TenantManager) Start(ctx context.Context, t domain.Tenant) error {
	for {
		c, err := m.entry(t)
		if err != nil {
			return err
		}
		if c.stopping.Load() {
			select {
			case <-c.done:
				continue
			case <-ctx.Done():
				return fmt.Errorf("wait for the consumer to stop: %w", ctx.Err())
			}
		}
		if int(c.workers.Load()) != t.Workers {
			if err := c.send(ctx, command{workers: t.Workers}); err != nil {
				return err
			}
		}
		select {
		case <-c.first:
			return c.startError()
		case <-c.done:
			return ErrClosed
		case <-ctx.Done():
			return fmt.Errorf("wait for the subscription: %w", ctx.Err())
		}
	}
}

// entry returns the tenant's consumer, a new one if there is none.
func (m *TenantManager) entry(t domain.Tenant) (*consumer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, ErrClosed
	}
	if c := m.entries[t.ID]; c != nil {
		return c, nil
	}
	c := newConsumer(m.shared, t)
	m.entries[t.ID] = c
	m.wg.Go(func() {
		c.run(m.ctx)
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.entries, t.ID)
	})
	return c, nil
}

// Stop implements domain.ConsumerManager.
func (m *TenantManager) Stop(ctx context.Context, id uuid.UUID) error {
	c := m.find(id)
	if c == nil {
		return nil
	}
	if err := c.send(ctx, command{stop: true}); err != nil {
		return err
	}
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("consumer is still draining: %w", ctx.Err())
	}
}

// Resize implements domain.ConsumerManager.
func (m *TenantManager) Resize(ctx context.Context, id uuid.UUID, workers int) error {
	c := m.find(id)
	if c == nil {
		return nil
	}
	return c.send(ctx, command{workers: workers})
}

// Snapshot returns the status of every consumer, ordered by tenant.
func (m *TenantManager) Snapshot() []domain.ConsumerStatus {
	consumers := m.all()
	statuses := make([]domain.ConsumerStatus, len(consumers))
	for i, c := range consumers {
		statuses[i] = c.status()
	}
	slices.SortFunc(statuses, func(a, b domain.ConsumerStatus) int { return slices.Compare(a.TenantID[:], b.TenantID[:]) })
	return statuses
}

// Status returns a snapshot of a tenant's consumer, and false when it has none here.
func (m *TenantManager) Status(id uuid.UUID) (domain.ConsumerStatus, bool) {
	c := m.find(id)
	if c == nil {
		return domain.ConsumerStatus{}, false
	}
	return c.status(), true
}

// Running returns the tenants that have a consumer here, in whatever state, with
// what it was told to do.
func (m *TenantManager) Running() map[uuid.UUID]domain.Assignment {
	m.mu.Lock()
	defer m.mu.Unlock()
	running := make(map[uuid.UUID]domain.Assignment, len(m.entries))
	for id, c := range m.entries {
		running[id] = domain.Assignment{Workers: int(c.workers.Load())}
	}
	return running
}

// Runs reports whether a tenant has a consumer in this process, in whatever
// state.
func (m *TenantManager) Runs(id uuid.UUID) bool { return m.find(id) != nil }

// Expect notes that the broker confirmed a message to be in a tenant's queue. When
// such messages are neither delivered nor there, the tenant's consumer subscribes
// again.
func (m *TenantManager) Expect(id uuid.UUID) {
	if c := m.find(id); c != nil {
		c.expected.Add(1)
	}
}

// Depth returns how many messages of the tenant are not processed yet, ready
// and held, as last seen; false when that is not known here.
func (m *TenantManager) Depth(id uuid.UUID) (int64, bool) {
	c := m.find(id)
	if c == nil {
		return 0, false
	}
	return c.depth()
}

// Close drains all consumers at once and returns when they have ended, or
// with an error when ctx ends before.
func (m *TenantManager) Close(ctx context.Context) error {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		m.wg.Wait()
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("consumers are still draining: %w", ctx.Err())
	}
}

func (m *TenantManager) find(id uuid.UUID) *consumer {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.entries[id]
}

func (m *TenantManager) all() []*consumer {
	m.mu.Lock()
	defer m.mu.Unlock()
	consumers := make([]*consumer, 0, len(m.entries))
	for _, c := range m.entries {
		consumers = append(consumers, c)
	}
	return consumers
}

// prefetch returns the prefetch for a new subscription.
func (m *TenantManager) prefetch() int {
	return max(minPrefetch, min(maxPrefetch, heldTotal/max(1, m.count())))
}

// count returns how many consumers there are.
func (m *TenantManager) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.entries)
}

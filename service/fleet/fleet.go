package fleet

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

// Options configure New.
type Options struct {
	// Replica is this process. Its address must differ from that of every
	// other process, or they take each other's place again and again.
	Replica  domain.Replica
	Replicas domain.ReplicaRepository
	Reports  domain.ReportRepository
	// Consumers returns the status of every consumer of this process.
	Consumers func() []domain.ConsumerStatus
	// Reaches tells whether this process reaches the broker at the moment.
	// Nil means always.
	Reaches func() bool
	// Changed is told that tenants may have another owner than before. It
	// must not block. It may be nil.
	Changed func()
	// TrackDepths keeps the depths of all tenants' queues at hand for Depth.
	TrackDepths bool
	Log         *slog.Logger
}

// Fleet is this replica's view of all replicas. Run starts two goroutines and
// waits for them: one owns what is known of the others, one what was reported
// of our consumers. The methods are safe for concurrent use.
type Fleet struct {
	o Options

	// members is nil as long as nobody is known. The goroutine of the heart
	// writes it, and Leave after that has ended.
	members atomic.Pointer[members]
	// outages counts how often reports may have been lost: the database came
	// back, or this replica did. The heart writes it.
	outages atomic.Int64
	// depths is written by the reporter.
	depths atomic.Pointer[map[uuid.UUID]int64]

	refresh chan struct{}
	started atomic.Bool
	leave   sync.Once
	leaving chan struct{} // closed by Leave
	quiet   chan struct{} // closed when nothing that Run started runs any more
}

// New returns a Fleet that owns nothing; Run starts it.
func New(o Options) *Fleet {
	if o.Changed == nil {
		o.Changed = func() {}
	}
	if o.Reaches == nil {
		o.Reaches = func() bool { return true }
	}
	return &Fleet{o: o, refresh: make(chan struct{}, 1), leaving: make(chan struct{}), quiet: make(chan struct{})}
}

// Run takes part in the fleet, once the broker was reached, until ctx ends or
// Leave is called. The row stays
// when ctx ends, and the replica goes on owning what it did; Leave takes both
// away. It must be called once, and it returns when ctx has ended.
func (f *Fleet) Run(ctx context.Context) {
	f.started.Store(true)
	select {
	case <-f.leaving:
		close(f.quiet)
		<-ctx.Done()
		return
	default:
	}
	working, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { newHeart(f).run(working) })
	wg.Go(func() { newReporter(f).run(working) })
	select {
	case <-f.leaving:
	case <-ctx.Done():
	}
	stop()
	wg.Wait()
	close(f.quiet)
	<-ctx.Done()
}

// Refresh asks for a look at the other replicas now, because one has come or
// gone. It never blocks.
func (f *Fleet) Refresh() {
	select {
	case f.refresh <- struct{}{}:
	default:
	}
}

// Owns tells whether a tenant belongs to this replica.
func (f *Fleet) Owns(tenantID uuid.UUID) bool { return f.Owner(tenantID) == f.o.Replica.Name }

// Owner returns the name of the replica that a tenant belongs to, or "" as
// long as none is known.
func (f *Fleet) Owner(tenantID uuid.UUID) string { return f.members.Load().owner(tenantID) }

// Size returns how many replicas are live, this one included.
func (f *Fleet) Size() int {
	m := f.members.Load()
	switch {
	case m == nil:
		return 1
	case f.joined():
		return len(m.names)
	}
	return len(m.names) + 1
}

// joined tells whether this replica takes part.
func (f *Fleet) joined() bool {
	m := f.members.Load()
	return m != nil && slices.Contains(m.names, f.o.Replica.Name)
}

// Leave ends what Run does, and tells the others that this replica is gone,
// so that they take its tenants at once: call it when these begin to drain,
// and the queues hand each over when it is drained. It may be called again,
// also when it has failed or Run was never called.
func (f *Fleet) Leave(ctx context.Context) error {
	f.leave.Do(func() { close(f.leaving) })
	if f.started.Load() {
		select {
		case <-f.quiet:
		case <-ctx.Done():
			return fmt.Errorf("wait for the last heartbeat: %w", ctx.Err())
		}
	}
	f.members.Store(nil)
	if err := f.o.Replicas.RemoveReplica(ctx, f.o.Replica.Name); err != nil {
		return fmt.Errorf("leave the fleet: %w", err)
	}
	return nil
}

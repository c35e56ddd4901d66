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
	"lanekeeper/pkg/rendezvous"
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
	// Reaches reports whether this process reaches the broker at the moment.
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

	// members is nil as long as none is known. The goroutine of the
	// heartbeat writes it, and Deregister after that has ended.
	members atomic.Pointer[rendezvous.Members]
	// outages counts how often reports may have been lost: the database came
	// back, or this replica did. The heartbeat
	// writes it.
	outages atomic.Int64
	// depths is written by the reporter.
	depths atomic.Pointer[map[uuid.UUID]int64]

	refresh chan struct{}
	started atomic.Bool
	// deregistering is closed by Deregister, once, and stopped when nothing that
	// Run started runs any more.
	deregister    sync.Once
	deregistering chan struct{}
	stopped       chan struct{}
}

// New returns a Fleet that owns nothing; Run starts it.
func New(o Options) *Fleet {
	if o.Changed == nil {
		o.Changed = func() {}
	}
	if o.Reaches == nil {
		o.Reaches = func() bool { return true }
	}
	return &Fleet{o: o, refresh: make(chan struct{}, 1), deregistering: make(chan struct{}), stopped: make(chan struct{})}
}

// Run takes part in the fleet, once the broker was reached, until ctx ends or
// Deregister is called. The row stays when ctx ends, and the replica goes on
// owning what it did; Deregister takes both away. It must be called once, and it
// returns when ctx has ended.
func (f *Fleet) Run(ctx context.Context) {
	f.started.Store(true)
	select {
	case <-f.deregistering:
		close(f.stopped)
		<-ctx.Done()
		return
	default:
	}
	working, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { newHeartbeat(f).run(working) })
	wg.Go(func() { newReporter(f).run(working) })
	select {
	case <-f.deregistering:
	case <-ctx.Done():
	}
	stop()
	wg.Wait()
	close(f.stopped)
	<-ctx.Done()
}

// Refresh has the rows of the other replicas read now, because one has come or
// gone. It never blocks.
func (f *Fleet) Refresh() {
	select {
	case f.refresh <- struct{}{}:
	default:
	}
}

// Owns reports whether a tenant belongs to this replica.
func (f *Fleet) Owns(tenantID uuid.UUID) bool { return f.Owner(tenantID) == f.o.Replica.Name }

// Owner returns the name of the replica that a tenant belongs to, or "" as
// long as none is known.
func (f *Fleet) Owner(tenantID uuid.UUID) string { return f.members.Load().Owner(tenantID) }

// Size returns how many replicas are live, this one included.
func (f *Fleet) Size() int {
	m := f.members.Load()
	switch {
	case m == nil:
		return 1
	case f.isMember():
		return len(m.Names())
	}
	return len(m.Names()) + 1
}

// isMember reports whether this replica takes part.
func (f *Fleet) isMember() bool {
	m := f.members.Load()
	return m != nil && slices.Contains(m.Names(), f.o.Replica.Name)
}

// Deregister ends what Run does, and removes the row of this replica, so that the
// others take its tenants at once: call it when these begin to drain, and the
// queues hand each over when it is drained. It may be called again, also when it
// has failed or Run was never called.
func (f *Fleet) Deregister(ctx context.Context) error {
	f.deregister.Do(func() { close(f.deregistering) })
	if f.started.Load() {
		select {
		case <-f.stopped:
		case <-ctx.Done():
			return fmt.Errorf("wait for the last heartbeat: %w", ctx.Err())
		}
	}
	f.members.Store(nil)
	if err := f.o.Replicas.RemoveReplica(ctx, f.o.Replica.Name); err != nil {
		return fmt.Errorf("remove this replica from the fleet: %w", err)
	}
	return nil
}

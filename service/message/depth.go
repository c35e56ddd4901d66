package message

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"
)

const (
	// depthEvery is how often a depth is asked for at most, depthAge how old
	// one may be, and depthTime how long the broker is waited for.
	depthEvery = 5 * time.Second
	depthAge   = 30 * time.Second
	depthTime  = 5 * time.Second
	// depthsAtATime bounds the questions at a time, depthsWaiting those that
	// wait, and depthsKept the queues that are remembered.
	depthsAtATime = 4
	depthsWaiting = 256
	depthsKept    = 10_000
)

// queues are asked how many messages wait in them.
type queues interface {
	QueueDepth(ctx context.Context, tenantID uuid.UUID) (int64, error)
}

// depths are those of queues of which no consumer reports anything: those of
// tenants whose consumer is stopped. No caller waits for the broker: it gets what
// was found last, and has the broker asked again if that is old. It is safe for
// concurrent use; run asks.
type depths struct {
	queues queues
	wanted chan uuid.UUID

	mu    sync.Mutex
	found map[uuid.UUID]*depth // guarded by mu, with what it points to
}

type depth struct {
	ready int64
	// found is when the broker said so; zero when it did not, the last time.
	found time.Time
	// asked is when the broker was asked last, or put on the list for that.
	asked time.Time
}

func newDepths(q queues) *depths {
	return &depths{queues: q, wanted: make(chan uuid.UUID, depthsWaiting), found: make(map[uuid.UUID]*depth)}
}

// last returns the depth found last, and whether there is one. It does not
// block.
func (d *depths) last(id uuid.UUID) (int64, bool) {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.found[id]
	if f == nil {
		if len(d.found) >= depthsKept {
			clear(d.found)
		}
		f = &depth{}
		d.found[id] = f
	}
	if now.Sub(f.asked) >= depthEvery {
		select {
		case d.wanted <- id:
			f.asked = now
		default: // the next call for it tries again
		}
	}
	return f.ready, now.Sub(f.found) < depthAge
}

// note takes an answer of the broker.
func (d *depths) note(id uuid.UUID, ready int64, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.found[id]
	switch {
	case f == nil:
	case err != nil:
		f.found = time.Time{}
	default:
		f.ready, f.found = ready, time.Now()
	}
}

// run asks the broker for what is wanted until ctx ends.
func (d *depths) run(ctx context.Context) {
	var askers sync.WaitGroup
	defer askers.Wait()
	for range depthsAtATime {
		askers.Go(func() {
			for {
				select {
				case id := <-d.wanted:
					d.ask(ctx, id)
				case <-ctx.Done():
					return
				}
			}
		})
	}
}

func (d *depths) ask(ctx context.Context, id uuid.UUID) {
	ctx, cancel := context.WithTimeout(ctx, depthTime)
	defer cancel()
	ready, err := d.queues.QueueDepth(ctx, id)
	d.note(id, ready, err)
}

package stream

import (
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"lanekeeper/pkg/shares"
)

// laggardReads is how many clients that are behind read the database at a time,
// each of another tenant. It leaves connections to the feeds.
const laggardReads = 2

// laggards lets clients that are behind the window of their tenant read the
// database: few at a time, one of a tenant, tenants in turn, and those of a
// tenant in turn. So whatever one tenant's reads have to wait for, the others
// wait for one of them at most. While clients wait they hold no messages.
//
// What a client has read counts towards the shares of its tenant and its owner
// until it is sent: a tenant whose clients take their time reads no more for
// them than its share, however many they are.
//
// A lane has the clients of one tenant that wait:
//
//	ready --its turn--> reading --> ready, or gone when nobody waits
//	  ^ |                  |failed
//	  | |no memory         v
//	  | v               pausing --> ready, or gone
//	  full, until some is given back
type laggards struct {
	running *sync.WaitGroup // those who read
	memory  *shares.Shares

	mu     sync.Mutex // guards the rest; nothing waits while it is held
	lanes  map[uuid.UUID]*lane
	ready  []*lane // in the order of their turns
	full   []*lane // those without memory, in the order in which they found none
	free   int     // how many more may read
	closed bool
}

// lane is guarded by the mutex of its laggards. It is in ready or in full, or
// one of its clients reads, or it pauses.
type lane struct {
	tenant  uuid.UUID
	waiting []*client     // in the order of their turns
	retry   time.Duration // the next pause
	pause   *time.Timer
}

func newLaggards(running *sync.WaitGroup, memory *shares.Shares) *laggards {
	return &laggards{running: running, memory: memory, lanes: make(map[uuid.UUID]*lane), free: laggardReads}
}

// join queues a client that is not queued. It gets what it reads, or why that
// cannot be read, from its channel, unless its life ends.
func (l *laggards) join(c *client) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || c.life.Err() != nil {
		return
	}
	n := l.lanes[c.feed.tenant]
	if n == nil {
		n = &lane{tenant: c.feed.tenant, retry: minRetry}
		l.lanes[n.tenant] = n
		l.ready = append(l.ready, n)
	}
	n.waiting = append(n.waiting, c)
	l.dispatch()
}

// leave removes a client, whose life has ended, unless it reads just now.
func (l *laggards) leave(c *client) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop(c)
	n := l.lanes[c.feed.tenant]
	if n == nil {
		return
	}
	if i := slices.Index(n.waiting, c); i >= 0 {
		n.waiting = slices.Delete(n.waiting, i, i+1)
	}
}

// drop gives back what a client, whose life has ended, has read and not taken.
// The mutex must be held.
func (l *laggards) drop(c *client) {
	select {
	case got := <-c.caught:
		got.part.GiveBack()
		l.ready = append(l.ready, l.full...)
		l.full = nil
		l.dispatch()
	default:
	}
}

// close lets nobody begin to read any more.
func (l *laggards) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, n := range l.lanes {
		if n.pause != nil {
			n.pause.Stop()
		}
	}
	l.lanes, l.ready, l.full = nil, nil, nil
}

// freed lets those read for whom there was no memory: some was given back.
func (l *laggards) freed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.full) == 0 {
		return
	}
	l.ready = append(l.ready, l.full...)
	l.full = nil
	l.dispatch()
}

// dispatch lets those read whose turn it is. The mutex must be held.
func (l *laggards) dispatch() {
	for l.free > 0 && len(l.ready) > 0 {
		n := l.ready[0]
		l.ready[0] = nil
		l.ready = l.ready[1:]
		if len(n.waiting) == 0 {
			delete(l.lanes, n.tenant)
			continue
		}
		c := n.waiting[0]
		part := l.memory.TryTake(c.by, chunkBytes)
		if part == nil {
			l.full = append(l.full, n)
			continue
		}
		n.waiting[0] = nil
		n.waiting = n.waiting[1:]
		l.free--
		l.running.Go(func() { l.turn(n, c, part) })
	}
}

// turn is the time in which a client reads. The part of the memory is for what
// it reads, and goes along with it.
func (l *laggards) turn(n *lane, c *client, part *shares.Part) {
	got := c.read()
	passing := got.err != nil && !isFinal(got.err)
	l.mu.Lock()
	defer l.mu.Unlock()
	if got.data != nil && c.life.Err() == nil {
		got.part = part
		part.Grow(int64(len(got.data) - chunkBytes))
	} else {
		part.GiveBack()
		l.ready = append(l.ready, l.full...) // as freed does
		l.full = nil
	}
	if !passing {
		c.caught <- got // has room: the client is queued once
	}
	l.free++
	switch {
	case l.closed:
		return
	case !passing:
		n.retry = minRetry
		l.ready = append(l.ready, n)
	case c.life.Err() != nil: // says nothing of the tenant
		l.ready = append(l.ready, n)
	default:
		// The feed logs that the database is away.
		n.waiting = append(n.waiting, c)
		n.pause = time.AfterFunc(jitter(n.retry), func() { l.resume(n) })
		n.retry = min(2*n.retry, maxRetry)
	}
	l.dispatch()
}

// resume ends a lane's pause.
func (l *laggards) resume(n *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	n.pause = nil
	l.ready = append(l.ready, n)
	l.dispatch()
}

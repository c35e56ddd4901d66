package stream

import (
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// laggardReads is how many clients that are behind read the database at a time,
// each of another tenant. It leaves connections to the feeds.
const laggardReads = 2

// laggards lets clients that are behind the window of their tenant read the
// database: few at a time, one of a tenant, tenants in turn, and those of a
// tenant in turn. So whatever one tenant's reads have to wait for, the others
// wait for one of them at most. While clients wait they hold no messages.
//
// A lane has the clients of one tenant that wait:
//
//	ready --its turn--> reading --> ready, or gone when nobody waits
//	                       |failed
//	                       v
//	                    pausing --> ready, or gone
type laggards struct {
	running *sync.WaitGroup // those who read

	mu     sync.Mutex // guards the rest; nothing waits while it is held
	lanes  map[uuid.UUID]*lane
	ready  []*lane // in the order of their turns
	free   int     // how many more may read
	closed bool
}

// lane is guarded by the mutex of its laggards. It is in ready, or one of its
// clients reads, or it pauses.
type lane struct {
	tenant  uuid.UUID
	waiting []*client     // in the order of their turns
	retry   time.Duration // the next pause
	pause   *time.Timer
}

func newLaggards(running *sync.WaitGroup) *laggards {
	return &laggards{running: running, lanes: make(map[uuid.UUID]*lane), free: laggardReads}
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
	n := l.lanes[c.feed.tenant]
	if n == nil {
		return
	}
	if i := slices.Index(n.waiting, c); i >= 0 {
		n.waiting = slices.Delete(n.waiting, i, i+1)
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
	l.lanes, l.ready = nil, nil
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
		n.waiting[0] = nil
		n.waiting = n.waiting[1:]
		l.free--
		l.running.Go(func() { l.turn(n, c) })
	}
}

// turn is the time in which a client reads.
func (l *laggards) turn(n *lane, c *client) {
	got := c.read()
	passing := got.err != nil && !isFinal(got.err)
	if !passing {
		c.caught <- got // has room: the client is queued once
	}
	l.mu.Lock()
	defer l.mu.Unlock()
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

package publisher

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// dedicatedChannels is how many isolated queues can be published to at once.
	dedicatedChannels = 32
	// dedicatedWait is how long a publication waits for one of them.
	dedicatedWait = time.Second
	// forgetAfter is how long a queue stays isolated that nobody publishes to.
	forgetAfter = time.Minute
)

// isolation knows the queues that were silent on a channel that others use, too,
// and has them published to on channels of their own:
//
//	free --silent--> isolated, no channel --publication--> isolated, on its own channel
//	 ^                  |                                     |
//	 +--not used for a minute---------------------------------+
//	 +--a publication was confirmed---------------------------+
//
// An isolated queue has one publication unconfirmed until the first is confirmed.
// While that takes too long, all others are refused at once. Those that only stood
// behind a silent queue are free again after one round trip.
//
// The lock is never held while waiting. A channel belongs to the isolated queue
// that has it, else it is in idle.
type isolation struct {
	channels []*confirmChannel // all dedicated ones
	idle     chan *confirmChannel
	size     atomic.Int64 // len(queues), for calls that publish to others

	mu     sync.Mutex
	queues map[string]*isolatedQueue
}

// isolatedQueue is guarded by the mutex of the isolation.
type isolatedQueue struct {
	name     string
	channel  *confirmChannel // nil until it is published to
	users    int             // calls under way
	usedAt   time.Time
	released bool // it is free; what is under way ends on the channel
}

// newIsolation returns an isolation whose channels newChannel makes.
func newIsolation(newChannel func(i int) *confirmChannel) *isolation {
	n := &isolation{idle: make(chan *confirmChannel, dedicatedChannels), queues: make(map[string]*isolatedQueue)}
	for i := range dedicatedChannels {
		c := newChannel(i)
		c.isolation, c.dedicated = n, true
		n.channels = append(n.channels, c)
		n.idle <- c
	}
	return n
}

// isolate isolates the queues.
func (n *isolation) isolate(queues []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.releaseUnusedLocked()
	for _, name := range queues {
		q := n.queues[name]
		if q == nil {
			q = &isolatedQueue{name: name}
			n.queues[name] = q
			n.size.Add(1)
		}
		q.usedAt, q.released = time.Now(), false
	}
}

// holds reports whether the queue is isolated.
func (n *isolation) holds(queue string) bool {
	if n.size.Load() == 0 {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	q := n.queues[queue]
	return q != nil && !q.released
}

// use returns the isolated queue, with its channel, that a publication to the
// queue has to use, or nil when the queue is free. Call endUse for one that was
// returned.
func (n *isolation) use(ctx context.Context, queue string) (*isolatedQueue, error) {
	if n.size.Load() == 0 {
		return nil, nil //nolint:nilnil // not isolated
	}
	n.mu.Lock()
	n.releaseUnusedLocked()
	q := n.queues[queue]
	if q == nil || q.released {
		n.mu.Unlock()
		return nil, nil //nolint:nilnil // not isolated
	}
	q.users++
	channel := q.channel
	n.mu.Unlock()
	if channel == nil {
		if channel = n.assign(ctx, q); channel == nil {
			n.endUse(q)
			return nil, ErrSilent
		}
	}
	if channel.stalled() {
		n.endUse(q)
		return nil, ErrSilent
	}
	return q, nil
}

// assign waits for an idle channel, and returns that of the queue; nil if there is
// none.
func (n *isolation) assign(ctx context.Context, q *isolatedQueue) *confirmChannel {
	limit := time.NewTimer(dedicatedWait)
	defer limit.Stop()
	var c *confirmChannel
	select {
	case c = <-n.idle:
	case <-limit.C:
		return nil
	case <-ctx.Done():
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if q.channel == nil {
		q.channel = c
	} else {
		n.idle <- c // another call was faster; there is room for all channels
	}
	return q.channel
}

// endUse ends a call.
func (n *isolation) endUse(q *isolatedQueue) {
	n.mu.Lock()
	defer n.mu.Unlock()
	q.users--
	q.usedAt = time.Now()
	n.freeLocked(q)
}

// release notes that the queue confirmed something.
func (n *isolation) release(q *isolatedQueue) {
	n.mu.Lock()
	defer n.mu.Unlock()
	q.released = true
	n.freeLocked(q)
}

// releaseChannel does so for the queue that has the channel.
func (n *isolation) releaseChannel(c *confirmChannel) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, q := range n.queues {
		if q.channel == c {
			q.released = true
			n.freeLocked(q)
		}
	}
}

func (n *isolation) releaseUnusedLocked() {
	for _, q := range n.queues {
		if q.users == 0 && time.Since(q.usedAt) > forgetAfter {
			q.released = true
			n.freeLocked(q)
		}
	}
}

// freeLocked forgets a released queue that nobody uses any more.
func (n *isolation) freeLocked(q *isolatedQueue) {
	if !q.released || q.users > 0 || n.queues[q.name] != q {
		return
	}
	delete(n.queues, q.name)
	n.size.Add(-1)
	if q.channel != nil {
		n.idle <- q.channel
	}
}

package stream

import (
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"lanekeeper/pkg/backoff"
	"lanekeeper/pkg/shares"
)

// catchUpReads is how many clients that are behind read the database at a time,
// each of another tenant. It leaves connections to the feeds.
const catchUpReads = 2

// catchUp lets clients that are behind the window of their tenant read the
// database: few at a time, one of a tenant, tenants in turn, and the clients of a
// tenant in turn. So whatever one tenant's reads have to wait for, the others
// wait for one of them at most. While clients wait they hold no messages.
//
// What a client has read counts towards the shares of its tenant and its owner
// until it is sent: a tenant whose clients take their time reads no more for
// them than its share, however many they are.
//
// A tenantQueue has the clients of one tenant that wait:
//
//	ready --its turn--> reading --> ready, or gone when none waits
//	  ^ |                  |failed
//	  | |no memory         v
//	  | v               backing off --> ready, or gone
//	  full, until some is given back
type catchUp struct {
	running *sync.WaitGroup // the clients that read
	memory  *shares.Shares

	mu     sync.Mutex // guards the rest; nothing waits while it is held
	queues map[uuid.UUID]*tenantQueue
	ready  []*tenantQueue // in the order of their turns
	full   []*tenantQueue // those without memory, in the order in which they found none
	free   int            // how many more may read
	closed bool
}

// tenantQueue is guarded by the mutex of its catchUp. It is in ready or in full,
// or one of its clients reads, or it backs off.
type tenantQueue struct {
	tenant  uuid.UUID
	waiting []*client // in the order of their turns
	retry   *backoff.Backoff
	backOff *time.Timer // nil unless it backs off
}

func newCatchUp(running *sync.WaitGroup, memory *shares.Shares) *catchUp {
	return &catchUp{running: running, memory: memory, queues: make(map[uuid.UUID]*tenantQueue), free: catchUpReads}
}

// enqueue queues a client that is not queued. It gets what it reads, or why that
// cannot be read, from its channel, unless its life ends.
func (u *catchUp) enqueue(c *client) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed || c.life.Err() != nil {
		return
	}
	q := u.queues[c.feed.tenant]
	if q == nil {
		q = &tenantQueue{tenant: c.feed.tenant, retry: backoff.New(retryFirst, retryMax)}
		u.queues[q.tenant] = q
		u.ready = append(u.ready, q)
	}
	q.waiting = append(q.waiting, c)
	u.dispatch()
}

// dequeue removes a client, whose life has ended, unless it reads just now.
func (u *catchUp) dequeue(c *client) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.drop(c)
	q := u.queues[c.feed.tenant]
	if q == nil {
		return
	}
	if i := slices.Index(q.waiting, c); i >= 0 {
		q.waiting = slices.Delete(q.waiting, i, i+1)
	}
}

// drop gives back what a client, whose life has ended, has read and not taken.
// The mutex must be held.
func (u *catchUp) drop(c *client) {
	select {
	case got := <-c.caught:
		got.part.GiveBack()
		u.ready = append(u.ready, u.full...)
		u.full = nil
		u.dispatch()
	default:
	}
}

// close lets no client begin to read any more.
func (u *catchUp) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closed = true
	for _, q := range u.queues {
		if q.backOff != nil {
			q.backOff.Stop()
		}
	}
	u.queues, u.ready, u.full = nil, nil, nil
}

// freed gives turns to the queues for which there was no memory: some was given
// back.
func (u *catchUp) freed() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed || len(u.full) == 0 {
		return
	}
	u.ready = append(u.ready, u.full...)
	u.full = nil
	u.dispatch()
}

// dispatch lets the clients read whose turn it is. The mutex must be held.
func (u *catchUp) dispatch() {
	for u.free > 0 && len(u.ready) > 0 {
		q := u.ready[0]
		u.ready[0] = nil
		u.ready = u.ready[1:]
		if len(q.waiting) == 0 {
			delete(u.queues, q.tenant)
			continue
		}
		c := q.waiting[0]
		part := u.memory.TryTake(c.by, chunkBytes)
		if part == nil {
			u.full = append(u.full, q)
			continue
		}
		q.waiting[0] = nil
		q.waiting = q.waiting[1:]
		u.free--
		u.running.Go(func() { u.readOne(q, c, part) })
	}
}

// readOne is the turn of a client. The part of the memory is for what it reads,
// and goes along with it.
func (u *catchUp) readOne(q *tenantQueue, c *client, part *shares.Part) {
	got := c.read()
	passing := got.err != nil && !isFinal(got.err)
	u.mu.Lock()
	defer u.mu.Unlock()
	if got.data != nil && c.life.Err() == nil {
		got.part = part
		part.Grow(int64(len(got.data) - chunkBytes))
	} else {
		part.GiveBack()
		u.ready = append(u.ready, u.full...) // as freed does
		u.full = nil
	}
	if !passing {
		c.caught <- got // has room: the client is queued once
	}
	u.free++
	switch {
	case u.closed:
		return
	case !passing:
		q.retry.Reset()
		u.ready = append(u.ready, q)
	case c.life.Err() != nil: // says nothing of the tenant
		u.ready = append(u.ready, q)
	default:
		// The feed logs that the database is away.
		q.waiting = append(q.waiting, c)
		q.backOff = time.AfterFunc(q.retry.Next(), func() { u.readAgain(q) })
	}
	u.dispatch()
}

// readAgain gives a queue that has backed off a turn again.
func (u *catchUp) readAgain(q *tenantQueue) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return
	}
	q.backOff = nil
	u.ready = append(u.ready, q)
	u.dispatch()
}

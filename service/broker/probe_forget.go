package broker

import (
	"time"

	"github.com/google/uuid"
)

const (
	// rememberFor is how long a prober knows of a queue that nobody consumes
	// here: it may have been deleted elsewhere, or belong to another replica.
	rememberFor = time.Hour
	// forgetEvery is the least time between two looks for what can be
	// forgotten.
	forgetEvery = 10 * time.Minute
)

// memory tells a prober what it may forget; guarded by the prober's mutex.
type memory struct {
	consumed map[uuid.UUID]int       // subscriptions of this process
	idle     map[uuid.UUID]time.Time // since when a known queue has none
	looked   time.Time
}

func newMemory() memory {
	return memory{consumed: make(map[uuid.UUID]int), idle: make(map[uuid.UUID]time.Time)}
}

// subscribed notes a subscription, until left is called.
func (p *prober) subscribed(id uuid.UUID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.memory.consumed[id]++
	delete(p.memory.idle, id)
}

func (p *prober) left(id uuid.UUID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.memory.consumed[id]--; p.memory.consumed[id] <= 0 {
		delete(p.memory.consumed, id)
		p.idleLocked(id)
	}
}

// idleLocked notes that the queue is known and not consumed here, and forgets
// those for which that has been so for long. What is kept of one that was never
// sealed is what nobody else knows.
func (p *prober) idleLocked(id uuid.UUID) {
	now := time.Now()
	if p.memory.consumed[id] == 0 {
		p.memory.idle[id] = now
	}
	if now.Sub(p.memory.looked) < forgetEvery {
		return
	}
	p.memory.looked = now
	for id, since := range p.memory.idle {
		if now.Sub(since) < rememberFor {
			continue
		}
		delete(p.memory.idle, id)
		delete(p.proven, id)
		delete(p.strikes, id)
		if p.past[id] == worked { // as any queue of a tenant that old may hold
			delete(p.past, id)
		}
	}
}

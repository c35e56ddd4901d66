package broker

import (
	"sync"
	"time"

	"github.com/google/uuid"
)

const (
	// youngQueue is how long a queue may be damaged by a kill of the broker;
	// about a second was seen.
	youngQueue = time.Minute
	// youngTenant is how long after its creation a tenant's main queue is one
	// that was not usable yet when there is no dead-letter queue. Later that queue
	// was deleted.
	youngTenant = 10 * time.Minute
	// A subscription that ends with its connection within soonLost counts as an
	// early loss; one that lasts longer than lastingSub clears the count. With
	// maxEarlyLosses the next subscription gets a connection of its own.
	soonLost       = 50 * time.Millisecond
	lastingSub     = 2 * time.Second
	maxEarlyLosses = 2

	// rememberFor is how long something is known of a queue that nobody consumes
	// here: it may have been deleted elsewhere, or belong to another replica.
	rememberFor = time.Hour
	// forgetEvery is the least time between two searches for what can be
	// forgotten.
	forgetEvery = 10 * time.Minute
)

// queueState is what was seen of a queue since it was declared. The zero value is
// nothing.
type queueState int

const (
	// notDurable: it was missing, and was made without passing the barrier.
	notDurable queueState = iota + 1
	// usable: it was consumed, and may be published to.
	usable
)

// queueStates knows of the main queues of tenants what this process has seen of
// them. It is safe for concurrent use.
type queueStates struct {
	mu sync.Mutex
	// proven are the queues that were consumed since their last failure, and since
	// when.
	proven map[uuid.UUID]time.Time
	// states has what this process knows of a queue for good.
	states map[uuid.UUID]queueState
	// earlyLosses counts how often in a row consuming ended the connection at
	// once.
	earlyLosses map[uuid.UUID]int
	consumers   map[uuid.UUID]int       // subscriptions of this process
	idleSince   map[uuid.UUID]time.Time // since when a known queue has none
	forgotAt    time.Time
}

func newQueueStates() *queueStates {
	return &queueStates{
		proven: make(map[uuid.UUID]time.Time), states: make(map[uuid.UUID]queueState), earlyLosses: make(map[uuid.UUID]int),
		consumers: make(map[uuid.UUID]int), idleSince: make(map[uuid.UUID]time.Time),
	}
}

// isProven reports whether the queue was consumed since its last failure.
func (s *queueStates) isProven(id uuid.UUID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, proven := s.proven[id]
	return proven
}

// prove notes that the queue can be consumed.
func (s *queueStates) prove(id uuid.UUID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.proven[id] = time.Now()
	s.states[id] = usable
	s.noteIdleLocked(id)
}

// invalidate makes the next subscription probe the queue again.
func (s *queueStates) invalidate(id uuid.UUID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.proven, id)
}

// missing notes that there was no such queue, so that it will be a new one.
func (s *queueStates) missing(id uuid.UUID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.states[id] = notDurable
}

// madeDurable notes that the queue was made, and passed the barrier.
func (s *queueStates) madeDurable(id uuid.UUID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.states[id] == notDurable {
		delete(s.states, id)
	}
}

// isNotDurable reports whether the queue was made and may not outlive a broker that
// is killed.
func (s *queueStates) isNotDurable(id uuid.UUID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.states[id] == notDurable
}

// forget is for a queue that is deleted.
func (s *queueStates) forget(id uuid.UUID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.proven, id)
	delete(s.states, id)
	delete(s.earlyLosses, id)
	delete(s.idleSince, id)
}

// mayHold reports whether there may be confirmed messages in the queue. Finished
// says that it has a dead-letter queue, which it gets after it passed the barrier
// and was consumed.
func (s *queueStates) mayHold(id uuid.UUID, finished bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.states[id] {
	case notDurable:
		return false
	case usable:
		return true
	default:
		return finished || time.Since(createdAt(id)) > youngTenant
	}
}

// endsConnections reports whether something in the tenant's queue seems to end every
// connection it is delivered on. The library gives up a connection when it cannot
// read a frame, and does not say on which channel. Headers that it cannot read are
// replaced before it sees them; this is for what is not known yet.
func (s *queueStates) endsConnections(id uuid.UUID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.earlyLosses[id] >= maxEarlyLosses
}

// connectionLost notes that a subscription ended with its session after some time.
// Soon: see endsConnections. Otherwise, if the broker was killed, the youngest
// queues may not work any more.
func (s *queueStates) connectionLost(id uuid.UUID, after time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case after < soonLost:
		s.earlyLosses[id]++
	case after > lastingSub:
		delete(s.earlyLosses, id)
	}
	if time.Since(s.proven[id]) < youngQueue {
		delete(s.proven, id)
	}
}

// subscribed notes a subscription, until unsubscribed is called.
func (s *queueStates) subscribed(id uuid.UUID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.consumers[id]++
	delete(s.idleSince, id)
}

func (s *queueStates) unsubscribed(id uuid.UUID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.consumers[id]--; s.consumers[id] <= 0 {
		delete(s.consumers, id)
		s.noteIdleLocked(id)
	}
}

// noteIdleLocked notes that the queue is known and not consumed here, and forgets
// those for which that has been so for long. What is kept of one that never passed
// the barrier no other process knows.
func (s *queueStates) noteIdleLocked(id uuid.UUID) {
	now := time.Now()
	if s.consumers[id] == 0 {
		s.idleSince[id] = now
	}
	if now.Sub(s.forgotAt) < forgetEvery {
		return
	}
	s.forgotAt = now
	for id, since := range s.idleSince {
		if now.Sub(since) < rememberFor {
			continue
		}
		delete(s.idleSince, id)
		delete(s.proven, id)
		delete(s.earlyLosses, id)
		if s.states[id] == usable { // as any queue of a tenant that old may hold
			delete(s.states, id)
		}
	}
}

// createdAt returns when a tenant was created, which its id says (UUIDv7).
func createdAt(id uuid.UUID) time.Time {
	if id.Version() != 7 {
		return time.Time{}
	}
	return time.Unix(id.Time().UnixTime())
}

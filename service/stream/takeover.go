package stream

import (
	"sync"
	"time"
)

// ticketTenure is how long a stream has its ticket before it gives way, so that
// clients that take one from each other do so no faster than that.
const ticketTenure = time.Second

// handovers lets streams of this process that have a ticket, and requests that
// wait for it, find each other at once; those of other replicas do by the
// database. It has an entry for each ticket that is held or waited for here. Its
// methods are safe for concurrent use.
type handovers struct {
	mu      sync.Mutex // guards the rest; nothing waits while it is held
	holders map[string]*holding
	waiters map[string]chan struct{}
}

// holding is a stream's of a ticket.
type holding struct {
	// check holds a token when the stream is to check whether it has the ticket.
	check chan struct{}
}

func newHandovers() *handovers {
	return &handovers{holders: make(map[string]*holding), waiters: make(map[string]chan struct{})}
}

// hold notes that a stream has the ticket, until done is called. One that had it
// before has lost it, and is told to check.
func (h *handovers) hold(hash []byte) (check <-chan struct{}, done func()) {
	key, mine := string(hash), &holding{make(chan struct{}, 1)}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.holders[key].signal()
	h.holders[key] = mine
	return mine.check, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.holders[key] == mine {
			delete(h.holders, key)
		}
	}
}

// recheck makes the stream that has the ticket check, if it is one of this
// process.
func (h *handovers) recheck(hash []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.holders[string(hash)].signal()
}

func (h *holding) signal() {
	if h == nil {
		return
	}
	select {
	case h.check <- struct{}{}:
	default:
	}
}

// wait notes that a request waits for the ticket, until done is called. One that
// waited before is superseded: its client has gone or fights with itself, and
// however often it comes only one request of a replica asks the database.
func (h *handovers) wait(hash []byte) (superseded <-chan struct{}, done func()) {
	key, mine := string(hash), make(chan struct{})
	h.mu.Lock()
	defer h.mu.Unlock()
	if before, ok := h.waiters[key]; ok {
		close(before)
	}
	h.waiters[key] = mine
	return mine, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.waiters[key] == mine {
			delete(h.waiters, key)
		}
	}
}

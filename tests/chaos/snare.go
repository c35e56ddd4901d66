package main

import (
	"sync"

	"lanekeeper/tests/proxy"
)

// snare holds a connection of the service just before a message that matters
// passes, until the service is dead; then it cuts it.
type snare struct {
	mu      sync.Mutex
	matters func(message []byte, to proxy.Side) bool // nil while nothing does
	caught  chan struct{}                            // closed when the message is there
	dead    chan struct{}                            // closed when the service is dead
}

// set makes the snare hold the next message that matters, and returns what is
// closed then. Call spring in any case before the snare is used again.
func (s *snare) set(matters func([]byte, proxy.Side) bool) (caught <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.matters, s.caught, s.dead = matters, make(chan struct{}), make(chan struct{})
	return s.caught
}

// spring lets go of what was held: the message goes nowhere.
func (s *snare) spring() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead != nil {
		close(s.dead)
	}
	s.matters, s.dead = nil, nil
}

func (s *snare) judge(message []byte, to proxy.Side) proxy.Verdict {
	s.mu.Lock()
	if s.matters == nil || !s.matters(message, to) {
		s.mu.Unlock()
		return proxy.Pass
	}
	caught, dead := s.caught, s.dead
	s.matters = nil
	s.mu.Unlock()
	close(caught)
	<-dead
	return proxy.Cut
}

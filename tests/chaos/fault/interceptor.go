package fault

import (
	"sync"

	"lanekeeper/tests/proxy"
)

// Interceptor holds a connection of the service just before a message that
// matters passes, until the service is dead; then it cuts it. Safe for concurrent
// use.
type Interceptor struct {
	mu      sync.Mutex
	matters func(message []byte, to proxy.Side) bool // nil while nothing does
	caught  chan struct{}                            // closed when the message is there
	dead    chan struct{}                            // closed when the service is dead
}

// Arm makes the interceptor hold the next message that matters, and returns what
// is closed then. Call Release in any case before the interceptor is used again.
func (i *Interceptor) Arm(matters func([]byte, proxy.Side) bool) (caught <-chan struct{}) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.matters, i.caught, i.dead = matters, make(chan struct{}), make(chan struct{})
	return i.caught
}

// Release lets go of what was held: the message goes nowhere.
func (i *Interceptor) Release() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.dead != nil {
		close(i.dead)
	}
	i.matters, i.dead = nil, nil
}

// Judge implements proxy.Judge.
func (i *Interceptor) Judge(message []byte, to proxy.Side) proxy.Verdict {
	i.mu.Lock()
	if i.matters == nil || !i.matters(message, to) {
		i.mu.Unlock()
		return proxy.Pass
	}
	caught, dead := i.caught, i.dead
	i.matters = nil
	i.mu.Unlock()
	close(caught)
	<-dead
	return proxy.Cut
}

package quota

import (
	"context"
	"sync"
)

// contextLock is a lock for many readers or one writer, for which waiting ends
// with a context. Its zero value is not ready: call init.
type contextLock struct {
	mu      sync.Mutex
	readers int           // guarded by mu
	locked  chan struct{} // closed when the writer is through; nil while there is none
	idle    chan struct{} // holds a token when readers may be 0
}

func (l *contextLock) init() { l.idle = make(chan struct{}, 1) }

func (l *contextLock) rLock(ctx context.Context) error {
	for {
		l.mu.Lock()
		locked := l.locked
		if locked == nil {
			l.readers++
			l.mu.Unlock()
			return nil
		}
		l.mu.Unlock()
		select {
		case <-locked:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (l *contextLock) rUnlock() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.readers--; l.readers == 0 {
		select {
		case l.idle <- struct{}{}:
		default:
		}
	}
}

// lock keeps new readers waiting, and returns when there are none left. There
// must be one writer at a time.
func (l *contextLock) lock(ctx context.Context) error {
	l.mu.Lock()
	l.locked = make(chan struct{})
	l.mu.Unlock()
	for {
		l.mu.Lock()
		idle := l.readers == 0
		l.mu.Unlock()
		if idle {
			return nil
		}
		select {
		case <-l.idle:
		case <-ctx.Done():
			l.unlock()
			return ctx.Err()
		}
	}
}

func (l *contextLock) unlock() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.locked)
	l.locked = nil
}

package tenant

import (
	"context"
	"fmt"
	"sync"

	"github.com/google/uuid"
)

// keyedLock is one lock for each tenant, which exists while somebody holds it
// or waits for it.
type keyedLock struct {
	mu   sync.Mutex
	held map[uuid.UUID]*heldLock // guarded by mu
}

type heldLock struct {
	// token holds one value while the lock is free.
	token chan struct{}
	// users counts who holds it or waits for it; guarded by keyedLock.mu.
	users int
}

// lock waits for the tenant's lock until ctx ends. Unlock must be called once.
func (k *keyedLock) lock(ctx context.Context, id uuid.UUID) (unlock func(), err error) {
	l := k.join(id)
	select {
	case <-l.token:
		return func() {
			l.token <- struct{}{}
			k.leave(id, l)
		}, nil
	case <-ctx.Done():
		k.leave(id, l)
		return nil, fmt.Errorf("wait for other work on the tenant: %w", ctx.Err())
	}
}

func (k *keyedLock) join(id uuid.UUID) *heldLock {
	k.mu.Lock()
	defer k.mu.Unlock()
	l := k.held[id]
	if l == nil {
		l = &heldLock{token: make(chan struct{}, 1)}
		l.token <- struct{}{}
		if k.held == nil {
			k.held = make(map[uuid.UUID]*heldLock)
		}
		k.held[id] = l
	}
	l.users++
	return l
}

func (k *keyedLock) leave(id uuid.UUID, l *heldLock) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if l.users--; l.users == 0 {
		delete(k.held, id)
	}
}

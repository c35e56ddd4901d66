package cache

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Options say what a Cache has and where it comes from.
type Options[K comparable, V any] struct {
	// Load asks the source. Its context ends after LoadTimeout, and not with the
	// call that needs it.
	Load        func(ctx context.Context, key K) (V, error)
	LoadTimeout time.Duration
	// FreshFor is how old an answer may be, and Size how many are kept. When there
	// are more, any of them is dropped.
	FreshFor time.Duration
	Size     int
	// AwayFor is for how long the source is left alone after a load failed, as far
	// as something is known.
	AwayFor time.Duration
	// Absent reports whether an error of Load is an answer: that there is no such
	// thing. It is kept for AbsentFor, apart from the others, of which keys that
	// somebody makes up displace none. Nil reports none.
	Absent     func(error) bool
	AbsentFor  time.Duration
	AbsentSize int
	// Passing reports whether a value is about to become another one by itself: then
	// every Get asks the source, while that is there. Nil reports none.
	Passing func(V) bool
	// Newer reports whether what is known is newer than what is put; nil never.
	Newer func(known, put V) bool
	// Now returns the time; nil means time.Now.
	Now func() time.Time
}

// Cache is safe for concurrent use.
type Cache[K comparable, V any] struct {
	o Options[K, V]

	mu      sync.RWMutex // guards the rest; nothing waits while it is held
	entries map[K]*entry[V]
	absent  map[K]absence
	// awayUntil is how long the source is left alone.
	awayUntil time.Time
}

// entry is what is known of one key, guarded by the mutex of its Cache. A change
// replaces it by another one, so that a load that began before the change has
// nowhere to put its result.
type entry[V any] struct {
	value V
	// known says that value holds anything.
	known bool
	// loaded is when the load began that said so; zero for what was put.
	loaded time.Time
	// expired says that it may have changed since the source was last asked.
	expired bool
	// stale says that the last load failed.
	stale bool
	// loading is the load under way, or nil.
	loading *load[V]
}

// load is one question to the source and its answer. The answer may be read once
// done is closed.
type load[V any] struct {
	done  chan struct{}
	value V
	err   error
}

type absence struct {
	err error
	at  time.Time
}

// New returns an empty Cache.
func New[K comparable, V any](o Options[K, V]) *Cache[K, V] {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Absent == nil {
		o.Absent = func(error) bool { return false }
	}
	return &Cache[K, V]{o: o, entries: make(map[K]*entry[V]), absent: make(map[K]absence)}
}

// Get returns what the source says, or said at most FreshFor ago unless that is
// Passing, or said last while it is away. Errors are those of Load for what is not known, and that of
// ctx when it ends while another call's load is waited for.
func (c *Cache[K, V]) Get(ctx context.Context, key K) (V, error) {
	now := c.o.Now()
	c.mu.RLock()
	if e := c.entries[key]; e != nil && e.known && (c.fresh(e, now) || now.Before(c.awayUntil)) {
		value := e.value
		c.mu.RUnlock()
		return value, nil
	}
	gone, absent := c.absent[key]
	c.mu.RUnlock()
	if absent && now.Sub(gone.at) < c.o.AbsentFor {
		var none V
		return none, gone.err
	}
	return c.refresh(ctx, key, now)
}

// Peek returns what is known without asking the source, and whether it may have
// changed since that was asked last.
func (c *Cache[K, V]) Peek(key K) (value V, known, expired bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if e := c.entries[key]; e != nil && e.known {
		return e.value, true, e.expired
	}
	return value, false, false
}

// Known reports whether anything is known of the key: a value, however old, or that
// there is none.
func (c *Cache[K, V]) Known(key K) bool {
	now := c.o.Now()
	c.mu.RLock()
	defer c.mu.RUnlock()
	if e := c.entries[key]; e != nil && e.known {
		return true
	}
	gone, absent := c.absent[key]
	return absent && now.Sub(gone.at) < c.o.AbsentFor
}

// Put notes that the value of the key was just changed. The next Get asks the
// source, because somebody else may have changed it since; the value is what is
// known if that is away by then.
func (c *Cache[K, V]) Put(key K, value V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.awayUntil = time.Time{}
	delete(c.absent, key)
	if old := c.entries[key]; old != nil && old.known && c.o.Newer != nil && c.o.Newer(old.value, value) {
		value = old.value
	}
	c.store(key, &entry[V]{value: value, known: true, expired: true})
}

// Expire notes that the value of the key was changed somewhere. The next Get asks
// the source; what is known is kept for the case that it is away by then.
func (c *Cache[K, V]) Expire(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.awayUntil = time.Time{}
	delete(c.absent, key)
	if e := c.entries[key]; e != nil {
		c.expire(key, e)
	}
}

// ExpireAll is Expire for every key.
func (c *Cache[K, V]) ExpireAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.awayUntil = time.Time{}
	clear(c.absent)
	for key, e := range c.entries {
		c.expire(key, e)
	}
}

// Drop forgets what is known of the key, because it is wrong.
func (c *Cache[K, V]) Drop(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.awayUntil = time.Time{}
	delete(c.absent, key)
	delete(c.entries, key)
}

func (c *Cache[K, V]) fresh(e *entry[V], now time.Time) bool {
	return !e.expired && now.Sub(e.loaded) < c.o.FreshFor && (c.o.Passing == nil || !c.o.Passing(e.value))
}

// expire needs mu. A load under way may have read the value before the change, so
// its entry is given up.
func (c *Cache[K, V]) expire(key K, e *entry[V]) {
	switch {
	case e.loading == nil:
		e.expired, e.stale = true, false
	case e.known:
		c.entries[key] = &entry[V]{value: e.value, known: true, expired: true}
	default:
		delete(c.entries, key)
	}
}

// refresh loads, or waits for the load that is under way. When the load before
// failed, only one call tries again, and the others go on with what is known.
func (c *Cache[K, V]) refresh(ctx context.Context, key K, now time.Time) (V, error) {
	c.mu.Lock()
	e := c.entries[key]
	if e == nil {
		e = &entry[V]{}
		c.store(key, e)
	}
	running := e.loading
	switch {
	case running == nil:
		running = &load[V]{done: make(chan struct{})}
		e.loading = running
		c.mu.Unlock()
		c.run(ctx, key, e, running, now)
	case e.known && e.stale:
		value := e.value
		c.mu.Unlock()
		return value, nil
	default:
		c.mu.Unlock()
		select {
		case <-running.done:
		case <-ctx.Done():
			var none V
			return none, fmt.Errorf("wait for another call: %w", ctx.Err())
		}
	}
	return running.value, running.err
}

// run asks the source. It does so even when the caller goes away, because others
// may wait for the answer.
func (c *Cache[K, V]) run(ctx context.Context, key K, e *entry[V], this *load[V], now time.Time) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.o.LoadTimeout)
	defer cancel()
	this.value, this.err = c.o.Load(ctx, key)

	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(this.done)
	e.loading = nil
	current := c.entries[key] == e
	switch {
	case this.err == nil:
		e.value, e.known, e.loaded, e.expired, e.stale = this.value, true, now, false, false
		c.awayUntil = time.Time{}
	case c.o.Absent(this.err):
		c.awayUntil = time.Time{}
		if current {
			delete(c.entries, key)
			c.storeAbsent(key, absence{this.err, now})
		}
	default:
		c.awayUntil = c.o.Now().Add(c.o.AwayFor)
		if e.known { // what is known is better than nothing
			e.expired, e.stale = false, true
			this.value, this.err = e.value, nil
		} else if current {
			delete(c.entries, key)
		}
	}
}

// store needs mu. When the Cache is full it makes room by dropping any entry.
func (c *Cache[K, V]) store(key K, e *entry[V]) {
	if _, replaces := c.entries[key]; !replaces && len(c.entries) >= c.o.Size {
		for other := range c.entries {
			delete(c.entries, other)
			break
		}
	}
	c.entries[key] = e
}

// storeAbsent needs mu.
func (c *Cache[K, V]) storeAbsent(key K, a absence) {
	if c.o.AbsentFor <= 0 {
		return
	}
	if len(c.absent) >= c.o.AbsentSize {
		clear(c.absent)
	}
	c.absent[key] = a
}

package workerpool

import (
	"sync"
	"sync/atomic"
)

// keptIdle is for how many items a pool keeps memory while it has nothing to do.
const keptIdle = 64

// Pool is a queue of items and a number of workers that take them in chunks. A worker
// is a goroutine for as long as there is something to take: a pool that has nothing to
// do has none. It holds whatever is put into it until that is taken, so who puts has to
// have a bound. It is safe for concurrent use.
type Pool[T any] struct {
	most   int
	handle func(chunk []T)

	limit atomic.Int32 // how many workers there may be; written under mu
	busy  atomic.Int32 // how many there are; written under mu

	mu      sync.Mutex
	queue   []T // what was put and not taken, in order
	spare   []T // memory for a chunk, or nil
	stopped bool
	wg      sync.WaitGroup // the workers; added to under mu
}

// New returns a pool without workers. A worker takes what was put into the pool, up
// to most items, and calls handle with them, in order. The slice belongs to the pool
// again when handle returns.
func New[T any](most int, handle func(chunk []T)) *Pool[T] {
	return &Pool[T]{most: most, handle: handle}
}

// Put adds an item, and returns at once. What is put after Stop is dropped.
func (p *Pool[T]) Put(item T) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return
	}
	p.queue = append(p.queue, item)
	p.employ()
}

// Resize sets the number of workers. Growing has effect at once; a surplus worker ends
// when it is through with its chunk. After Stop it does nothing.
func (p *Pool[T]) Resize(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return
	}
	p.limit.Store(int32(n)) //nolint:gosec // a number of goroutines
	p.employ()
}

// employ starts workers for what waits, as many as there may be. The caller holds mu.
func (p *Pool[T]) employ() {
	for waiting := len(p.queue); waiting > 0 && p.busy.Load() < p.limit.Load(); waiting -= p.most {
		p.busy.Add(1)
		p.wg.Go(p.work)
	}
}

// Stop makes the workers end when they are through with their chunks, without taking
// more; what waits is dropped. It does not wait.
func (p *Pool[T]) Stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped, p.queue = true, nil
	p.limit.Store(0)
}

// Wait returns when all workers have ended. Call it after Stop.
func (p *Pool[T]) Wait() { p.wg.Wait() }

// Workers returns how many workers there may be, or, where these are more, how many
// are through with their chunks only in a moment.
func (p *Pool[T]) Workers() int { return int(max(p.limit.Load(), p.busy.Load())) }

// Busy returns how many workers handle a chunk at this moment.
func (p *Pool[T]) Busy() int { return int(p.busy.Load()) }

// work is a worker's life. It ends under the lock under which items are put, so that
// none stays behind that has a worker to take it.
func (p *Pool[T]) work() {
	var chunk []T
	for {
		if chunk = p.next(chunk); chunk == nil {
			return
		}
		p.handle(chunk)
	}
}

// next gives the memory of the last chunk back and returns the next one, or nil when
// the worker ends.
func (p *Pool[T]) next(last []T) []T {
	clear(last)
	p.mu.Lock()
	defer p.mu.Unlock()
	if cap(last) > cap(p.spare) {
		p.spare = last[:0]
	}
	if len(p.queue) == 0 || p.busy.Load() > p.limit.Load() {
		if p.busy.Add(-1) == 0 {
			p.rest()
		}
		return nil
	}
	chunk := p.queue
	if len(chunk) <= p.most {
		p.queue, p.spare = p.spare, nil
		return chunk
	}
	p.queue = chunk[p.most:]
	return chunk[:p.most:p.most] // that part of the memory is the worker's now
}

// rest gives up memory that only a busy pool needs. The caller holds mu.
func (p *Pool[T]) rest() {
	if cap(p.spare) > keptIdle {
		p.spare = nil
	}
	if len(p.queue) == 0 && cap(p.queue) > keptIdle {
		p.queue = nil
	}
}

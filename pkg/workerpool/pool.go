package workerpool

import (
	"sync"
	"sync/atomic"
)

// Pool is a set of workers that take items from a channel in chunks. The
// sender alone closes the channel; that, or Stop, ends the workers. Resize
// and Stop are safe for concurrent use.
type Pool[T any] struct {
	in     <-chan T
	most   int
	handle func(chunk []T)

	mu      sync.Mutex
	quits   []chan struct{} // one for each worker that shall live
	stopped bool

	wg      sync.WaitGroup
	workers atomic.Int32
	busy    atomic.Int32
}

// New returns a pool without workers. A worker takes one item and whatever
// else is in the channel already, up to most items, and calls handle with
// them, in order. The slice belongs to the worker again when handle returns.
func New[T any](in <-chan T, most int, handle func(chunk []T)) *Pool[T] {
	return &Pool[T]{in: in, most: most, handle: handle}
}

// Resize sets the number of workers. Growing starts goroutines at once; a
// surplus worker ends when it is through with its chunk. After Stop it does
// nothing.
func (p *Pool[T]) Resize(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return
	}
	for len(p.quits) < n {
		quit := make(chan struct{})
		p.quits = append(p.quits, quit)
		p.workers.Add(1)
		p.wg.Go(func() {
			defer p.workers.Add(-1)
			p.work(quit)
		})
	}
	p.shrink(n)
}

// Stop makes the workers end when they are through with their chunks, without
// taking more. It does not wait.
func (p *Pool[T]) Stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	p.shrink(0)
}

func (p *Pool[T]) shrink(n int) {
	for len(p.quits) > n {
		last := len(p.quits) - 1
		close(p.quits[last])
		p.quits = p.quits[:last]
	}
}

// Wait returns when all workers have ended. Call it after Stop, or after the
// channel was closed and no Resize can follow.
func (p *Pool[T]) Wait() { p.wg.Wait() }

// Workers returns how many workers there are, those that are about to end
// included.
func (p *Pool[T]) Workers() int { return int(p.workers.Load()) }

// Busy returns how many workers handle a chunk at this moment.
func (p *Pool[T]) Busy() int { return int(p.busy.Load()) }

func (p *Pool[T]) work(quit <-chan struct{}) {
	chunk := make([]T, 0, min(p.most, 16))
	for {
		select { // ending goes before taking
		case <-quit:
			return
		default:
		}
		select {
		case <-quit:
			return
		case item, ok := <-p.in:
			if !ok {
				return
			}
			chunk = p.fill(append(chunk[:0], item))
		}
		p.busy.Add(1)
		p.handle(chunk)
		p.busy.Add(-1)
		clear(chunk)
	}
}

// fill adds what is buffered already.
func (p *Pool[T]) fill(chunk []T) []T {
	for len(chunk) < p.most {
		select {
		case item, ok := <-p.in:
			if !ok {
				return chunk
			}
			chunk = append(chunk, item)
		default:
			return chunk
		}
	}
	return chunk
}

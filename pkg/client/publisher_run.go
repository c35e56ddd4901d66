package client

import (
	"context"
	"sync"
	"time"
)

// collector puts messages together and hands batches to those who send them. It
// belongs to the goroutine of Publisher.run.
type collector struct {
	p *Publisher
	// current is being filled, ready is to be sent next.
	current, ready *batch
	due            bool // current is to be sent as it is
	nextSeq        int64
	// under are the batches that are under way.
	under   map[int64]struct{}
	waiting []waiter
	sum     tally
	linger  *time.Timer
}

// waiter is a Flush that waits for batches up to this one.
type waiter struct {
	seq  int64
	done chan<- error
}

// run owns the batches, and waits for those who send them.
func (p *Publisher) run(ctx context.Context) {
	defer close(p.done)
	send, sent := make(chan *batch), make(chan *batch)
	var senders sync.WaitGroup
	defer senders.Wait()
	defer close(send)
	for range p.options.InFlight {
		senders.Go(func() {
			for b := range send {
				b.publish(ctx, p.api, p.tenant, p.options.RetryFor)
				sent <- b
			}
		})
	}
	c := collector{p: p, under: make(map[int64]struct{}), linger: time.NewTimer(p.options.Linger)}
	defer c.linger.Stop()
	c.collect(ctx, send, sent)
	p.close()
	p.closeErr = c.sum.err()
}

// collect returns when the publisher is closed and nothing is under way.
func (c *collector) collect(ctx context.Context, send chan<- *batch, sent <-chan *batch) {
	closing, ended := (<-chan struct{})(c.p.closing), ctx.Done()
	open := true
	for {
		c.prepare()
		if !open && c.ready == nil && c.current == nil && len(c.under) == 0 {
			return
		}
		in, out := c.p.in, send
		if c.ready != nil || !open {
			in = nil
		}
		if c.ready == nil {
			out = nil
		}
		select {
		case l := <-in:
			c.take(l)
		case out <- c.ready:
			c.under[c.ready.seq] = struct{}{}
			c.ready = nil
		case b := <-sent:
			c.settle(b)
		case f := <-c.p.flushes:
			c.flush(f)
		case <-c.linger.C:
			c.due = true
		case <-closing:
			closing, open, c.due = nil, false, true
		case <-ended:
			ended = nil
			c.p.close()
		}
	}
}

// prepare moves the current batch on when it is to be sent.
func (c *collector) prepare() {
	if c.current == nil {
		c.due = false
	}
	if c.due && c.ready == nil {
		c.ready, c.current, c.due = c.current, nil, false
	}
}

// take adds a message. There must be no batch that is ready.
func (c *collector) take(l line) {
	c.p.taken.Add(1)
	o := &c.p.options
	if c.current != nil && !c.current.fits(l.text, l.plain, o.MaxMessages, o.MaxBytes) {
		c.ready, c.current = c.current, nil
	}
	if c.current == nil {
		c.nextSeq++
		c.current = &batch{seq: c.nextSeq}
		c.linger.Reset(o.Linger)
	}
	c.current.add(l.item, l.text, l.plain)
	if len(c.current.items) >= o.MaxMessages || len(c.current.body) >= o.MaxBytes {
		c.due = true
	}
}

// settle tells what became of a batch.
func (c *collector) settle(b *batch) {
	delete(c.under, b.seq)
	for i := range b.items {
		item := &b.items[i]
		c.sum.add(item)
		if item.Err == nil {
			c.p.good.Add(1)
		} else {
			c.p.bad.Add(1)
		}
		if c.p.options.OnResult != nil {
			c.p.options.OnResult(*item)
		}
	}
	c.answer()
}

// flush has everything sent, and remembers who waits for it.
func (c *collector) flush(f flush) {
	c.due = true
	c.waiting = append(c.waiting, waiter{c.nextSeq, f.done})
	c.answer()
}

// answer answers those whose batches are all settled.
func (c *collector) answer() {
	oldest := c.nextSeq + 1
	for seq := range c.under {
		oldest = min(oldest, seq)
	}
	for _, b := range []*batch{c.ready, c.current} {
		if b != nil {
			oldest = min(oldest, b.seq)
		}
	}
	var left []waiter
	for _, w := range c.waiting {
		if w.seq >= oldest {
			left = append(left, w)
			continue
		}
		w.done <- c.sum.err()
		c.sum = tally{}
	}
	c.waiting = left
}

package broker

import (
	"context"
	"errors"
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"
)

var (
	errReturned = errors.New("returned by the broker: no such queue")
	errNacked   = errors.New("refused by the broker")
	errUnknown  = errors.New("connection lost before the confirm")
	// errAgain: the channel confirms nothing any more, or was replaced before
	// the rest of the batch was on it. It never leaves send.
	errAgain = errors.New("to be published again, on another channel")
)

// parcel is one message with its address.
type parcel struct {
	exchange, key string
	message       amqp.Publishing
}

// queue names the queue whose confirm it waits for: that of its routing key,
// or of the retry tier, which all tenants share.
func (p *parcel) queue() string {
	if p.exchange == "" || p.exchange == DeadExchange {
		return p.key
	}
	return p.exchange
}

// label tells what was returned apart from what was not. Ids alone are not
// enough: they may be the sender's own, tenants may have the same, and a
// message may be published again.
func (p *parcel) label() label {
	published, _ := p.message.Headers[HeaderPublished].(int64)
	return label{p.exchange, p.key, p.message.MessageId, published}
}

type label struct {
	exchange, key, messageID string
	published                int64
}

// request is a batch of parcels for one queue, on its way through one lane.
type request struct {
	ctx     context.Context //nolint:containedctx // a request is a call handed to the lane's goroutine
	queue   string
	parcels []parcel
	// handles receives one handle for each parcel, in order; its capacity is
	// their number, so that the lane never waits for the caller.
	handles chan handle
	given   int // handles given so far; only the lane's goroutine counts

	mu        sync.Mutex
	abandoned bool
}

func newRequest(ctx context.Context, parcels []parcel) *request {
	return &request{ctx: ctx, queue: parcels[0].queue(), parcels: parcels, handles: make(chan handle, len(parcels))}
}

// give hands one publication over, or to its session when nobody waits.
func (r *request) give(h handle) {
	of := &r.parcels[r.given]
	r.given++
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.abandoned {
		h.abandon(of)
		return
	}
	r.handles <- h
}

// abandon hands all publications not waited for to their session, also those
// that are still to come. The caller has received the first n handles.
func (r *request) abandon(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.abandoned = true
	for ; ; n++ {
		select {
		case h := <-r.handles:
			h.abandon(&r.parcels[n])
		default:
			return
		}
	}
}

// fail gives err for every parcel that has no handle yet.
func (r *request) fail(err error) {
	for r.given < len(r.parcels) {
		r.give(handle{err: err})
	}
}

// parking holds the requests that found no slot. Only the lane's goroutine
// uses it. What is parked is in the order of its arrival for each queue; the
// queues take turns.
type parking struct {
	requests map[string][]*request
	order    []string
}

// add parks a request behind the others for its queue.
func (p *parking) add(r *request) {
	if len(p.requests[r.queue]) == 0 {
		p.order = append(p.order, r.queue)
	}
	p.requests[r.queue] = append(p.requests[r.queue], r)
}

func (p *parking) has(queue string) bool { return len(p.requests[queue]) > 0 }

// visit shows every queue's first request to serve, and the next one as long
// as serve is through with the one before. It ends when more is false.
func (p *parking) visit(serve func(*request) (through, more bool)) {
	order := p.order
	p.order = order[:0] // never ahead of the reading
	more := true
	var served []string
	for i, queue := range order {
		waiting := p.requests[queue]
		before := len(waiting)
		for through := true; more && through && len(waiting) > 0; {
			if through, more = serve(waiting[0]); through {
				waiting[0] = nil
				waiting = waiting[1:]
			}
		}
		p.requests[queue] = waiting
		switch {
		case len(waiting) == 0:
			delete(p.requests, queue)
		case len(waiting) < before:
			served = append(served, queue) // the others first, the next time
		default:
			p.order = append(p.order, queue)
		}
		if !more {
			p.order = append(p.order, order[i+1:]...)
			break
		}
	}
	p.order = append(p.order, served...)
}

// sweep fails the requests for which why returns an error, and tells how many
// those are.
func (p *parking) sweep(why func(*request) error) (failed int) {
	order := p.order
	p.order = order[:0]
	for _, queue := range order {
		kept := p.requests[queue][:0]
		for _, r := range p.requests[queue] {
			if err := why(r); err != nil {
				r.fail(err)
				failed++
			} else {
				kept = append(kept, r)
			}
		}
		clear(p.requests[queue][len(kept):])
		p.requests[queue] = kept
		if len(kept) == 0 {
			delete(p.requests, queue)
		} else {
			p.order = append(p.order, queue)
		}
	}
	return failed
}

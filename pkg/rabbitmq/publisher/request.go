package publisher

import (
	"context"
	"errors"
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"
)

// errAgain: the channel confirms nothing any more, or was replaced before the
// rest of the batch was on it. It never leaves Publish.
var errAgain = errors.New("to be published again, on another channel")

// returnKey identifies what was returned among what was published. Ids alone are
// not enough: they may be the sender's own, several queues may have the same, and a
// message may be published again.
type returnKey struct {
	exchange, key, messageID string
	published                int64 // of Options.TimeHeader
}

func (p *Publishing) returnKey(timeHeader string) returnKey {
	published, _ := p.Message.Headers[timeHeader].(int64)
	return returnKey{p.Exchange, p.Key, p.Message.MessageId, published}
}

func returnKeyOf(r *amqp.Return, timeHeader string) returnKey {
	published, _ := r.Headers[timeHeader].(int64)
	return returnKey{r.Exchange, r.RoutingKey, r.MessageId, published}
}

// request is a batch for one queue, on its way through one channel.
type request struct {
	ctx   context.Context //nolint:containedctx // a request is a call handed to the channel's goroutine
	queue string
	batch []Publishing
	// pending receives one element for each message, in order; its capacity is
	// their number, so that the channel never waits for the caller.
	pending chan pendingConfirm
	written int // elements given so far; only the channel's goroutine counts

	mu        sync.Mutex
	abandoned bool
}

func newRequest(ctx context.Context, queue string, batch []Publishing) *request {
	return &request{ctx: ctx, queue: queue, batch: batch, pending: make(chan pendingConfirm, len(batch))}
}

// give hands one publication to the caller, or, when nobody waits, to what it is
// in flight on.
func (r *request) give(p pendingConfirm) {
	of := &r.batch[r.written]
	r.written++
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.abandoned {
		p.abandon(of)
		return
	}
	r.pending <- p
}

// abandon hands over all publications that nobody waits for, also those that are
// still to be written. The caller has received the first n.
func (r *request) abandon(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.abandoned = true
	for ; ; n++ {
		select {
		case p := <-r.pending:
			p.abandon(&r.batch[n])
		default:
			return
		}
	}
}

// fail gives err for every message that was not written yet.
func (r *request) fail(err error) {
	for r.written < len(r.batch) {
		r.give(pendingConfirm{err: err})
	}
}

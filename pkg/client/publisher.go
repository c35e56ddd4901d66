package client

import (
	"context"
	"crypto/rand"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Defaults of PublisherOptions.
const (
	DefaultLinger   = 5 * time.Millisecond
	DefaultInFlight = 4
)

// PublisherOptions says how messages are put together. The zero value has defaults.
type PublisherOptions struct {
	// MaxMessages is how many messages a batch has at most; 0 for 1000.
	MaxMessages int
	// MaxBytes is how large it gets, unless one message alone is larger; 0 for 4 MiB.
	MaxBytes int
	// Linger is how long a message waits for others; 0 for 5 ms.
	Linger time.Duration
	// InFlight is how many batches are under way at a time; 0 for 4. With 1, messages
	// are published in the order of the calls, but for those that are tried again.
	InFlight int
	// KeyPrefix begins the idempotency keys of messages that have none: message 7 has
	// "prefix-7". Publishing the same messages in the same order with the same prefix
	// again, within 24 hours, goes on where it was broken off. "" for a random one.
	KeyPrefix string
	// RetryFor is for how long a batch is tried again; 0 for as long as the client does.
	RetryFor time.Duration
	// OnResult is called for each message that Publish took, batch after batch, from one
	// goroutine. While it runs no batch is begun, and it must not call the publisher. It may be
	// nil.
	OnResult func(Published)
}

// PublisherStats counts messages.
type PublisherStats struct {
	// Taken is how many Publish took; Accepted and Failed are those of which it is
	// known what became of them.
	Taken, Accepted, Failed int64
}

// Publisher publishes many messages in batches, several at a time. It is safe for
// concurrent use. Close has to be called.
type Publisher struct {
	options PublisherOptions
	api     *caller
	tenant  string
	prefix  string
	index   atomic.Int64
	taken   atomic.Int64
	good    atomic.Int64
	bad     atomic.Int64

	in       chan line
	flushes  chan flush
	closing  chan struct{}
	close    func()
	cancel   context.CancelFunc
	done     chan struct{} // closed when all goroutines have ended
	closeErr error         // read after done
}

// line is a message on its way into a batch.
type line struct {
	item  Published
	text  []byte
	plain bool
}

// flush asks for everything that is there to be published.
type flush struct{ done chan<- error }

// newPublisher is Client.NewPublisher.
func newPublisher(ctx context.Context, c *caller, tenant string, o PublisherOptions) *Publisher {
	if o.MaxMessages <= 0 || o.MaxMessages > MaxBatchMessages {
		o.MaxMessages = MaxBatchMessages
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = DefaultBatchBytes
	}
	if o.Linger <= 0 {
		o.Linger = DefaultLinger
	}
	if o.InFlight <= 0 {
		o.InFlight = DefaultInFlight
	}
	p := &Publisher{
		options: o, api: c, tenant: tenant, prefix: o.KeyPrefix,
		in: make(chan line), flushes: make(chan flush), closing: make(chan struct{}), done: make(chan struct{}),
	}
	if p.prefix == "" {
		p.prefix = rand.Text()
	}
	p.close = sync.OnceFunc(func() { close(p.closing) })
	ctx, p.cancel = context.WithCancel(ctx)
	go p.run(ctx)
	return p
}

// KeyPrefix begins the keys of messages that have none.
func (p *Publisher) KeyPrefix() string { return p.prefix }

// Stats returns counts. They may be read at any time.
func (p *Publisher) Stats() PublisherStats {
	return PublisherStats{Taken: p.taken.Load(), Accepted: p.good.Load(), Failed: p.bad.Load()}
}

// Publish takes a message, and waits while as many as may be are under way. What becomes
// of it OnResult says, and Flush and Close. The payload can be changed when Publish
// has returned. The error is ErrNotJSON, that of ctx, or ErrClosed, and then the message was
// not taken, although it has an Index.
func (p *Publisher) Publish(ctx context.Context, m NewMessage) error {
	item := Published{Index: p.index.Add(1) - 1, IdempotencyKey: m.IdempotencyKey}
	if item.IdempotencyKey == "" && (!p.api.keyless || p.options.KeyPrefix != "") {
		item.IdempotencyKey = p.prefix + "-" + strconv.FormatInt(item.Index, 10)
	}
	l := line{item: item, plain: m.bare() && item.IdempotencyKey == ""}
	var err error
	if l.text, err = appendLine(make([]byte, 0, len(m.Payload)+lineOverhead), &m, item.IdempotencyKey, l.plain); err != nil {
		return err
	}
	select {
	case <-p.closing:
		return ErrClosed
	default:
	}
	select {
	case p.in <- l:
		return nil
	case <-p.closing:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err() //nolint:wrapcheck // nothing to add
	}
}

// lineOverhead is about what a line has besides a payload.
const lineOverhead = 128

// Flush publishes what is there without waiting for more, and waits until it is known
// what became of every message that was taken before. The error is a *PublishError
// when some, since the last Flush, were not accepted; or that of ctx.
func (p *Publisher) Flush(ctx context.Context) error {
	done := make(chan error, 1)
	select {
	case p.flushes <- flush{done}:
	case <-p.done:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err() //nolint:wrapcheck // nothing to add
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err() //nolint:wrapcheck // nothing to add
	}
}

// Close takes no more messages, and waits as Flush does. When ctx ends meanwhile, it
// cuts off the calls that are under way: their messages may be published or not.
// Closing twice is allowed.
func (p *Publisher) Close(ctx context.Context) error {
	p.close()
	select {
	case <-p.done:
	case <-ctx.Done():
		p.cancel()
		<-p.done
	}
	p.cancel()
	return p.closeErr
}

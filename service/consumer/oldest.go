package consumer

import (
	"sync/atomic"
	"time"
)

// oldest knows since when, at most, the oldest message in a queue has waited. Messages
// leave a queue in the order in which they came, so what waits came after the one that
// was stored last, and after the queue was last seen empty: whichever is later is close
// to it, by as much as two messages, or two looks at the queue, are apart. The zero value
// knows nothing. It is safe for concurrent use.
type oldest struct {
	// published is when the message was published that was stored last, and empty when
	// the queue was last seen so, in nanoseconds; 0 for not known.
	published, empty atomic.Int64
}

// stored notes that a message was stored, which was published at that time; zero where
// that is not known. Then nothing is until the queue is empty again.
func (o *oldest) stored(published time.Time) {
	if published.IsZero() {
		o.published.Store(0)
		o.empty.Store(0)
		return
	}
	o.published.Store(published.UnixNano())
}

// seen notes how many messages waited at that time.
func (o *oldest) seen(at time.Time, depth int64) {
	if depth == 0 {
		o.empty.Store(at.UnixNano())
	}
}

// since returns since when the oldest of so many messages has waited, or zero.
func (o *oldest) since(depth int64) time.Time {
	at := max(o.published.Load(), o.empty.Load())
	if depth <= 0 || at == 0 {
		return time.Time{}
	}
	return time.Unix(0, at)
}

package acks

import "slices"

// Batcher turns finished deliveries into acknowledgements: a run without gaps
// from the oldest is acknowledged at once with multiple set; what is behind a gap
// waits for the gap to close, and is acknowledged one by one when too much waits,
// so that one slow message does not use up the prefetch. It is not safe for
// concurrent use.
type Batcher struct {
	ack   func(tag uint64, multiple bool) error
	most  int // finished deliveries that may wait behind a gap
	base  uint64
	ahead map[uint64]bool // finished tags above base; true: acknowledged
	open  int             // how many in ahead are not acknowledged
}

// NewBatcher returns a Batcher for a subscription whose first delivery has tag 1.
// At most half of the prefetch waits behind a gap; with a prefetch of 0 nothing
// does.
func NewBatcher(prefetch int, ack func(tag uint64, multiple bool) error) *Batcher {
	return &Batcher{ack: ack, most: prefetch / 2, ahead: make(map[uint64]bool)}
}

// Done marks deliveries as finished and acknowledges what can be. The error is
// that of ack.
func (b *Batcher) Done(tags []uint64) error {
	last := uint64(0) // the highest tag to acknowledge with multiple
	for _, tag := range tags {
		if tag == b.base+1 {
			b.base, last = tag, tag
		} else {
			b.ahead[tag] = false
			b.open++
		}
	}
	for {
		acked, finished := b.ahead[b.base+1]
		if !finished {
			break
		}
		b.base++
		delete(b.ahead, b.base)
		if !acked {
			b.open--
			last = b.base
		}
	}
	if last > 0 {
		if err := b.ack(last, true); err != nil {
			return err
		}
	}
	if b.open > b.most {
		return b.Flush()
	}
	return nil
}

// Flush acknowledges what waits behind a gap, one by one. The error is that of
// ack.
func (b *Batcher) Flush() error {
	waiting := make([]uint64, 0, b.open)
	for tag, acked := range b.ahead {
		if !acked {
			waiting = append(waiting, tag)
		}
	}
	slices.Sort(waiting)
	for _, tag := range waiting {
		if err := b.ack(tag, false); err != nil {
			return err
		}
		b.ahead[tag] = true
		b.open--
	}
	return nil
}

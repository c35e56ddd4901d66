package acks

import "slices"

// maxRun is how many deliveries one acknowledgement is for at most.
const maxRun = 128

// Batcher turns finished deliveries into acknowledgements. A run without gaps from
// the oldest is acknowledged at once with multiple set, when it is a quarter of the
// prefetch long, or 128, or when the owner says so. What is behind a gap waits for
// the gap to close, and is acknowledged one by one when more than half of the
// prefetch waits, so that one slow message does not use it up. It is not safe for
// concurrent use.
//
//	finished --run long enough, or Run--> acknowledged with others
//	finished, behind a gap --gap closes--> in the run
//	                       --too much waits, or Flush--> acknowledged by itself
type Batcher struct {
	ack     func(tag uint64, multiple bool) error
	most    int             // finished deliveries that may wait behind a gap
	longest uint64          // of a run
	base    uint64          // all up to this tag are finished
	acked   uint64          // up to this tag they were acknowledged with multiple
	due     uint64          // the highest tag up to base that is not acknowledged; 0 for none
	ahead   map[uint64]bool // finished tags above base; true: acknowledged
	open    int             // how many in ahead are not acknowledged
}

// NewBatcher returns a Batcher for a subscription whose first delivery has tag 1.
// With a prefetch below 8 nothing waits in a run; with one of 0 nothing waits at all.
func NewBatcher(prefetch int, ack func(tag uint64, multiple bool) error) *Batcher {
	return &Batcher{
		ack: ack, most: prefetch / 2, longest: uint64(min(max(prefetch/4, 1), maxRun)),
		ahead: make(map[uint64]bool),
	}
}

// Done marks deliveries as finished and acknowledges what has waited enough. The
// error is that of ack.
func (b *Batcher) Done(tags []uint64) error {
	for _, tag := range tags {
		if tag == b.base+1 {
			b.base, b.due = tag, tag
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
			b.due = b.base
		}
	}
	if b.base-b.acked >= b.longest {
		if err := b.Run(); err != nil {
			return err
		}
	}
	if b.open > b.most {
		return b.Flush()
	}
	return nil
}

// Waiting reports whether Run has something to acknowledge.
func (b *Batcher) Waiting() bool { return b.due > 0 }

// Run acknowledges the run from the oldest. The error is that of ack.
func (b *Batcher) Run() error {
	due := b.due
	b.acked, b.due = b.base, 0
	if due == 0 {
		return nil
	}
	return b.ack(due, true)
}

// Flush acknowledges everything that is finished: the run, and what waits behind a
// gap one by one. The error is that of ack.
func (b *Batcher) Flush() error {
	if err := b.Run(); err != nil {
		return err
	}
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

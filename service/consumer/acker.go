package consumer

import "slices"

// acker turns finished deliveries into as few acknowledgements as possible:
// a run without gaps from the oldest is acknowledged at once with multiple
// set; what is behind a gap waits for the gap to close, and is acknowledged
// one by one when too much waits, so that one slow message does not use up
// the prefetch. It belongs to the consumer's goroutine.
type acker struct {
	ack   func(tag uint64, multiple bool) error
	most  int // finished deliveries that may wait behind a gap
	base  uint64
	ahead map[uint64]bool // finished tags above base; true: acknowledged
	open  int             // how many in ahead are not acknowledged
}

func newAcker(prefetch int, ack func(tag uint64, multiple bool) error) *acker {
	return &acker{ack: ack, most: prefetch / 2, ahead: make(map[uint64]bool)}
}

// done marks deliveries as finished and acknowledges what can be.
func (a *acker) done(tags []uint64) error {
	last := uint64(0) // the highest tag to acknowledge with multiple
	for _, tag := range tags {
		if tag == a.base+1 {
			a.base, last = tag, tag
		} else {
			a.ahead[tag] = false
			a.open++
		}
	}
	for {
		acked, finished := a.ahead[a.base+1]
		if !finished {
			break
		}
		a.base++
		delete(a.ahead, a.base)
		if !acked {
			a.open--
			last = a.base
		}
	}
	if last > 0 {
		if err := a.ack(last, true); err != nil {
			return err
		}
	}
	if a.open > a.most {
		return a.flush()
	}
	return nil
}

// flush acknowledges what waits behind a gap, one by one.
func (a *acker) flush() error {
	waiting := make([]uint64, 0, a.open)
	for tag, acked := range a.ahead {
		if !acked {
			waiting = append(waiting, tag)
		}
	}
	slices.Sort(waiting)
	for _, tag := range waiting {
		if err := a.ack(tag, false); err != nil {
			return err
		}
		a.ahead[tag] = true
		a.open--
	}
	return nil
}

package consumer

import (
	"math"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"lanekeeper/domain"
	"lanekeeper/pkg/contentcoding"
	"lanekeeper/pkg/jsonb"
)

const (
	// defaultBudget is in bytes, for a process without a memory limit.
	defaultBudget = 256 << 20
	// budgetOfLimit is which part of GOMEMLIMIT bodies may take: what else
	// there is, copies on their way to the store and garbage, takes the rest.
	budgetOfLimit = 4
	// consumersShare is which part of the budget one consumer may take while
	// others leave it room.
	consumersShare = 8
	// leastPrefetch is how far large bodies narrow a prefetch: one message is
	// stored and another one waits.
	leastPrefetch = 2
	// overhead is what a delivery takes besides its body, in bytes, roughly.
	overhead = 1 << 10
)

// budget bounds the bytes that all consumers of a process hold. It is safe for
// concurrent use.
type budget struct {
	most int64
	held atomic.Int64
	// consumers tells how many share it.
	consumers func() int
}

// newBudget returns a budget of so many bytes, or, when most is 0, of a part
// of the memory that the Go runtime may use.
func newBudget(most int64, consumers func() int) *budget {
	if most == 0 {
		most = defaultBudget
		if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
			most = limit / budgetOfLimit
		}
	}
	return &budget{most: most, consumers: consumers}
}

// single is how much one consumer may hold, whatever the others do.
func (b *budget) single() int64 { return b.most / consumersShare }

// fair is an equal part of the budget.
func (b *budget) fair() int64 { return b.most / int64(max(1, b.consumers())) }

// prefetch returns for how many deliveries of a size there is room, with as
// much to spare again before it gets too much.
func (b *budget) prefetch(size int64) int {
	return int(max(leastPrefetch, min(b.single()/2, b.fair())/max(1, size)))
}

// intake is a subscription whose deliveries are weighed: the broker bounds
// their number, and cannot bound their bytes. It goes on reading, because
// other subscriptions share the connection, and hands on what comes until it
// is too much: more than one consumer may have, or, while all of them together
// are beyond the budget, more than an equal part. Then it closes Full and
// drops what still comes. That is the end of it: whoever has the subscription
// finishes what was handed on, closes it, which makes the broker deliver the
// rest again, and subscribes with a prefetch for which there is room.
//
// The goroutine of pump hands on; another one acknowledges and closes.
type intake struct {
	domain.Subscription
	budget *budget
	// narrowest tells that it cannot be made narrower, so that it is never
	// too much.
	narrowest bool
	out       chan domain.Delivery
	full      chan struct{}
	closing   chan struct{}
	ended     chan struct{}

	mu sync.Mutex
	// sizes are those of the deliveries above base, 0 for those that are
	// acknowledged; open is how many are not, held their bytes.
	base  uint64
	sizes []int64
	open  int
	held  int64
	over  bool // no more is handed on
	// mean is the mean size of what was held when it got too much.
	mean int64
	// seen is how many deliveries were handed on since it was last asked,
	// seenBytes their bytes.
	seen, seenBytes int64
}

// newIntake takes over a subscription; least is the prefetch that it needs.
func newIntake(sub domain.Subscription, b *budget, least int) *intake {
	in := &intake{
		Subscription: sub, budget: b, narrowest: cap(sub.Deliveries()) <= least,
		out:  make(chan domain.Delivery, cap(sub.Deliveries())),
		full: make(chan struct{}), closing: make(chan struct{}), ended: make(chan struct{}),
	}
	go in.pump()
	return in
}

// Deliveries implements domain.Subscription.
func (in *intake) Deliveries() <-chan domain.Delivery { return in.out }

// Done implements domain.Subscription.
func (in *intake) Done() <-chan struct{} { return in.ended }

// Full is closed when it holds too much.
func (in *intake) Full() <-chan struct{} { return in.full }

// Ack implements domain.Subscription.
func (in *intake) Ack(tag uint64, multiple bool) error {
	in.mu.Lock()
	if multiple {
		for in.base < tag && len(in.sizes) > 0 {
			in.settle(0)
			in.base, in.sizes = in.base+1, in.sizes[1:]
		}
	} else if tag > in.base && tag <= in.base+uint64(len(in.sizes)) {
		in.settle(int(tag - in.base - 1)) //nolint:gosec // within sizes
	}
	in.mu.Unlock()
	return in.Subscription.Ack(tag, multiple)
}

// settle takes one delivery off the account; the caller has the lock.
func (in *intake) settle(i int) {
	if size := in.sizes[i]; size > 0 {
		in.sizes[i] = 0
		in.open--
		in.held -= size
		in.budget.held.Add(-size)
	}
}

// Close implements domain.Subscription. What it held must be out of use by
// then.
func (in *intake) Close() error {
	in.mu.Lock()
	in.over = true
	select {
	case <-in.closing:
	default:
		close(in.closing)
	}
	in.budget.held.Add(-in.held)
	in.held, in.open, in.sizes = 0, 0, nil
	in.mu.Unlock()
	return in.Subscription.Close()
}

// pump ends when the subscription has ended.
func (in *intake) pump() {
	defer close(in.ended)
	defer close(in.out)
	for d := range in.Subscription.Deliveries() {
		if in.takes() {
			unpack(&d)
		}
		if in.take(int64(cap(d.Body)) + overhead) {
			select {
			case in.out <- d:
			case <-in.closing:
			}
		}
	}
	<-in.Subscription.Done()
}

// take accounts for one more delivery and tells whether it is handed on.
func (in *intake) take(size int64) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.over {
		return false
	}
	in.sizes = append(in.sizes, size)
	in.open++
	in.held += size
	in.seen++
	in.seenBytes += size
	total := in.budget.held.Add(size)
	if in.open > 1 && !in.narrowest && (in.held > in.budget.single() || total > in.budget.most && in.held > in.budget.fair()) {
		in.over, in.mean = true, in.held/int64(in.open)
		close(in.full)
	}
	return true
}

// takes reports whether what comes is still handed on.
func (in *intake) takes() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return !in.over
}

// unpack replaces a body that is packed by what is in it, so that it is weighed
// as what it takes. What cannot be unpacked is refused and stays as it came.
func unpack(d *domain.Delivery) {
	if d.Encoding == "" || d.Refusal.Reason != "" {
		return
	}
	body, err := contentcoding.Decode(d.Encoding, d.Body, jsonb.MaxSize)
	if err != nil {
		d.Refusal = domain.Refusal{Reason: domain.ReasonInvalidPayload, Error: err.Error()}
		return
	}
	d.Body, d.Encoding = body, ""
}

// fullMean returns the mean size of what was held when it got too much.
func (in *intake) fullMean() int64 {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.mean
}

// seenMean returns the mean size of what came since it was last asked, and
// false while fewer than so many have come.
func (in *intake) seenMean(least int) (int64, bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.seen == 0 || in.seen < int64(least) {
		return 0, false
	}
	mean := in.seenBytes / in.seen
	in.seen, in.seenBytes = 0, 0
	return mean, true
}

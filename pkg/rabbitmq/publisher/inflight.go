package publisher

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"lanekeeper/pkg/rabbitmq"
)

const (
	// window is how many publications one channel may have unconfirmed. It is
	// below the 400 that RabbitMQ takes for a channel that hangs before it
	// reads no more from the connection.
	window = 384
	// share bounds what one queue may hold of a window: share times as much as is
	// free. So one queue alone gets 256, and others always find room.
	share = 2
	// returnBuffer is how many returned messages the library may hand over
	// before it waits for them to be read.
	returnBuffer = 16 * window
	// retireAfter is how long a channel that was renewed may take to confirm
	// what was published on it, and retireEvery how often that is looked up.
	retireAfter = 6 * time.Second
	retireEvery = 20 * time.Millisecond
)

// inflight is one AMQP channel of a confirmChannel, with what was published and
// returned on it. The confirmChannel's goroutine publishes on it; callers settle
// what they waited for.
type inflight struct {
	session    *rabbitmq.Session
	channel    *rabbitmq.Channel
	giveBack   func() // gives back its place among what the broker allows
	dedicated  bool   // as in confirmChannel
	timeHeader string
	// frameSize bounds the headers of what is published.
	frameSize int
	closed    <-chan struct{}
	returns   <-chan amqp.Return
	// silent is closed when the channel was replaced because it confirms
	// nothing any more: waiting for it is of no use.
	silent chan struct{}
	// refused is set when the broker refused a publication.
	refused atomic.Bool
	// roomFreed receives a token when there is room that a request had found
	// lacking.
	roomFreed chan<- struct{}
	// open counts the unconfirmed publications, also those that were abandoned;
	// changed under mu only.
	open atomic.Int64

	mu       sync.Mutex
	returned map[returnKey]int // number of returns not yet claimed
	queues   map[string]*queueWindow
	// ticks are counted while the broker takes publications; confirmedAt is the
	// tick of the last confirm, or since when there is something to confirm.
	ticks, confirmedAt uint64
	// signalIn is after how many confirms roomFreed gets a token, since a request
	// found no room; 0 when none did. One for each confirm would be slow for large
	// batches.
	signalIn  int
	abandoned []abandonedConfirm
}

// queueWindow is what one queue has unconfirmed on a channel; guarded by the
// mutex of its inflight.
type queueWindow struct {
	open        int
	confirmedAt uint64 // as in inflight
	confirmed   bool   // something was
}

// pendingConfirm is the caller's end of one publication.
type pendingConfirm struct {
	in      *inflight
	window  *queueWindow
	confirm *amqp.DeferredConfirmation
	err     error // it was not published
}

// abandonedConfirm is a publication that nobody waits for any more. It keeps its
// place in the window until it is confirmed, so that a queue that never confirms
// takes no more than its share, and its return, so that nobody else claims that.
type abandonedConfirm struct {
	pendingConfirm

	of returnKey
}

func newInflight(c *confirmChannel, session *rabbitmq.Session, ch *rabbitmq.Channel, giveBack func()) *inflight {
	return &inflight{
		session: session, channel: ch, giveBack: giveBack, dedicated: c.dedicated, timeHeader: c.options.TimeHeader,
		frameSize: session.Limits().FrameSize,
		closed:    closed(ch),
		returns:   ch.NotifyReturn(returnBuffer),
		silent:    make(chan struct{}),
		roomFreed: c.roomFreed,
		returned:  make(map[returnKey]int),
		queues:    make(map[string]*queueWindow),
	}
}

// closed returns what is closed when the channel is: by the broker, by the
// client, or with its connection.
func closed(ch *rabbitmq.Channel) <-chan struct{} {
	closed := make(chan struct{})
	reasons := ch.NotifyClose()
	go func() {
		defer close(closed)
		for range reasons { //nolint:revive // the library closes it in the end
		}
	}()
	return closed
}

// wait returns nil once the broker confirmed the message in an existing queue.
func (p pendingConfirm) wait(ctx context.Context, of *Publishing) error {
	if p.err != nil {
		return p.err
	}
	select {
	case <-p.confirm.Done():
		return p.settle(of)
	default:
	}
	select {
	case <-p.confirm.Done():
		return p.settle(of)
	case <-p.in.silent:
		p.in.free(p.window)
		return errAgain
	case <-ctx.Done():
		p.abandon(of)
		return fmt.Errorf("wait for the confirm: %w", ctx.Err())
	}
}

func (p pendingConfirm) settle(of *Publishing) error {
	p.in.mu.Lock()
	defer p.in.mu.Unlock()
	return p.in.settleLocked(p, of.returnKey(p.in.timeHeader))
}

// abandon leaves the publication to what it is in flight on.
func (p pendingConfirm) abandon(of *Publishing) {
	if p.err != nil {
		return
	}
	p.in.mu.Lock()
	defer p.in.mu.Unlock()
	p.in.abandoned = append(p.in.abandoned, abandonedConfirm{p, of.returnKey(p.in.timeHeader)})
}

// retire closes the channel when nobody waits for a confirm from it any more, at
// the latest after retireAfter.
func (f *inflight) retire(ctx context.Context) {
	limit := time.NewTimer(retireAfter)
	defer limit.Stop()
	tick := time.NewTicker(retireEvery)
	defer tick.Stop()
	for f.awaited() {
		select {
		case <-tick.C:
			continue
		case <-f.closed:
		case <-limit.C:
		case <-ctx.Done():
		}
		break
	}
	f.close()
}

// close closes the channel. Nobody may publish on it any more.
func (f *inflight) close() {
	f.channel.Close()
	f.giveBack()
}

// awaited reports whether somebody waits for a confirm.
func (f *inflight) awaited() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.readReturnsLocked() // else the library would wait for room
	return int(f.open.Load()) > len(f.abandoned)
}

// reserve takes a place in the window for the queue; nil when it has its share.
// Then roomFreed gets a token once there may be one.
func (f *inflight) reserve(queue string) *queueWindow {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := f.queues[queue]
	if w == nil {
		w = &queueWindow{}
		f.queues[queue] = w
	}
	open := int(f.open.Load())
	limit := share * (window - open)
	if f.dedicated && !w.confirmed {
		limit = 1 // a trial
	}
	if w.open >= limit {
		signalIn := max(1, w.open/8)
		if f.signalIn == 0 || signalIn < f.signalIn {
			f.signalIn = signalIn
		}
		return nil
	}
	if open == 0 {
		f.confirmedAt = f.ticks
	}
	if w.open == 0 {
		w.confirmedAt = f.ticks
	}
	w.open++
	f.open.Store(int64(open) + 1)
	return w
}

// free gives a place back.
func (f *inflight) free(w *queueWindow) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.freeLocked(w)
}

func (f *inflight) freeLocked(w *queueWindow) {
	w.open--
	f.open.Add(-1)
	if f.signalIn == 0 {
		return
	}
	if f.signalIn--; f.signalIn == 0 {
		select {
		case f.roomFreed <- struct{}{}:
		default: // there is one
		}
	}
}

// settleLocked returns the outcome of a publication whose confirm is there, and
// gives its place back. It also claims the return, if there is one. The broker
// sends that before the confirm, and the library hands both over in that order, so
// after the confirm the return is in the buffer or in the map.
func (f *inflight) settleLocked(p pendingConfirm, of returnKey) error {
	acked := p.confirm.Acked()
	if !acked && f.channel.IsClosed() {
		f.freeLocked(p.window)
		return ErrUnknown
	}
	f.confirmedAt, p.window.confirmedAt = f.ticks, f.ticks
	p.window.confirmed = p.window.confirmed || acked
	f.freeLocked(p.window)
	if !acked {
		f.refused.Store(true)
		return ErrNacked
	}
	f.readReturnsLocked()
	n := f.returned[of]
	switch n {
	case 0:
		return nil
	case 1:
		delete(f.returned, of)
	default:
		f.returned[of] = n - 1
	}
	return ErrReturned
}

// settleAbandoned gives the places back that nobody waits for and that are
// confirmed, and reports whether the broker took one of them.
func (f *inflight) settleAbandoned() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.readReturnsLocked()
	acked := false
	kept := f.abandoned[:0]
	for _, a := range f.abandoned {
		select {
		case <-a.confirm.Done():
			_ = f.settleLocked(a.pendingConfirm, a.of)
			acked = acked || a.confirm.Acked()
		default:
			kept = append(kept, a)
		}
	}
	clear(f.abandoned[len(kept):])
	f.abandoned = kept
	return acked
}

// tick counts the ticks, and forgets the queues that nobody published to for many
// of them. While the broker takes nothing, no time passes.
func (f *inflight) tick() {
	if f.session.Blocked() {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ticks++
	if f.ticks%unusedTicks != 0 {
		return
	}
	for queue, w := range f.queues {
		if w.open == 0 && f.ticks-w.confirmedAt >= unusedTicks {
			delete(f.queues, queue)
		}
	}
}

// silentQueues returns the queues that have publications open and none confirmed
// for so many ticks, and whether that holds for the whole channel.
func (f *inflight) silentQueues(ticks uint64) (queues []string, all bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open.Load() == 0 {
		return nil, false
	}
	for queue, w := range f.queues {
		if w.open > 0 && f.ticks-w.confirmedAt >= ticks {
			queues = append(queues, queue)
		}
	}
	return queues, len(queues) > 0 && f.ticks-f.confirmedAt >= ticks
}

// unclaimedReturns returns for how many publications there are returns that nobody
// has claimed.
func (f *inflight) unclaimedReturns() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.returned)
}

func (f *inflight) readReturnsLocked() {
	for {
		select {
		case r, ok := <-f.returns:
			if !ok {
				f.returns = nil
				return
			}
			f.returned[returnKeyOf(&r, f.timeHeader)]++
		default:
			return
		}
	}
}

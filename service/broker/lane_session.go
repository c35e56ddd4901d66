package broker

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
	// share bounds what one queue may hold of a window: share times as many
	// slots as are free. So one queue alone gets 256, and others always find
	// room.
	share = 2
	// returnBuffer is how many returned messages the library may hand over
	// before it waits for them to be read.
	returnBuffer = 16 * window
	// retireAfter is how long a channel that was renewed may take to confirm
	// what was published on it.
	retireAfter = 6 * time.Second
)

// laneSession is a lane's channel with what was published and returned on it.
type laneSession struct {
	lane    *lane
	session *rabbitmq.Session
	channel *rabbitmq.Channel
	leave   func() // gives back its place among what the broker allows
	// frameSize bounds the headers of what is published.
	frameSize int
	closed    <-chan struct{}
	returns   <-chan amqp.Return
	// silent is closed when the channel was replaced because it confirms
	// nothing any more: nobody needs to wait for it.
	silent chan struct{}
	// refused is set when the broker refused a publication.
	refused atomic.Bool
	// open counts the unconfirmed publications, whether or not somebody still
	// waits for them; changed under mu only.
	open atomic.Int64

	mu       sync.Mutex
	returned map[label]int // number of returns not yet claimed
	tallies  map[string]*tally
	// ticks are the lane's, counted while the broker takes publications;
	// moved is the tick of the last confirm, or since when there is
	// something to confirm.
	ticks, moved uint64
	// wakeIn is after how many confirms the lane is woken, since somebody
	// found no slot; 0 when nobody did. Waking it for each would be slow for
	// large batches.
	wakeIn    int
	abandoned []abandoned
}

// tally is what one queue has unconfirmed on a channel; guarded by the
// session's mutex.
type tally struct {
	open      int
	moved     uint64 // as in laneSession
	confirmed bool   // something was
}

// abandoned is a publication that nobody waits for any more. It keeps its
// slot until it is confirmed, so that a queue that never confirms takes no
// more than its share, and its return, so that nobody else claims that.
type abandoned struct {
	handle
	of label
}

// handle is the caller's end of one publication.
type handle struct {
	session *laneSession
	tally   *tally
	confirm *amqp.DeferredConfirmation
	err     error
}

// wait returns nil once the broker confirmed the parcel in an existing queue.
func (h handle) wait(ctx context.Context, of *parcel) error {
	if h.err != nil {
		return h.err
	}
	select {
	case <-h.confirm.Done():
		return h.session.settle(h, of.label())
	default:
	}
	select {
	case <-h.confirm.Done():
		return h.session.settle(h, of.label())
	case <-h.session.silent:
		h.session.release(h.tally)
		return errAgain
	case <-ctx.Done():
		h.abandon(of)
		return fmt.Errorf("wait for the confirm: %w", ctx.Err())
	}
}

// abandon leaves the publication to its session.
func (h handle) abandon(of *parcel) {
	if h.err != nil {
		return
	}
	h.session.mu.Lock()
	defer h.session.mu.Unlock()
	h.session.abandoned = append(h.session.abandoned, abandoned{h, of.label()})
}

// closing returns what is closed when the channel is: by the broker, by the
// client, or with its connection.
func closing(ch *rabbitmq.Channel) <-chan struct{} {
	closed := make(chan struct{})
	reasons := ch.NotifyClose()
	go func() {
		defer close(closed)
		for range reasons { //nolint:revive // the library closes it in the end
		}
	}()
	return closed
}

// retire closes the channel when nobody waits for a confirm from it any more,
// at the latest after retireAfter.
func (s *laneSession) retire(ctx context.Context) {
	limit := time.NewTimer(retireAfter)
	defer limit.Stop()
	tick := time.NewTicker(awaitEvery)
	defer tick.Stop()
	for s.awaited() {
		select {
		case <-tick.C:
			continue
		case <-s.closed:
		case <-limit.C:
		case <-ctx.Done():
		}
		break
	}
	s.close()
}

// close closes the channel. Nobody may publish on it any more.
func (s *laneSession) close() {
	s.channel.Close()
	s.leave()
}

func (s *laneSession) awaited() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drainLocked() // the library waits for room
	return int(s.open.Load()) > len(s.abandoned)
}

// take takes a slot for the queue; nil when it has its share. Then the lane
// is woken once there may be one.
func (s *laneSession) take(queue string) *tally {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tallies[queue]
	if t == nil {
		t = &tally{}
		s.tallies[queue] = t
	}
	open := int(s.open.Load())
	limit := share * (window - open)
	if s.lane.isolation && !t.confirmed {
		limit = 1 // a trial
	}
	if t.open >= limit {
		wakeIn := max(1, t.open/8)
		if s.wakeIn == 0 || wakeIn < s.wakeIn {
			s.wakeIn = wakeIn
		}
		return nil
	}
	if open == 0 {
		s.moved = s.ticks
	}
	if t.open == 0 {
		t.moved = s.ticks
	}
	t.open++
	s.open.Store(int64(open) + 1)
	return t
}

// release gives a slot back.
func (s *laneSession) release(t *tally) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.releaseLocked(t)
}

func (s *laneSession) releaseLocked(t *tally) {
	t.open--
	s.open.Add(-1)
	if s.wakeIn == 0 {
		return
	}
	if s.wakeIn--; s.wakeIn == 0 {
		select {
		case s.lane.wake <- struct{}{}:
		default: // it is awake
		}
	}
}

// settle tells the outcome of a publication whose confirm is there, and gives
// its slot back.
func (s *laneSession) settle(h handle, of label) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.settleLocked(h, of)
}

// settleLocked also claims the return, if there is one. The broker sends that
// before the confirm, and the library hands both over in that order, so after
// the confirm the return is in the buffer or in the map.
func (s *laneSession) settleLocked(h handle, of label) error {
	acked := h.confirm.Acked()
	if !acked && s.channel.IsClosed() {
		s.releaseLocked(h.tally)
		return errUnknown
	}
	s.moved, h.tally.moved = s.ticks, s.ticks
	h.tally.confirmed = h.tally.confirmed || acked
	s.releaseLocked(h.tally)
	if !acked {
		s.refused.Store(true)
		return errNacked
	}
	s.drainLocked()
	n := s.returned[of]
	switch n {
	case 0:
		return nil
	case 1:
		delete(s.returned, of)
	default:
		s.returned[of] = n - 1
	}
	return errReturned
}

// settleAbandoned gives the slots back that nobody waits for and that are
// confirmed, and tells whether the broker took one of them.
func (s *laneSession) settleAbandoned() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drainLocked()
	acked := false
	kept := s.abandoned[:0]
	for _, a := range s.abandoned {
		select {
		case <-a.confirm.Done():
			_ = s.settleLocked(a.handle, a.of)
			acked = acked || a.confirm.Acked()
		default:
			kept = append(kept, a)
		}
	}
	clear(s.abandoned[len(kept):])
	s.abandoned = kept
	return acked
}

// tick counts the lane's ticks, and forgets the queues that nobody published
// to for many of them. While the broker takes nothing, no time passes.
func (s *laneSession) tick() {
	if s.session.Blocked() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ticks++
	if s.ticks%tallyTicks != 0 {
		return
	}
	for queue, t := range s.tallies {
		if t.open == 0 && s.ticks-t.moved >= tallyTicks {
			delete(s.tallies, queue)
		}
	}
}

// silentQueues returns the queues that have publications open and none
// confirmed for so many ticks, and whether that holds for the whole channel.
func (s *laneSession) silentQueues(ticks uint64) (queues []string, all bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open.Load() == 0 {
		return nil, false
	}
	for queue, t := range s.tallies {
		if t.open > 0 && s.ticks-t.moved >= ticks {
			queues = append(queues, queue)
		}
	}
	return queues, len(queues) > 0 && s.ticks-s.moved >= ticks
}

// unclaimed tells how many returns wait for their publication.
func (s *laneSession) unclaimed() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.returned)
}

func (s *laneSession) drainLocked() {
	for {
		select {
		case r, ok := <-s.returns:
			if !ok {
				s.returns = nil
				return
			}
			published, _ := r.Headers[HeaderPublished].(int64)
			s.returned[label{r.Exchange, r.RoutingKey, r.MessageId, published}]++
		default:
			return
		}
	}
}

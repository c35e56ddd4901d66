package broker

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"lanekeeper/pkg/rabbitmq"
)

// laneSession is a lane's channel with what was returned on it.
type laneSession struct {
	session *rabbitmq.Session
	channel *amqp.Channel
	closed  <-chan struct{}
	returns chan amqp.Return
	// open counts the publications whose outcome somebody waits for.
	open atomic.Int64
	// refused is set when the broker refused one.
	refused atomic.Bool

	mu       sync.Mutex
	returned map[label]int // number of returns not yet claimed
}

// closing returns what is closed when the channel is: by the broker, by the
// client, or with its connection.
func closing(ch *amqp.Channel) <-chan struct{} {
	closed := make(chan struct{})
	reasons := ch.NotifyClose(make(chan *amqp.Error, 1))
	go func() {
		defer close(closed)
		for range reasons { //nolint:revive // the library closes it in the end
		}
	}()
	return closed
}

// retire closes the channel when the outcome of everything published on it is
// known, at the latest after retireAfter.
func (s *laneSession) retire(ctx context.Context) {
	limit := time.NewTimer(retireAfter)
	defer limit.Stop()
	tick := time.NewTicker(awaitEvery)
	defer tick.Stop()
	for s.open.Load() > 0 {
		select {
		case <-tick.C:
			s.drain()
			continue
		case <-s.closed:
		case <-limit.C:
		case <-ctx.Done():
		}
		break
	}
	rabbitmq.CloseChannel(ctx, s.channel)
}

// claimReturn reports whether the message was returned. The broker sends the
// return before the confirm, and the library hands both over in that order,
// so after the confirm the return is in the buffer or in the map.
func (s *laneSession) claimReturn(of label) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drainLocked()
	n := s.returned[of]
	switch n {
	case 0:
		return false
	case 1:
		delete(s.returned, of)
	default:
		s.returned[of] = n - 1
	}
	return true
}

// drain makes room for returns and tells how many are not claimed.
func (s *laneSession) drain() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drainLocked()
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
			s.returned[label{r.Exchange, r.RoutingKey, r.MessageId}]++
		default:
			return
		}
	}
}

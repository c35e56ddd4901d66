package broker

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/semaphore"

	"lanekeeper/pkg/rabbitmq"
)

const (
	// topologyChannels is how many channels of the control connection are open
	// at a time, or half of what the broker allows a connection, if that is less.
	// It is so many because of queues that do not answer: each takes one for up
	// to a minute.
	topologyChannels = 256
	// idleChannels is how many of them are kept for the next piece of work.
	idleChannels = 4
)

// topologyPool bounds the channels of the control connection. One is counted
// until the broker has closed it, whether or not somebody still waits for what
// was done on it: its number is not free before.
type topologyPool struct {
	turns *semaphore.Weighted
	room  *room
	idle  chan idleChannel

	mu sync.Mutex
	// asked are the questions to queues that are not answered; guarded by mu, with
	// what it points to. Of several to one queue it has one.
	asked map[string]*question
}

// idleChannel is an open channel that nobody uses, its session and its place.
type idleChannel struct {
	session *rabbitmq.Session
	channel *rabbitmq.Channel
	place   *place
}

func newTopologyPool(r *room) *topologyPool {
	return &topologyPool{
		turns: semaphore.NewWeighted(topologyChannels), room: r,
		idle: make(chan idleChannel, idleChannels), asked: make(map[string]*question),
	}
}

// topology runs work on a channel of the control session that nobody else
// uses meanwhile: an error of the broker closes the channel. After success
// the channel is kept for the next one.
func (b *Broker) topology(ctx context.Context, work func(*rabbitmq.Channel) error) error {
	session := b.control.Session()
	if session == nil {
		return rabbitmq.ErrClosed
	}
	p := b.pool
	weight := turnWeight(session.Limits().Channels)
	if err := p.turns.Acquire(ctx, weight); err != nil {
		return fmt.Errorf("wait for a channel: %w", err)
	}
	at, err := p.take(ctx, session)
	if err != nil {
		p.turns.Release(weight)
		return err
	}
	if err := work(at.channel); err != nil {
		at.channel.Close()
		select {
		case <-at.channel.Done():
		default: // its number is taken until the broker has answered
			go func() { // ends with the session at the latest
				<-at.channel.Done()
				at.place.release()
				p.turns.Release(weight)
			}()
			return err
		}
		at.place.release()
		p.turns.Release(weight)
		return err
	}
	p.turns.Release(weight)
	select {
	case p.idle <- at:
	default:
		at.channel.Close()
		at.place.release()
	}
	return nil
}

// turnWeight returns how many of topologyChannels one channel counts as.
func turnWeight(channels int) int64 {
	most := max(1, min(topologyChannels, channels/2))
	return int64((topologyChannels + most - 1) / most)
}

// take takes a kept channel of this session, or opens one. Those of earlier
// sessions are gone with them.
func (p *topologyPool) take(ctx context.Context, session *rabbitmq.Session) (idleChannel, error) {
	for {
		select {
		case kept := <-p.idle:
			if kept.session == session && !kept.channel.IsClosed() {
				return kept, nil
			}
			kept.place.release()
		default:
			return p.open(ctx, session)
		}
	}
}

func (p *topologyPool) open(ctx context.Context, session *rabbitmq.Session) (idleChannel, error) {
	at, err := p.room.take(ctx, false)
	if err != nil {
		return idleChannel{}, err
	}
	ch, err := session.Channel(ctx)
	at.settled()
	if err != nil {
		at.release()
		return idleChannel{}, fmt.Errorf("open channel: %w", err)
	}
	return idleChannel{session, ch, at}, nil
}

// question is one that a queue was asked and has not answered.
type question struct {
	answered chan struct{}
	givenUp  bool // nobody waits for it any more
}

// ask runs a question to a queue, unless an earlier one was given up and is not
// answered yet: then it waits for that first. So a queue that does not answer
// takes one channel, however often it is asked. What question does with the
// channel it has to do between begin and the function that this returns.
func (p *topologyPool) ask(ctx context.Context, queue string, ask func(begin func() (answered func())) error) error {
	for {
		p.mu.Lock()
		before := p.asked[queue]
		wait := before != nil && before.givenUp
		p.mu.Unlock()
		if !wait {
			break
		}
		select {
		case <-before.answered:
		case <-ctx.Done():
			return fmt.Errorf("no answer from the broker to an earlier question: %w", ctx.Err())
		}
	}
	err := ask(func() func() { return p.begin(queue) })
	if ctx.Err() != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		if q := p.asked[queue]; q != nil {
			q.givenUp = true
		}
	}
	return err
}

func (p *topologyPool) begin(queue string) (answered func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asked[queue] != nil {
		return func() {}
	}
	q := &question{answered: make(chan struct{})}
	p.asked[queue] = q
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.asked, queue)
		close(q.answered)
	}
}

// onChannel runs work on a channel made for it.
func onChannel(ctx context.Context, s *rabbitmq.Session, work func(*rabbitmq.Channel) error) error {
	ch, err := s.Channel(ctx)
	if err != nil {
		return fmt.Errorf("open channel: %w", err)
	}
	defer ch.Close()
	return work(ch)
}

package topology

import (
	"context"
	"fmt"

	"golang.org/x/sync/semaphore"

	"lanekeeper/pkg/rabbitmq"
	"lanekeeper/pkg/rabbitmq/quota"
)

const (
	// maxChannels is how many channels of the control connection are open at a
	// time, or half of what the broker allows a connection, if that is less. It is
	// so many because of queues that do not answer: each takes one for up to a
	// minute.
	maxChannels = 256
	// maxIdleChannels is how many of them are kept for the next call.
	maxIdleChannels = 4
)

// channelPool bounds the channels of the control connection. One counts until the
// broker has closed it, whether or not somebody still waits for what was done on
// it: its number is not free before.
type channelPool struct {
	turns *semaphore.Weighted
	quota *quota.Quota
	idle  chan pooledChannel
}

// pooledChannel is an open channel with its session and its slot.
type pooledChannel struct {
	session *rabbitmq.Session
	channel *rabbitmq.Channel
	slot    *quota.Slot
}

func newChannelPool(q *quota.Quota) *channelPool {
	return &channelPool{
		turns: semaphore.NewWeighted(maxChannels), quota: q, idle: make(chan pooledChannel, maxIdleChannels),
	}
}

// do runs work on a channel that nobody else uses meanwhile.
func (p *channelPool) do(ctx context.Context, session *rabbitmq.Session, work func(*rabbitmq.Channel) error) error {
	weight := channelWeight(session.Limits().Channels)
	if err := p.turns.Acquire(ctx, weight); err != nil {
		return fmt.Errorf("wait for a channel: %w", err)
	}
	c, err := p.take(ctx, session)
	if err != nil {
		p.turns.Release(weight)
		return err
	}
	if err := work(c.channel); err != nil {
		c.channel.Close()
		select {
		case <-c.channel.Done():
		default: // its number is taken until the broker has answered
			go func() { // ends with the session at the latest
				<-c.channel.Done()
				c.slot.Release()
				p.turns.Release(weight)
			}()
			return err
		}
		c.slot.Release()
		p.turns.Release(weight)
		return err
	}
	p.turns.Release(weight)
	select {
	case p.idle <- c:
	default:
		c.channel.Close()
		c.slot.Release()
	}
	return nil
}

// channelWeight returns how many of maxChannels one channel counts as on a
// connection with so many channels.
func channelWeight(channels int) int64 {
	most := max(1, min(maxChannels, channels/2))
	return int64((maxChannels + most - 1) / most)
}

// take takes an idle channel of this session, or opens one. Those of earlier
// sessions are gone with them.
func (p *channelPool) take(ctx context.Context, session *rabbitmq.Session) (pooledChannel, error) {
	for {
		select {
		case idle := <-p.idle:
			if idle.session == session && !idle.channel.IsClosed() {
				return idle, nil
			}
			idle.slot.Release()
		default:
			return p.open(ctx, session)
		}
	}
}

func (p *channelPool) open(ctx context.Context, session *rabbitmq.Session) (pooledChannel, error) {
	slot, err := p.quota.Take(ctx, false)
	if err != nil {
		return pooledChannel{}, err //nolint:wrapcheck // says what it waited for
	}
	ch, err := session.Channel(ctx)
	slot.Opened()
	if err != nil {
		slot.Release()
		return pooledChannel{}, fmt.Errorf("open channel: %w", err)
	}
	return pooledChannel{session, ch, slot}, nil
}

package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/rabbitmq"
	"lanekeeper/pkg/rabbitmq/connpool"
	"lanekeeper/pkg/rabbitmq/quota"
)

const (
	// subscribeTimeout bounds a subscription, the probing included.
	subscribeTimeout = probeTimeout + 10*time.Second
	// letterSubscribeTimeout bounds a subscription to a dead-letter queue.
	letterSubscribeTimeout = 10 * time.Second
	// admitTimeout is how long Admit waits for connections that are not there yet.
	admitTimeout = time.Second
)

// Subscriber subscribes to the queues of tenants. It is safe for concurrent use.
type Subscriber struct {
	queues *Queues
	quota  *quota.Quota
	// away reports whether the broker cannot be reached.
	away        func() bool
	connections *connpool.Pool // for main queues
	// letters are the connections for dead-letter queues. They are apart, so that a
	// queue that hangs takes no tenant's consumer along.
	letters *connpool.Pool
}

// Subscribe subscribes to the tenant's main queue; see domain.Subscriber. A
// tenant whose deliveries seem to end the connection gets one of its own.
func (s *Subscriber) Subscribe(ctx context.Context, tenantID uuid.UUID, tag string, prefetch int) (domain.Subscription, error) {
	ctx, cancel := context.WithTimeout(ctx, subscribeTimeout)
	defer cancel()
	if err := s.quota.Refusal(); err != nil {
		return nil, subscribeError(err)
	}
	states := s.queues.states
	alone := states.endsConnections(tenantID)
	if !alone {
		s.queues.assumeUsable(ctx, tenantID)
		if err := s.queues.prober.probe(ctx, tenantID, probeTimeout); err != nil {
			return nil, subscribeError(err)
		}
	}
	sub, err := s.subscribeOn(ctx, s.connections, channelUse{queue: QueueName(tenantID), tag: tag, prefetch: prefetch, alone: alone, lasting: true})
	if err != nil {
		if !errors.Is(err, rabbitmq.ErrLimitReached) {
			states.invalidate(tenantID)
		}
		return nil, subscribeError(err)
	}
	began := time.Now()
	states.subscribed(tenantID)
	sub.afterEnd = func() {
		if sub.err != nil {
			states.connectionLost(tenantID, time.Since(began))
		}
		states.unsubscribed(tenantID)
	}
	return sub, nil
}

// SubscribeDeadLetters implements domain.DeadLetterQueues.
func (s *Subscriber) SubscribeDeadLetters(ctx context.Context, tenantID uuid.UUID, tag string, prefetch int) (domain.Subscription, error) {
	ctx, cancel := context.WithTimeout(ctx, letterSubscribeTimeout)
	defer cancel()
	sub, err := s.subscribeOn(ctx, s.letters, channelUse{queue: DeadLetterQueueName(tenantID), tag: tag, prefetch: prefetch})
	if err != nil {
		return nil, subscribeError(err)
	}
	return sub, nil
}

// subscribeError says in the domain's words why there is no subscription. A
// queue that is stuck is as good as none: it has to be made anew.
func subscribeError(err error) error {
	if rabbitmq.IsNotFound(err) || errors.Is(err, errStuck) {
		return domain.Wrap(err, domain.ErrNotFound, "queue_not_found", "The tenant's queue does not exist, or does not work.")
	}
	return unavailable(err)
}

// channelUse is what a channel for consuming is to be used for.
type channelUse struct {
	queue, tag string
	prefetch   int
	// alone asks for a connection for this channel only, and lasting says that
	// the channel stays for as long as there is a consumer.
	alone, lasting bool
}

// subscribeOn subscribes on one of the pool's connections.
func (s *Subscriber) subscribeOn(ctx context.Context, pool *connpool.Pool, use channelUse) (*subscription, error) {
	for {
		sub, conn, err := s.trySubscribe(ctx, pool, use)
		if rabbitmq.IsChannelMax(err) && ctx.Err() == nil {
			pool.MarkFull(conn)
			continue // on another one
		}
		return sub, err
	}
}

func (s *Subscriber) trySubscribe(ctx context.Context, pool *connpool.Pool, use channelUse) (*subscription, *connpool.Conn, error) {
	conn, err := pool.Acquire(ctx, use.alone)
	if err != nil {
		return nil, nil, fmt.Errorf("get connection: %w", err)
	}
	if _, err = conn.AwaitAllowed(ctx); err != nil { // before a slot is taken, for it may take long
		pool.Release(conn)
		return nil, conn, err //nolint:wrapcheck // says what failed
	}
	slot, err := s.quota.Take(ctx, use.lasting)
	if err != nil {
		pool.Release(conn)
		return nil, conn, err //nolint:wrapcheck // says what failed
	}
	sub, err := subscribe(ctx, conn.Connection, use, slot)
	if err != nil {
		slot.Release()
		pool.Release(conn)
		return nil, conn, err
	}
	sub.release = func() { slot.Release(); pool.Release(conn) }
	return sub, conn, nil
}

// Admit returns nil when, as far as is known, the broker allows the connections
// and channels to consume one more tenant, or is away; otherwise an
// ErrUnavailable that is an ErrNoCapacity.
func (s *Subscriber) Admit(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, admitTimeout)
	defer cancel()
	err := s.admit(limited)
	if err == nil || ctx.Err() == nil && limited.Err() != nil {
		return nil // it was not refused
	}
	if refusal := unavailable(err); errors.Is(refusal, domain.ErrNoCapacity) {
		return refusal
	}
	return nil
}

func (s *Subscriber) admit(ctx context.Context) error {
	if s.away() {
		return nil
	}
	slot, err := s.quota.Take(ctx, true)
	if err != nil {
		return err //nolint:wrapcheck // says what failed
	}
	slot.Release()
	probing, err := s.queues.prober.acquire(ctx)
	if err != nil {
		return fmt.Errorf("get connection: %w", err)
	}
	_, err = probing.conn.AwaitAllowed(ctx)
	s.queues.prober.release(probing, false)
	if err != nil {
		return err //nolint:wrapcheck // says what failed
	}
	conn, err := s.connections.Acquire(ctx, false)
	if err != nil {
		return fmt.Errorf("get connection: %w", err)
	}
	defer s.connections.Release(conn)
	_, err = conn.AwaitAllowed(ctx)
	return err //nolint:wrapcheck // says what failed
}

package broker

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/pkg/rabbitmq"
)

// shortProbe is far shorter than what a busy machine may take.
const shortProbe = time.Millisecond

// A broker that does not answer in time is not taken for a queue that is
// stuck, however short the time is: neither one that hangs, nor one that is
// slow with everything.
func TestASlowBrokerIsNotTakenForAStuckQueue(t *testing.T) {
	t.Parallel()
	server := devtest.PrivateRabbitMQ(t)
	ctx := t.Context()
	b, id := running(t, server.URL())
	require.NoError(t, b.DeclareQueues(ctx, id))

	for range 20 {
		b.states.invalidate(id)
		require.NotErrorIs(t, b.prober.probe(ctx, id, shortProbe), errStuck)
	}
	b.states.invalidate(id)
	session, err := b.prober.current.conn.Await(ctx)
	require.NoError(t, err)
	ch, err := session.Channel(ctx)
	require.NoError(t, err)
	server.Pause()
	slow, stop := context.WithTimeout(ctx, time.Second)
	defer stop()
	require.False(t, brokerWorks(slow, session, id), "it hangs")
	server.Resume()
	ch.Close()
	require.Eventually(t, func() bool { return b.prober.probe(ctx, id, probeTimeout) == nil }, 30*time.Second, 100*time.Millisecond)
	require.True(t, brokerWorks(ctx, session, id), "it works again")
}

// A queue with messages is never taken for one that may be deleted.
func TestAQueueWithMessagesIsNotDeleted(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b, id := running(t, devtest.RabbitMQ(t))
	require.NoError(t, b.DeclareQueues(ctx, id))
	session := b.control.Session()
	require.True(t, brokerWorks(ctx, session, id))
	require.NoError(t, b.client.Do(ctx, func(ch *rabbitmq.Channel) error {
		_, err := ch.Publish("", QueueName(id), &amqp.Publishing{DeliveryMode: amqp.Persistent})
		return err
	}))
	require.Eventually(t, func() bool { return !brokerWorks(ctx, session, id) }, 30*time.Second, 50*time.Millisecond)
}

// A queue that cannot be consumed looks empty, whatever is in it. One that was
// finished is left alone; one that this process has declared since, and could
// not make durable, is replaced.
func TestOnlyAQueueThatNobodyMayUseIsReplaced(t *testing.T) {
	t.Parallel()
	server := devtest.PrivateRabbitMQ(t)
	ctx := t.Context()
	b, id := running(t, server.URL())
	require.NoError(t, b.declare(ctx, DeadLetterQueueName(id), deadLetterQueueArguments(Classic)))
	require.NoError(t, b.declare(ctx, QueueName(id), queueArguments(Quorum, id))) // the broker forgets what was declared last
	server.Kill()
	server.Start()
	require.Eventually(t, func() bool { return b.State() == Ready }, 30*time.Second, 50*time.Millisecond)

	require.ErrorIs(t, b.DeclareQueues(ctx, id), errStuck)
	require.ErrorIs(t, b.prober.probe(ctx, id, youngProbe), errStuck, "it is the one that was there before")
	b.states.missing(id)
	require.NoError(t, b.DeclareQueues(ctx, id))
	require.True(t, b.states.mayHold(id, false), "it works, and may be published to")
}

func TestWhatMayHoldMessages(t *testing.T) {
	t.Parallel()
	young, err := uuid.NewV7()
	require.NoError(t, err)
	old := uuid.UUID{6: 0x70, 8: 0x80} // of 1970
	for name, tt := range map[string]struct {
		id       uuid.UUID
		seen     func(s *queueStates, id uuid.UUID)
		finished bool
		want     bool
	}{
		"a new tenant's":                            {young, func(*queueStates, uuid.UUID) {}, false, false},
		"an old tenant's":                           {old, func(*queueStates, uuid.UUID) {}, false, true},
		"one that was finished":                     {young, func(*queueStates, uuid.UUID) {}, true, true},
		"one that works":                            {young, (*queueStates).prove, false, true},
		"one that worked":                           {young, func(s *queueStates, id uuid.UUID) { s.prove(id); s.invalidate(id) }, false, true},
		"one that is made again":                    {old, func(s *queueStates, id uuid.UUID) { s.prove(id); s.missing(id) }, true, false},
		"one that was made again and durable":       {young, func(s *queueStates, id uuid.UUID) { s.missing(id); s.madeDurable(id) }, true, true},
		"one that works and is durable once more":   {young, func(s *queueStates, id uuid.UUID) { s.prove(id); s.madeDurable(id) }, false, true},
		"one of which nothing is left but the name": {young, func(s *queueStates, id uuid.UUID) { s.prove(id); s.forget(id) }, false, false},
	} {
		s := newQueueStates()
		tt.seen(s, tt.id)
		require.Equal(t, tt.want, s.mayHold(tt.id, tt.finished), name)
	}
}

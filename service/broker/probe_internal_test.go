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
		b.prober.doubt(id)
		require.NotErrorIs(t, b.prober.probe(ctx, id, shortProbe), errStuck)
	}
	b.prober.doubt(id)
	session, err := b.prober.line.connection.connection.Await(ctx)
	require.NoError(t, err)
	ch, err := session.Channel(ctx)
	require.NoError(t, err)
	server.Pause()
	slow, stop := context.WithTimeout(ctx, time.Second)
	defer stop()
	require.False(t, works(slow, session, id), "it hangs")
	server.Resume()
	ch.Close()
	require.Eventually(t, func() bool { return b.prober.probe(ctx, id, probeTimeout) == nil }, 30*time.Second, 100*time.Millisecond)
	require.True(t, works(ctx, session, id), "it works again")
}

// A queue with messages is never taken for one that may be deleted.
func TestAQueueWithMessagesIsNotDeleted(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b, id := running(t, devtest.RabbitMQ(t))
	require.NoError(t, b.DeclareQueues(ctx, id))
	session := b.control.Session()
	require.True(t, works(ctx, session, id))
	require.NoError(t, b.topology(ctx, func(ch *rabbitmq.Channel) error {
		_, err := ch.Publish("", QueueName(id), &amqp.Publishing{DeliveryMode: amqp.Persistent})
		return err
	}))
	require.Eventually(t, func() bool { return !works(ctx, session, id) }, 30*time.Second, 50*time.Millisecond)
}

// A queue that cannot be consumed looks empty, whatever is in it. One that was
// finished is left alone; one that this process has declared since, and could
// not seal, is replaced.
func TestOnlyAQueueThatNobodyMayUseIsReplaced(t *testing.T) {
	t.Parallel()
	server := devtest.PrivateRabbitMQ(t)
	ctx := t.Context()
	b, id := running(t, server.URL())
	require.NoError(t, b.declareQueue(ctx, DeadLetterQueueName(id), deadLetterQueueArguments(Classic)))
	require.NoError(t, b.declareQueue(ctx, QueueName(id), queueArguments(Quorum, id))) // the broker forgets what was declared last
	server.Kill()
	server.Start()
	require.Eventually(t, func() bool { return b.State() == Ready }, 30*time.Second, 50*time.Millisecond)

	require.ErrorIs(t, b.DeclareQueues(ctx, id), errStuck)
	require.ErrorIs(t, b.prober.probe(ctx, id, youngProbe), errStuck, "it is the one that was there before")
	b.prober.missing(id)
	require.NoError(t, b.DeclareQueues(ctx, id))
	require.True(t, b.prober.mayHold(id, false), "it works, and may be published to")
}

func TestWhatMayHoldMessages(t *testing.T) {
	t.Parallel()
	young, err := uuid.NewV7()
	require.NoError(t, err)
	old := uuid.UUID{6: 0x70, 8: 0x80} // of 1970
	for name, tt := range map[string]struct {
		id       uuid.UUID
		seen     func(p *prober, id uuid.UUID)
		finished bool
		want     bool
	}{
		"a new tenant's":                            {young, func(*prober, uuid.UUID) {}, false, false},
		"an old tenant's":                           {old, func(*prober, uuid.UUID) {}, false, true},
		"one that was finished":                     {young, func(*prober, uuid.UUID) {}, true, true},
		"one that works":                            {young, (*prober).prove, false, true},
		"one that worked":                           {young, func(p *prober, id uuid.UUID) { p.prove(id); p.doubt(id) }, false, true},
		"one that is made again":                    {old, func(p *prober, id uuid.UUID) { p.prove(id); p.missing(id) }, true, false},
		"one that was made again and sealed":        {young, func(p *prober, id uuid.UUID) { p.missing(id); p.sealed(id) }, true, true},
		"one that works and is sealed once more":    {young, func(p *prober, id uuid.UUID) { p.prove(id); p.sealed(id) }, false, true},
		"one of which nothing is left but the name": {young, func(p *prober, id uuid.UUID) { p.prove(id); p.forget(id) }, false, false},
	} {
		p := newProber(nil, nil)
		tt.seen(p, tt.id)
		require.Equal(t, tt.want, p.mayHold(tt.id, tt.finished), name)
	}
}

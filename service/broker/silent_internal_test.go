package broker

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/pkg/devstack"
	"lanekeeper/pkg/devstack/devtest"
)

const (
	callTime = 4500 * time.Millisecond // as the service has it
	soon     = 3 * time.Second
)

// silenced is a broker whose queues can be made silent: they exist, and
// confirm nothing.
type silenced struct {
	server *devstack.RabbitMQ
}

func newSilenced(t *testing.T) silenced {
	t.Helper()
	dir, err := devstack.TempDir()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, dir.Remove()) })
	server := devstack.NewRabbitMQ(devstack.Options{Dir: dir.Path(), Progress: t.Output()})
	require.NoError(t, server.Start(t.Context()))
	t.Cleanup(server.Kill)
	return silenced{server}
}

func (s silenced) start(t *testing.T, channels int) *Broker {
	t.Helper()
	b := New(Options{
		URLs: []string{s.server.URL()}, Replica: "test", QueueType: Quorum, DeadLetterQueueType: Classic,
		PublishChannels: channels, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); b.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	require.NoError(t, b.AwaitReady(t.Context()))
	return b
}

// do has the leader of the tenant's queue suspended or resumed.
func (s silenced) do(t *testing.T, what string, tenant uuid.UUID) {
	t.Helper()
	_, err := s.server.Control(t.Context(), "eval", fmt.Sprintf(`
		{ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, <<"%s">>)),
		{Name, _} = amqqueue:get_pid(Q), sys:%s(Name).`, QueueName(tenant), what))
	require.NoError(t, err)
}

func messages(n int) []domain.Outgoing {
	batch := make([]domain.Outgoing, n)
	for i := range batch {
		batch[i] = domain.Outgoing{ID: uuid.New(), Body: []byte("1")}
	}
	return batch
}

// publish publishes as the service does, and returns the first error.
func publish(b *Broker, tenant uuid.UUID, n int) error {
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	for _, err := range b.Publish(ctx, tenant, messages(n)) {
		if err != nil {
			return err
		}
	}
	return nil
}

// declared returns a new tenant with queues. What all channels know they have
// published to before.
func declared(t *testing.T, b *Broker, known bool) uuid.UUID {
	t.Helper()
	tenant := uuid.Must(uuid.NewV7())
	require.NoError(t, b.DeclareQueues(t.Context(), tenant))
	if known {
		for _, l := range b.lanes {
			r := newRequest(t.Context(), parcelsFor(tenant, 1))
			l.requests <- r
			require.NoError(t, (<-r.handles).wait(t.Context(), &r.parcels[0]))
		}
	}
	return tenant
}

func parcelsFor(tenant uuid.UUID, n int) []parcel {
	parcels := make([]parcel, n)
	for i := range parcels {
		parcels[i] = parcel{key: QueueName(tenant), message: amqp.Publishing{MessageId: uuid.NewString()}}
	}
	return parcels
}

// A queue that never confirms holds up nobody else for long, whether or not it
// makes the broker's channels hang, and is well again when it confirms.
func TestASilentQueueHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	server := newSilenced(t)
	for _, c := range []struct {
		name  string
		known bool
		size  int // of the calls for the silent queue
	}{
		{"known to the channels, more than the window", true, 400},
		{"new to the channels, one message each", false, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := server.start(t, 2)
			silent, other := declared(t, b, c.known), declared(t, b, true)
			server.do(t, "suspend", silent)
			var calls sync.WaitGroup
			call := func() {
				begun := time.Now()
				if err := publish(b, silent, c.size); err == nil || time.Since(begun) > callTime+time.Second {
					t.Errorf("a call for the silent queue: %v after %v", err, time.Since(begun))
				}
			}
			for n := range b.lanes {
				calls.Go(call)
				require.Eventually(t, func() bool { return busy(b) == n+1 }, 2*time.Second, time.Millisecond)
			}

			begun := time.Now()
			require.NoError(t, publish(b, other, 1))
			require.Less(t, time.Since(begun), soon)
			calls.Wait()

			// From now on it takes a lane of its own.
			require.True(t, b.quarantine.holds(QueueName(silent)))
			for range 4 {
				calls.Go(call)
			}
			for range 50 {
				begun = time.Now()
				require.NoError(t, publish(b, other, 20))
				require.Less(t, time.Since(begun), soon)
			}
			calls.Wait()
			require.False(t, b.quarantine.holds(QueueName(other)))

			server.do(t, "resume", silent)
			require.Eventually(t, func() bool { return publish(b, silent, 1) == nil }, 30*time.Second, 100*time.Millisecond)
			require.NoError(t, publish(b, silent, 1000))
			require.False(t, b.quarantine.holds(QueueName(silent)))
		})
	}
	t.Run("the library keeps nothing behind a missing confirm", func(t *testing.T) {
		t.Parallel()
		b := server.start(t, 1)
		silent, other := declared(t, b, true), declared(t, b, true)
		server.do(t, "suspend", silent)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		before := b.lanes[0].current.Load()
		require.Error(t, b.Publish(ctx, silent, messages(1))[0])
		limit := time.After(20 * time.Second)
		for gone := false; !gone; {
			require.NoError(t, publish(b, other, 50), "nobody notices")
			select {
			case <-before.closed:
				gone = true // and with it what the library kept for it
			case <-limit:
				t.Fatal("the channel is still there")
			default:
			}
		}
		require.NotSame(t, before, b.lanes[0].current.Load())
	})
}

// busy counts the lanes that have something to do.
func busy(b *Broker) (n int) {
	for _, l := range b.lanes {
		if l.load() > 0 {
			n++
		}
	}
	return n
}

// What was returned to somebody who had gone is nobody else's.
func TestTheReturnOfAnAbandonedPublicationIsNobodyElses(t *testing.T) {
	t.Parallel()
	b, tenant := running(t, devtest.RabbitMQ(t))
	parcels := parcelsFor(tenant, 3)
	r := newRequest(t.Context(), parcels)
	require.NoError(t, b.submit(t.Context(), r, nil))
	first := <-r.handles
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_ = first.wait(gone, &parcels[0]) // may still see it
	r.abandon(1)
	s := b.lanes[0].current.Load()
	require.Eventually(t, func() bool { return s.open.Load() == 0 }, 10*time.Second, 10*time.Millisecond)
	require.Zero(t, s.unclaimed())

	require.NoError(t, b.DeclareQueues(t.Context(), tenant))
	for _, err := range b.send(t.Context(), parcels) {
		require.NoError(t, err)
	}
	require.Same(t, s, b.lanes[0].current.Load())
}

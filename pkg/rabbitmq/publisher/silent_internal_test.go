package publisher

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

	"lanekeeper/pkg/devstack"
	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/pkg/rabbitmq"
	"lanekeeper/pkg/rabbitmq/quota"
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

// do has the leader of the queue suspended or resumed.
func (s silenced) do(t *testing.T, what, queue string) {
	t.Helper()
	_, err := s.server.Rabbitmqctl(t.Context(), "eval", fmt.Sprintf(`
		{ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, <<"%s">>)),
		{Name, _} = amqqueue:get_pid(Q), sys:%s(Name).`, queue, what))
	require.NoError(t, err)
}

// running returns an Engine that runs until the test ends.
func running(t *testing.T, url string, channels int) *Engine {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	connect := func(name string) *rabbitmq.Connection {
		return rabbitmq.NewConnection(rabbitmq.Options{URLs: []string{url}, Name: name, Log: log})
	}
	e := New(Options{
		Connect: connect, Limits: func() rabbitmq.Limits { return rabbitmq.Limits{} }, Channels: channels, TimeHeader: "x-time", Log: log,
		Quota: quota.New(func(ctx context.Context) (*rabbitmq.Session, error) { return open(ctx, url) }, log),
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); e.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	require.Eventually(t, func() bool { return e.State() == Ready }, 30*time.Second, 10*time.Millisecond)
	return e
}

func open(ctx context.Context, url string) (*rabbitmq.Session, error) {
	return rabbitmq.Open(ctx, rabbitmq.Options{URLs: []string{url}, Name: "test"})
}

// publish publishes as the service does, and returns the first error.
func publish(e *Engine, queue string, n int) error {
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	for _, err := range e.Publish(ctx, queue, batchFor(queue, n)) {
		if err != nil {
			return err
		}
	}
	return nil
}

// declared returns the name of a new queue. What all channels know they have
// published to before.
func declared(t *testing.T, url string, e *Engine, known bool) string {
	t.Helper()
	queue := "queue-" + uuid.NewString()
	declare(t, url, queue)
	if known {
		for _, c := range e.channels {
			r := newRequest(t.Context(), queue, batchFor(queue, 1))
			c.requests <- r
			require.NoError(t, (<-r.pending).wait(t.Context(), &r.batch[0]))
		}
	}
	return queue
}

func declare(t *testing.T, url, queue string) {
	t.Helper()
	session, err := open(t.Context(), url)
	require.NoError(t, err)
	defer session.Close()
	ch, err := session.Channel(t.Context())
	require.NoError(t, err)
	require.NoError(t, ch.QueueDeclare(t.Context(), queue, amqp.Table{"x-queue-type": "quorum"}))
}

func batchFor(queue string, n int) []Publishing {
	batch := make([]Publishing, n)
	for i := range batch {
		batch[i] = Publishing{Key: queue, Message: amqp.Publishing{
			MessageId: uuid.NewString(), Body: []byte("1"), DeliveryMode: amqp.Persistent,
		}}
	}
	return batch
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
			url := server.server.URL()
			e := running(t, url, 2)
			silent, other := declared(t, url, e, c.known), declared(t, url, e, true)
			server.do(t, "suspend", silent)
			var calls sync.WaitGroup
			call := func() {
				begun := time.Now()
				if err := publish(e, silent, c.size); err == nil || time.Since(begun) > callTime+time.Second {
					t.Errorf("a call for the silent queue: %v after %v", err, time.Since(begun))
				}
			}
			for n := range e.channels {
				calls.Go(call)
				require.Eventually(t, func() bool { return busy(e) == n+1 }, 2*time.Second, time.Millisecond)
			}

			begun := time.Now()
			require.NoError(t, publish(e, other, 1))
			require.Less(t, time.Since(begun), soon)
			calls.Wait()

			// From now on it takes a channel of its own.
			require.True(t, e.isolation.holds(silent))
			for range 4 {
				calls.Go(call)
			}
			for range 50 {
				begun = time.Now()
				require.NoError(t, publish(e, other, 20))
				require.Less(t, time.Since(begun), soon)
			}
			calls.Wait()
			require.False(t, e.isolation.holds(other))

			server.do(t, "resume", silent)
			require.Eventually(t, func() bool { return publish(e, silent, 1) == nil }, 30*time.Second, 100*time.Millisecond)
			require.NoError(t, publish(e, silent, 1000))
			require.False(t, e.isolation.holds(silent))
		})
	}
	t.Run("the library keeps nothing behind a missing confirm", func(t *testing.T) {
		t.Parallel()
		url := server.server.URL()
		e := running(t, url, 1)
		silent, other := declared(t, url, e, true), declared(t, url, e, true)
		server.do(t, "suspend", silent)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		before := e.channels[0].current.Load()
		require.Error(t, e.Publish(ctx, silent, batchFor(silent, 1))[0])
		limit := time.After(20 * time.Second)
		for gone := false; !gone; {
			require.NoError(t, publish(e, other, 50), "nobody notices")
			select {
			case <-before.closed:
				gone = true // and with it what the library kept for it
			case <-limit:
				t.Fatal("the channel is still there")
			default:
			}
		}
		require.NotSame(t, before, e.channels[0].current.Load())
	})
}

// busy counts the channels that have something to do.
func busy(e *Engine) (n int) {
	for _, c := range e.channels {
		if c.load() > 0 {
			n++
		}
	}
	return n
}

// What was returned to somebody who had gone is nobody else's.
func TestTheReturnOfAnAbandonedPublicationIsNobodyElses(t *testing.T) {
	t.Parallel()
	url, queue := devtest.RabbitMQ(t), "queue-"+uuid.NewString()
	e := running(t, url, 1)
	batch := batchFor(queue, 3)
	r := newRequest(t.Context(), queue, batch)
	require.NoError(t, e.submit(t.Context(), r, nil))
	first := <-r.pending
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_ = first.wait(gone, &batch[0]) // may still see it
	r.abandon(1)
	f := e.channels[0].current.Load()
	require.Eventually(t, func() bool { return f.open.Load() == 0 }, 10*time.Second, 10*time.Millisecond)
	require.Zero(t, f.unclaimedReturns())

	declare(t, url, queue)
	for _, err := range e.Publish(t.Context(), queue, batch) {
		require.NoError(t, err)
	}
	require.Same(t, f, e.channels[0].current.Load())
}

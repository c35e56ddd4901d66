package rabbitmq

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/devstack/devtest"
)

// live returns a session that ends with the test.
func live(t *testing.T) *Session {
	t.Helper()
	c := NewConnection(Options{URLs: []string{devtest.RabbitMQ(t)}, Name: "test", Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); c.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	limited, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	s, err := c.Await(limited)
	require.NoError(t, err)
	return s
}

func open(t *testing.T, s *Session) *Channel {
	t.Helper()
	c, err := s.Channel(t.Context())
	require.NoError(t, err)
	return c
}

func is(c <-chan struct{}) func() bool {
	return func() bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
}

// What was given up is closed after its step returned, not before, and takes
// no further step.
func TestAChannelThatIsGivenUpIsClosedAfterItsStep(t *testing.T) {
	t.Parallel()
	s := live(t)
	c := open(t, s)
	ctx, giveUp := context.WithCancel(t.Context())
	begun, mayReturn := make(chan struct{}), make(chan struct{})
	gone := make(chan error, 1)
	go func() {
		gone <- c.do(ctx, func() error { close(begun); <-mayReturn; return nil })
	}()
	<-begun
	require.ErrorIs(t, c.Qos(t.Context(), 1), ErrBusy, "one step at a time")
	giveUp()
	require.ErrorIs(t, <-gone, context.Canceled)
	require.ErrorIs(t, c.Qos(t.Context(), 1), ErrClosed)
	require.ErrorIs(t, c.Ack(1, false), ErrClosed)
	c.Close()
	require.True(t, c.IsClosed())
	require.False(t, is(c.Done())(), "closed while a step is under way")
	require.False(t, c.raw.IsClosed())
	close(mayReturn)
	require.Eventually(t, is(c.Done()), 10*time.Second, time.Millisecond)
	require.True(t, c.raw.IsClosed())
	require.Zero(t, s.abandoned.Load())
	open(t, s).Close()
}

func TestAContextThatEndedBeforeSendsNothing(t *testing.T) {
	t.Parallel()
	s := live(t)
	c := open(t, s)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, c.Qos(ended, 1), context.Canceled)
	require.NoError(t, c.Qos(t.Context(), 1), "the channel is still its caller's")
	c.Close()
	c.Close()
	require.True(t, is(c.Done())())
	_, err := s.Channel(ended)
	require.ErrorIs(t, err, context.Canceled)
	require.False(t, is(s.Done())())
}

// What never returns takes so much and no more, and ends with its session.
func TestStepsThatNeverReturnAreBounded(t *testing.T) {
	t.Parallel()
	s := live(t)
	ctx, giveUp := context.WithCancel(t.Context())
	left := make([]*Channel, maxAbandoned)
	for i := range left {
		c := open(t, s)
		left[i] = c
		begun, gone := make(chan struct{}), make(chan struct{})
		limited, cancel := context.WithCancel(ctx)
		go func() {
			defer close(gone)
			_ = c.do(limited, func() error { close(begun); <-s.Done(); return nil })
		}()
		<-begun
		cancel()
		<-gone
	}
	giveUp()
	_, err := s.Channel(t.Context())
	require.ErrorIs(t, err, ErrBusy)
	_ = s.socket.Close()
	<-s.Done()
	for _, c := range left {
		require.Eventually(t, is(c.Done()), 10*time.Second, time.Millisecond)
	}
	_, err = s.Channel(t.Context())
	require.Error(t, err)
	s.Close()
	_, err = s.Channel(t.Context())
	require.ErrorIs(t, err, ErrClosed)
}

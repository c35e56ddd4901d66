package connpool_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/rabbitmq"
	"lanekeeper/pkg/rabbitmq/connpool"
)

// running returns a Pool of connections that are away, and which of them were
// made. Its broker allows so many channels on a connection; 0 is not known.
func running(t *testing.T, channels int) (p *connpool.Pool, made func() int) {
	t.Helper()
	n := 0
	p = connpool.New(func() rabbitmq.Limits { return rabbitmq.Limits{Channels: channels} }, func(number int) *rabbitmq.Connection {
		n = number
		return rabbitmq.NewConnection(rabbitmq.Options{
			URLs: []string{"amqp://127.0.0.1:1/"}, Name: fmt.Sprint(number), Log: slog.New(slog.DiscardHandler),
		})
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); p.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return p, func() int { return n }
}

func TestChannelsFillOneConnectionAfterTheOther(t *testing.T) {
	t.Parallel()
	for channels, capacity := range map[int]int{0: 500, 2047: 500, 80: 70, 4: 3} {
		p, made := running(t, channels)
		var acquired []*connpool.Conn
		for range capacity + 1 {
			c, err := p.Acquire(t.Context(), false)
			require.NoError(t, err)
			acquired = append(acquired, c)
		}
		require.Equal(t, 2, made(), channels)
		require.Same(t, acquired[0], acquired[capacity-1], channels)
		require.NotSame(t, acquired[0], acquired[capacity], channels)

		p.Release(acquired[0])
		again, err := p.Acquire(t.Context(), false)
		require.NoError(t, err)
		require.Same(t, acquired[0], again, "what is released is used again")
	}
}

func TestAFullConnectionGetsNoMoreForAMoment(t *testing.T) {
	t.Parallel()
	p, made := running(t, 0)
	first, err := p.Acquire(t.Context(), false)
	require.NoError(t, err)
	p.MarkFull(first)
	second, err := p.Acquire(t.Context(), false)
	require.NoError(t, err)
	require.NotSame(t, first, second)
	require.Equal(t, 2, made())
}

// A connection for one caller is not shared, and ends when it is released: Run,
// which ends with the test, waits for it.
func TestAConnectionOfItsOwn(t *testing.T) {
	t.Parallel()
	p, made := running(t, 0)
	alone, err := p.Acquire(t.Context(), true)
	require.NoError(t, err)
	shared, err := p.Acquire(t.Context(), false)
	require.NoError(t, err)
	require.NotSame(t, alone, shared)
	p.Release(alone)
	later := p.Alone()
	require.NoError(t, p.Start(t.Context(), later))
	require.Equal(t, 3, made())
	p.Release(later)
}

func TestAConnectionThatCannotStartIsNotKept(t *testing.T) {
	t.Parallel()
	p := connpool.New(func() rabbitmq.Limits { return rabbitmq.Limits{} }, func(int) *rabbitmq.Connection {
		return rabbitmq.NewConnection(rabbitmq.Options{})
	})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := p.Acquire(ended, false) // nobody runs it
	require.ErrorIs(t, err, context.Canceled)
	_, err = p.Acquire(ended, false)
	require.ErrorIs(t, err, context.Canceled, "there is none to share")
}

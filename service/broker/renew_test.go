package broker_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/service/broker"
)

// lines counts log lines.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) with(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

// A queue that refuses has the channels renewed, again and again, and nobody
// else notices.
func TestRefusalsRenewTheChannel(t *testing.T) {
	t.Parallel()
	url := devtest.RabbitMQ(t)
	full, other := uuid.New(), uuid.New()
	conn, err := amqp.Dial(url)
	require.NoError(t, err)
	defer conn.Close()
	ch, err := conn.Channel()
	require.NoError(t, err)
	_, err = ch.QueueDeclare(broker.QueueName(full), true, false, false, false, amqp.Table{
		"x-queue-type": "quorum", "x-max-length": int64(1), "x-overflow": "reject-publish",
	})
	require.NoError(t, err)

	log := new(lines)
	b := broker.New(broker.Options{
		URLs: []string{url}, Replica: "test", QueueType: broker.Quorum, DeadLetterQueueType: broker.Classic,
		PublishChannels: 2, Log: slog.New(slog.NewTextHandler(log, nil)),
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); b.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	require.NoError(t, b.AwaitReady(t.Context()))
	require.NoError(t, b.DeclareQueues(t.Context(), other))

	const renewing = "renewing the publishing channel"
	var publishers sync.WaitGroup
	enough := make(chan struct{})
	published, failures := 0, []error(nil)
	publishers.Go(func() {
		for !closed(enough) {
			for _, err := range b.Publish(t.Context(), other, outgoing(50)) {
				published++
				if err != nil {
					failures = append(failures, err)
				}
			}
		}
	})
	publishers.Go(func() {
		for !closed(enough) {
			b.Publish(t.Context(), full, outgoing(1))
		}
	})
	require.Eventually(t, func() bool { return log.with(renewing) >= 4 }, time.Minute, 10*time.Millisecond)
	close(enough)
	publishers.Wait()
	require.NoError(t, errors.Join(failures[:min(len(failures), 3)]...), "%d of %d", len(failures), published)
	require.Equal(t, published, int(depth(t, b, other)))

	err = b.Publish(t.Context(), full, outgoing(1))[0]
	require.ErrorIs(t, err, domain.ErrUnavailable)
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func depth(t *testing.T, b *broker.Broker, tenant uuid.UUID) int64 {
	t.Helper()
	n, err := b.QueueDepth(t.Context(), tenant)
	require.NoError(t, err)
	return n
}

package apptest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"
)

// Backstage looks into the servers behind the service, on connections of its
// own.
type Backstage struct {
	t                      testing.TB
	databaseURL, brokerURL string
	db                     *pgx.Conn
	broker                 *amqp.Connection
}

func newBackstage(t testing.TB, databaseURL, brokerURL string) *Backstage {
	b := &Backstage{t: t, databaseURL: databaseURL, brokerURL: brokerURL}
	t.Cleanup(func() {
		if b.db != nil {
			_ = b.db.Close(context.WithoutCancel(t.Context())) // the server may be away by now
		}
		if b.broker != nil {
			_ = b.broker.CloseDeadline(time.Now().Add(time.Second)) // the same
		}
	})
	return b
}

// LookInto makes it look into these servers, or at them by another way, from
// now on.
func (b *Backstage) LookInto(databaseURL, brokerURL string) {
	b.databaseURL, b.brokerURL = databaseURL, brokerURL
}

// QueueName returns the name of a tenant's main queue.
func QueueName(tenant string) string { return "tenant_" + tenant + "_queue" }

// DeadLetterQueueName returns the name of a tenant's dead-letter queue.
func DeadLetterQueueName(tenant string) string { return "tenant_" + tenant + "_dlq" }

// PartitionName returns the name of a tenant's partition.
func PartitionName(tenant string) string { return "messages_" + strings.ReplaceAll(tenant, "-", "_") }

// Database returns a connection of the test's own to the service's database.
func (b *Backstage) Database() *pgx.Conn {
	b.t.Helper()
	if b.db == nil || b.db.IsClosed() {
		b.db = b.NewSession()
	}
	return b.db
}

// NewSession opens one more connection to the database. Close it, or leave it
// to the end of the database.
func (b *Backstage) NewSession() *pgx.Conn {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(b.t.Context()), Long)
	defer cancel()
	conn, err := pgx.Connect(ctx, b.databaseURL)
	require.NoError(b.t, err)
	return conn
}

// Exec runs a statement.
func (b *Backstage) Exec(sql string, args ...any) {
	b.t.Helper()
	_, err := b.Database().Exec(b.t.Context(), sql, args...)
	require.NoError(b.t, err)
}

// Query returns the only column of all rows.
func Query[T any](b *Backstage, sql string, args ...any) []T {
	b.t.Helper()
	rows, err := b.Database().Query(b.t.Context(), sql, args...)
	require.NoError(b.t, err)
	values, err := pgx.CollectRows(rows, pgx.RowTo[T])
	require.NoError(b.t, err)
	return values
}

// QueryRow returns the only column of the only row.
func QueryRow[T any](b *Backstage, sql string, args ...any) T {
	b.t.Helper()
	values := Query[T](b, sql, args...)
	require.Len(b.t, values, 1)
	return values[0]
}

// Partitions returns the names of all tables that are, or were, partitions.
func (b *Backstage) Partitions() []string {
	b.t.Helper()
	return Query[string](b, `SELECT tablename::text FROM pg_tables WHERE tablename LIKE 'messages\_%' ORDER BY 1`)
}

// Channel opens a channel of the test's own on the service's broker.
func (b *Backstage) Channel() *amqp.Channel {
	b.t.Helper()
	if b.broker == nil || b.broker.IsClosed() {
		conn, err := amqp.Dial(b.brokerURL)
		require.NoError(b.t, err)
		b.broker = conn
	}
	ch, err := b.broker.Channel()
	require.NoError(b.t, err)
	return ch
}

// Queue is a queue as a passive declaration shows it.
type Queue struct {
	Exists bool
	// Ready messages wait, delivered ones do not count.
	Ready, Consumers int
}

// Queue looks at a queue.
func (b *Backstage) Queue(name string) Queue {
	b.t.Helper()
	ch := b.Channel()
	q, err := ch.QueueDeclarePassive(name, true, false, false, false, nil)
	var refused *amqp.Error
	if errors.As(err, &refused) && refused.Code == amqp.NotFound {
		return Queue{}
	}
	require.NoError(b.t, err)
	require.NoError(b.t, ch.Close())
	return Queue{Exists: true, Ready: q.Messages, Consumers: q.Consumers}
}

// DeleteQueue deletes a queue behind the service's back.
func (b *Backstage) DeleteQueue(name string) {
	b.t.Helper()
	ch := b.Channel()
	_, err := ch.QueueDelete(name, false, false, false)
	require.NoError(b.t, err)
	require.NoError(b.t, ch.Close())
}

// Put puts a message on a queue as any AMQP client may, and waits for the
// confirm.
func (b *Backstage) Put(queue, messageID, body string) {
	b.t.Helper()
	b.PutAll(queue, []amqp.Publishing{{MessageId: messageID, Body: []byte(body)}})
}

// PutAll puts messages on a queue in order, and waits for the confirms.
func (b *Backstage) PutAll(queue string, messages []amqp.Publishing) {
	b.t.Helper()
	ch := b.Channel()
	require.NoError(b.t, ch.Confirm(false))
	confirms := make([]*amqp.DeferredConfirmation, len(messages))
	for i, m := range messages {
		m.DeliveryMode = amqp.Persistent
		var err error
		confirms[i], err = ch.PublishWithDeferredConfirm("", queue, true, false, m)
		require.NoError(b.t, err)
	}
	for _, confirm := range confirms {
		ctx, cancel := context.WithTimeout(b.t.Context(), Long)
		acked, err := confirm.WaitContext(ctx)
		cancel()
		require.NoError(b.t, err)
		require.True(b.t, acked, "not confirmed")
	}
	require.NoError(b.t, ch.Close())
}

// Take waits for n messages in a queue, removes and returns them.
func (b *Backstage) Take(queue string, n int) []amqp.Delivery {
	b.t.Helper()
	ch := b.Channel()
	defer ch.Close()
	var taken []amqp.Delivery
	Await(b.t, Long, func() error {
		for {
			d, ok, err := ch.Get(queue, true)
			require.NoError(b.t, err)
			if !ok {
				break
			}
			taken = append(taken, d)
		}
		if len(taken) < n {
			return NotYet("%d messages in %s, %d so far", n, queue, len(taken))
		}
		return nil
	})
	require.Len(b.t, taken, n)
	return taken
}

// RequireNoDeadLetters fails the test when the tenant has dead letters, in its
// queue or recorded.
func (b *Backstage) RequireNoDeadLetters(tenant string) {
	b.t.Helper()
	require.Zero(b.t, b.Queue(DeadLetterQueueName(tenant)).Ready, "dead letters in the queue")
	var recorded int
	err := b.Database().QueryRow(b.t.Context(), `SELECT count(*) FROM dead_letters WHERE tenant_id = $1`, tenant).Scan(&recorded)
	require.NoError(b.t, err)
	require.Zero(b.t, recorded, "recorded dead letters")
}

// Settled stops nothing and takes nothing: it waits until a queue has nothing
// ready. Whether everything was acknowledged shows only without a consumer.
func (b *Backstage) Settled(queue string) {
	b.t.Helper()
	Await(b.t, Long, func() error {
		if q := b.Queue(queue); q.Ready > 0 {
			return NotYet("empty: %+v", q)
		}
		return nil
	})
}

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

// Probes read and change the servers behind the service, on connections of their
// own.
type Probes struct {
	t                      testing.TB
	databaseURL, brokerURL string
	db                     *pgx.Conn
	broker                 *amqp.Connection
}

func newProbes(t testing.TB, databaseURL, brokerURL string) *Probes {
	p := &Probes{t: t, databaseURL: databaseURL, brokerURL: brokerURL}
	t.Cleanup(func() {
		if p.db != nil {
			_ = p.db.Close(context.WithoutCancel(t.Context())) // the server may be away by now
		}
		if p.broker != nil {
			_ = p.broker.CloseDeadline(time.Now().Add(time.Second)) // the same
		}
	})
	return p
}

// UseServers makes the probes use these servers, or another way to the same
// ones, from now on.
func (p *Probes) UseServers(databaseURL, brokerURL string) {
	p.databaseURL, p.brokerURL = databaseURL, brokerURL
}

// QueueName returns the name of a tenant's main queue.
func QueueName(tenant string) string { return "tenant_" + tenant + "_queue" }

// DeadLetterQueueName returns the name of a tenant's dead-letter queue.
func DeadLetterQueueName(tenant string) string { return "tenant_" + tenant + "_dlq" }

// PartitionName returns the name of a tenant's partition.
func PartitionName(tenant string) string { return "messages_" + strings.ReplaceAll(tenant, "-", "_") }

// Database returns a connection of the test's own to the service's database.
func (p *Probes) Database() *pgx.Conn {
	p.t.Helper()
	if p.db == nil || p.db.IsClosed() {
		p.db = p.NewSession()
	}
	return p.db
}

// NewSession opens one more connection to the database. Close it, or leave it
// to the end of the database.
func (p *Probes) NewSession() *pgx.Conn {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.t.Context()), Long)
	defer cancel()
	conn, err := pgx.Connect(ctx, p.databaseURL)
	require.NoError(p.t, err)
	return conn
}

// Exec runs a statement.
func (p *Probes) Exec(sql string, args ...any) {
	p.t.Helper()
	_, err := p.Database().Exec(p.t.Context(), sql, args...)
	require.NoError(p.t, err)
}

// Query returns the only column of all rows.
func Query[T any](p *Probes, sql string, args ...any) []T {
	p.t.Helper()
	rows, err := p.Database().Query(p.t.Context(), sql, args...)
	require.NoError(p.t, err)
	values, err := pgx.CollectRows(rows, pgx.RowTo[T])
	require.NoError(p.t, err)
	return values
}

// QueryRow returns the only column of the only row.
func QueryRow[T any](p *Probes, sql string, args ...any) T {
	p.t.Helper()
	values := Query[T](p, sql, args...)
	require.Len(p.t, values, 1)
	return values[0]
}

// Partitions returns the names of all tables that are, or were, partitions.
func (p *Probes) Partitions() []string {
	p.t.Helper()
	return Query[string](p, `SELECT tablename::text FROM pg_tables WHERE tablename LIKE 'messages\_%' ORDER BY 1`)
}

// Channel opens a channel of the test's own on the service's broker.
func (p *Probes) Channel() *amqp.Channel {
	p.t.Helper()
	if p.broker == nil || p.broker.IsClosed() {
		conn, err := amqp.Dial(p.brokerURL)
		require.NoError(p.t, err)
		p.broker = conn
	}
	ch, err := p.broker.Channel()
	require.NoError(p.t, err)
	return ch
}

// Queue is a queue as a passive declaration shows it.
type Queue struct {
	Exists bool
	// Ready messages wait, delivered ones do not count.
	Ready, Consumers int
}

// Queue returns a queue as it is now.
func (p *Probes) Queue(name string) Queue {
	p.t.Helper()
	ch := p.Channel()
	q, err := ch.QueueDeclarePassive(name, true, false, false, false, nil)
	var refused *amqp.Error
	if errors.As(err, &refused) && refused.Code == amqp.NotFound {
		return Queue{}
	}
	require.NoError(p.t, err)
	require.NoError(p.t, ch.Close())
	return Queue{Exists: true, Ready: q.Messages, Consumers: q.Consumers}
}

// DeleteQueue deletes a queue behind the service's back.
func (p *Probes) DeleteQueue(name string) {
	p.t.Helper()
	ch := p.Channel()
	_, err := ch.QueueDelete(name, false, false, false)
	require.NoError(p.t, err)
	require.NoError(p.t, ch.Close())
}

// Put puts a message on a queue as any AMQP client may, and waits for the
// confirm.
func (p *Probes) Put(queue, messageID, body string) {
	p.t.Helper()
	p.PutAll(queue, []amqp.Publishing{{MessageId: messageID, Body: []byte(body)}})
}

// PutAll puts messages on a queue in order, and waits for the confirms.
func (p *Probes) PutAll(queue string, messages []amqp.Publishing) {
	p.t.Helper()
	ch := p.Channel()
	require.NoError(p.t, ch.Confirm(false))
	confirms := make([]*amqp.DeferredConfirmation, len(messages))
	for i, m := range messages {
		m.DeliveryMode = amqp.Persistent
		var err error
		confirms[i], err = ch.PublishWithDeferredConfirm("", queue, true, false, m)
		require.NoError(p.t, err)
	}
	for _, confirm := range confirms {
		ctx, cancel := context.WithTimeout(p.t.Context(), Long)
		acked, err := confirm.WaitContext(ctx)
		cancel()
		require.NoError(p.t, err)
		require.True(p.t, acked, "not confirmed")
	}
	require.NoError(p.t, ch.Close())
}

// Take waits for n messages in a queue, removes and returns them.
func (p *Probes) Take(queue string, n int) []amqp.Delivery {
	p.t.Helper()
	ch := p.Channel()
	defer ch.Close()
	var taken []amqp.Delivery
	Await(p.t, Long, func() error {
		for {
			d, ok, err := ch.Get(queue, true)
			require.NoError(p.t, err)
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
	require.Len(p.t, taken, n)
	return taken
}

// RequireNoDeadLetters fails the test when the tenant has dead letters, in its
// queue or recorded.
func (p *Probes) RequireNoDeadLetters(tenant string) {
	p.t.Helper()
	require.Zero(p.t, p.Queue(DeadLetterQueueName(tenant)).Ready, "dead letters in the queue")
	var recorded int
	err := p.Database().QueryRow(p.t.Context(), `SELECT count(*) FROM dead_letters WHERE tenant_id = $1`, tenant).Scan(&recorded)
	require.NoError(p.t, err)
	require.Zero(p.t, recorded, "recorded dead letters")
}

// Settled stops nothing and takes nothing: it waits until a queue has nothing
// ready. Whether everything was acknowledged shows only without a consumer.
func (p *Probes) Settled(queue string) {
	p.t.Helper()
	Await(p.t, Long, func() error {
		if q := p.Queue(queue); q.Ready > 0 {
			return NotYet("empty: %+v", q)
		}
		return nil
	})
}

package scenario

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	amqp "github.com/rabbitmq/amqp091-go"

	"lanekeeper/tests/chaos/env"
	"lanekeeper/tests/chaos/fault"
	"lanekeeper/tests/chaos/ledger"
	"lanekeeper/tests/chaos/load"
	"lanekeeper/tests/chaos/verify"
	"lanekeeper/tests/chaos/wait"
)

const (
	// unreadableLimit is how long it may take until a message that cannot be
	// read is a dead letter.
	unreadableLimit = time.Minute
	unreadablePause = 50 * time.Millisecond
)

// unreadableHeader puts messages on one tenant's queues, past the service, that
// its client library cannot read, while that tenant is being published to. They
// become dead letters, what is behind them is stored, and no connection is lost.
func unreadableHeader(ctx context.Context, t *trial) error {
	noisy, p, err := t.quietAndOther(ctx)
	if err != nil {
		return err
	}
	l := t.newLoad()
	err = t.undisturbed(ctx, p, t.measure, func(ctx context.Context, meanwhile func() error) error {
		return fault.While(ctx, 1, meanwhile, func(ctx context.Context) {
			if err := publishUnreadable(ctx, t, noisy); err != nil && ctx.Err() == nil {
				t.Fail("publish what cannot be read: %v", err)
			}
			l.Send(ctx, noisy, 1, false)
			wait.For(ctx, unreadablePause)
		})
	})
	if err != nil {
		return err
	}
	begun := time.Now()
	if err := awaitLetters(ctx, t); err != nil {
		t.Fail("%v", err)
	}
	if id, found := firstLetter(t); found {
		explainsMessage(ctx, t, "a message that cannot be read", noisy, id, "dead_letter")
	}
	t.Show("dead letters", "after %.1f s", time.Since(begun).Seconds())
	return errors.Join(verify.NoConnectionLost(t.Env, t.Result), t.check(ctx))
}

// publishUnreadable puts one message on the tenant's queue, and one on its
// dead-letter queue.
func publishUnreadable(ctx context.Context, t *trial, tenant string) error {
	return t.OnChannel(func(ch *amqp.Channel) error {
		if err := ch.Confirm(false); err != nil {
			return fmt.Errorf("set confirm mode: %w", err)
		}
		var attempts []*ledger.Attempt
		var confirms []*amqp.DeferredConfirmation
		for _, queue := range []string{env.QueueOf(tenant), "tenant_" + tenant + "_dlq"} {
			a := &ledger.Attempt{Tenant: tenant, Poison: true, Payload: []byte(`"readable"`), ID: uuid.NewString()}
			t.ledger.Foreign(a)
			confirm, err := ch.PublishWithDeferredConfirm("", queue, false, false, amqp.Publishing{
				MessageId: a.ID, DeliveryMode: amqp.Persistent, Body: a.Payload, Headers: tooDeep(),
			})
			if err != nil {
				return fmt.Errorf("publish: %w", err)
			}
			attempts, confirms = append(attempts, a), append(confirms, confirm)
		}
		load.AwaitConfirms(ctx, t.ledger, attempts, confirms)
		return nil
	})
}

// awaitLetters waits until everything that was accepted and cannot be stored is
// recorded as a dead letter. It does not read the queues: the checker's
// library could not read it there either.
func awaitLetters(ctx context.Context, t *trial) error {
	attempts, err := ledger.Read(t.ledger.Path)
	if err != nil {
		return err
	}
	var want []string
	for _, a := range attempts {
		if a.Poison && a.State == ledger.Accepted {
			want = append(want, a.ID)
		}
	}
	return t.InDatabase(ctx, func(conn *pgx.Conn) error {
		return wait.Until(ctx, unreadableLimit, "what cannot be read is a dead letter", func() error {
			var n int
			const query = `SELECT count(DISTINCT message_id) FROM dead_letters WHERE message_id = ANY($1) AND reason = 'invalid_headers'`
			if err := conn.QueryRow(ctx, query, want).Scan(&n); err != nil {
				return fmt.Errorf("count dead letters: %w", err)
			}
			if n < len(want) {
				return fmt.Errorf("%w: %d of %d", wait.ErrNotReady, n, len(want))
			}
			return nil
		})
	})
}

// firstLetter returns the id of a message that was accepted and cannot be stored.
func firstLetter(t *trial) (id string, found bool) {
	attempts, err := ledger.Read(t.ledger.Path)
	if err != nil {
		return "", false
	}
	for _, a := range attempts {
		if a.Poison && a.State == ledger.Accepted {
			return a.ID, true
		}
	}
	return "", false
}

// tooDeep are headers that the client library of the service cannot read.
func tooDeep() amqp.Table {
	table := amqp.Table{}
	for range 33 {
		table = amqp.Table{"in": table}
	}
	return table
}

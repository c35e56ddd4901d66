package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	// unreadableLimit is how long it may take until a message that cannot be
	// read is a dead letter.
	unreadableLimit = time.Minute
	unreadablePause = 50 * time.Millisecond
)

// unreadableHeader has somebody else put messages on one tenant's queues that
// the client library of the service cannot read, while that tenant is being
// published to. They become dead letters, what is behind them is stored, and no
// connection is lost.
func unreadableHeader(ctx context.Context, st *stage) error {
	noisy, p, err := st.quietAndOther(ctx)
	if err != nil {
		return err
	}
	l := &load{st: st}
	err = st.undisturbed(ctx, p, st.measure, func(ctx context.Context, meanwhile func() error) error {
		return st.while(ctx, 1, meanwhile, func(ctx context.Context) {
			if err := st.publishUnreadable(ctx, noisy); err != nil && ctx.Err() == nil {
				st.fail("publish what cannot be read: %v", err)
			}
			l.send(ctx, noisy, 1, false)
			rest(ctx, unreadablePause)
		})
	})
	if err != nil {
		return err
	}
	begun := time.Now()
	if err := st.awaitLetters(ctx); err != nil {
		st.fail("%v", err)
	}
	st.show("dead letters", "after %.1f s", time.Since(begun).Seconds())
	return errors.Join(st.noConnectionLost(), st.check(ctx))
}

// publishUnreadable puts one message on the tenant's queue, and one on its
// dead-letter queue.
func (st *stage) publishUnreadable(ctx context.Context, tenant string) error {
	return st.onChannel(func(ch *amqp.Channel) error {
		if err := ch.Confirm(false); err != nil {
			return fmt.Errorf("set confirm mode: %w", err)
		}
		var attempts []*attempt
		var confirms []*amqp.DeferredConfirmation
		for _, queue := range []string{queueOf(tenant), "tenant_" + tenant + "_dlq"} {
			a := &attempt{tenant: tenant, poison: true, payload: []byte(`"readable"`), id: uuid.NewString()}
			st.ledger.foreign(a)
			confirm, err := ch.PublishWithDeferredConfirm("", queue, false, false, amqp.Publishing{
				MessageId: a.id, DeliveryMode: amqp.Persistent, Body: a.payload, Headers: tooDeep(),
			})
			if err != nil {
				return fmt.Errorf("publish: %w", err)
			}
			attempts, confirms = append(attempts, a), append(confirms, confirm)
		}
		st.awaitConfirms(ctx, attempts, confirms)
		return nil
	})
}

// awaitLetters waits until everything that was accepted and cannot be stored is
// recorded as a dead letter. It does not look into the queues: the checker's
// library could not read it there either.
func (st *stage) awaitLetters(ctx context.Context) error {
	attempts, err := readLedger(st.ledger.path)
	if err != nil {
		return err
	}
	var want []string
	for _, a := range attempts {
		if a.poison && a.state == accepted202 {
			want = append(want, a.id)
		}
	}
	return st.inDatabase(ctx, func(conn *pgx.Conn) error {
		return await(ctx, unreadableLimit, "what cannot be read is a dead letter", func() error {
			var n int
			const query = `SELECT count(DISTINCT message_id) FROM dead_letters WHERE message_id = ANY($1) AND reason = 'invalid_headers'`
			if err := conn.QueryRow(ctx, query, want).Scan(&n); err != nil {
				return fmt.Errorf("count dead letters: %w", err)
			}
			if n < len(want) {
				return fmt.Errorf("%w: %d of %d", errNotReady, n, len(want))
			}
			return nil
		})
	})
}

// tooDeep are headers that the client library of the service cannot read.
func tooDeep() amqp.Table {
	table := amqp.Table{}
	for range 33 {
		table = amqp.Table{"in": table}
	}
	return table
}

package load

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"

	"lanekeeper/tests/chaos/env"
	"lanekeeper/tests/chaos/ledger"
)

// PublishDirectly puts n messages on a tenant's queue and waits for all
// confirms. It ends early when ctx does.
func PublishDirectly(ctx context.Context, e *env.Env, l *ledger.Ledger, tenant string, n int, poison bool) error {
	return e.OnChannel(func(ch *amqp.Channel) error {
		if err := ch.Confirm(false); err != nil {
			return fmt.Errorf("set confirm mode: %w", err)
		}
		const window = 200
		for done := 0; done < n && ctx.Err() == nil; done += window {
			if err := publishWindow(ctx, ch, l, tenant, min(window, n-done), poison); err != nil {
				return err
			}
		}
		return nil
	})
}

func publishWindow(ctx context.Context, ch *amqp.Channel, l *ledger.Ledger, tenant string, n int, poison bool) error {
	attempts := make([]*ledger.Attempt, n)
	confirms := make([]*amqp.DeferredConfirmation, n)
	for i := range attempts {
		a := &ledger.Attempt{Tenant: tenant, Poison: poison, Payload: []byte("this is not JSON"), ID: uuid.NewString()}
		l.Foreign(a)
		confirm, err := ch.PublishWithDeferredConfirm("", env.QueueOf(tenant), false, false, amqp.Publishing{
			MessageId: a.ID, DeliveryMode: amqp.Persistent, Body: a.Payload,
		})
		if err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		attempts[i], confirms[i] = a, confirm
	}
	AwaitConfirms(ctx, l, attempts, confirms)
	return nil
}

// AwaitConfirms waits for the confirms of attempts and notes their outcomes.
func AwaitConfirms(ctx context.Context, l *ledger.Ledger, attempts []*ledger.Attempt, confirms []*amqp.DeferredConfirmation) {
	outcomes := make([]ledger.Outcome, len(attempts))
	for i, confirm := range confirms {
		outcomes[i] = ledger.Outcome{State: ledger.Unknown, Why: "no confirm"}
		if acked, err := confirm.WaitContext(ctx); err == nil && acked {
			outcomes[i] = ledger.Outcome{State: ledger.Accepted, ID: attempts[i].ID}
		}
	}
	l.Close(attempts, outcomes)
}

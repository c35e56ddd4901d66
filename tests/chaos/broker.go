package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	// alarmRecovery is how soon after an alarm publishing has to work again.
	alarmRecovery = 5 * time.Second
	// alarmAnswer is what "at once" means.
	alarmAnswer = time.Second
	// normalWatermark is that of a broker whose memory is not a topic.
	normalWatermark = "0.6"
)

// brokerPause freezes the broker under load: connections stay open and nothing
// answers.
func brokerPause(ctx context.Context, st *stage) error {
	var after time.Duration
	err := st.underLoad(ctx, 1, st.background, func(ctx context.Context, l *load) error {
		if err := st.servers.rabbitmq.Pause(); err != nil {
			return fmt.Errorf("freeze the broker: %w", err)
		}
		rest(ctx, st.pause)
		if err := st.servers.rabbitmq.Resume(); err != nil {
			return fmt.Errorf("thaw the broker: %w", err)
		}
		var err error
		after, err = l.awaitGood(ctx)
		return err
	})
	st.show("accepted again after", "%.1f s of the broker's return", after.Seconds())
	return err
}

// memoryAlarm makes the broker refuse publications while one tenant has a
// backlog that waits to be consumed.
func memoryAlarm(ctx context.Context, st *stage) error {
	if err := st.bootDirect(ctx, 5); err != nil {
		return err
	}
	backlogged := st.tenants[0]
	st.tenants = st.tenants[1:]
	if err := st.fillQueue(ctx, backlogged, st.alarmBacklog); err != nil {
		return err
	}
	err := st.breakLoad(ctx, 1, st.background, func(ctx context.Context, l *load) error {
		if _, err := st.servers.rabbitmq.Control(ctx, "set_vm_memory_high_watermark", "0"); err != nil {
			return fmt.Errorf("raise the alarm: %w", err)
		}
		err := st.duringAlarm(ctx, backlogged)
		begun := time.Now()
		if _, clearErr := st.servers.rabbitmq.Control(context.WithoutCancel(ctx), "set_vm_memory_high_watermark", normalWatermark); clearErr != nil {
			return errors.Join(err, fmt.Errorf("clear the alarm: %w", clearErr))
		}
		cleared := time.Now()
		if err != nil {
			return err
		}
		if _, err := l.awaitGood(ctx); err != nil {
			return err
		}
		// The alarm is cleared somewhere within the command.
		st.show("accepted again after", "%.1f s of the alarm's end, the command included", time.Since(begun).Seconds())
		if took := time.Since(cleared); took > alarmRecovery {
			st.fail("publishing took %v to recover", took)
		}
		return nil
	})
	return err
}

// duringAlarm makes sure that publishing is refused at once, and that the
// backlog of an inactive tenant is consumed when it becomes active.
func (st *stage) duringAlarm(ctx context.Context, backlogged string) error {
	var worst time.Duration
	const calls = 10
	err := await(ctx, alarmRecovery, "publishing is refused", func() error {
		return st.expectBlocked(ctx, nil)
	})
	if err != nil {
		return err
	}
	for range calls {
		if err := st.expectBlocked(ctx, &worst); err != nil {
			st.fail("%v", err)
		}
	}
	st.show("503 with Retry-After", "after %d ms at most, %d calls", worst.Milliseconds(), calls)
	if worst > alarmAnswer {
		st.fail("a refusal took %v", worst)
	}
	begun := time.Now()
	if r := st.client.setStatus(ctx, backlogged, "active"); r.status != http.StatusOK {
		return errors.Join(fmt.Errorf("%w: activate a tenant: %s", errUnexpected, r.text()), r.err)
	}
	if err := st.awaitStored(ctx, backlogged, int64(st.alarmBacklog), recoverLimit); err != nil {
		return err
	}
	st.show("consumed meanwhile", "%d messages in %.1f s", st.alarmBacklog, time.Since(begun).Seconds())
	return nil
}

func (st *stage) expectBlocked(ctx context.Context, worst *time.Duration) error {
	attempts := st.ledger.open(st.tenants[0], 1, false)
	r := st.client.call(ctx, http.MethodPost, "/api/messages", st.tenants[0], "", fmt.Appendf(nil, `{"payload":%s}`, attempts[0].payload))
	st.ledger.close(attempts, []outcome{single(r)})
	if r.err != nil || r.status != http.StatusServiceUnavailable || r.header.Get("Retry-After") == "" {
		return errors.Join(fmt.Errorf("%w: %s during a memory alarm, Retry-After %q", errUnexpected, r.text(), r.header.Get("Retry-After")), r.err)
	}
	if worst != nil {
		*worst = max(*worst, r.took)
	}
	return nil
}

// awaitStored waits until a tenant's history has n messages.
func (st *stage) awaitStored(ctx context.Context, tenant string, n int64, limit time.Duration) error {
	return st.inDatabase(ctx, func(conn *pgx.Conn) error {
		return await(ctx, limit, fmt.Sprintf("%d messages of a tenant are stored", n), func() error {
			var last int64
			if err := conn.QueryRow(ctx, `SELECT last_seq FROM tenant_streams WHERE tenant_id = $1::uuid`, tenant).Scan(&last); err != nil {
				return fmt.Errorf("read a stream: %w", err)
			}
			if last < n {
				return fmt.Errorf("%w: %d", errNotReady, last)
			}
			return nil
		})
	})
}

// fillQueue makes a tenant inactive and puts n messages on its queue, past the
// service, as any AMQP client may.
func (st *stage) fillQueue(ctx context.Context, tenant string, n int) error {
	if r := st.client.setStatus(ctx, tenant, "inactive"); r.status != http.StatusOK {
		return errors.Join(fmt.Errorf("%w: deactivate a tenant: %s", errUnexpected, r.text()), r.err)
	}
	return st.publishDirectly(ctx, tenant, n, false)
}

// publishDirectly puts n messages on a tenant's queue and waits for all
// confirms. It goes on until all are there or ctx ends.
func (st *stage) publishDirectly(ctx context.Context, tenant string, n int, poison bool) error {
	return st.onChannel(func(ch *amqp.Channel) error {
		if err := ch.Confirm(false); err != nil {
			return fmt.Errorf("set confirm mode: %w", err)
		}
		const window = 200
		for done := 0; done < n && ctx.Err() == nil; done += window {
			if err := st.publishWindow(ctx, ch, tenant, min(window, n-done), poison); err != nil {
				return err
			}
		}
		return nil
	})
}

func (st *stage) publishWindow(ctx context.Context, ch *amqp.Channel, tenant string, n int, poison bool) error {
	attempts := make([]*attempt, n)
	confirms := make([]*amqp.DeferredConfirmation, n)
	for i := range attempts {
		a := &attempt{tenant: tenant, poison: poison, payload: []byte("this is not JSON"), id: uuid.NewString()}
		st.ledger.foreign(a)
		confirm, err := ch.PublishWithDeferredConfirm("", queueOf(tenant), false, false, amqp.Publishing{
			MessageId: a.id, DeliveryMode: amqp.Persistent, Body: a.payload,
		})
		if err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		attempts[i], confirms[i] = a, confirm
	}
	st.awaitConfirms(ctx, attempts, confirms)
	return nil
}

// awaitConfirms waits for the confirms of attempts and notes their outcomes.
func (st *stage) awaitConfirms(ctx context.Context, attempts []*attempt, confirms []*amqp.DeferredConfirmation) {
	outcomes := make([]outcome, len(attempts))
	for i, confirm := range confirms {
		outcomes[i] = outcome{state: unknown, why: "no confirm"}
		if acked, err := confirm.WaitContext(ctx); err == nil && acked {
			outcomes[i] = outcome{state: accepted202, id: attempts[i].id}
		}
	}
	st.ledger.close(attempts, outcomes)
}

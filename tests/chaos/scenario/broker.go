package scenario

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"lanekeeper/tests/chaos/ledger"
	"lanekeeper/tests/chaos/load"
	"lanekeeper/tests/chaos/verify"
	"lanekeeper/tests/chaos/wait"
)

const (
	// alarmRecovery is how soon after an alarm publishing has to work again.
	alarmRecovery = 5 * time.Second
	// alarmAnswer is within what time a refusal counts as "at once".
	alarmAnswer = time.Second
	// normalWatermark is that of a broker without an alarm.
	normalWatermark = "0.6"
)

// brokerPause freezes the broker under load: connections stay open and nothing
// answers.
func brokerPause(ctx context.Context, t *trial) error {
	var after time.Duration
	err := t.underLoad(ctx, 1, t.background, func(ctx context.Context, l *load.Load) error {
		if err := t.Servers.RabbitMQ.Pause(); err != nil {
			return fmt.Errorf("freeze the broker: %w", err)
		}
		begun := time.Now()
		explains(ctx, t, "the broker is frozen", t.tenants[0], "broker_away")
		wait.For(ctx, t.frozen-time.Since(begun))
		if err := t.Servers.RabbitMQ.Resume(); err != nil {
			return fmt.Errorf("thaw the broker: %w", err)
		}
		var err error
		after, err = l.AwaitGood(ctx)
		return err
	})
	t.Show("accepted again after", "%.1f s of the broker's return", after.Seconds())
	return err
}

// memoryAlarm makes the broker refuse publications while one tenant has a
// backlog that waits to be consumed.
func memoryAlarm(ctx context.Context, t *trial) error {
	if err := t.bootDirect(ctx, 5); err != nil {
		return err
	}
	backlogged := t.tenants[0]
	t.tenants = t.tenants[1:]
	if err := fillQueue(ctx, t, backlogged, t.alarmBacklog); err != nil {
		return err
	}
	err := t.breakLoad(ctx, 1, t.background, func(ctx context.Context, l *load.Load) error {
		if _, err := t.Servers.RabbitMQ.Rabbitmqctl(ctx, "set_vm_memory_high_watermark", "0"); err != nil {
			return fmt.Errorf("raise the alarm: %w", err)
		}
		err := duringAlarm(ctx, t, backlogged)
		begun := time.Now()
		if _, clearErr := t.Servers.RabbitMQ.Rabbitmqctl(context.WithoutCancel(ctx), "set_vm_memory_high_watermark", normalWatermark); clearErr != nil {
			return errors.Join(err, fmt.Errorf("clear the alarm: %w", clearErr))
		}
		cleared := time.Now()
		if err != nil {
			return err
		}
		if _, err := l.AwaitGood(ctx); err != nil {
			return err
		}
		// The alarm is cleared at some moment of the command.
		t.Show("accepted again after", "%.1f s of the alarm's end, the command included", time.Since(begun).Seconds())
		if took := time.Since(cleared); took > alarmRecovery {
			t.Fail("publishing took %v to recover", took)
		}
		return nil
	})
	return err
}

// duringAlarm makes sure that publishing is refused at once, and that the
// backlog of an inactive tenant is consumed when it becomes active.
func duringAlarm(ctx context.Context, t *trial, backlogged string) error {
	var worst time.Duration
	const calls = 10
	err := wait.Until(ctx, alarmRecovery, "publishing is refused", func() error {
		return expectBlocked(ctx, t, nil)
	})
	if err != nil {
		return err
	}
	for range calls {
		if err := expectBlocked(ctx, t, &worst); err != nil {
			t.Fail("%v", err)
		}
	}
	explains(ctx, t, "memory alarm of the broker", t.tenants[0], "broker_blocked")
	explains(ctx, t, "an inactive tenant with a backlog", backlogged, "tenant_inactive")
	t.Show("503 with Retry-After", "after %d ms at most, %d calls", worst.Milliseconds(), calls)
	if worst > alarmAnswer {
		t.Fail("a refusal took %v", worst)
	}
	// What reads and logs in goes on, so requests should come.
	if r := t.client.Call(ctx, http.MethodGet, "/readyz", "", "", nil); r.Status != http.StatusOK || !strings.Contains(string(r.Body), `"degraded"`) {
		t.Fail("/readyz says %s %s", r.Text(), r.Body)
	}
	begun := time.Now()
	if r := t.client.SetStatus(ctx, backlogged, "active"); r.Status != http.StatusOK {
		return errors.Join(fmt.Errorf("%w: activate a tenant: %s", load.ErrUnexpected, r.Text()), r.Err)
	}
	if err := verify.AwaitStored(ctx, t.Env, backlogged, int64(t.alarmBacklog), load.RecoverLimit); err != nil {
		return err
	}
	t.Show("consumed meanwhile", "%d messages in %.1f s", t.alarmBacklog, time.Since(begun).Seconds())
	return nil
}

func expectBlocked(ctx context.Context, t *trial, worst *time.Duration) error {
	attempts := t.ledger.Open(t.tenants[0], 1, false)
	r := t.client.Call(ctx, http.MethodPost, "/api/messages", t.tenants[0], "", fmt.Appendf(nil, `{"payload":%s}`, attempts[0].Payload))
	t.ledger.Close(attempts, []ledger.Outcome{load.OutcomeOf(r)})
	if r.Err != nil || r.Status != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" {
		return errors.Join(fmt.Errorf("%w: %s during a memory alarm, Retry-After %q", load.ErrUnexpected, r.Text(), r.Header.Get("Retry-After")), r.Err)
	}
	if worst != nil {
		*worst = max(*worst, r.Took)
	}
	return nil
}

// fillQueue makes a tenant inactive and puts n messages on its queue, past the
// service, as any AMQP client may.
func fillQueue(ctx context.Context, t *trial, tenant string, n int) error {
	if r := t.client.SetStatus(ctx, tenant, "inactive"); r.Status != http.StatusOK {
		return errors.Join(fmt.Errorf("%w: deactivate a tenant: %s", load.ErrUnexpected, r.Text()), r.Err)
	}
	return load.PublishDirectly(ctx, t.Env, t.ledger, tenant, n, false)
}

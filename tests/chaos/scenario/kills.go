package scenario

import (
	"context"
	"fmt"
	"time"

	"lanekeeper/tests/chaos/load"
	"lanekeeper/tests/chaos/verify"
	"lanekeeper/tests/chaos/wait"
)

func brokerKill(ctx context.Context, t *trial) error {
	var longest time.Duration
	if err := t.bootDirect(ctx, t.figures.tenants); err != nil {
		return err
	}
	// What becomes of queues that are younger than a second when the broker
	// is killed is the matter of brokerKillDuringCreate.
	wait.For(ctx, 2*time.Second)
	explained := false // once does
	err := t.breakLoad(ctx, t.brokerKills, t.publications, func(ctx context.Context, l *load.Load) error {
		t.Servers.RabbitMQ.Kill()
		if !explained {
			explained = true
			explains(ctx, t, "the broker is gone", t.tenants[0], "broker_away")
		}
		if err := t.Servers.RabbitMQ.Start(ctx); err != nil {
			return fmt.Errorf("start the broker again: %w", err)
		}
		took, err := l.AwaitGood(ctx)
		longest = max(longest, took)
		return err
	})
	t.Show("accepted again after", "%.1f s of the broker's return at most", longest.Seconds())
	return err
}

func postgresKill(ctx context.Context, t *trial) error {
	var longest time.Duration
	explained := false // once does
	err := t.underLoad(ctx, t.postgresKills, t.publications, func(ctx context.Context, _ *load.Load) error {
		t.Servers.Postgres.Kill()
		// Publishing goes on meanwhile.
		if !wait.For(ctx, 500*time.Millisecond) {
			return ctx.Err()
		}
		if !explained {
			explained = true
			explains(ctx, t, "the database is gone", t.tenants[0], "database_away")
		}
		if err := t.Servers.Postgres.Start(ctx); err != nil {
			return fmt.Errorf("start the database again: %w", err)
		}
		took, err := verify.AwaitStoring(ctx, t.Env)
		longest = max(longest, took)
		return err
	})
	t.Show("storing again after", "%.1f s of the database's return at most", longest.Seconds())
	if longest > storingLimit {
		t.Fail("storing took %v to begin again, %v are promised", longest, storingLimit)
	}
	return err
}

func serviceKill(ctx context.Context, t *trial) error {
	return t.underLoad(ctx, t.serviceKills, t.publications, func(ctx context.Context, l *load.Load) error {
		t.Service.Kill()
		if err := t.Service.Start(ctx); err != nil {
			return err
		}
		_, err := l.AwaitGood(ctx)
		return err
	})
}

// plantedEarlyAck is serviceKill with figures that suffice to see it.
func plantedEarlyAck(ctx context.Context, t *trial) error {
	return t.underLoad(ctx, 2, 2000, func(ctx context.Context, _ *load.Load) error {
		t.Service.Kill()
		return t.Service.Start(ctx)
	})
}

func sigterm(ctx context.Context, t *trial) error {
	var longest time.Duration
	err := t.underLoad(ctx, t.terminations, t.publications, func(ctx context.Context, l *load.Load) error {
		took, err := t.Service.Terminate(ctx)
		if err != nil {
			return err
		}
		longest = max(longest, took)
		if err := t.Service.Start(ctx); err != nil {
			return err
		}
		_, err = l.AwaitGood(ctx)
		return err
	})
	t.Show("longest exit", "%.1f s, code 0", longest.Seconds())
	return err
}

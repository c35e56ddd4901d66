package scenario

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	amqp "github.com/rabbitmq/amqp091-go"

	"lanekeeper/tests/chaos/env"
	"lanekeeper/tests/chaos/fault"
	"lanekeeper/tests/chaos/ledger"
	"lanekeeper/tests/chaos/load"
	"lanekeeper/tests/chaos/verify"
	"lanekeeper/tests/chaos/wait"
	"lanekeeper/tests/proxy"
)

const (
	// storingLimit is how soon after its return the database has to be used.
	storingLimit = 5 * time.Second
	cutLimit     = 30 * time.Second
)

func commitReplyCut(ctx context.Context, t *trial) error {
	c := &fault.Cutter{Matters: fault.IsCommitted}
	p, err := t.NewProxy(ctx, t.DatabaseURL, proxy.Postgres{}, c.Judge)
	if err != nil {
		return err
	}
	if err := t.boot(ctx, p.URL(), t.BrokerURL, t.figures.tenants); err != nil {
		return err
	}
	err = t.breakLoad(ctx, t.commitCuts, t.background, func(ctx context.Context, _ *load.Load) error {
		want := c.Cuts.Load() + 1
		c.Arm()
		err := wait.Until(ctx, cutLimit, "a COMMIT was cut", func() error {
			if c.Cuts.Load() < want {
				return wait.ErrNotReady
			}
			return nil
		})
		// Now and then the next cut hits the repetition of the same batch.
		if err != nil || want%10 == 0 {
			return err
		}
		_, err = verify.AwaitStoring(ctx, t.Env)
		return err
	})
	t.Show("cuts", "%d", c.Cuts.Load())
	return err
}

// confirmCut publishes with keys, one after the other, and every one loses its
// confirm once.
func confirmCut(ctx context.Context, t *trial) error {
	c := &fault.Cutter{Matters: fault.IsConfirm}
	p, err := t.NewProxy(ctx, t.BrokerURL, proxy.AMQP{}, c.Judge)
	if err != nil {
		return err
	}
	if err := t.boot(ctx, t.DatabaseURL, p.URL(), min(t.figures.tenants, 5)); err != nil {
		return err
	}
	tries, spared := 0, 0
	for i := range t.confirmCuts {
		attempts := t.ledger.Open(t.tenants[i%len(t.tenants)], 1, true)
		cuts := c.Cuts.Load()
		c.Arm()
		err := wait.Until(ctx, cutLimit, "a message is accepted after its confirm was cut", func() error {
			outcomes := t.client.Publish(ctx, attempts)
			t.ledger.Close(attempts, outcomes)
			tries++
			if outcomes[0].State == ledger.Accepted {
				return nil
			}
			return fmt.Errorf("%w: %s", load.ErrUnexpected, outcomes[0].Why)
		})
		if err != nil {
			return err
		}
		if c.Cuts.Load() == cuts {
			spared++
			c.Armed.Store(0)
		}
	}
	t.Show("cuts", "%d", c.Cuts.Load())
	t.Show("tries", "%d for %d messages", tries, t.confirmCuts)
	if spared > 0 {
		t.Fail("%d messages were accepted without their confirm having been cut", spared)
	}
	if err := t.check(ctx); err != nil {
		return err
	}
	return exactlyOneRow(ctx, t, t.confirmCuts)
}

// exactlyOneRow makes sure that there are n rows, one for each message.
func exactlyOneRow(ctx context.Context, t *trial, n int) error {
	return t.InDatabase(ctx, func(conn *pgx.Conn) error {
		var rows int
		if err := conn.QueryRow(ctx, `SELECT count(*) FROM messages`).Scan(&rows); err != nil {
			return fmt.Errorf("count messages: %w", err)
		}
		if rows != n {
			t.Fail("%d rows for %d messages", rows, n)
		}
		return nil
	})
}

// resizeDrops breaks all connections to the broker while every tenant is
// being resized.
func resizeDrops(ctx context.Context, t *trial) error {
	resizes := 0
	err := dropConnections(ctx, t, t.resizeDrops, t.background, func(ctx context.Context) error {
		for _, tenant := range t.tenants {
			if r := t.client.Resize(ctx, tenant, 1+t.random.IntN(12)); r.Status != 200 {
				return errors.Join(fmt.Errorf("%w: resize: %s", load.ErrUnexpected, r.Text()), r.Err)
			}
			resizes++
		}
		return nil
	})
	t.Show("resizes", "%d", resizes)
	return err
}

// plantedStaleAcks is resizeDrops with figures that suffice to see it.
func plantedStaleAcks(ctx context.Context, t *trial) error {
	return dropConnections(ctx, t, 8, t.background, func(context.Context) error { return nil })
}

// dropConnections breaks all connections to the broker, again and again, each
// time in the middle of what meanwhile does.
func dropConnections(ctx context.Context, t *trial, times, publications int, meanwhile func(context.Context) error) error {
	p, err := t.NewProxy(ctx, t.BrokerURL, proxy.AMQP{}, nil)
	if err != nil {
		return err
	}
	if err := t.boot(ctx, t.DatabaseURL, p.URL(), min(t.figures.tenants, 10)); err != nil {
		return err
	}
	err = t.breakLoad(ctx, times, publications, func(ctx context.Context, l *load.Load) error {
		done := make(chan error, 1)
		go func() { done <- meanwhile(ctx) }()
		wait.For(ctx, time.Duration(t.random.IntN(60))*time.Millisecond)
		p.CutAll()
		if err := <-done; err != nil {
			return err
		}
		_, err := l.AwaitGood(ctx)
		return err
	})
	t.Show("drops", "%d of all connections", times)
	return err
}

// queueDeleted deletes a tenant's queue behind the back of the service, and
// publishes to it until it is there again. What was in the queue would be
// lost, so it is empty at that time.
func queueDeleted(ctx context.Context, t *trial) error {
	if err := t.bootDirect(ctx, 1); err != nil {
		return err
	}
	queue := env.QueueOf(t.tenants[0])
	for range 3 {
		if err := wait.Until(ctx, load.RecoverLimit, "the queue is empty", func() error { return verify.QueuesEmpty(ctx, t.Env) }); err != nil {
			return err
		}
		err := t.OnChannel(func(ch *amqp.Channel) error {
			_, err := ch.QueueDelete(queue, false, false, false)
			return err
		})
		if err != nil {
			return fmt.Errorf("delete a queue: %w", err)
		}
		err = wait.Until(ctx, load.RecoverLimit, "the queue is there again", func() error {
			attempts := t.ledger.Open(t.tenants[0], 1, false)
			t.ledger.Close(attempts, t.client.Publish(ctx, attempts))
			return verify.Consumed(t.Env, []string{queue})
		})
		if err != nil {
			return err
		}
	}
	return t.check(ctx)
}

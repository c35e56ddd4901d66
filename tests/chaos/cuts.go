package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	amqp "github.com/rabbitmq/amqp091-go"

	"lanekeeper/tests/proxy"
)

const (
	// storingLimit is how soon after its return the database has to be used.
	storingLimit = 5 * time.Second
	cutLimit     = 30 * time.Second
)

// awaitStoring waits until more messages are stored than now, and returns how
// long that took. There has to be a load.
func (st *stage) awaitStoring(ctx context.Context) (time.Duration, error) {
	begun := time.Now()
	var took time.Duration
	err := st.inDatabase(ctx, func(conn *pgx.Conn) error {
		first := int64(-1)
		return await(ctx, recoverLimit, "messages are stored again", func() error {
			var stored int64
			if err := conn.QueryRow(ctx, `SELECT coalesce(sum(last_seq), 0)::bigint FROM tenant_streams`).Scan(&stored); err != nil {
				return fmt.Errorf("count stored messages: %w", err)
			}
			if first < 0 {
				first = stored
			}
			if stored == first {
				return errNotReady
			}
			took = time.Since(begun)
			return nil
		})
	})
	return took, err
}

func commitReplyCut(ctx context.Context, st *stage) error {
	c := &cutter{matters: isCommitted}
	p, err := st.newProxy(ctx, st.databaseURL, proxy.Postgres{}, c.judge)
	if err != nil {
		return err
	}
	if err := st.boot(ctx, p.URL(), st.brokerURL, st.figures.tenants); err != nil {
		return err
	}
	err = st.breakLoad(ctx, st.commitCuts, st.background, func(ctx context.Context, _ *load) error {
		want := c.cuts.Load() + 1
		c.arm()
		err := await(ctx, cutLimit, "a COMMIT was cut", func() error {
			if c.cuts.Load() < want {
				return errNotReady
			}
			return nil
		})
		// Now and then the next cut hits the repetition of the same batch.
		if err != nil || want%10 == 0 {
			return err
		}
		_, err = st.awaitStoring(ctx)
		return err
	})
	st.show("cuts", "%d", c.cuts.Load())
	return err
}

// confirmCut publishes with keys, one after the other, and every one loses its
// confirm once.
func confirmCut(ctx context.Context, st *stage) error {
	c := &cutter{matters: isConfirm}
	p, err := st.newProxy(ctx, st.brokerURL, proxy.AMQP{}, c.judge)
	if err != nil {
		return err
	}
	if err := st.boot(ctx, st.databaseURL, p.URL(), min(st.figures.tenants, 5)); err != nil {
		return err
	}
	tries, spared := 0, 0
	for i := range st.confirmCuts {
		attempts := st.ledger.open(st.tenants[i%len(st.tenants)], 1, true)
		cuts := c.cuts.Load()
		c.arm()
		err := await(ctx, cutLimit, "a message is accepted after its confirm was cut", func() error {
			outcomes := st.client.publish(ctx, attempts)
			st.ledger.close(attempts, outcomes)
			tries++
			if outcomes[0].state == accepted202 {
				return nil
			}
			return fmt.Errorf("%w: %s", errUnexpected, outcomes[0].why)
		})
		if err != nil {
			return err
		}
		if c.cuts.Load() == cuts {
			spared++
			c.armed.Store(0)
		}
	}
	st.show("cuts", "%d", c.cuts.Load())
	st.show("tries", "%d for %d messages", tries, st.confirmCuts)
	if spared > 0 {
		st.fail("%d messages were accepted without their confirm having been cut", spared)
	}
	if err := st.check(ctx); err != nil {
		return err
	}
	return st.exactlyOneRow(ctx, st.confirmCuts)
}

// exactlyOneRow makes sure that there are n rows, one for each message.
func (st *stage) exactlyOneRow(ctx context.Context, n int) error {
	return st.inDatabase(ctx, func(conn *pgx.Conn) error {
		var rows int
		if err := conn.QueryRow(ctx, `SELECT count(*) FROM messages`).Scan(&rows); err != nil {
			return fmt.Errorf("count messages: %w", err)
		}
		if rows != n {
			st.fail("%d rows for %d messages", rows, n)
		}
		return nil
	})
}

// resizeDrops breaks all connections to the broker while every tenant is
// being resized.
func resizeDrops(ctx context.Context, st *stage) error {
	resizes := 0
	err := st.dropConnections(ctx, st.resizeDrops, st.background, func(ctx context.Context) error {
		for _, tenant := range st.tenants {
			if r := st.client.resize(ctx, tenant, 1+st.random.IntN(12)); r.status != 200 {
				return errors.Join(fmt.Errorf("%w: resize: %s", errUnexpected, r.text()), r.err)
			}
			resizes++
		}
		return nil
	})
	st.show("resizes", "%d", resizes)
	return err
}

// plantedStaleAcks is resizeDrops with figures that suffice to see it.
func plantedStaleAcks(ctx context.Context, st *stage) error {
	return st.dropConnections(ctx, 8, st.background, func(context.Context) error { return nil })
}

// dropConnections breaks all connections to the broker, again and again, each
// time in the middle of what meanwhile does.
func (st *stage) dropConnections(ctx context.Context, times, publications int, meanwhile func(context.Context) error) error {
	p, err := st.newProxy(ctx, st.brokerURL, proxy.AMQP{}, nil)
	if err != nil {
		return err
	}
	if err := st.boot(ctx, st.databaseURL, p.URL(), min(st.figures.tenants, 10)); err != nil {
		return err
	}
	err = st.breakLoad(ctx, times, publications, func(ctx context.Context, l *load) error {
		done := make(chan error, 1)
		go func() { done <- meanwhile(ctx) }()
		rest(ctx, time.Duration(st.random.IntN(60))*time.Millisecond)
		p.CutAll()
		if err := <-done; err != nil {
			return err
		}
		_, err := l.awaitGood(ctx)
		return err
	})
	st.show("drops", "%d of all connections", times)
	return err
}

// queueDeleted deletes a tenant's queue behind the back of the service, and
// publishes to it until it is there again. What was in the queue would be
// lost, so it is empty at that time.
func queueDeleted(ctx context.Context, st *stage) error {
	if err := st.bootDirect(ctx, 1); err != nil {
		return err
	}
	queue := queueOf(st.tenants[0])
	for range 3 {
		if err := await(ctx, recoverLimit, "the queue is empty", func() error { return st.empty(ctx) }); err != nil {
			return err
		}
		err := st.onChannel(func(ch *amqp.Channel) error {
			_, err := ch.QueueDelete(queue, false, false, false)
			return err
		})
		if err != nil {
			return fmt.Errorf("delete a queue: %w", err)
		}
		err = await(ctx, recoverLimit, "the queue is there again", func() error {
			attempts := st.ledger.open(st.tenants[0], 1, false)
			st.ledger.close(attempts, st.client.publish(ctx, attempts))
			return st.consumed([]string{queue})
		})
		if err != nil {
			return err
		}
	}
	return st.check(ctx)
}

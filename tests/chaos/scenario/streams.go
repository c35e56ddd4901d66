package scenario

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"lanekeeper/pkg/devstack"
	"lanekeeper/tests/chaos/fault"
	"lanekeeper/tests/chaos/load"
	"lanekeeper/tests/chaos/verify"
)

const (
	// maxRedisRatio is by how much storing may take longer without Redis.
	maxRedisRatio = 1.2
	// redisPause is how long Redis is away, and there, in turn.
	redisPause = 2 * time.Second
	// streamWriters is how many clients publish to the tenant that is streamed.
	streamWriters = 8
)

// dawdleSQL makes commits of a partition take their time, and not all the same.
const dawdleSQL = `
CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(random() * 0.004); RETURN NULL; END $$;
CREATE TRIGGER dawdle AFTER INSERT ON messages_%s FOR EACH STATEMENT EXECUTE FUNCTION dawdle()`

// streamRedisKill has many clients follow one tenant through several replicas,
// while Redis is killed and started again.
func streamRedisKill(ctx context.Context, t *trial) error {
	redis := devstack.NewRedis(devstack.Options{Dir: t.Shared.Dir.Path(), Progress: t.Shared.Progress})
	if err := redis.Start(ctx); err != nil {
		return fmt.Errorf("start Redis: %w", err)
	}
	defer redis.Kill()
	f, err := bootFleet(ctx, t, t.others+1, "REDIS_URL="+redis.URL())
	if err != nil {
		return err
	}
	if _, err := f.awaitBalance(ctx, t.Service); err != nil {
		return err
	}
	tenant := t.tenants[0]
	err = t.InDatabase(ctx, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, fmt.Sprintf(dawdleSQL, strings.ReplaceAll(tenant, "-", "_")))
		return err
	})
	if err != nil {
		return fmt.Errorf("slow commits down: %w", err)
	}

	clients := verify.StartAudience(ctx, t.client, t.Result, tenant, t.streamClients, t.streamRestless, t.random)
	defer clients.Stop()
	w := startWriters(ctx, t, tenant)
	defer w.stop()
	p := t.newProbe(t.tenants[1:])
	if _, err := p.Measure(ctx, 2*time.Second); err != nil { // warms up
		return err
	}
	kills := 0
	err = t.within(ctx, verify.Bounds{Stored: maxRedisRatio}, p, t.measure, func(ctx context.Context, meanwhile func() error) error {
		return fault.During(meanwhile, func(quit <-chan struct{}) error {
			for {
				redis.Kill()
				kills++
				over := fault.RestUnless(quit, redisPause)
				if err := redis.Start(ctx); err != nil || over {
					return err
				}
				if fault.RestUnless(quit, redisPause) {
					return nil
				}
			}
		})
	})
	if err != nil {
		return err
	}
	w.interval.Store(0) // the rest as fast as it goes
	if err := w.load.AwaitAccepted(ctx, t.streamMessages); err != nil {
		return err
	}
	w.stop()
	t.Show("Redis killed", "%d times", kills)
	last, err := settledSeq(ctx, t, tenant)
	if err != nil {
		return err
	}
	if err := clients.Await(ctx, last); err != nil {
		return err
	}
	clients.Stop()
	t.Show("streams", "%d clients saw %d messages each, in order; %d resumed %d times", t.streamClients, last, t.streamRestless, clients.Resumptions())
	if err := t.check(ctx); err != nil {
		return err
	}
	return f.checkOverlaps()
}

// writers publish to one tenant until they are stopped.
type writers struct {
	load     *load.Load
	interval atomic.Int64 // of each between its calls
	quit     chan struct{}
	once     sync.Once
	work     sync.WaitGroup
}

func startWriters(ctx context.Context, t *trial, tenant string) *writers {
	w := &writers{load: t.newLoad(), quit: make(chan struct{})}
	w.interval.Store(int64(load.BackgroundPause))
	for range streamWriters {
		random := rand.New(rand.NewPCG(t.random.Uint64(), t.random.Uint64()))
		w.work.Go(func() {
			for ctx.Err() == nil && !fault.RestUnless(w.quit, time.Duration(w.interval.Load())) {
				w.load.Send(ctx, tenant, 1+random.IntN(load.BatchSize), random.IntN(2) == 0)
			}
		})
	}
	return w
}

func (w *writers) stop() {
	w.once.Do(func() { close(w.quit) })
	w.work.Wait()
}

// settledSeq returns the last seq of a tenant once its queue is empty and it
// has stopped rising.
func settledSeq(ctx context.Context, t *trial, tenant string) (last int64, err error) {
	if err := t.checker().AwaitDrained(ctx); err != nil {
		return 0, err
	}
	err = t.InDatabase(ctx, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT last_seq FROM tenant_streams WHERE tenant_id = $1`, tenant).Scan(&last)
	})
	if err != nil {
		return 0, fmt.Errorf("read the last seq: %w", err)
	}
	return last, nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"lanekeeper/pkg/devstack"
	"lanekeeper/tests/sse"
)

const (
	// maxRedisRatio is by how much storing may take longer without Redis.
	maxRedisRatio = 1.2
	// redisPause is how long Redis is away, and there, in turn.
	redisPause = 2 * time.Second
	// streamWriters is how many clients publish to the tenant that is streamed.
	streamWriters = 8
	// followLimit is how long after the last message streams may be behind.
	followLimit = 30 * time.Second
	// longestStay is how many messages a restless client takes at most before
	// it breaks off.
	longestStay = 1000
)

// dawdleSQL makes commits of a partition take their time, and not all the same.
const dawdleSQL = `
CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(random() * 0.004); RETURN NULL; END $$;
CREATE TRIGGER dawdle AFTER INSERT ON messages_%s FOR EACH STATEMENT EXECUTE FUNCTION dawdle()`

// streamRedisKill has many clients follow one tenant through several replicas,
// while Redis is killed and started again.
func streamRedisKill(ctx context.Context, st *stage) error {
	redis := devstack.NewRedis(devstack.Options{Dir: st.suite.dir.Path(), Progress: st.suite.progress})
	if err := redis.Start(ctx); err != nil {
		return fmt.Errorf("start Redis: %w", err)
	}
	defer redis.Kill()
	f, err := st.bootFleet(ctx, st.others+1, "REDIS_URL="+redis.URL())
	if err != nil {
		return err
	}
	if _, err := f.awaitBalance(ctx, st.service); err != nil {
		return err
	}
	tenant := st.tenants[0]
	err = st.inDatabase(ctx, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, fmt.Sprintf(dawdleSQL, strings.ReplaceAll(tenant, "-", "_")))
		return err
	})
	if err != nil {
		return fmt.Errorf("slow commits down: %w", err)
	}

	audience := st.startAudience(ctx, tenant)
	defer audience.stop()
	w := st.startWriters(ctx, tenant)
	defer w.stop()
	p := newProbe(st, st.tenants[1:])
	if _, err := p.measure(ctx, 2*time.Second); err != nil { // warms up
		return err
	}
	kills := 0
	err = st.within(ctx, bounds{stored: maxRedisRatio}, p, st.measure, func(ctx context.Context, meanwhile func() error) error {
		return whileIn(meanwhile, func(quit <-chan struct{}) error {
			for {
				redis.Kill()
				kills++
				over := pauseUnless(quit, redisPause)
				if err := redis.Start(ctx); err != nil || over {
					return err
				}
				if pauseUnless(quit, redisPause) {
					return nil
				}
			}
		})
	})
	if err != nil {
		return err
	}
	w.pause.Store(0) // the rest as fast as it goes
	if err := w.load.awaitAccepted(ctx, st.streamMessages); err != nil {
		return err
	}
	w.stop()
	st.show("Redis killed", "%d times", kills)
	last, err := st.settledSeq(ctx, tenant)
	if err != nil {
		return err
	}
	if err := audience.await(ctx, last); err != nil {
		return err
	}
	audience.stop()
	st.show("streams", "%d clients saw %d messages each, in order; %d resumed %d times", st.streamClients, last, st.streamRestless, audience.resumed.Load())
	if err := st.check(ctx); err != nil {
		return err
	}
	return f.checkOverlaps()
}

// whileIn runs work until meanwhile has returned, and returns the errors of
// both.
func whileIn(meanwhile func() error, work func(quit <-chan struct{}) error) error {
	quit := make(chan struct{})
	done := make(chan error, 1)
	go func() { done <- work(quit) }()
	err := meanwhile()
	close(quit)
	return errors.Join(err, <-done)
}

// pauseUnless waits, and returns true when it is time to end.
func pauseUnless(quit <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-quit:
		return true
	case <-timer.C:
		return false
	}
}

// writers publish to one tenant until they are stopped.
type writers struct {
	load  *load
	pause atomic.Int64 // of each between its calls
	quit  chan struct{}
	once  sync.Once
	work  sync.WaitGroup
}

func (st *stage) startWriters(ctx context.Context, tenant string) *writers {
	w := &writers{load: &load{st: st}, quit: make(chan struct{})}
	w.pause.Store(int64(backgroundPause))
	for range streamWriters {
		random := rand.New(rand.NewPCG(st.random.Uint64(), st.random.Uint64()))
		w.work.Go(func() {
			for ctx.Err() == nil && !pauseUnless(w.quit, time.Duration(w.pause.Load())) {
				w.load.send(ctx, tenant, 1+random.IntN(batchSize), random.IntN(2) == 0)
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
func (st *stage) settledSeq(ctx context.Context, tenant string) (last int64, err error) {
	if err := st.awaitDrained(ctx); err != nil {
		return 0, err
	}
	err = st.inDatabase(ctx, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT last_seq FROM tenant_streams WHERE tenant_id = $1`, tenant).Scan(&last)
	})
	if err != nil {
		return 0, fmt.Errorf("read the last seq: %w", err)
	}
	return last, nil
}

// audience is clients that follow a tenant from its beginning.
type audience struct {
	st      *stage
	tenant  string
	at      []atomic.Int64 // the last seq that each has
	resumed atomic.Int64
	cancel  context.CancelFunc
	work    sync.WaitGroup
}

func (st *stage) startAudience(ctx context.Context, tenant string) *audience {
	ctx, cancel := context.WithCancel(ctx)
	a := &audience{st: st, tenant: tenant, at: make([]atomic.Int64, st.streamClients), cancel: cancel}
	for i := range a.at {
		random := rand.New(rand.NewPCG(st.random.Uint64(), st.random.Uint64()))
		stay := 0
		if i < st.streamRestless {
			stay = longestStay
		}
		a.work.Go(func() {
			for ctx.Err() == nil {
				most := 0
				if stay > 0 {
					most = 1 + random.IntN(stay)
				}
				if err := a.follow(ctx, &a.at[i], most); err != nil && ctx.Err() == nil {
					st.fail("stream %d after %d: %v", i, a.at[i].Load(), err)
					return
				}
				a.resumed.Add(1)
			}
		})
	}
	return a
}

var errDisordered = errors.New("not the next message")

// follow opens a stream where the client is and takes messages until it ends,
// or until it had so many; 0 for any number.
func (a *audience) follow(ctx context.Context, at *atomic.Int64, most int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.st.client.base()+"/api/messages/stream?cursor=0", nil)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	request.Header.Set("X-Tenant-Id", a.tenant)
	if last := at.Load(); last > 0 {
		request.Header.Set("Last-Event-ID", strconv.FormatInt(last, 10))
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("open stream: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: %s", errUnexpected, response.Status)
	}
	events := sse.NewReader(response.Body, 64<<10)
	for n := 0; most == 0 || n < most; {
		e, err := events.Next()
		if err != nil {
			return fmt.Errorf("read stream: %w", err)
		}
		if e.ID == nil && e.Data == nil {
			continue // a comment, or when to come back
		}
		seq, err := strconv.ParseInt(string(e.ID), 10, 64)
		if err != nil || seq != at.Load()+1 || e.Data == nil {
			return fmt.Errorf("%w: %q", errDisordered, e.ID)
		}
		at.Store(seq)
		n++
	}
	return nil
}

// await waits until everyone has everything.
func (a *audience) await(ctx context.Context, last int64) error {
	return await(ctx, followLimit, "every stream has every message", func() error {
		for i := range a.at {
			if at := a.at[i].Load(); at != last {
				return fmt.Errorf("%w: stream %d is at %d of %d", errNotReady, i, at, last)
			}
		}
		return nil
	})
}

func (a *audience) stop() {
	a.cancel()
	a.work.Wait()
}

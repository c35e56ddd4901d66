package stream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"lanekeeper/domain"
	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/repository"
	"lanekeeper/tests/servicetest"
)

// database is a store with tenants whose transactions take a random time
// between writing and committing.
type database struct {
	store   *repository.Store
	tenants []uuid.UUID
	stored  []atomic.Int64 // per tenant, committed and announced
}

func newDatabase(t testing.TB, tenants int, delay bool) *database {
	t.Helper()
	url := devtest.Postgres(t)
	store := servicetest.NewStore(t, repository.Options{URL: url, WriterConns: 8})
	d := &database{store: store, stored: make([]atomic.Int64, tenants)}
	for range tenants {
		id, err := uuid.NewV7()
		require.NoError(t, err)
		require.NoError(t, store.CreatePartition(t.Context(), id))
		d.tenants = append(d.tenants, id)
	}
	if !delay {
		return d
	}
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), `
CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN IF random() < 0.3 THEN PERFORM pg_sleep(random() * 0.02); END IF; RETURN NULL; END $$;
CREATE TRIGGER dawdle AFTER INSERT ON messages FOR EACH STATEMENT EXECUTE FUNCTION dawdle()`)
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))
	return d
}

// append stores messages as a writer does: again until it works.
func (d *database) append(ctx context.Context, batch []domain.Message) ([]domain.AppendResult, error) {
	for {
		appended, err := d.store.AppendMessages(ctx, batch)
		if err == nil || !errors.Is(err, domain.ErrContended) {
			return appended, err
		}
	}
}

// announce says that a replica has committed something: mostly what, as a writer
// does that knows it.
func (s *served) announce(batch []domain.Message, appended []domain.AppendResult, tenants []uuid.UUID) {
	if rand.IntN(4) == 0 {
		s.tails.Doubt(tenants)
	} else {
		s.tails.Committed(batch, appended)
	}
	s.Service.Committed(tenants)
}

type announcement func(batch []domain.Message, appended []domain.AppendResult, tenants []uuid.UUID)

// write stores total messages by several writers, in batches for any number of
// tenants, and announces each commit.
func (d *database) write(ctx context.Context, writers, total int, committed announcement) error {
	work, ctx := errgroup.WithContext(ctx)
	var left atomic.Int64
	left.Store(int64(total))
	for range writers {
		work.Go(func() error {
			for {
				n := int64(1 + rand.IntN(80))
				if n += min(0, left.Add(-n)); n <= 0 {
					return nil
				}
				first, span := rand.IntN(len(d.tenants)), 1+rand.IntN(len(d.tenants))
				batch := make([]domain.Message, n)
				counts := make(map[int]int64)
				for i := range batch {
					at := (first + i%span) % len(d.tenants)
					counts[at]++
					batch[i] = domain.Message{ID: uuid.New(), TenantID: d.tenants[at], Payload: fmt.Appendf(nil, `{"n": %d}`, i)}
				}
				appended, err := d.append(ctx, batch)
				if err != nil {
					return err
				}
				var tenants []uuid.UUID
				for at, n := range counts {
					d.stored[at].Add(n)
					tenants = append(tenants, d.tenants[at])
				}
				committed(batch, appended, tenants)
			}
		})
	}
	return work.Wait()
}

// follow reads a tenant's stream, from one replica after the other, until it
// has seen everything that was stored when writing ended. Between disconnects
// it takes at most patience-many pieces; 0 means that it stays.
func (d *database) follow(ctx context.Context, at, pieces int, writing <-chan struct{}, replicas func() *served) error {
	r := &reader{}
	defer func() { r.stream.Close() }()
	for connect := true; ; {
		if connect {
			if r.stream != nil {
				r.stream.Close()
			}
			stream, err := replicas().Open(ctx, d.tenants[at], &r.last)
			if err != nil {
				r.stream = nopStream{}
				return err
			}
			r.stream, connect = stream, false
		}
		select {
		case <-writing:
			if err := r.until(ctx, d.stored[at].Load()); err != nil {
				return err
			}
			// Nothing follows.
			short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
			defer cancel()
			if data, err := r.stream.Next(short); !errors.Is(err, context.DeadlineExceeded) {
				return fmt.Errorf("after the end: %.40q, %w", data, err)
			}
			return nil
		default:
		}
		for range 1 + rand.IntN(max(1, pieces)) {
			// As often as a heartbeat is due.
			beat, cancel := context.WithTimeout(ctx, time.Duration(rand.IntN(50))*time.Millisecond)
			err := r.step(beat)
			cancel()
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				return err
			}
		}
		connect = pieces > 0
	}
}

type nopStream struct{ domain.EventStream }

func (nopStream) Close() {}

// Eight writers whose commits take a random time, two replicas with Redis in
// between, fifty clients of which ten come and go: each sees every message
// exactly once, in order.
func TestEveryClientSeesEveryMessageOnce(t *testing.T) {
	t.Parallel()
	const writers, total, clients, restless = 8, 20_000, 50, 10
	d := newDatabase(t, 3, true)
	url := devtest.Redis(t)
	replicas := []*served{
		startWith(t, Options{Streams: d.store, Redis: redisOptions(t, url)}),
		startWith(t, Options{Streams: d.store, Redis: redisOptions(t, url)}),
	}
	for _, s := range replicas {
		require.Eventually(t, s.bus.healthy.Load, patience, time.Millisecond)
	}
	d.stream(t, replicas, writers, total, clients, restless, nil)
}

// stream has the messages written and followed, on any of the replicas.
// Meanwhile runs in the test's goroutine until the writing is done.
func (d *database) stream(t *testing.T, replicas []*served, writers, total, clients, restless int, meanwhile func(writing <-chan struct{})) {
	t.Helper()
	work, ctx := errgroup.WithContext(t.Context())
	writing := make(chan struct{})
	var ready sync.WaitGroup
	ready.Add(clients)
	for i := range clients {
		pieces, once := 0, sync.OnceFunc(ready.Done)
		if i < restless {
			pieces = 12
		}
		work.Go(func() error {
			err := d.follow(ctx, i%len(d.tenants), pieces, writing, func() *served {
				once()
				return replicas[rand.IntN(len(replicas))]
			})
			if err != nil {
				return fmt.Errorf("client %d: %w", i, err)
			}
			return nil
		})
	}
	ready.Wait()
	begin := time.Now()
	work.Go(func() error {
		defer close(writing)
		return d.write(ctx, writers, total, func(batch []domain.Message, appended []domain.AppendResult, tenants []uuid.UUID) {
			replicas[rand.IntN(len(replicas))].announce(batch, appended, tenants)
		})
	})
	if meanwhile != nil {
		meanwhile(writing)
	}
	require.NoError(t, work.Wait())
	t.Logf("%d messages, %d clients: %v", total, clients, time.Since(begin))
	sum := int64(0)
	for i := range d.stored {
		sum += d.stored[i].Load()
	}
	require.EqualValues(t, total, sum)
	for _, s := range replicas {
		require.Zero(t, s.Clients())
	}
}

// One replica alone, without Redis.
func TestEveryClientSeesEveryMessageOnceInProcess(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, 1, true)
	d.stream(t, []*served{start(t, d.store)}, 8, 5000, 12, 6, nil)
}

// Redis is killed and started, frozen and thawed all the time.
func TestStreamsAreCompleteWhileRedisComesAndGoes(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, 2, true)
	server := devtest.PrivateRedis(t)
	var replicas []*served
	for range 2 {
		// Wake-ups may get lost between two looks at the health.
		s := startLooking(t, 100*time.Millisecond, Options{Streams: d.store, Redis: redisOptions(t, server.URL())})
		require.Eventually(t, s.bus.healthy.Load, patience, time.Millisecond)
		replicas = append(replicas, s)
	}
	d.stream(t, replicas, 8, 12_000, 20, 5, func(writing <-chan struct{}) {
		for n := 0; ; n++ {
			if n%2 == 0 {
				server.Kill()
			} else {
				server.Pause()
			}
			select {
			case <-writing:
			case <-time.After(time.Duration(100+rand.IntN(1500)) * time.Millisecond):
			}
			if n%2 == 0 {
				server.Start()
			} else {
				server.Resume()
			}
			select {
			case <-writing:
				return
			case <-time.After(time.Duration(100+rand.IntN(400)) * time.Millisecond):
			}
		}
	})
}

// A whole history is streamed to one who begins at the start while others wait
// at its end, and messages expire behind them.
func TestStreamsOfARealHistory(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, 1, false)
	s := start(t, d.store)
	require.NoError(t, d.write(t.Context(), 4, 6000, s.announce))
	tenant := d.tenants[0]
	early, late := open(t, s, tenant, new(int64(0)), 0), open(t, s, tenant, nil, 6000)
	require.NoError(t, early.until(t.Context(), 6000))
	require.NoError(t, d.write(t.Context(), 4, 500, s.announce))
	require.NoError(t, early.until(t.Context(), 6500))
	require.NoError(t, late.until(t.Context(), 6500))
	_, err := s.Open(t.Context(), tenant, new(int64(6501)))
	require.Equal(t, "cursor_ahead", domain.CodeOf(err))
	_, err = s.Open(t.Context(), uuid.New(), nil)
	require.Equal(t, "tenant_not_found", domain.CodeOf(err))

	// When the tenant is erased, its streams end.
	require.NoError(t, d.store.ErasePartition(t.Context(), tenant))
	s.Committed(d.tenants)
	_, err = late.stream.Next(t.Context())
	require.ErrorIs(t, err, domain.ErrNotFound)
}

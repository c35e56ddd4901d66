package main

import (
	"context"
	"errors"
	"fmt"
	"runtime/pprof"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"lanekeeper/pkg/client"
)

const (
	// administrators is how many tenants are made or removed at once.
	administrators = 4
	// storedEvery is how often it is looked whether all is stored, and
	// stallTimeout how long nothing may be stored meanwhile.
	storedEvery  = 10 * time.Millisecond
	stallTimeout = 30 * time.Second
)

var (
	errStalled = errors.New("nothing is stored any more")
	errWrong   = errors.New("stored wrongly")
)

// tenants are the tenants that messages are published to. One goroutine uses
// it at a time.
type tenants struct {
	address  string
	api      *client.Client
	db       *pgxpool.Pool
	ids      []string
	accepted []*atomic.Int64 // messages that were answered with 202, by tenant
}

// newTenants returns no tenants yet.
func newTenants(ctx context.Context, address, databaseURL string) (*tenants, error) {
	api, err := client.New("http://"+address, client.WithTimeout(callTimeout))
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	db, err := pgxpool.New(ctx, databaseURL)
	if err != nil {
		return nil, fmt.Errorf("connect to the database: %w", err)
	}
	return &tenants{address: address, api: api, db: db}, nil
}

// grow makes tenants until there are n, and returns when all of them are
// active.
func (t *tenants) grow(ctx context.Context, n int) error {
	first := len(t.ids)
	for len(t.ids) < n {
		t.ids, t.accepted = append(t.ids, ""), append(t.accepted, new(atomic.Int64))
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(administrators)
	for i := first; i < n; i++ {
		group.Go(func() error {
			tenant, err := t.api.Tenants.Create(groupCtx, client.CreateTenant{Name: "bench " + strconv.Itoa(i+1)})
			if err != nil {
				return err //nolint:wrapcheck // says what is wrong
			}
			t.ids[i] = tenant.ID
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("make tenants: %w", err)
	}
	const activeSQL = `SELECT count(*) FROM tenants WHERE id = ANY($1::uuid[]) AND status = 'active'`
	return t.await(ctx, activeSQL, int64(n))
}

// publication is a number of messages for the first tenants, in turn, over
// some connections.
type publication struct {
	tenants, messages, perCall, connections int
}

// publish publishes them as fast as it goes, and returns when the last row is
// committed.
func (t *tenants) publish(ctx context.Context, p publication) error {
	err := keepCalling(ctx, t.address, p, func(n int) string { return t.ids[n%p.tenants] }, func(n int) {
		t.accepted[n%p.tenants].Add(int64(p.perCall))
	})
	if err != nil {
		return err
	}
	return t.awaitStored(ctx)
}

// keepCalling makes the calls of a publication to an address, the nth for the tenant
// that tenantOf returns, and tells accepted of each.
func keepCalling(ctx context.Context, address string, p publication, tenantOf func(n int) string, accepted func(n int)) error {
	group, groupCtx := errgroup.WithContext(ctx)
	var next atomic.Int64
	calls := int64(p.messages / p.perCall)
	for range p.connections {
		group.Go(func() (err error) {
			pprof.Do(groupCtx, generatorLabel(), func(ctx context.Context) {
				var c *connection
				if c, err = dial(ctx, address); err != nil {
					return
				}
				defer c.close()
				request := newCall(address, p.perCall)
				for n := next.Add(1) - 1; n < calls; n = next.Add(1) - 1 {
					if err = c.post(request, tenantOf(int(n))); err != nil {
						err = errors.Join(err, context.Cause(ctx))
						return
					}
					accepted(int(n))
				}
			})
			return err
		})
	}
	return group.Wait() //nolint:wrapcheck // one of ours
}

// awaitStored returns when as many rows are committed as were accepted. The
// streams' counters are part of the transactions that store.
func (t *tenants) awaitStored(ctx context.Context) error {
	total := int64(0)
	for _, n := range t.accepted {
		total += n.Load()
	}
	const storedSQL = `SELECT coalesce(sum(last_seq), 0)::bigint FROM tenant_streams WHERE tenant_id = ANY($1::uuid[])`
	return t.await(ctx, storedSQL, total)
}

// await asks a question about the tenants until the answer is at least want.
func (t *tenants) await(ctx context.Context, question string, want int64) error {
	tick := time.NewTicker(storedEvery)
	defer tick.Stop()
	last, moved := int64(-1), time.Now()
	for {
		var n int64
		if err := t.db.QueryRow(ctx, question, t.ids).Scan(&n); err != nil {
			return fmt.Errorf("ask the database: %w", err)
		}
		switch {
		case n >= want:
			return nil
		case n != last:
			last, moved = n, time.Now()
		case time.Since(moved) > stallTimeout:
			return fmt.Errorf("%w: %d of %d", errStalled, n, want)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err() //nolint:wrapcheck // nothing to add
		}
	}
}

// verify compares what was stored with what was accepted, for every tenant,
// and returns the number of rows: none missing, none twice, seq from 1
// without holes.
func (t *tenants) verify(ctx context.Context) (int64, error) {
	const storedSQL = `
SELECT count(*), count(DISTINCT id), coalesce(min(seq), 1), coalesce(max(seq), 0), count(DISTINCT seq)
FROM messages WHERE tenant_id = $1`
	total := int64(0)
	for i, id := range t.ids {
		var rows, ids, low, high, seqs int64
		if err := t.db.QueryRow(ctx, storedSQL, id).Scan(&rows, &ids, &low, &high, &seqs); err != nil {
			return total, fmt.Errorf("count messages: %w", err)
		}
		want := t.accepted[i].Load()
		if rows != want || ids != want || seqs != want || low != 1 || high != want {
			return total, fmt.Errorf("%w: tenant %s has %d rows with %d ids and seq %d to %d (%d of them) for %d accepted messages",
				errWrong, id, rows, ids, low, high, seqs, want)
		}
		total += rows
	}
	return total, nil
}

// remove deletes the tenants, and ends.
func (t *tenants) remove(ctx context.Context) error {
	defer t.end()
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(administrators)
	for _, id := range t.ids {
		if id == "" {
			continue
		}
		group.Go(func() error {
			_, err := t.api.Tenants.Delete(groupCtx, id)
			return err //nolint:wrapcheck // says what is wrong
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("remove tenants: %w", err)
	}
	return nil
}

func (t *tenants) end() {
	t.api.Close()
	t.db.Close()
}

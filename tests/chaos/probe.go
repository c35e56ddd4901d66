package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// pollEvery is how often it is looked what is stored; no time is more
	// exact than that.
	pollEvery = 4 * time.Millisecond
	// lateLimit is what counts for a message that is not accepted or stored,
	// and for a history that cannot be read.
	lateLimit = 15 * time.Second
	// probePeriod is how often each tenant is published to and read.
	probePeriod = time.Second
)

// probe measures, for some tenants that get one message a second each and are
// read once a second each, how long that takes from the moment it was due. It
// relies on seq being dense: the nth accepted message of a tenant is stored
// when its stream has come to n.
type probe struct {
	st      *stage
	tenants []string

	mu      sync.Mutex
	waiting map[string][]time.Time // when each message was due that is not stored yet
	stored  map[string]int64       // how many of each tenant are
	times   timings
}

// timings are what a probe measured.
type timings struct {
	accepted []time.Duration // from POST to 202
	stored   []time.Duration // from POST until others can see the row
	read     []time.Duration // of GET /messages
}

func newProbe(st *stage, tenants []string) *probe {
	return &probe{st: st, tenants: tenants, waiting: make(map[string][]time.Time), stored: make(map[string]int64)}
}

// measure publishes and reads for some time and returns how long that took,
// sorted.
func (p *probe) measure(ctx context.Context, length time.Duration) (timings, error) {
	p.times = timings{}
	lookCtx, stop := context.WithCancel(ctx)
	defer stop()
	looked := make(chan error, 1)
	go func() { looked <- p.look(lookCtx) }()
	var work sync.WaitGroup
	begun := time.Now()
	for i, tenant := range p.tenants {
		// Spread over the second, so that they do not come in one burst.
		first := begun.Add(time.Duration(i) * probePeriod / time.Duration(len(p.tenants)))
		work.Go(func() { p.again(ctx, first, begun.Add(length), func(due time.Time) { p.post(ctx, tenant, due) }) })
		work.Go(func() {
			p.again(ctx, first.Add(probePeriod/2), begun.Add(length), func(due time.Time) { p.get(ctx, tenant, due) })
		})
	}
	work.Wait()
	err := await(ctx, lateLimit, "measured messages are stored", func() error {
		if n := p.unstored(); n > 0 {
			return fmt.Errorf("%w: %d are not", errNotReady, n)
		}
		return nil
	})
	stop()
	lookErr := <-looked
	if lookErr != nil && ctx.Err() == nil {
		return timings{}, lookErr
	}
	if err != nil {
		return timings{}, err
	}
	for _, samples := range [][]time.Duration{p.times.accepted, p.times.stored, p.times.read} {
		slices.Sort(samples)
	}
	return p.times, ctx.Err()
}

// again calls work once each probePeriod from first until end.
func (p *probe) again(ctx context.Context, first, end time.Time, work func(due time.Time)) {
	for due := first; due.Before(end) && ctx.Err() == nil; due = due.Add(probePeriod) {
		rest(ctx, time.Until(due))
		work(due)
	}
}

// get reads the newest messages of a tenant.
func (p *probe) get(ctx context.Context, tenant string, due time.Time) {
	r := p.st.client.call(ctx, http.MethodGet, "/api/messages?order=desc&limit=10", tenant, "", nil)
	took := time.Since(due)
	if ctx.Err() != nil {
		return
	}
	if r.err != nil || r.status != http.StatusOK {
		p.st.fail("the history of a quiet tenant could not be read: %s", r.text())
		took = lateLimit
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.times.read = append(p.times.read, took)
}

func (p *probe) post(ctx context.Context, tenant string, due time.Time) {
	attempts := p.st.ledger.open(tenant, 1, false)
	p.mu.Lock()
	p.waiting[tenant] = append(p.waiting[tenant], due)
	p.mu.Unlock()
	outcomes := p.st.client.publish(ctx, attempts)
	took := time.Since(due)
	p.st.ledger.close(attempts, outcomes)
	p.mu.Lock()
	defer p.mu.Unlock()
	if outcomes[0].state == accepted202 || ctx.Err() != nil {
		p.times.accepted = append(p.times.accepted, took)
		return
	}
	p.st.fail("a message of a quiet tenant was not accepted: %s", outcomes[0].why)
	p.waiting[tenant] = slices.DeleteFunc(p.waiting[tenant], func(t time.Time) bool { return t.Equal(due) })
	p.times.accepted, p.times.stored = append(p.times.accepted, lateLimit), append(p.times.stored, lateLimit)
}

func (p *probe) unstored() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, w := range p.waiting {
		n += len(w)
	}
	return n
}

// look notes what is stored, until ctx ends.
func (p *probe) look(ctx context.Context) error {
	const query = `SELECT tenant_id::text, last_seq FROM tenant_streams WHERE tenant_id = ANY($1::uuid[])`
	return p.st.inDatabase(ctx, func(conn *pgx.Conn) error {
		for {
			rows, err := conn.Query(ctx, query, p.tenants)
			if err != nil {
				return whileAlive(ctx, err)
			}
			now := time.Now()
			var tenant string
			var last int64
			if _, err := pgx.ForEachRow(rows, []any{&tenant, &last}, func() error { p.note(tenant, last, now); return nil }); err != nil {
				return whileAlive(ctx, err)
			}
			if !rest(ctx, pollEvery) {
				return nil
			}
		}
	})
}

// whileAlive returns err unless it comes from the end of ctx.
func whileAlive(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return fmt.Errorf("look what is stored: %w", err)
	}
	return nil
}

func (p *probe) note(tenant string, last int64, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.stored[tenant] < last {
		p.stored[tenant]++
		if w := p.waiting[tenant]; len(w) > 0 {
			p.times.stored = append(p.times.stored, now.Sub(w[0]))
			p.waiting[tenant] = w[1:]
		}
	}
}

package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// pollEvery is how often it is looked what is stored; no time is more
	// exact than that.
	pollEvery = 4 * time.Millisecond
	// lateLimit is what a message that is not stored counts as.
	lateLimit = 15 * time.Second
	// worthwhile: quantiles below this are the scheduler's, and count as this.
	worthwhile = 20 * time.Millisecond
	// maxRatio is what is promised.
	maxRatio = 2.0
)

// probe measures, for some tenants that get one message a second each, the
// time from the moment a POST was due to the moment its row can be seen by
// others. It relies on seq being dense: the nth accepted message of a tenant
// is stored when its stream has come to n.
type probe struct {
	st      *stage
	tenants []string

	mu      sync.Mutex
	waiting map[string][]time.Time // when each message was due that is not stored yet
	stored  map[string]int64       // how many of each tenant are
	samples []time.Duration
}

func newProbe(st *stage, tenants []string) *probe {
	return &probe{st: st, tenants: tenants, waiting: make(map[string][]time.Time), stored: make(map[string]int64)}
}

// measure publishes for some time and returns how long each message took,
// sorted.
func (p *probe) measure(ctx context.Context, length time.Duration) ([]time.Duration, error) {
	p.samples = nil
	lookCtx, stop := context.WithCancel(ctx)
	defer stop()
	looked := make(chan error, 1)
	go func() { looked <- p.look(lookCtx) }()
	var work sync.WaitGroup
	begun := time.Now()
	for i, tenant := range p.tenants {
		// Spread over the second, so that they do not come in one burst.
		first := begun.Add(time.Duration(i) * time.Second / time.Duration(len(p.tenants)))
		work.Go(func() {
			for due := first; due.Sub(begun) < length && ctx.Err() == nil; due = due.Add(time.Second) {
				rest(ctx, time.Until(due))
				p.post(ctx, tenant, due)
			}
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
		return nil, lookErr
	}
	if err != nil {
		return nil, err
	}
	slices.Sort(p.samples)
	return p.samples, ctx.Err()
}

func (p *probe) post(ctx context.Context, tenant string, due time.Time) {
	attempts := p.st.ledger.open(tenant, 1, false)
	p.mu.Lock()
	p.waiting[tenant] = append(p.waiting[tenant], due)
	p.mu.Unlock()
	outcomes := p.st.client.publish(ctx, attempts)
	p.st.ledger.close(attempts, outcomes)
	if outcomes[0].state == accepted202 || ctx.Err() != nil {
		return
	}
	p.st.fail("a message of a quiet tenant was not accepted: %s", outcomes[0].why)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting[tenant] = slices.DeleteFunc(p.waiting[tenant], func(t time.Time) bool { return t.Equal(due) })
	p.samples = append(p.samples, lateLimit)
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
			p.samples = append(p.samples, now.Sub(w[0]))
			p.waiting[tenant] = w[1:]
		}
	}
}

// quantile returns the q-quantile of sorted samples.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// undisturbed measures the tenants alone and then during a disturbance, and
// fails when the p99 is more than twice as long.
func (st *stage) undisturbed(ctx context.Context, p *probe, length time.Duration, disturb func(ctx context.Context, meanwhile func() error) error) error {
	return st.within(ctx, maxRatio, p, length, disturb)
}

// within is undisturbed with another ratio. One bad measurement is repeated:
// the machine may have had something else to do.
func (st *stage) within(ctx context.Context, most float64, p *probe, length time.Duration, disturb func(ctx context.Context, meanwhile func() error) error) error {
	const tries = 2
	for try := 1; ; try++ {
		alone, err := p.measure(ctx, length)
		if err != nil {
			return err
		}
		var disturbed []time.Duration
		err = disturb(ctx, func() (err error) {
			disturbed, err = p.measure(ctx, length)
			return err
		})
		if err != nil {
			return err
		}
		a, d := quantile(alone, st.quantile), quantile(disturbed, st.quantile)
		ratio := float64(max(d, worthwhile)) / float64(max(a, worthwhile))
		st.show(fmt.Sprintf("p%.0f alone, disturbed (%d)", 100*st.quantile, try), "%s, %s: %.2fx of %d and %d messages (p50 %s, %s)", millis(a), millis(d), ratio,
			len(alone), len(disturbed), millis(quantile(alone, 0.5)), millis(quantile(disturbed, 0.5)))
		if ratio <= most*st.slack {
			return nil
		}
		if try == tries {
			st.fail("the p%.0f of the others is %.2fx", 100*st.quantile, ratio)
			return nil
		}
	}
}

func millis(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}

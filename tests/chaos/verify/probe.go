package verify

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"lanekeeper/tests/chaos/env"
	"lanekeeper/tests/chaos/ledger"
	"lanekeeper/tests/chaos/load"
	"lanekeeper/tests/chaos/receiver"
	"lanekeeper/tests/chaos/report"
	"lanekeeper/tests/chaos/wait"
)

const (
	// pollEvery is the time between two queries of what is stored; no time is more
	// exact than that.
	pollEvery = 4 * time.Millisecond
	// lateLimit is what counts for a message that is not accepted or stored, for a
	// history that cannot be read, and for a login that is refused.
	lateLimit = 15 * time.Second
	// ProbePeriod is how often each tenant is published to and read.
	ProbePeriod = time.Second
	// loginPeriod is how often its user logs in. A login keeps a processor busy
	// itself.
	loginPeriod = ProbePeriod / 2
)

// Probe measures, for some tenants that get one message a second each and are
// read once a second each, and for a user that logs in, how long that takes from the
// moment it was due. It
// relies on seq being dense: the nth accepted message of a tenant is stored
// when its stream has come to n.
type Probe struct {
	env     *env.Env
	client  *load.Client
	ledger  *ledger.Ledger
	result  *report.Result
	tenants []string
	// Endpoints are those at which it is measured, too, when a tenant's messages
	// arrive; it needs none. They must have got every message of their tenant.
	Endpoints map[string]*receiver.Endpoint
	// User logs in all the while, which is measured, too; nil for nobody.
	User *load.Account
	// ReadOnly: nothing is published.
	ReadOnly bool

	mu      sync.Mutex
	waiting map[string][]time.Time         // when each message was due that is not stored yet
	stored  map[string]int64               // how many of each tenant are
	due     map[string]map[int64]time.Time // when each message was, by seq, until it has arrived
	times   Timings
}

// Timings are what a probe measured.
type Timings struct {
	accepted []time.Duration // from POST to 202
	stored   []time.Duration // from POST until others can see the row
	read     []time.Duration // of GET /messages
	arrived  []time.Duration // from POST to the endpoint; none without endpoints
	login    []time.Duration // of POST /login; none without a user
}

// NewProbe returns a probe for these tenants, which notes what goes wrong in the
// result.
func NewProbe(e *env.Env, c *load.Client, l *ledger.Ledger, r *report.Result, tenants []string) *Probe {
	return &Probe{
		env: e, client: c, ledger: l, result: r, tenants: tenants,
		waiting: make(map[string][]time.Time), stored: make(map[string]int64), due: make(map[string]map[int64]time.Time),
	}
}

// Measure publishes and reads for some time and returns how long that took,
// sorted.
func (p *Probe) Measure(ctx context.Context, length time.Duration) (Timings, error) {
	p.times = Timings{}
	pollCtx, stop := context.WithCancel(ctx)
	defer stop()
	polled := make(chan error, 1)
	go func() { polled <- p.pollStored(pollCtx) }()
	var work sync.WaitGroup
	begun := time.Now()
	for i, tenant := range p.tenants {
		// Spread over the second, so that they do not come in one burst.
		first := begun.Add(time.Duration(i) * ProbePeriod / time.Duration(len(p.tenants)))
		if !p.ReadOnly {
			work.Go(func() {
				again(ctx, first, begun.Add(length), ProbePeriod, func(due time.Time) { p.post(ctx, tenant, due) })
			})
		}
		work.Go(func() {
			again(ctx, first.Add(ProbePeriod/2), begun.Add(length), ProbePeriod, func(due time.Time) { p.get(ctx, tenant, due) })
		})
	}
	if p.User != nil {
		work.Go(func() { again(ctx, begun, begun.Add(length), loginPeriod, func(due time.Time) { p.login(ctx, due) }) })
	}
	work.Wait()
	err := wait.Until(ctx, lateLimit, "measured messages are stored", func() error {
		if n := p.unstored(); n > 0 {
			return fmt.Errorf("%w: %d are not", wait.ErrNotReady, n)
		}
		return nil
	})
	stop()
	pollErr := <-polled
	if pollErr != nil && ctx.Err() == nil {
		return Timings{}, pollErr
	}
	if err != nil {
		return Timings{}, err
	}
	if err := p.awaitArrivals(ctx); err != nil {
		return Timings{}, err
	}
	for _, samples := range [][]time.Duration{p.times.accepted, p.times.stored, p.times.read, p.times.arrived, p.times.login} {
		slices.Sort(samples)
	}
	return p.times, ctx.Err()
}

// again calls work once each period from first until end.
func again(ctx context.Context, first, end time.Time, period time.Duration, work func(due time.Time)) {
	for due := first; due.Before(end) && ctx.Err() == nil; due = due.Add(period) {
		wait.For(ctx, time.Until(due))
		work(due)
	}
}

// get reads the newest messages of a tenant.
func (p *Probe) get(ctx context.Context, tenant string, due time.Time) {
	r := p.client.Call(ctx, http.MethodGet, "/api/messages?order=desc&limit=10", tenant, "", nil)
	took := time.Since(due)
	if ctx.Err() != nil {
		return
	}
	if r.Err != nil || r.Status != http.StatusOK {
		p.result.Fail("the history of a quiet tenant could not be read: %s", r.Text())
		took = lateLimit
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.times.read = append(p.times.read, took)
}

// login logs the user in.
func (p *Probe) login(ctx context.Context, due time.Time) {
	r := p.client.Login(ctx, *p.User)
	took := time.Since(due)
	if ctx.Err() != nil {
		return
	}
	if r.Err != nil || r.Status != http.StatusOK {
		p.result.Fail("a user could not log in: %s", r.Text())
		took = lateLimit
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.times.login = append(p.times.login, took)
}

func (p *Probe) post(ctx context.Context, tenant string, due time.Time) {
	attempts := p.ledger.Open(tenant, 1, false)
	p.mu.Lock()
	p.waiting[tenant] = append(p.waiting[tenant], due)
	p.mu.Unlock()
	outcomes := p.client.Publish(ctx, attempts)
	took := time.Since(due)
	p.ledger.Close(attempts, outcomes)
	p.mu.Lock()
	defer p.mu.Unlock()
	if outcomes[0].State == ledger.Accepted || ctx.Err() != nil {
		p.times.accepted = append(p.times.accepted, took)
		return
	}
	p.result.Fail("a message of a quiet tenant was not accepted: %s", outcomes[0].Why)
	p.waiting[tenant] = slices.DeleteFunc(p.waiting[tenant], func(t time.Time) bool { return t.Equal(due) })
	p.times.accepted, p.times.stored = append(p.times.accepted, lateLimit), append(p.times.stored, lateLimit)
}

// awaitArrivals waits until what was measured is at the endpoints, and notes when it
// came there first.
func (p *Probe) awaitArrivals(ctx context.Context) error {
	return wait.Until(ctx, lateLimit, "measured messages are delivered", func() error {
		p.mu.Lock()
		defer p.mu.Unlock()
		left := 0
		for tenant, e := range p.Endpoints {
			due := p.due[tenant]
			for _, a := range e.Arrivals() {
				if at, ok := due[a.Seq]; ok && a.Taken {
					p.times.arrived = append(p.times.arrived, a.At.Sub(at))
					delete(due, a.Seq)
				}
			}
			left += len(due)
		}
		if left > 0 {
			return fmt.Errorf("%w: %d are not", wait.ErrNotReady, left)
		}
		return nil
	})
}

func (p *Probe) unstored() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, w := range p.waiting {
		n += len(w)
	}
	return n
}

// pollStored notes what is stored, until ctx ends.
func (p *Probe) pollStored(ctx context.Context) error {
	const query = `SELECT tenant_id::text, last_seq FROM tenant_streams WHERE tenant_id = ANY($1::uuid[])`
	return p.env.InDatabase(ctx, func(conn *pgx.Conn) error {
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
			if !wait.For(ctx, pollEvery) {
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

func (p *Probe) note(tenant string, last int64, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.stored[tenant] < last {
		p.stored[tenant]++
		if w := p.waiting[tenant]; len(w) > 0 {
			p.times.stored = append(p.times.stored, now.Sub(w[0]))
			p.waiting[tenant] = w[1:]
			if p.Endpoints[tenant] != nil {
				if p.due[tenant] == nil {
					p.due[tenant] = make(map[int64]time.Time)
				}
				p.due[tenant][p.stored[tenant]] = w[0]
			}
		}
	}
}

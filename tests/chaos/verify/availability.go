package verify

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"lanekeeper/tests/chaos/ledger"
	"lanekeeper/tests/chaos/load"
	"lanekeeper/tests/chaos/report"
	"lanekeeper/tests/chaos/wait"
)

// Availability publishes to every tenant while servers are away and checks the
// answers: 202, or 503 that says when to try again.
type Availability struct {
	client  *load.Client
	ledger  *ledger.Ledger
	result  *report.Result
	tenants []string

	mu       sync.Mutex
	refusals int
}

// NewAvailability returns one that notes what goes wrong in the result.
func NewAvailability(c *load.Client, l *ledger.Ledger, r *report.Result, tenants []string) *Availability {
	return &Availability{client: c, ledger: l, result: r, tenants: tenants}
}

// publish publishes one message and returns nil when it is accepted.
func (a *Availability) publish(ctx context.Context, tenant string) error {
	attempts := a.ledger.Open(tenant, 1, false)
	r := a.client.Call(ctx, http.MethodPost, "/api/messages", tenant, "", fmt.Appendf(nil, `{"payload":%s}`, attempts[0].Payload))
	a.ledger.Close(attempts, []ledger.Outcome{load.OutcomeOf(r)})
	switch {
	case r.Err == nil && r.Status == http.StatusAccepted:
		return nil
	case ctx.Err() != nil: // the answer is not waited for any more
		return ctx.Err()
	case r.Err != nil || r.Status != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "":
		a.result.Fail("while a broker was away: %s, Retry-After %q", r.Text(), r.Header.Get("Retry-After"))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refusals++
	return fmt.Errorf("%w: %s", wait.ErrNotReady, r.Text())
}

// each calls do for all tenants at the same time.
func (a *Availability) each(do func(tenant string) error) error {
	var work sync.WaitGroup
	errs := make([]error, len(a.tenants))
	for i, tenant := range a.tenants {
		work.Go(func() { errs[i] = do(tenant) })
	}
	work.Wait()
	return errors.Join(errs...)
}

// AcceptedByAll waits until every tenant has accepted a message.
func (a *Availability) AcceptedByAll(ctx context.Context) error {
	return a.AcceptedWithin(ctx, load.RecoverLimit)
}

// AcceptedWithin is AcceptedByAll with another limit.
func (a *Availability) AcceptedWithin(ctx context.Context, limit time.Duration) error {
	return a.each(func(tenant string) error {
		return wait.Until(ctx, limit, "tenant "+tenant+" accepts a message", func() error { return a.publish(ctx, tenant) })
	})
}

// During publishes to every tenant for a while, whatever the answers.
func (a *Availability) During(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	_ = a.each(func(tenant string) error {
		for wait.For(ctx, load.RetryPause) {
			_ = a.publish(ctx, tenant) // counted
		}
		return nil
	})
}

// Report shows how often publishing was refused.
func (a *Availability) Report() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.result.Show("503 with Retry-After", "%d while a broker was away", a.refusals)
}

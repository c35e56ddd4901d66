package scenario

import (
	"context"
	"fmt"
	"time"

	"lanekeeper/tests/chaos/load"
	"lanekeeper/tests/chaos/verify"
)

// underLoad runs fault times times, spread evenly over the load of the
// scenario, and has everything checked.
func (t *trial) underLoad(ctx context.Context, times, publications int, fault func(ctx context.Context, l *load.Load) error) error {
	if err := t.bootDirect(ctx, t.figures.tenants); err != nil {
		return err
	}
	return t.breakLoad(ctx, times, publications, fault)
}

func (t *trial) breakLoad(ctx context.Context, times, publications int, fault func(ctx context.Context, l *load.Load) error) error {
	begun := time.Now()
	interval := time.Duration(0)
	if publications <= t.background {
		interval = load.BackgroundPause
	}
	l, end := t.startLoad(ctx, interval)
	defer end()
	for i := range times {
		if err := l.AwaitAccepted(ctx, (i+1)*publications/(times+1)); err != nil {
			return err
		}
		if err := fault(ctx, l); err != nil {
			return fmt.Errorf("fault %d of %d: %w", i+1, times, err)
		}
	}
	if err := l.AwaitAccepted(ctx, publications); err != nil {
		return err
	}
	l.Stop()
	t.Show("load", "%d accepted in %.0f s", l.Accepted.Load(), time.Since(begun).Seconds())
	return t.check(ctx)
}

// undisturbed measures the tenants alone and then during a disturbance, and
// fails when the p99 of POST to 202, of POST to stored, of GET /messages or of a
// login is more than twice as long.
func (t *trial) undisturbed(ctx context.Context, p *verify.Probe, length time.Duration, disturb func(ctx context.Context, meanwhile func() error) error) error {
	return t.within(ctx, verify.Bounds{Stored: verify.MaxRatio}, p, length, disturb)
}

// within is undisturbed with other bounds.
func (t *trial) within(ctx context.Context, most verify.Bounds, p *verify.Probe, length time.Duration, disturb func(ctx context.Context, meanwhile func() error) error) error {
	most.Quantile, most.Slack = t.quantile, t.slack
	return verify.Within(ctx, t.Env, t.Result, most, p, length, disturb)
}

// quietAndOther starts the service with one tenant that will disturb, and
// others that are measured.
func (t *trial) quietAndOther(ctx context.Context) (noisy string, p *verify.Probe, err error) {
	all, p, err := t.quietAndOthers(ctx, 1)
	if err != nil {
		return "", nil, err
	}
	return all[0], p, nil
}

// quietAndOthers is quietAndOther for so many tenants that will disturb.
func (t *trial) quietAndOthers(ctx context.Context, n int) (noisy []string, p *verify.Probe, err error) {
	if err := t.bootDirect(ctx, t.others+n); err != nil {
		return nil, nil, err
	}
	p = t.newProbe(t.tenants[n:])
	p.User = &load.Account{Email: "bystander@example.com", Password: "correct horse battery"}
	if err := t.client.AddUser(ctx, *p.User, "member"); err != nil {
		return nil, nil, err
	}
	// Connections, plans and caches are warm before anything is measured.
	if _, err := p.Measure(ctx, 2*time.Second); err != nil {
		return nil, nil, err
	}
	return t.tenants[:n], p, nil
}

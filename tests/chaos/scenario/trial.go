package scenario

import (
	"context"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"time"

	"lanekeeper/tests/chaos/env"
	"lanekeeper/tests/chaos/ledger"
	"lanekeeper/tests/chaos/load"
	"lanekeeper/tests/chaos/report"
	"lanekeeper/tests/chaos/verify"
	"lanekeeper/tests/chaos/wait"
)

// trial is a scenario that is being run: its environment, the clients of the
// service, what they know of their messages, and what came out.
type trial struct {
	*env.Env
	*report.Result
	figures

	scenario scenario
	random   *rand.Rand
	client   *load.Client
	ledger   *ledger.Ledger
	tenants  []string
	// forgives reports which kinds of findings the fault itself is known to
	// cost. A scenario that sets it accounts for each of them. Nil forgives none.
	forgives func(kind string) bool
}

func (r *Runner) newTrial(ctx context.Context, s scenario, res *report.Result) (*trial, error) {
	t := &trial{Result: res, figures: r.figures, scenario: s, random: r.random(s.name)}
	var err error
	if t.Env, err = r.shared.NewEnv(ctx, s.name); err != nil {
		return nil, err
	}
	t.ledger, err = ledger.New(filepath.Join(t.Dir, "ledger"))
	return t, err
}

// boot starts the service on these addresses, which may be those of proxies,
// and makes tenants.
func (t *trial) boot(ctx context.Context, databaseURL, brokerURL string, tenants int) error {
	program, more := t.Shared.Program, t.scenario.environment
	if t.scenario.bug != "" {
		program, more = t.Shared.Bugs, append([]string{"CHAOS_BUG=" + t.scenario.bug}, more...)
	}
	if t.Exchanges = t.scenario.exchanges; t.Exchanges {
		more = append([]string{"RABBITMQ_MANAGEMENT_URL=" + t.Servers.ManagementURL()}, more...)
	}
	var err error
	if t.Service, err = env.NewService(program, filepath.Join(t.Dir, "service.log"), databaseURL, brokerURL, more...); err != nil {
		return err
	}
	if t.scenario.files > 0 {
		t.Service.LimitFiles(t.scenario.files)
	}
	t.client = load.NewClient(t.Service.URL())
	if err := t.Service.Start(ctx); err != nil {
		return err
	}
	t.tenants, err = t.client.CreateTenants(ctx, "tenant", tenants)
	return err
}

// bootDirect starts the service without a proxy.
func (t *trial) bootDirect(ctx context.Context, tenants int) error {
	return t.boot(ctx, t.DatabaseURL, t.BrokerURL, tenants)
}

// close ends everything that belongs to the trial.
func (t *trial) close(ctx context.Context) error {
	err := t.Close(ctx)
	if t.client != nil {
		t.client.CloseIdle()
	}
	return errors.Join(err, t.ledger.Finish())
}

// say reports the progress of the scenario.
func (t *trial) say(format string, args ...any) {
	t.Shared.Say(t.scenario.name+": "+format, args...)
}

// checker returns one for all that the trial knows.
func (t *trial) checker() *verify.Checker {
	return &verify.Checker{Env: t.Env, Result: t.Result, Client: t.client, Ledger: t.ledger, Forgives: t.forgives}
}

// check waits until the queues are empty, ends the service, and compares what is
// stored with the ledger.
func (t *trial) check(ctx context.Context) error { return t.checker().Check(ctx) }

// newProbe returns a probe for these tenants.
func (t *trial) newProbe(tenants []string) *verify.Probe {
	return verify.NewProbe(t.Env, t.client, t.ledger, t.Result, tenants)
}

// newAvailability returns one for all tenants.
func (t *trial) newAvailability() *verify.Availability {
	return verify.NewAvailability(t.client, t.ledger, t.Result, t.tenants)
}

// newLoad returns a load that has not started.
func (t *trial) newLoad() *load.Load { return load.New(t.client, t.ledger) }

// startLoad starts a load to all tenants, and returns what cuts it off: Stop lets
// what it has begun come to its end.
func (t *trial) startLoad(ctx context.Context, interval time.Duration) (l *load.Load, end func()) {
	ctx, cancel := context.WithCancel(ctx)
	l = t.newLoad()
	l.Start(ctx, t.tenants, interval, t.random)
	return l, func() { cancel(); l.Stop() }
}

// converging is how long creating and deleting may take to end.
func (t *trial) converging() time.Duration {
	return time.Duration(float64(convergeLimit) * t.slack)
}

// awaitSettled waits until creating and deleting tenants has converged.
func (t *trial) awaitSettled(ctx context.Context) error {
	return wait.Until(ctx, t.converging(), "every tenant is fully there or fully gone", func() error {
		wait.For(ctx, 2*wait.Interval)
		return verify.Settled(ctx, t.Env)
	})
}

package scenario

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"lanekeeper/tests/chaos/env"
	"lanekeeper/tests/chaos/verify"
	"lanekeeper/tests/chaos/wait"
)

const (
	// brokerOutage is how long the broker is away, besides the time it takes to
	// start.
	brokerOutage = 10 * time.Second
	// maxIdleCPU is how much of one core the service may use meanwhile.
	maxIdleCPU = 0.2
	// callPause is how long clients that notice requests that hang wait between two
	// calls.
	callPause = 250 * time.Millisecond
	// settleLimit is how long it may take until nothing is left of the outage.
	settleLimit = 30 * time.Second
)

// brokerRestart takes the broker away from many consumers at once: first in
// good order, then by a kill.
func brokerRestart(ctx context.Context, t *trial) error {
	if err := t.bootDirect(ctx, 0); err != nil {
		return err
	}
	begun := time.Now()
	var err error
	if t.tenants, err = t.client.CreateTenants(ctx, "tenant", t.crowd); err != nil {
		return err
	}
	t.Show("created", "%d tenants in %.0f s", t.crowd, time.Since(begun).Seconds())
	if err := wait.Until(ctx, settleLimit, "all consumers run", func() error { return verify.AllConsumed(ctx, t.Env, t.client, t.tenants) }); err != nil {
		return err
	}
	err = errors.Join(
		takeBrokerAway(ctx, t, "stopped", t.Servers.RabbitMQ.Stop),
		takeBrokerAway(ctx, t, "killed", func(context.Context) error { t.Servers.RabbitMQ.Kill(); return nil }),
	)
	return errors.Join(err, t.check(ctx))
}

// takeBrokerAway ends the broker, starts it again, and holds the service to what
// is promised for the time from then on.
func takeBrokerAway(ctx context.Context, t *trial, how string, end func(context.Context) error) error {
	before, err := t.client.Metrics(ctx)
	if err != nil {
		return err
	}
	calls := startCalls(ctx, t)
	defer calls()
	if err := end(ctx); err != nil {
		return fmt.Errorf("end the broker: %w", err)
	}
	down, err := t.client.Metrics(ctx)
	if err != nil {
		return err
	}
	ended := time.Now()
	explains(ctx, t, "the broker was "+how, t.tenants[0], "broker_away")
	wait.For(ctx, brokerOutage-time.Since(ended))
	restarted := make(chan error, 1)
	go func() { restarted <- t.Servers.RabbitMQ.Start(ctx) }()
	open, err := awaitPort(ctx, t)
	if err != nil {
		return errors.Join(err, <-restarted)
	}
	up, err := t.client.Metrics(ctx)
	if err != nil {
		return errors.Join(err, <-restarted)
	}
	cpu := (up["process_cpu_seconds_total"] - down["process_cpu_seconds_total"]) / time.Since(ended).Seconds()
	answered := make(chan error, 1)
	go func() { answered <- awaitAnswers(ctx, t, how, open) }()
	err = wait.Until(ctx, 4*t.crowdLimit, "all consumers are back", func() error { return verify.AllConsumed(ctx, t.Env, t.client, t.tenants) })
	back := time.Since(open)
	if err := errors.Join(err, <-restarted, <-answered); err != nil {
		return err
	}
	t.Show(how+": consumers back", "%.1f s after the port was open", back.Seconds())
	t.Show(how+": CPU meanwhile", "%.1f %% of one core in %.0f s", 100*cpu, open.Sub(ended).Seconds())
	if float64(back) > t.slack*float64(t.crowdLimit) {
		t.Fail("%s: consumers took %v to be back", how, back)
	}
	if cpu > maxIdleCPU {
		t.Fail("%s: the service used %.0f %% of a core while the broker was away", how, 100*cpu)
	}
	calls()
	return awaitCalm(ctx, t, how, before["go_goroutines"])
}

// startCalls calls the service all the time as its users do, until the
// returned function is called. How long that takes is noted by the client.
func startCalls(ctx context.Context, t *trial) (stop func()) {
	callCtx, cancel := context.WithCancel(ctx)
	l := t.newLoad()
	var work sync.WaitGroup
	work.Go(func() {
		for i := 0; callCtx.Err() == nil; i++ {
			l.Send(ctx, t.tenants[i%len(t.tenants)], 1, false)
			wait.For(callCtx, callPause)
		}
	})
	work.Go(func() {
		for callCtx.Err() == nil {
			if r := t.client.Call(ctx, http.MethodGet, "/api/tenants?limit=100", "", "", nil); r.Status != http.StatusOK {
				t.Fail("list tenants while the broker is away: %s", r.Text())
			}
			wait.For(callCtx, callPause)
		}
	})
	return func() { cancel(); work.Wait() }
}

// awaitPort waits until the broker's port is open and returns when that was.
func awaitPort(ctx context.Context, t *trial) (time.Time, error) {
	u, err := url.Parse(t.BrokerURL)
	if err != nil {
		return time.Time{}, fmt.Errorf("read an address: %w", err)
	}
	dialer := net.Dialer{Timeout: time.Second}
	err = wait.Until(ctx, 5*time.Minute, "the broker's port is open", func() error {
		conn, err := dialer.DialContext(ctx, "tcp", u.Host)
		if err != nil {
			return fmt.Errorf("connect to the broker: %w", err)
		}
		return conn.Close()
	})
	return time.Now(), err
}

// awaitAnswers shows when the broker itself had something to say on every
// queue: no consumer can be back before.
func awaitAnswers(ctx context.Context, t *trial, how string, since time.Time) error {
	for i := 0; i < len(t.tenants); {
		err := t.EachQueue(env.QueuesOf(t.tenants[i:]), func(amqp.Queue) error { i++; return nil })
		if err != nil && !wait.For(ctx, wait.Interval) {
			return err
		}
	}
	t.Show(how+": queues answer", "%.1f s after the port was open", time.Since(since).Seconds())
	return nil
}

// awaitCalm waits until there are no more goroutines than before, within what
// connections of others make of it: less than one for each consumer.
func awaitCalm(ctx context.Context, t *trial, how string, before float64) error {
	now := 0.0
	err := wait.Until(ctx, settleLimit, "nothing is left of the outage", func() error {
		m, err := t.client.Metrics(ctx)
		if err != nil {
			return err
		}
		if now = m["go_goroutines"]; now > before+float64(len(t.tenants))/2 {
			return fmt.Errorf("%w: %.0f goroutines, %.0f before", wait.ErrNotReady, now, before)
		}
		return nil
	})
	t.Show(how+": goroutines", "%.0f before, %.0f after", before, now)
	if err != nil {
		t.Fail("%s: %v", how, err)
	}
	return nil
}

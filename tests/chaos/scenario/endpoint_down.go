package scenario

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"lanekeeper/tests/chaos/receiver"
	"lanekeeper/tests/chaos/verify"
	"lanekeeper/tests/chaos/wait"
)

const (
	// downProbes is how often one delivery is tried while the breaker is open.
	downProbes = 500 * time.Millisecond
	// downSteps is how many waits of a second the schedule has: so few that
	// everything would be given up long before the endpoint is back.
	downSteps = 2
	// downMemory is what the service may take while it delivers the backlog.
	downMemory = 384 << 20
)

// endpointDown has an endpoint be away for longer than its schedule is, in front of
// a backlog.
func endpointDown(ctx context.Context, t *trial) (err error) {
	d, err := newDeliveries(ctx, t)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	if err := t.bootDirect(ctx, 1); err != nil {
		return err
	}
	tenant := t.tenants[0]
	s, err := d.subscribe(ctx, t.client, tenant, receiver.Refuses(0), map[string]any{"retry": quickRetries(downSteps)})
	if err != nil {
		return err
	}
	begun := time.Now()
	if err := fillAtOnce(ctx, t, t.downBacklog); err != nil {
		return err
	}
	if err := verify.AwaitStored(ctx, t.Env, tenant, int64(t.downBacklog), deliverResume); err != nil {
		return err
	}
	t.Show("stored while it was down", "%d messages in %.1f s", t.downBacklog, time.Since(begun).Seconds())
	if err := whileDown(ctx, d, s); err != nil {
		return err
	}
	if err := t.ForgetPeaks(); err != nil {
		return err
	}
	s.Answer(receiver.Takes(0))
	back := time.Now()
	p, ok := predict(ctx, t, tenant, "endpoint_behind")
	if err := verify.AwaitDelivered(ctx, t.Env, d.receiver, d.subscriptions, deliveredLimit); err != nil {
		return err
	}
	_, last := s.Taken()
	if ok {
		t.Predicted("the backlog at the endpoint", p.expected, last.Sub(p.at))
	}
	t.Show("the backlog arrived", "%.1f s after it was back, %.0f messages a second", last.Sub(back).Seconds(), float64(t.downBacklog)/last.Sub(back).Seconds())
	memory, err := t.PeakMemory()
	if err != nil {
		return err
	}
	t.Show("memory at most", "%d MiB", memory>>20)
	if memory > downMemory {
		t.Fail("the service took %d MiB, not at most %d", memory>>20, downMemory>>20)
	}
	return d.check(ctx)
}

// fillAtOnce publishes so many messages to the only tenant, by several clients.
func fillAtOnce(ctx context.Context, t *trial, n int) error {
	const size, clients = 500, 4
	batches := make(chan int)
	l := t.newLoad()
	l.Envelope = envelope
	var work sync.WaitGroup
	for range clients {
		work.Go(func() {
			for size := range batches {
				l.Send(ctx, t.tenants[0], size, true)
			}
		})
	}
	for done := 0; done < n; done += size {
		batches <- min(size, n-done)
	}
	close(batches)
	work.Wait()
	return ctx.Err()
}

// whileDown waits until the breaker is open, and looks whether it stays so while
// nothing is given up and only probes come.
func whileDown(ctx context.Context, d *deliveries, s *verify.Subscription) error {
	t := d.t
	err := wait.Until(ctx, deliverResume, "the breaker is open", func() error {
		state, err := d.state(ctx, s)
		if err == nil && !state.Breaker.Open {
			return fmt.Errorf("%w: %+v", wait.ErrNotReady, state)
		}
		return err
	})
	if err != nil {
		return err
	}
	explains(ctx, t, "an endpoint is away", t.tenants[0], "breaker_open")
	before := len(s.Arrivals())
	if !wait.For(ctx, t.downFor) {
		return ctx.Err()
	}
	attempts := len(s.Arrivals())
	state, err := d.state(ctx, s)
	if err != nil {
		return err
	}
	t.Show("attempts while it was down", "%d until the breaker opened, %d in %v after that", before, attempts-before, t.downFor)
	if most := 2 * int(t.downFor/downProbes); attempts-before > most {
		t.Fail("%d probes in %v, not at most %d", attempts-before, t.downFor, most)
	}
	if attempts-before == 0 {
		t.Fail("nothing was tried while the breaker was open")
	}
	lag := state.Lag == int64(t.downBacklog)
	if !state.Breaker.Open || state.Status != "active" || !lag {
		t.Fail("after %v the endpoint is %+v, and %d messages should be missing", t.downFor, state, t.downBacklog)
	}
	return nil
}

package scenario

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"lanekeeper/tests/chaos/fault"
	"lanekeeper/tests/chaos/load"
	"lanekeeper/tests/chaos/verify"
	"lanekeeper/tests/chaos/wait"
)

const (
	// crowdStarts is how often the service with many tenants is started again,
	// and crowdStartLimit how long it may take until all of them are consumed.
	crowdStarts     = 3
	crowdStartLimit = 30 * time.Second
	// crowdPoll is the time between two checks of the consumers: they are not to
	// be what the service is busy with.
	crowdPoll = 250 * time.Millisecond
	// crowdSettle is how long after that a connection may still be lost.
	crowdSettle = 10 * time.Second
)

// crowd starts the service again and again with very many tenants: first on a
// broker that does nothing else, then on one that others keep busy.
func crowd(ctx context.Context, t *trial) error {
	if err := t.bootDirect(ctx, 0); err != nil {
		return err
	}
	if err := createCrowd(ctx, t); err != nil {
		return err
	}
	lost := &verify.LostConnections{Service: t.Service}
	for i := range crowdStarts {
		if err := startBusy(ctx, t, lost, fmt.Sprintf("start %d", i+1), i > 0); err != nil {
			return err
		}
	}
	if err := sendToAll(ctx, t); err != nil {
		return err
	}
	if err := lost.Count(); err != nil {
		return err
	}
	t.Show("connections lost", "%d", lost.N)
	if lost.N > 0 {
		t.Fail("the service lost %d connections to the broker", lost.N)
	}
	return t.check(ctx)
}

// createCrowd makes the tenants and waits until all are consumed.
func createCrowd(ctx context.Context, t *trial) error {
	begun := time.Now()
	t.tenants = make([]string, t.many)
	var late atomic.Int64
	var group errgroup.Group
	group.SetLimit(load.Clients)
	for i := range t.tenants {
		group.Go(func() error {
			id, r := t.client.CreateTenant(ctx, fmt.Sprintf("tenant %d", i), "")
			if id == "" {
				return errors.Join(fmt.Errorf("%w: create a tenant: %s", load.ErrUnexpected, r.Text()), r.Err)
			}
			if r.Status == http.StatusAccepted { // it is there, and not yet ready
				late.Add(1)
			}
			t.tenants[i] = id
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	t.Show("created", "%d tenants in %.0f s, %d of them not ready when that was answered", t.many, time.Since(begun).Seconds(), late.Load())
	return wait.Until(ctx, settleLimit, "all consumers run", func() error { return verify.AllConsumed(ctx, t.Env, t.client, t.tenants) })
}

// startBusy is startAgain, where busy says so on a broker that others keep busy.
func startBusy(ctx context.Context, t *trial, lost *verify.LostConnections, what string, busy bool) error {
	if !busy {
		return startAgain(ctx, t, lost, what)
	}
	l, err := fault.StartBrokerLoad(ctx, t.Env)
	if err != nil {
		return err
	}
	wait.For(ctx, 2*time.Second) // until it is at its rate
	err = startAgain(ctx, t, lost, what+", broker busy")
	rate, stopErr := l.Stop(ctx)
	t.Show(what+": load", "%.0f messages a second confirmed to others", rate)
	return errors.Join(err, stopErr)
}

// startAgain ends the service in good order, starts it, and waits until all
// tenants are consumed and a while longer.
func startAgain(ctx context.Context, t *trial, lost *verify.LostConnections, what string) error {
	if err := lost.Count(); err != nil {
		return err
	}
	took, err := t.Service.Terminate(ctx)
	if err != nil {
		return err
	}
	if err := lost.Skip(); err != nil { // those that it ended itself
		return err
	}
	begun := time.Now()
	if err := t.Service.Start(ctx); err != nil {
		return err
	}
	ready := time.Since(begun)
	calls := startCrowdCalls(ctx, t)
	defer calls()
	err = wait.Until(ctx, 4*crowdStartLimit, "all consumers run", func() error {
		err := verify.AllRun(ctx, t.client, len(t.tenants))
		if err != nil {
			wait.For(ctx, crowdPoll)
		}
		return err
	})
	all := time.Since(begun)
	if err != nil {
		return err
	}
	// The broker has to agree; asking it takes a while.
	if err := wait.Until(ctx, settleLimit, "all queues have their consumer", func() error { return verify.EachConsumed(t.Env, t.tenants) }); err != nil {
		return err
	}
	wait.For(ctx, crowdSettle)
	calls()
	memory, err := t.Service.PeakMemory()
	if err != nil {
		return err
	}
	t.Show(what, "stopped in %.1f s, ready after %.1f s, all %d consumers run after %.1f s, at most %d MiB",
		took.Seconds(), ready.Seconds(), len(t.tenants), all.Seconds(), memory>>20)
	if float64(all) > t.slack*float64(crowdStartLimit) {
		t.Fail("%s: it took %v until all consumers ran", what, all)
	}
	return lost.Count()
}

// startCrowdCalls calls the service as its users do while it starts, until the
// returned function is called, which may be done twice. How long the calls take
// is noted by the client.
func startCrowdCalls(ctx context.Context, t *trial) (stop func()) {
	callCtx, cancel := context.WithCancel(ctx)
	l := t.newLoad()
	var work sync.WaitGroup
	work.Go(func() {
		for i := 0; callCtx.Err() == nil; i++ {
			l.Send(ctx, t.tenants[(i*61)%len(t.tenants)], 1, true)
			wait.For(callCtx, callPause)
		}
	})
	work.Go(func() {
		for callCtx.Err() == nil {
			if r := t.client.Call(ctx, http.MethodGet, "/api/tenants?limit=100", "", "", nil); r.Status != http.StatusOK {
				t.Fail("list tenants while the service starts: %s", r.Text())
			}
			wait.For(callCtx, callPause)
		}
	})
	return func() { cancel(); work.Wait() }
}

// sendToAll publishes a message to every tenant, which has to be accepted.
func sendToAll(ctx context.Context, t *trial) error {
	l := t.newLoad()
	var group errgroup.Group
	group.SetLimit(load.Clients)
	for _, tenant := range t.tenants {
		group.Go(func() error { l.Send(ctx, tenant, 1, true); return nil })
	}
	err := group.Wait()
	if n := l.Accepted.Load(); n != int64(len(t.tenants)) {
		t.Fail("%d of %d messages were accepted at the end, one for each tenant", n, len(t.tenants))
	}
	return err
}

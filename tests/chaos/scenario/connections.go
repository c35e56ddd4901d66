package scenario

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"lanekeeper/tests/chaos/fault"
	"lanekeeper/tests/chaos/verify"
	"lanekeeper/tests/chaos/wait"
)

const (
	// idleConnections is how many there are at a time, from so many addresses, and
	// idleFiles how many open files the service may have.
	idleConnections = 1100
	idleAddresses   = 5
	idleFiles       = 1000
	// idleAtMost is how many of them there may be: three quarters of the files.
	idleAtMost = idleFiles * 3 / 4
	// idleSwapped is how many of an address may be closed before their turn: one is
	// idle a moment after its answer was read, and so is the next one.
	idleSwapped = 2

	// largeLine makes heads large by few lines: of these there may be 100 only.
	largeHeads    = 24
	largeHeadSize = 900_000
	largeLine     = 29_000
	// headMemory is what the service may take with them: without them it takes up to
	// 200 MiB here, of which logins are the most, at 19 MiB each until the next
	// collection.
	headMemory = 256 << 20
)

// idleConnectionsScenario opens more connections than the service may have files, and
// leaves them alone. They are closed for those of others.
func idleConnectionsScenario(ctx context.Context, t *trial) error {
	_, p, err := t.quietAndOthers(ctx, 0)
	if err != nil {
		return err
	}
	closed, open := 0, 0
	err = t.undisturbed(ctx, p, t.measure, func(ctx context.Context, meanwhile func() error) error {
		idle, err := openIdle(ctx, t.Service.URL())
		defer func() {
			for _, i := range idle {
				i.Close()
			}
		}()
		if err == nil {
			err = meanwhile()
		}
		closed, open = 0, 0
		for n, i := range idle {
			gone, older := i.Closed()
			closed, open = closed+gone, open+idleConnections/idleAddresses-gone
			if older > idleSwapped {
				t.Fail("of the connections of address %d, %d that had been idle for longer than others were left open instead of those", n+1, older)
			}
		}
		return err
	})
	t.Show("idle connections", "%d of %d addresses, %d closed by the service, the longest idle ones first", closed+open, idleAddresses, closed)
	if err == nil && (open > idleAtMost || closed == 0) {
		t.Fail("%d idle connections were left open, with %d files", open, idleFiles)
	}
	metrics, err2 := t.client.Metrics(ctx)
	for _, reason := range []string{"idle", "idle_of_address"} {
		t.Show("closed as "+reason, "%.0f", metrics[fmt.Sprintf("lanekeeper_connections_ended_total{reason=%q}", reason)])
	}
	return errors.Join(err, err2, t.check(ctx))
}

// openIdle opens the connections of all addresses at the same time.
func openIdle(ctx context.Context, service string) ([]*fault.Idle, error) {
	idle := make([]*fault.Idle, idleAddresses)
	var group errgroup.Group
	for n := range idle {
		group.Go(func() (err error) {
			idle[n], err = fault.OpenIdle(ctx, service, fmt.Sprintf("127.0.0.%d", 20+n), idleConnections/idleAddresses)
			return err
		})
	}
	err := group.Wait()
	return slices.DeleteFunc(idle, func(i *fault.Idle) bool { return i == nil }), err
}

// largeHeadsScenario has many clients send heads of requests that are far too large.
func largeHeadsScenario(ctx context.Context, t *trial) error {
	_, p, err := t.quietAndOthers(ctx, 0)
	if err != nil {
		return err
	}
	line := append(append([]byte("X-Large: "), bytes.Repeat([]byte("a"), largeLine)...), "\r\n"...)
	lines := bytes.Repeat(line, largeHeadSize/len(line))
	var answers [600]atomic.Int64
	err = t.within(ctx, verify.Bounds{Stored: verify.MaxRatio, Memory: headMemory}, p, t.measure, func(ctx context.Context, meanwhile func() error) error {
		return fault.Crowd(ctx, largeHeads, meanwhile, func(ctx context.Context) {
			status := fault.LargeHead(ctx, t.Service.URL(), lines)
			if ctx.Err() != nil {
				return
			}
			answers[status].Add(1)
			wait.For(ctx, stuckPause/largeHeads)
		})
	})
	sent := int64(0)
	for status := range answers {
		n := answers[status].Load()
		if sent += n; n > 0 && status != http.StatusRequestHeaderFieldsTooLarge && status != 0 {
			t.Fail("a head of %d bytes was answered with %d", len(lines), status)
		}
	}
	refused := answers[http.StatusRequestHeaderFieldsTooLarge].Load()
	t.Show("large heads", "%d, %d of them refused with 431, the others cut without an answer", sent, refused)
	if refused < sent/2 {
		t.Fail("of %d large heads only %d were refused with 431", sent, refused)
	}
	return errors.Join(err, t.check(ctx))
}

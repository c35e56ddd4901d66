package scenario

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"lanekeeper/tests/chaos/receiver"
	"lanekeeper/tests/chaos/verify"
)

const (
	// noisyEndpoints is how many endpoints the noisy tenant has: some hang, some
	// refuse at once, some answer slowly.
	noisyEndpoints = 10
	slowEndpoint   = 3 * time.Second
	// noisyRate is how many messages it gets each second.
	noisyRate = 10
)

// badAnswer returns how the nth endpoint answers.
func badAnswer(n int) receiver.Answer {
	return []receiver.Answer{receiver.Hangs(), receiver.Refuses(http.StatusInternalServerError), receiver.Takes(slowEndpoint), receiver.Hangs()}[n%4]
}

// noisyEndpoint has one tenant publish whose endpoints hang, refuse at once, or
// answer slowly. It is measured like the others: storing waits for no endpoint.
func noisyEndpoint(ctx context.Context, t *trial) (err error) {
	d, err := newDeliveries(ctx, t)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	if err := t.bootDirect(ctx, t.others+1); err != nil {
		return err
	}
	noisy := t.tenants[0]
	p := t.newProbe(append(t.tenants[1:], slices.Repeat([]string{noisy}, noisyRate)...))
	if _, err := p.Measure(ctx, 2*time.Second); err != nil {
		return err
	}
	most := 0
	err = t.within(ctx, verify.Bounds{Stored: t.noisyRatio}, p, t.measure, func(ctx context.Context, meanwhile func() error) error {
		begun := len(d.subscriptions)
		for n := range noisyEndpoints {
			if _, err := d.subscribe(ctx, t.client, noisy, badAnswer(n), nil); err != nil {
				return err
			}
		}
		err := meanwhile()
		if begun == 0 {
			explainsEndpoint(ctx, t, t.client, "an endpoint refuses", d.subscriptions[1], "breaker_open")
			explainsEndpoint(ctx, t, t.client, "an endpoint is slow", d.subscriptions[2], "endpoint_behind")
		}
		for _, s := range d.subscriptions[begun:] {
			most = max(most, s.Most())
			err = errors.Join(err, d.unsubscribe(ctx, t.client, s))
		}
		return err
	})
	attempts, taken := arrivedAt(d)
	t.Show("to the bad endpoints", "%d attempts, %d of them taken, %d at a time to one at most", attempts, taken, most)
	if attempts == taken || most == 0 {
		t.Fail("the bad endpoints were not delivered to: %d attempts, %d of them taken", attempts, taken)
	}
	return errors.Join(err, d.check(ctx))
}

// arrivedAt returns how many requests there were in all.
func arrivedAt(d *deliveries) (attempts, taken int) {
	for _, s := range d.subscriptions {
		n, _ := s.Taken()
		attempts, taken = attempts+len(s.Arrivals()), taken+n
	}
	return attempts, taken
}

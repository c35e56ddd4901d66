package scenario

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lanekeeper/tests/chaos/receiver"
	"lanekeeper/tests/chaos/wait"
)

const (
	// endpointsEach is how many endpoints that hang each tenant of one owner has, which
	// is as many as there may be, and hangingTimeout for how long they do.
	endpointsEach  = 50
	hangingTimeout = 15 * time.Second
	// hangingMessages is how many messages each of these tenants gets, and hangAtLeast
	// how many deliveries hang before others are measured.
	hangingMessages = 20
	hangAtLeast     = 400
)

// hangingEndpoints has the endpoints of one owner's tenants hang, and measures when
// messages of others are at their endpoints.
func hangingEndpoints(ctx context.Context, t *trial) (err error) {
	d, err := newDeliveries(ctx, t)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	bad, p, err := t.quietAndOthers(ctx, t.hangingTenants)
	if err != nil {
		return err
	}
	if err := own(ctx, t, bad); err != nil {
		return err
	}
	p.Endpoints = make(map[string]*receiver.Endpoint)
	for _, tenant := range t.tenants[len(bad):] {
		s, err := d.subscribe(ctx, t.client, tenant, receiver.Takes(0), map[string]any{"from_seq": 1})
		if err != nil {
			return err
		}
		p.Endpoints[tenant] = s.Endpoint
	}
	if _, err := p.Measure(ctx, 2*time.Second); err != nil {
		return err
	}
	most := 0
	err = t.undisturbed(ctx, p, t.measure, func(ctx context.Context, meanwhile func() error) error {
		begun := len(d.subscriptions)
		if err := hang(ctx, d, bad); err != nil {
			return err
		}
		explainsEndpoint(ctx, t, t.client, "an endpoint hangs", d.subscriptions[begun], "endpoint_behind")
		err := meanwhile()
		now, _ := d.receiver.Busy()
		most = max(most, now)
		for _, s := range d.subscriptions[begun:] {
			err = errors.Join(err, d.unsubscribe(ctx, t.client, s))
		}
		return err
	})
	t.Show("hung", "%d at a time, and still at the end", most)
	return errors.Join(err, d.check(ctx))
}

// hang makes the endpoints of these tenants, which hang, and returns when much is
// under way to them.
func hang(ctx context.Context, d *deliveries, tenants []string) error {
	for _, tenant := range tenants {
		for range endpointsEach {
			if _, err := d.subscribe(ctx, d.t.client, tenant, receiver.Hangs(), map[string]any{"timeout_ms": hangingTimeout.Milliseconds()}); err != nil {
				return err
			}
		}
		d.t.newLoad().Send(ctx, tenant, hangingMessages, true)
	}
	return wait.Until(ctx, deliverResume, "deliveries hang", func() error {
		if now, _ := d.receiver.Busy(); now < hangAtLeast {
			return fmt.Errorf("%w: %d", wait.ErrNotReady, now)
		}
		return nil
	})
}

package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"

	"lanekeeper/tests/chaos/fault"
	"lanekeeper/tests/chaos/receiver"
	"lanekeeper/tests/chaos/verify"
)

// stormers is how many tenants change, stop and start all the time.
const stormers = 4

// giveUpStorm has clients change the endpoint of a tenant of their own, which hangs,
// and stop and start its consumer as fast as they can, so that calls to the broker
// and deliveries are given up all the time. No connection may be lost over it:
// others share them.
func giveUpStorm(ctx context.Context, t *trial) (err error) {
	noisy, p, err := t.quietAndOthers(ctx, stormers)
	if err != nil {
		return err
	}
	d, err := newDeliveries(ctx, t)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	hanging := d.receiver.Add(receiver.Hangs()).URL
	var rounds atomic.Int64
	idle := make(chan string, stormers)
	for _, tenant := range noisy {
		idle <- tenant
	}
	err = t.undisturbed(ctx, p, t.measure, func(ctx context.Context, meanwhile func() error) error {
		err := fault.While(ctx, stormers, meanwhile, func(ctx context.Context) {
			tenant := <-idle
			giveUp(ctx, t, tenant, hanging)
			idle <- tenant
			rounds.Add(1)
		})
		return errors.Join(err, restartAll(ctx, t, noisy))
	})
	t.Show("rounds", "%d", rounds.Load())
	return errors.Join(err, verify.NoConnectionLost(t.Env, t.Result), t.check(ctx))
}

// giveUp makes an endpoint of a tenant, changes it, and deletes it, and stops and
// starts the tenant's consumer meanwhile. What is refused is noted by the client.
func giveUp(ctx context.Context, t *trial, tenant, endpoint string) {
	path := endpointsPath(tenant)
	var made struct{ ID string }
	r := t.client.Call(ctx, http.MethodPost, path, "", "", fmt.Appendf(nil, `{"url":%q}`, endpoint))
	if r.Status == http.StatusCreated {
		_ = json.Unmarshal(r.Body, &made) // without an id the next calls are refused
	}
	t.client.Call(ctx, http.MethodPatch, path+"/"+made.ID, "", "", []byte(`{"types":["order.*"]}`))
	t.client.Call(ctx, http.MethodDelete, "/api/consumers/"+tenant, "", "", nil)
	t.client.Call(ctx, http.MethodPost, "/api/consumers/"+tenant, "", "", nil)
	t.client.Call(ctx, http.MethodDelete, path+"/"+made.ID, "", "", nil)
}

// restartAll leaves the tenants consumed.
func restartAll(ctx context.Context, t *trial, tenants []string) error {
	for _, tenant := range tenants {
		if err := t.client.StartConsumer(ctx, tenant); err != nil {
			return err //nolint:wrapcheck // says what went wrong
		}
	}
	return nil
}

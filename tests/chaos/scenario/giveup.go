package scenario

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"

	"lanekeeper/tests/chaos/fault"
	"lanekeeper/tests/chaos/load"
	"lanekeeper/tests/chaos/verify"
)

// stormers is how many tenants stop and start all the time.
const stormers = 4

// giveUpStorm has clients stop and start a tenant of their own as fast as they can, so that calls to the broker are given up all the time. No
// connection may be lost over it: others share them.
func giveUpStorm(ctx context.Context, t *trial) error {
	noisy, p, err := t.quietAndOthers(ctx, stormers)
	if err != nil {
		return err
	}
	var rounds atomic.Int64
	idle := make(chan string, stormers)
	for _, tenant := range noisy {
		idle <- tenant
	}
	err = t.undisturbed(ctx, p, t.measure, func(ctx context.Context, meanwhile func() error) error {
		err := fault.While(ctx, stormers, meanwhile, func(ctx context.Context) {
			tenant := <-idle
			giveUp(ctx, t, tenant)
			idle <- tenant
			rounds.Add(1)
		})
		return errors.Join(err, restartAll(ctx, t, noisy))
	})
	t.Show("rounds", "%d", rounds.Load())
	return errors.Join(err, verify.NoConnectionLost(t.Env, t.Result), t.check(ctx))
}

// giveUp stops and starts a tenant's consumer. What is refused is noted by the
// client.
func giveUp(ctx context.Context, t *trial, tenant string) {
	t.client.Call(ctx, http.MethodDelete, "/api/consumers/"+tenant, "", "", nil)
	t.client.Call(ctx, http.MethodPost, "/api/consumers/"+tenant, "", "", nil)
}

// restartAll leaves the tenants consumed.
func restartAll(ctx context.Context, t *trial, tenants []string) error {
	for _, tenant := range tenants {
		if r := t.client.Call(ctx, http.MethodPost, "/api/consumers/"+tenant, "", "", nil); r.Status != http.StatusAccepted {
			return errors.Join(fmt.Errorf("%w: start a consumer: %s", load.ErrUnexpected, r.Text()), r.Err)
		}
	}
	return nil
}

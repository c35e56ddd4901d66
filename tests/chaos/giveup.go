package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// stormers is how many tenants change, stop and start all the time.
const stormers = 4

// giveUpStorm has clients change, stop and start a tenant of their own as fast
// as they can, so that calls to the broker are given up all the time. No
// connection may be lost over it: others share them.
func giveUpStorm(ctx context.Context, st *stage) error {
	noisy, p, err := st.quietAndOthers(ctx, stormers)
	if err != nil {
		return err
	}
	endpoint, err := startHanging(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = endpoint.close() }()
	var rounds atomic.Int64
	idle := make(chan string, stormers)
	for _, tenant := range noisy {
		idle <- tenant
	}
	err = st.undisturbed(ctx, p, st.measure, func(ctx context.Context, meanwhile func() error) error {
		err := st.while(ctx, stormers, meanwhile, func(ctx context.Context) {
			tenant := <-idle
			st.giveUp(ctx, tenant, endpoint.url)
			idle <- tenant
			rounds.Add(1)
		})
		return errors.Join(err, st.calm(ctx, noisy))
	})
	st.show("rounds", "%d", rounds.Load())
	return errors.Join(err, st.noConnectionLost(), st.check(ctx))
}

// giveUp changes a tenant's endpoint and stops and starts its consumer. What is
// refused is noted by the client.
func (st *stage) giveUp(ctx context.Context, tenant, endpoint string) {
	st.client.call(ctx, http.MethodPut, "/api/tenants/"+tenant+"/endpoint", "", "", fmt.Appendf(nil, `{"url":%q}`, endpoint))
	st.client.call(ctx, http.MethodDelete, "/api/consumers/"+tenant, "", "", nil)
	st.client.call(ctx, http.MethodPost, "/api/consumers/"+tenant, "", "", nil)
}

// calm leaves the tenants without an endpoint, consumed.
func (st *stage) calm(ctx context.Context, tenants []string) error {
	for _, tenant := range tenants {
		st.client.call(ctx, http.MethodDelete, "/api/tenants/"+tenant+"/endpoint", "", "", nil)
		if r := st.client.call(ctx, http.MethodPost, "/api/consumers/"+tenant, "", "", nil); r.status != http.StatusAccepted {
			return errors.Join(fmt.Errorf("%w: start a consumer: %s", errUnexpected, r.text()), r.err)
		}
	}
	return nil
}

// quietAndOthers is quietAndOther for so many tenants that will disturb.
func (st *stage) quietAndOthers(ctx context.Context, n int) (noisy []string, p *probe, err error) {
	if err := st.bootDirect(ctx, st.others+n); err != nil {
		return nil, nil, err
	}
	p = newProbe(st, st.tenants[n:])
	if _, err := p.measure(ctx, 2*time.Second); err != nil {
		return nil, nil, err
	}
	return st.tenants[:n], p, nil
}

// noConnectionLost looks into the services' logs for a connection to the
// broker that was lost: in these scenarios nobody cuts one.
func (st *stage) noConnectionLost() error {
	for _, s := range st.replicas() {
		text, err := os.ReadFile(s.logFile)
		if err != nil {
			return fmt.Errorf("read the service's log: %w", err)
		}
		n := strings.Count(string(text), "broker connection lost")
		st.show("connections lost", "%d", n)
		if n > 0 {
			st.fail("the service lost %d connections to the broker", n)
		}
	}
	return nil
}

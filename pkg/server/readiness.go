package server

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"lanekeeper/domain"
	"lanekeeper/service/broker"
)

// pingTimeout bounds each question that /readyz asks a server.
const pingTimeout = time.Second

// readiness answers /readyz.
//
//	starting --first ready--> serving --SIGTERM--> draining
//
// While serving, the answer follows the broker: without it nothing can be
// accepted. Without the database or Redis accepting goes on.
type readiness struct {
	started  atomic.Bool
	draining atomic.Bool
	broker   func() broker.State
	// pings ask the servers without which the service is degraded, by name.
	pings map[string]func(context.Context) error
	// files tells how many open files the broker needs; nil when nobody knows
	// how many it may have.
	files func(context.Context) (domain.FileUse, error)
}

// check returns a word for the state, whether requests should come, and how
// each server does.
func (r *readiness) check(ctx context.Context) (status string, ready bool, details map[string]string) {
	state := r.broker()
	details = map[string]string{"broker": string(state)}
	status = "ready"
	for name, ping := range r.pings {
		details[name] = "ready"
		pingCtx, cancel := context.WithTimeout(ctx, pingTimeout)
		if err := ping(pingCtx); err != nil {
			details[name] = "away"
			status = "degraded"
		}
		cancel()
	}
	if r.checkFiles(ctx, details) {
		status = "degraded"
	}
	switch {
	case r.draining.Load():
		return "draining", false, details
	case !r.started.Load():
		return "starting", false, details
	case state != broker.Ready:
		return "unavailable", false, details
	}
	return status, true, details
}

// checkFiles adds what is known of the broker's open files to the details, and
// tells whether they are nearly used up. Publishing goes on then, and creating
// tenants ends soon.
func (r *readiness) checkFiles(ctx context.Context, details map[string]string) (nearlyFull bool) {
	if r.files == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	use, err := r.files(ctx)
	if err != nil || use.Limit == 0 {
		return false // that the database is away is told already
	}
	details["broker_files"] = fmt.Sprintf("%d of %d", use.Need, use.Limit)
	return use.NearlyFull()
}

package server

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"lanekeeper/domain"
	"lanekeeper/pkg/metrics"
	"lanekeeper/service/broker"
)

// pingTimeout bounds the questions that /readyz asks the servers, all at once.
// Callers of /readyz wait for about three seconds.
const pingTimeout = time.Second

// readiness answers /readyz.
//
//	starting --first ready--> serving --SIGTERM--> draining
//
// While serving, the answer follows the broker: without it nothing can be
// accepted. One that takes no publications because it is short of disk or memory is
// there, and refuses every replica alike: everything but publishing goes on. Without
// the database or Redis accepting goes on.
type readiness struct {
	started  atomic.Bool
	draining atomic.Bool
	broker   func() broker.State
	// pings ask the servers without which the service is degraded, by name.
	pings map[string]func(context.Context) error
	// files returns how many open files the broker needs; nil when it is not known
	// how many it may have.
	files func(context.Context) (domain.FileUse, error)
	// consumers returns how many tenants are to be consumed here, and how many of
	// those the broker's limits keep from it; nil when that is not known.
	consumers func() (refused, all int)
}

// check returns a word for the state, whether requests should come, and how
// each server does.
func (r *readiness) check(ctx context.Context) (status string, ready bool, details map[string]string) {
	state := r.broker()
	details = map[string]string{"broker": string(state)}
	status = "ready"
	if r.ask(ctx, details) || r.noteConsumers(details) {
		status = "degraded"
	}
	switch {
	case r.draining.Load():
		return "draining", false, details
	case !r.started.Load():
		return "starting", false, details
	case state == broker.Blocked: // nothing is published, and reading and login go on
		return "degraded", true, details
	case state != broker.Ready:
		return "unavailable", false, details
	}
	return status, true, details
}

// measure returns what the metrics show of all this.
func (r *readiness) measure(ctx context.Context) metrics.Readiness {
	status, _, details := r.check(ctx)
	servers := map[string]bool{"broker": details["broker"] == string(broker.Ready)}
	for name := range r.pings {
		servers[name] = details[name] == "ready"
	}
	return metrics.Readiness{State: status, Servers: servers}
}

// ask asks all servers at once, adds what is known of them to the details, and
// reports whether the service is degraded.
func (r *readiness) ask(ctx context.Context, details map[string]string) (degraded bool) {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	var mu sync.Mutex // guards details and degraded
	note := func(name, word string, bad bool) {
		mu.Lock()
		defer mu.Unlock()
		details[name] = word
		degraded = degraded || bad
	}
	var asking sync.WaitGroup
	for name, ping := range r.pings {
		asking.Go(func() {
			if err := ping(ctx); err != nil {
				note(name, "away", true)
				return
			}
			note(name, "ready", false)
		})
	}
	if r.files != nil {
		asking.Go(func() { r.askFiles(ctx, note) })
	}
	asking.Wait()
	return degraded
}

// askFiles notes what is known of the broker's open files. When they are nearly
// used up publishing goes on, and creating tenants ends soon.
func (r *readiness) askFiles(ctx context.Context, note func(name, word string, bad bool)) {
	use, err := r.files(ctx)
	if err != nil || use.Limit == 0 {
		return // that the database is away is in the details already
	}
	note("broker_files", fmt.Sprintf("%d of %d", use.Need, use.Limit), use.NearlyFull())
}

// noteConsumers adds what is known of consumers that the broker refuses. What
// is published to their tenants is accepted and kept, so requests should go on
// coming, but it is not stored.
func (r *readiness) noteConsumers(details map[string]string) (degraded bool) {
	if r.consumers == nil {
		return false
	}
	refused, all := r.consumers()
	if refused > 0 {
		details["consumers"] = fmt.Sprintf("%d of %d refused by the limits of the broker", refused, all)
	}
	return refused > 0
}

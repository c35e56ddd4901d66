package fleet

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

const (
	// changeAfter is how long the broker must have been away, or back, before a
	// replica leaves or returns, while another one reaches it all the time. It
	// is longer than what replicas are apart when they notice that the broker is
	// away for all of them (up to 10 s: one that publishes notices first), or
	// that it is back (up to 6 s between two attempts).
	changeAfter = 15 * time.Second
	// countdownShare is how much more often than usual a replica reads the rows
	// of the others while changeAfter passes: a moment in which none reached the
	// broker ends that, and reading once a second what others write once a second
	// could miss one.
	countdownShare = 5
	// reachEvery is how often a replica that starts looks for the broker.
	reachEvery = 20 * time.Millisecond
)

// participation is whether this replica is to be a member. It belongs to the
// goroutine of the heartbeat.
type participation struct {
	// begun says that it was one already.
	begun bool
	// told is what the others were told of the broker.
	told bool
	// since is how long taking part and reaching the broker have not been the
	// same, while another replica reached it; zero when they are.
	since time.Time
}

// awaitBroker returns true once the broker was reached, or false when ctx ends
// before.
func (h *heartbeat) awaitBroker(ctx context.Context) bool {
	tick := time.NewTicker(reachEvery)
	defer tick.Stop()
	for !h.fleet.o.Reaches() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// decide reports whether this replica is to take part, and removes its row when
// it no longer is. The package's documentation has the reasons.
func (h *heartbeat) decide(ctx context.Context, reaches bool) (part bool, err error) {
	in := h.members.in
	if reaches == in {
		h.participation.since = time.Time{}
		return in, nil
	}
	if reaches && !h.participation.begun {
		return true, nil
	}
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	others, err := h.fleet.o.Replicas.OthersReachBroker(call, h.fleet.o.Replica.Name, suspectAfter)
	if err != nil {
		return in, fmt.Errorf("ask which replicas reach the broker: %w", err)
	}
	now := time.Now()
	switch {
	case !others:
		h.participation.since = time.Time{}
		return in || reaches, nil
	case h.participation.since.IsZero():
		h.participation.since = now
		return in, nil
	case now.Sub(h.participation.since) < changeAfter:
		return in, nil
	}
	if in {
		if err := h.fleet.o.Replicas.RemoveReplica(call, h.fleet.o.Replica.Name); err != nil {
			return in, fmt.Errorf("give up the tenants: %w", err)
		}
		h.members.in = false
	}
	h.participation.since = time.Time{}
	h.fleet.o.Log.WarnContext(ctx, "this replica follows its broker connection", slog.Bool("takes_part", !in))
	return !in, nil
}

package fleet

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"
)

const (
	beatEvery = 3 * time.Second
	lookEvery = time.Second
	// callTimeout bounds each call of the repository, so that a frozen
	// database is noticed.
	callTimeout = 3 * time.Second
	// Rows that were not renewed for forgetAfter are deleted by whoever comes
	// first.
	forgetAfter = time.Hour
	tidyEvery   = time.Minute
	// ever is longer than any row is old, whatever happens to the clock.
	ever = 10 * 365 * 24 * time.Hour
)

// heart keeps this replica's row fresh and watches those of the others. It
// belongs to the goroutine of run.
type heart struct {
	fleet  *Fleet
	roster *roster
	beatAt time.Time // when the row is to be written again
	tidyAt time.Time
	stance stance
}

func newHeart(f *Fleet) *heart {
	now := time.Now()
	return &heart{fleet: f, roster: newRoster(f.o.Replica.Name), beatAt: now, tidyAt: now.Add(jitter(tidyEvery))}
}

func (h *heart) run(ctx context.Context) {
	if !h.awaitBroker(ctx) {
		return
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.fleet.refresh:
		case <-timer.C:
		}
		err := h.turn(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			h.failed(ctx, err)
			timer.Reset(jitter(lookEvery))
			continue
		}
		timer.Reset(h.pause())
	}
}

// turn decides whether to take part, writes the row if it is time, looks who is
// alive, and publishes who the members are.
func (h *heart) turn(ctx context.Context) error {
	reaches := h.fleet.o.Reaches()
	part, err := h.decide(ctx, reaches)
	if err != nil {
		return err
	}
	alive, err := h.look(ctx, part, reaches)
	if err != nil {
		return err
	}
	known := alive
	if h.roster.missing(alive) {
		if known, err = h.list(ctx, ever); err != nil {
			return err
		}
	}
	now := time.Now()
	if h.roster.reachable(now) {
		h.fleet.outages.Add(1)
		h.fleet.o.Log.InfoContext(ctx, "replicas can be seen again")
	}
	came, left := h.roster.see(now, alive, known)
	if len(came)+len(left) > 0 {
		m := newMembers(h.roster.names())
		h.fleet.members.Store(m)
		h.fleet.o.Log.InfoContext(ctx, "members of the fleet changed",
			slog.Any("came", came), slog.Any("left", left), slog.Int("members", len(m.names)))
		h.fleet.o.Changed()
	}
	h.tidy(ctx, now)
	return nil
}

// pause returns how long to wait for the next turn.
func (h *heart) pause() time.Duration {
	d := lookEvery
	switch {
	case !h.stance.since.IsZero():
		d /= countdownShare
	case len(h.roster.suspects) > 0:
		d /= 2
	}
	if !h.roster.in {
		return d
	}
	return max(0, min(d, time.Until(h.beatAt)))
}

// look returns who is alive, and writes the row when that is due, which it is
// at once when something is to be told. If it cannot be written it stays due,
// so that an outage is not over before it was.
func (h *heart) look(ctx context.Context, part, reaches bool) ([]string, error) {
	now := time.Now()
	r := h.fleet.o.Replica
	r.ReachesBroker = reaches
	if !part || h.roster.in && h.stance.told == reaches && now.Before(h.beatAt) {
		alive, err := h.list(ctx, suspectAfter)
		if err == nil && part && !slices.Contains(alive, r.Name) {
			h.fleet.o.Log.WarnContext(ctx, "the row of this replica is gone: does another process have its address?",
				slog.String("address", r.Address))
		}
		return alive, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	alive, err := h.fleet.o.Replicas.Beat(ctx, r, suspectAfter)
	if err != nil {
		return nil, fmt.Errorf("beat: %w", err)
	}
	h.beatAt, h.stance.told = now.Add(beatEvery), reaches
	if !h.roster.in {
		h.roster.in, h.stance.joinedOnce = true, true
		h.fleet.outages.Add(1) // its reports went with its row
	}
	return alive, nil
}

func (h *heart) list(ctx context.Context, ttl time.Duration) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	names, err := h.fleet.o.Replicas.LiveReplicas(ctx, ttl)
	if err != nil {
		return nil, fmt.Errorf("look: %w", err)
	}
	return names, nil
}

// tidy deletes rows of the dead now and then, unless there are suspects: if
// the database's clock has jumped, they are alive.
func (h *heart) tidy(ctx context.Context, now time.Time) {
	if now.Before(h.tidyAt) || len(h.roster.suspects) > 0 {
		return
	}
	h.tidyAt = now.Add(jitter(tidyEvery))
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	n, err := h.fleet.o.Replicas.DeleteDeadReplicas(call, forgetAfter)
	switch {
	case err != nil && ctx.Err() == nil:
		h.fleet.o.Log.WarnContext(ctx, "dead replicas cannot be forgotten", slog.Any("error", err))
	case n > 0:
		h.fleet.o.Log.InfoContext(ctx, "dead replicas forgotten", slog.Int("replicas", n))
	}
}

func (h *heart) failed(ctx context.Context, err error) {
	h.stance.since = time.Time{}
	if h.roster.unreachable() {
		h.fleet.o.Log.WarnContext(ctx, "replicas cannot be seen, nothing moves until they can", slog.Any("error", err))
	}
}

// jitter returns a random time around d, give or take a fifth.
func jitter(d time.Duration) time.Duration {
	return d - d/5 + rand.N(2*d/5) //nolint:gosec // need not be secret
}

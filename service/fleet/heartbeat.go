package fleet

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"lanekeeper/pkg/backoff"
	"lanekeeper/pkg/logger"
	"lanekeeper/pkg/rendezvous"
)

const (
	heartbeatEvery = 3 * time.Second
	readEvery      = time.Second
	// retryAfter is the longest pause after a failure, and retryJitter by how much
	// of it one may be shorter.
	retryAfter  = readEvery + readEvery/5
	retryJitter = 1.0 / 3
	// callTimeout bounds each call of the repository, so that a frozen
	// database is noticed.
	callTimeout = 3 * time.Second
	// Rows that were not renewed for forgetAfter are deleted by the replica that
	// comes first.
	forgetAfter = time.Hour
	// forgetEvery is the longest time between two of them that try, of which each
	// is shorter by up to forgetJitter.
	forgetEvery  = 72 * time.Second
	forgetJitter = 1.0 / 3
	// ever is longer than any row is old, whatever happens to the clock.
	ever = 10 * 365 * 24 * time.Hour
)

// heartbeat keeps this replica's row fresh and watches those of the others. It
// belongs to the goroutine of run.
type heartbeat struct {
	fleet         *Fleet
	members       *memberlist
	participation participation
	dueAt         time.Time // when the row is to be written again
	forgetAt      time.Time // when rows of the dead are to be deleted again
	problems      logger.Changes
}

func newHeartbeat(f *Fleet) *heartbeat {
	now := time.Now()
	return &heartbeat{
		fleet: f, members: newMemberlist(f.o.Replica.Name), dueAt: now,
		forgetAt: now.Add(backoff.Jitter(forgetEvery, forgetJitter)),
	}
}

func (h *heartbeat) run(ctx context.Context) {
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
		err := h.update(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			h.failed(ctx, err)
			timer.Reset(backoff.Jitter(retryAfter, retryJitter))
			continue
		}
		timer.Reset(h.untilNext())
	}
}

// update decides whether to take part, writes the row if it is time, reads which
// replicas are alive, and publishes which are members.
func (h *heartbeat) update(ctx context.Context) error {
	reaches := h.fleet.o.Reaches()
	part, err := h.decide(ctx, reaches)
	if err != nil {
		return err
	}
	alive, err := h.exchange(ctx, part, reaches)
	if err != nil {
		return err
	}
	known := alive
	if h.members.missing(alive) {
		if known, err = h.list(ctx, ever); err != nil {
			return err
		}
	}
	now := time.Now()
	if h.members.reachable(now) {
		h.fleet.outages.Add(1)
	}
	if h.problems.Recovered() {
		h.fleet.o.Log.InfoContext(ctx, "replicas can be seen again")
	}
	came, left := h.members.update(now, alive, known)
	if len(came)+len(left) > 0 {
		m := rendezvous.New(h.members.names())
		h.fleet.members.Store(m)
		h.fleet.o.Log.InfoContext(ctx, "members of the fleet changed",
			slog.Any("came", came), slog.Any("left", left), slog.Int("members", len(m.Names())))
		h.fleet.o.Changed()
	}
	h.forgetDead(ctx, now)
	return nil
}

// untilNext returns how long to wait for the next update.
func (h *heartbeat) untilNext() time.Duration {
	d := readEvery
	switch {
	case !h.participation.since.IsZero():
		d /= countdownShare
	case len(h.members.suspects) > 0:
		d /= 2
	}
	if !h.members.in {
		return d
	}
	return max(0, min(d, time.Until(h.dueAt)))
}

// exchange returns which replicas are alive, and writes the row when that is due,
// which it is at once when something is to be told. If it cannot be written it
// stays due, so that an outage is not over before it was.
func (h *heartbeat) exchange(ctx context.Context, part, reaches bool) ([]string, error) {
	now := time.Now()
	r := h.fleet.o.Replica
	r.ReachesBroker = reaches
	if !part || h.members.in && h.participation.told == reaches && now.Before(h.dueAt) {
		alive, err := h.list(ctx, suspectAfter)
		if err == nil && part && !slices.Contains(alive, r.Name) {
			h.fleet.o.Log.WarnContext(ctx, "the row of this replica is gone: does another process have its address?",
				slog.String("address", r.Address))
		}
		return alive, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	alive, err := h.fleet.o.Replicas.Heartbeat(ctx, r, suspectAfter)
	if err != nil {
		return nil, fmt.Errorf("write heartbeat: %w", err)
	}
	h.dueAt, h.participation.told = now.Add(heartbeatEvery), reaches
	if !h.members.in {
		h.members.in, h.participation.begun = true, true
		h.fleet.outages.Add(1) // its reports went with its row
	}
	return alive, nil
}

func (h *heartbeat) list(ctx context.Context, ttl time.Duration) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	names, err := h.fleet.o.Replicas.LiveReplicas(ctx, ttl)
	if err != nil {
		return nil, fmt.Errorf("read heartbeats: %w", err)
	}
	return names, nil
}

// forgetDead deletes rows of the dead now and then, unless there are suspects: if
// the database's clock has jumped, they are alive.
func (h *heartbeat) forgetDead(ctx context.Context, now time.Time) {
	if now.Before(h.forgetAt) || len(h.members.suspects) > 0 {
		return
	}
	h.forgetAt = now.Add(backoff.Jitter(forgetEvery, forgetJitter))
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

func (h *heartbeat) failed(ctx context.Context, err error) {
	h.participation.since = time.Time{}
	h.members.unreachable()
	if h.problems.Failed("") {
		h.fleet.o.Log.WarnContext(ctx, "replicas cannot be seen, nothing moves until they can", slog.Any("error", err))
	}
}

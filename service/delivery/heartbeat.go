package delivery

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"lanekeeper/domain"
	"lanekeeper/pkg/logger"
)

const (
	// beatEvery is how often a replica says that it delivers, and beatTimeout how
	// long that may take.
	beatEvery   = 2 * time.Second
	beatRetry   = 500 * time.Millisecond
	beatTimeout = 2 * time.Second
	// claimTTL is how old a heartbeat is of which the claims may be taken, by the
	// database's clock, and aliveFor how long after one that succeeded a replica
	// delivers, by its own.
	claimTTL = 10 * time.Second
	aliveFor = 8 * time.Second
	// frozenFor is how long after an outage no replica counts as gone: after one all
	// heartbeats are old.
	frozenFor = 10 * time.Second
)

// heartbeat says in the database that this replica delivers, and who else does. Its
// goroutine is that of run; the other methods are safe for concurrent use.
type heartbeat struct {
	repository domain.DeliveryRepository
	replica    string
	log        *slog.Logger
	// expired is called when no heartbeat has succeeded for aliveFor.
	expired func()

	mu      sync.Mutex // guards the rest; nothing waits while it is held
	last    time.Time  // when the last that succeeded began
	leaving bool
	members []string
	timer   *time.Timer
	// changed holds a token when there are other members.
	changed chan struct{}
	kick    chan struct{}
}

func newHeartbeat(repository domain.DeliveryRepository, replica string, log *slog.Logger, expired func()) *heartbeat {
	return &heartbeat{
		repository: repository, replica: replica, log: log, expired: expired,
		changed: make(chan struct{}, 1), kick: make(chan struct{}, 1),
	}
}

// alive reports whether a heartbeat has succeeded that is young enough.
func (h *heartbeat) alive() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.last.IsZero() && time.Since(h.last) < aliveFor
}

// leave has the other replicas take this one's tenants, as it releases them.
func (h *heartbeat) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.leaving = true
	signal(h.kick)
}

// names returns the replicas that deliver and stay; nil when none is known.
func (h *heartbeat) names() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.members
}

// run beats until ctx ends.
func (h *heartbeat) run(ctx context.Context) {
	problems := logger.Changes{Remind: time.Minute}
	var outage time.Time // when the last one ended
	for {
		err := h.once(ctx, &outage)
		next := beatEvery
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			next, outage = beatRetry, time.Now()
			if problems.Failed("") {
				h.log.WarnContext(ctx, "this replica cannot say that it delivers, and stops unless it can soon", slog.Any("error", err))
			}
		case problems.Recovered():
			h.log.InfoContext(ctx, "this replica can say again that it delivers")
		}
		timer := time.NewTimer(next)
		select {
		case <-timer.C:
		case <-h.kick:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

func (h *heartbeat) once(ctx context.Context, outage *time.Time) error {
	h.mu.Lock()
	leaving := h.leaving
	h.mu.Unlock()
	begun := time.Now()
	limited, cancel := context.WithTimeout(ctx, beatTimeout)
	names, err := h.repository.BeatDeliverer(limited, h.replica, leaving, claimTTL)
	cancel()
	if err != nil {
		return err //nolint:wrapcheck // it is logged as it is
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last = begun
	if h.timer == nil {
		h.timer = time.AfterFunc(aliveFor-time.Since(begun), h.expired)
	} else {
		h.timer.Reset(aliveFor - time.Since(begun))
	}
	if time.Since(*outage) < frozenFor {
		names = union(h.members, names)
	}
	if !slices.Equal(h.members, names) {
		h.members = names
		signal(h.changed)
	}
	return nil
}

// end ends the watch over the heartbeat.
func (h *heartbeat) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.timer != nil {
		h.timer.Stop()
	}
}

// union returns the names that are in either list, in order.
func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

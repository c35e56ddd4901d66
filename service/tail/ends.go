package tail

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/backoff"
	"lanekeeper/pkg/logger"
)

const (
	// readTenants is for how many tenants one query asks.
	readTenants = 5000
	// readTimeout is the backstop of one query; the server's own statement timeout
	// comes first.
	readTimeout = 3 * time.Second
	// intervalJitter is by how much of the interval one may be shorter.
	intervalJitter = 0.1
	// retryFirst and retryMax are the first and the longest pause after failures.
	retryFirst = 100 * time.Millisecond
	retryMax   = 2 * time.Second
)

// ends follows where histories end: it asks the database for those in doubt at
// once, as many together as there are, and for all at intervals.
type ends struct {
	windows   *windows
	histories domain.TailRepository
	interval  time.Duration
	log       *slog.Logger
	// waiting holds a token when there are doubts.
	waiting chan struct{}

	mu      sync.Mutex // guards the rest
	doubted map[*window]struct{}
}

func newEnds(w *windows, histories domain.TailRepository, interval time.Duration, log *slog.Logger) *ends {
	return &ends{
		windows: w, histories: histories, interval: interval, log: log,
		waiting: make(chan struct{}, 1), doubted: make(map[*window]struct{}),
	}
}

// doubt says that it is not known where the histories of these windows end. It
// never blocks.
func (e *ends) doubt(windows ...*window) {
	if len(windows) == 0 {
		return
	}
	e.mu.Lock()
	for _, w := range windows {
		e.doubted[w] = struct{}{}
	}
	e.mu.Unlock()
	select {
	case e.waiting <- struct{}{}:
	default:
	}
}

// take returns those in doubt, and forgets them.
func (e *ends) take() []*window {
	e.mu.Lock()
	defer e.mu.Unlock()
	taken := make([]*window, 0, len(e.doubted))
	for w := range e.doubted {
		taken = append(taken, w)
	}
	clear(e.doubted)
	return taken
}

// run follows the ends until ctx ends.
func (e *ends) run(ctx context.Context) {
	due := time.NewTimer(0)
	defer due.Stop()
	retry := backoff.New(retryFirst, retryMax)
	var problems logger.Changes
	for {
		var asked []*window
		select {
		case <-e.waiting:
			asked = e.take()
		case <-due.C:
			e.windows.forget(time.Now().Add(-maxAge))
			asked = e.windows.all()
			due.Reset(backoff.Jitter(e.interval, intervalJitter))
		case <-ctx.Done():
			return
		}
		err := e.read(ctx, asked)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			if len(asked) > 0 && problems.Recovered() {
				e.log.InfoContext(ctx, "ends of histories can be read again")
			}
			retry.Reset()
			continue
		case problems.Failed(""):
			e.log.WarnContext(ctx, "ends of histories cannot be read, trying again", slog.Any("error", err))
		}
		e.doubt(asked...)
		if retry.Wait(ctx) != nil {
			return
		}
	}
}

// read asks the database for the ends of these windows' histories.
func (e *ends) read(ctx context.Context, asked []*window) error {
	for len(asked) > 0 {
		n := min(len(asked), readTenants)
		if err := e.readSome(ctx, asked[:n]); err != nil {
			return err
		}
		asked = asked[n:]
	}
	return nil
}

func (e *ends) readSome(ctx context.Context, asked []*window) error {
	ids, marks := make([]uuid.UUID, len(asked)), make([]mark, len(asked))
	for i, w := range asked {
		ids[i], marks[i] = w.tenant, w.mark()
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	last, err := e.histories.LastSeqs(ctx, ids)
	if err != nil {
		for _, m := range marks {
			m.undo()
		}
		return err
	}
	e.windows.settle(marks, last)
	return nil
}

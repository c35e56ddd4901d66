package stream

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/backoff"
	"lanekeeper/pkg/logger"
)

const (
	// readRows is how many messages a feed reads at a time.
	readRows = 512
	// readBytes is how much these may take, unless it is a single one.
	readBytes = 4 << 20

	// Waking a client and sending to it takes time, so many clients are woken
	// less often: each adds clientPause to the pause from one broadcast to the
	// next.
	clientPause    = 100 * time.Microsecond
	fewClients     = 20
	maxClientPause = 500 * time.Millisecond
	// wakeStep is the least time between two groups of clients.
	wakeStep = 3 * time.Millisecond

	// holdLimit is how long a feed waits for clients that would fall out of
	// the window, and holdStep how often it checks.
	holdLimit = 100 * time.Millisecond
	holdStep  = 5 * time.Millisecond

	// trimPause is how often a feed that waits forgets what is old.
	trimPause = time.Second

	// retryFirst and retryMax are the first and the longest pause after failures.
	retryFirst = 100 * time.Millisecond
	retryMax   = 2 * time.Second
)

// feed reads the tail of one tenant's history for all of its clients, and the
// database where that is behind:
//
//	reading --> announcing --caught up--> waiting --there is more--> pacing --> reading
//	reading --database away--> backing off --> reading
//	reading --history gone--> failed
//
// It lives as long as it has clients.
type feed struct {
	service *Service
	tenant  uuid.UUID
	window  window
	tail    domain.Tail

	// Guarded by the service's mutex.
	clients map[*client]struct{}
	added   int // clients, so far
	begun   bool
	cancel  context.CancelFunc // nil before it has begun

	// Those of the goroutine.
	news      bool      // the clients do not know yet
	broadcast time.Time // when the last began
	problems  logger.Changes
	held      int // what the service counts for the window
}

func newFeed(s *Service, tenant uuid.UUID) *feed {
	f := &feed{
		service: s, tenant: tenant,
		tail:    s.options.Tails.Open(tenant),
		clients: make(map[*client]struct{}),
	}
	f.window.init()
	return f
}

// beginning returns from where the first client's feed reads: from its cursor
// where that is near the end, which saves the client reading for itself.
func beginning(cursor int64, bounds domain.StreamBounds) int64 {
	if bounds.Last-cursor <= readRows {
		return cursor
	}
	return bounds.Last
}

// stop ends the feed. The service's mutex must be held.
func (f *feed) stop() {
	if f.cancel != nil {
		f.cancel()
	} else {
		f.tail.Close()
	}
}

func (f *feed) run(ctx context.Context) {
	defer f.tail.Close()
	defer f.count(0)
	retry := backoff.New(retryFirst, retryMax)
	for {
		changed, err := f.read(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case isFinal(err):
			f.fail(ctx, err)
			return
		case err != nil:
			f.report(ctx, err)
			if retry.Wait(ctx) != nil {
				return
			}
			continue
		}
		retry.Reset()
		if !f.announce(ctx) || changed != nil && !f.await(ctx, changed) || !f.awaitNextBroadcast(ctx) {
			return
		}
	}
}

// read puts what is new into the window. When there is nothing it returns the
// channel that is closed when there may be.
func (f *feed) read(ctx context.Context) (changed <-chan struct{}, err error) {
	_, after := f.window.bounds()
	v := f.tail.After(after, readRows, readBytes)
	if v.Behind {
		v.Messages, err = f.readDatabase(ctx, after, v.Last)
	}
	if len(v.Messages) > 0 {
		f.window.add(encode(v.Messages, f.service.options.Encode, time.Now()), f.service.windowLimit())
		f.count(f.window.size())
		f.news = true
	}
	return v.Changed, err
}

// readDatabase reads what follows, of which it is known that it goes on to last.
func (f *feed) readDatabase(ctx context.Context, after, last int64) ([]domain.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	messages, _, err := f.service.options.Streams.ReadStream(ctx, f.tenant, after, readRows, readBytes)
	if err != nil {
		return nil, err
	}
	f.report(ctx, nil)
	if len(messages) == 0 {
		f.service.reportHole(ctx, after, []domain.Message{{Seq: last + 1}})
		f.window.pass(last)
		return nil, nil
	}
	f.service.reportHole(ctx, after, messages)
	return messages, nil
}

// announce wakes the clients when there is something new for them. Many are
// not woken all at once, but spread over the pause that follows: everything
// else would have to wait until all of them had run. False means that ctx
// ended.
func (f *feed) announce(ctx context.Context) bool {
	if !f.news {
		return true
	}
	f.news, f.broadcast = false, time.Now()
	clients, _ := f.audience()
	pause := broadcastPause(clients)
	steps := max(1, min(groups, int(pause/wakeStep)))
	for group := range groups {
		due := pause * time.Duration(group*steps/groups) / time.Duration(steps)
		if early := due - time.Since(f.broadcast); early > 0 && backoff.Sleep(ctx, early) != nil {
			return false
		}
		f.window.wake(group)
	}
	return ctx.Err() == nil
}

// await waits until it is time to read; false means that ctx ended.
func (f *feed) await(ctx context.Context, changed <-chan struct{}) bool {
	for {
		var trim <-chan time.Time
		if f.held > 0 {
			trim = time.After(trimPause)
		}
		select {
		case <-changed:
			return true
		case <-trim:
			f.window.trim(time.Now())
			f.count(f.window.size())
		case <-ctx.Done():
			return false
		}
	}
}

// count has the service count how many bytes the window holds.
func (f *feed) count(bytes int) {
	f.service.held.Add(int64(bytes - f.held))
	f.held = bytes
}

// awaitNextBroadcast waits for as long as the next broadcast should: longer the more clients
// there are, and a little for those that would fall out of the window and read
// the database in its stead. False means that ctx ended.
func (f *feed) awaitNextBroadcast(ctx context.Context) bool {
	clients, _ := f.audience()
	if pause := broadcastPause(clients) - time.Since(f.broadcast); pause > 0 && backoff.Sleep(ctx, pause) != nil {
		return false
	}
	for begin := time.Now(); time.Since(begin) < holdLimit; {
		if _, lowest := f.audience(); !f.window.crowded(lowest) {
			break
		}
		if backoff.Sleep(ctx, holdStep) != nil {
			return false
		}
	}
	return ctx.Err() == nil
}

// audience returns how many clients there are, and the lowest cursor of those
// within the window, or that of its end when there are none.
func (f *feed) audience() (clients int, lowest int64) {
	start, end := f.window.bounds()
	lowest = end
	f.service.mu.RLock()
	defer f.service.mu.RUnlock()
	for c := range f.clients {
		if at := c.cursor.Load(); at >= start && at < lowest {
			lowest = at
		}
	}
	return len(f.clients), lowest
}

// fail ends the feed, and the streams of its clients once they have taken what
// is in the window.
func (f *feed) fail(ctx context.Context, err error) {
	level := slog.LevelWarn
	if errors.Is(err, domain.ErrNotFound) {
		level = slog.LevelInfo // its tenant was deleted
	}
	f.service.options.Log.Log(ctx, level, "streams of a tenant end", slog.Any("error", err))
	f.service.mu.Lock()
	f.service.removeFeed(f)
	f.service.mu.Unlock()
	f.window.fail(err)
}

// report logs when the database goes and comes, not each try.
func (f *feed) report(ctx context.Context, err error) {
	switch {
	case err == nil && f.problems.Recovered():
		f.service.options.Log.InfoContext(ctx, "stream can be read again")
	case err != nil && f.problems.Failed(""):
		f.service.options.Log.WarnContext(ctx, "stream cannot be read, trying again", slog.Any("error", err))
	}
}

// reportHole logs that messages between others are missing. Their order is
// that of their commits, so these will not come any more: they must have been
// deleted by hand.
func (s *Service) reportHole(ctx context.Context, after int64, messages []domain.Message) {
	for i := range messages {
		if messages[i].Seq != after+1 {
			s.options.Log.ErrorContext(ctx, "messages are missing in a history",
				slog.Int64("after", after), slog.Int64("before", messages[i].Seq))
			return
		}
		after++
	}
}

// isFinal reports whether an error ends a stream, and does not pass.
func isFinal(err error) bool {
	return errors.Is(err, domain.ErrGone) || errors.Is(err, domain.ErrNotFound) || errors.Is(err, domain.ErrConflict)
}

// broadcastPause returns the pause between two broadcasts to that many clients.
func broadcastPause(clients int) time.Duration {
	if clients < fewClients {
		return 0
	}
	return min(time.Duration(clients)*clientPause, maxClientPause)
}

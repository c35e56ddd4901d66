package delivery

import (
	"context"
	"time"

	"github.com/google/uuid"
	"golang.org/x/time/rate"

	"lanekeeper/domain"
)

const (
	// replayEntries and replayBytes are how many members are read at a time.
	replayEntries = 128
	replayBytes   = 256 << 10
	// replayAgain is after which time members are read again after that failed.
	replayAgain = time.Second
)

// replayer is the second cursor of an endpoint: the replay that is under way. It
// belongs to the goroutine of the dispatcher; a nil one has nothing to do.
type replayer struct {
	replay  domain.Replay
	window  window
	limiter *rate.Limiter
	reading bool
	ended   bool // every member was read
	readAt  time.Time
	nextAt  time.Time // nothing is delivered before; zero for at once
	// reported is what was said of the progress.
	reported domain.ReplayProgress
	members  chan members
}

// members is what was read of a replay.
type members struct {
	messages []domain.Message
	next     int64
	err      error
}

func newReplayer(r *domain.Replay) *replayer {
	return &replayer{
		replay: *r, window: window{readTo: r.Cursor}, limiter: rate.NewLimiter(rate.Limit(r.Rate), max(1, r.Rate/20)),
		reported: domain.ReplayProgress{ID: r.ID, Cursor: r.Cursor}, members: make(chan members, 1),
	}
}

// arrived is what await waits for.
func (r *replayer) arrived() <-chan members {
	if r == nil {
		return nil
	}
	return r.members
}

// take takes what was read into account. What the endpoint does not want is no member.
func (r *replayer) take(target *domain.DeliveryTarget, m members, now time.Time) {
	r.reading = false
	if m.err != nil {
		r.readAt = now.Add(replayAgain)
		return
	}
	for i := range m.messages {
		message := &m.messages[i]
		if !target.Wants(message.Type) {
			continue
		}
		r.window.add(&entry{seq: message.Seq, message: owned(message, false), replay: r.replay.ID, since: now})
	}
	r.ended = m.next >= r.replay.To
	r.window.readTo = m.next
}

// next returns the member to be delivered next, or nil. It has more read where
// there is room.
func (r *replayer) next(ctx context.Context, d *dispatcher, now time.Time) *entry {
	if r == nil {
		return nil
	}
	r.read(ctx, d, now)
	e := r.window.firstWaiting(func(*entry) bool { return true })
	if e == nil {
		return nil
	}
	if now.Before(r.nextAt) {
		d.wakeAt(r.nextAt)
		return nil
	}
	if wait := takeFrom(r.limiter, now); wait > 0 {
		d.wakeAt(now.Add(wait))
		return nil
	}
	return e
}

func (r *replayer) read(ctx context.Context, d *dispatcher, now time.Time) {
	if r.reading || r.ended || len(r.window.entries) >= replayEntries/2 {
		return
	}
	if now.Before(r.readAt) {
		d.wakeAt(r.readAt)
		return
	}
	r.reading = true
	replay, cursor := r.replay, r.window.readTo
	d.background.Go(func() {
		var m members
		m.err = d.service.reading(ctx, func(ctx context.Context) (err error) {
			m.messages, m.next, err = d.service.o.Deliveries.ReadReplay(ctx, &replay, cursor, replayEntries, replayBytes)
			return err
		})
		r.members <- m // has room: one reads at a time
	})
}

// progress returns what is new of the progress, or nil.
func (r *replayer) progress() *domain.ReplayProgress {
	if r == nil {
		return nil
	}
	p := domain.ReplayProgress{
		ID: r.replay.ID, Cursor: r.window.cursor(), Done: r.window.dropped - r.reported.Done,
		Ended: r.ended && len(r.window.entries) == 0,
	}
	if p.Cursor == r.reported.Cursor && p.Done == 0 && p.Ended == r.reported.Ended {
		return nil
	}
	r.reported.Cursor, r.reported.Done, r.reported.Ended = p.Cursor, r.window.dropped, p.Ended
	return &p
}

// bytes returns how much the members take that were read.
func (r *replayer) bytes() int {
	if r == nil {
		return 0
	}
	return r.window.bytes
}

// leaveOpen has a message tried again in the time that the row says. It gets the row,
// but for a member of a replay where order is fifo: there a row would hold what is
// live, so the replay waits itself. Its attempts are counted as long as this
// dispatcher runs.
func leaveOpen(d *dispatcher, e *entry, row domain.OpenDelivery, now time.Time) {
	if d.target.Ordering != domain.OrderingFIFO || e.replay == uuid.Nil || e.row {
		d.opened(e, row)
		return
	}
	e.attempts = row.Attempts
	if d.replay != nil && e.in == &d.replay.window {
		d.replay.nextAt = now.Add(row.NextIn)
	}
	d.again(e)
}

// lookForReplay asks which replay is under way, because one may have come or was
// canceled.
func lookForReplay(ctx context.Context, d *dispatcher) {
	if d.asking {
		d.askAgain = true // what it is told may be from before
		return
	}
	d.asking, d.askAgain = true, false
	endpoint := d.target.ID // the target is the dispatcher's own
	d.background.Go(func() {
		var r replayFound
		r.err = d.service.reading(ctx, func(ctx context.Context) (err error) {
			r.replay, err = d.service.o.Deliveries.RunningReplay(ctx, d.lane.tenant, endpoint)
			return err
		})
		d.replays <- r // has room: one asks at a time
	})
}

// replayFound is the replay that is under way; nil for none.
type replayFound struct {
	replay *domain.Replay
	err    error
}

// handleReplay takes into account which replay is under way.
func handleReplay(ctx context.Context, d *dispatcher, r replayFound) {
	d.asking = false
	switch {
	case r.err != nil:
		time.AfterFunc(replayAgain, func() { signal(d.wakes) })
	case r.replay == nil:
		d.replay = nil
	case d.replay == nil || d.replay.replay.ID != r.replay.ID:
		d.replay = newReplayer(r.replay)
	}
	if d.askAgain {
		lookForReplay(ctx, d)
	}
}

package stream

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"lanekeeper/domain"
	"lanekeeper/pkg/shares"
)

// firstRows is how many messages a client that is behind reads at first, and
// maxRows how many at most.
const (
	firstRows = 64
	maxRows   = 512
)

// client is one open stream. It implements domain.EventStream.
type client struct {
	service *Service
	feed    *feed
	group   int             // within the feed
	by      shares.User     // whose share of the memory it has
	life    context.Context //nolint:containedctx // of the stream, not of a call
	end     context.CancelFunc
	closing sync.Once
	// cursor is the seq of the last event that Next returned; -1 before Open
	// is done. Written by Next, read by the feed.
	cursor atomic.Int64
	// sending is the part of the memory for what Next returned last, if that was
	// read for this client alone.
	sending atomic.Pointer[shares.Part]

	// Those of Next. While the client is queued its turn reads them, and leaves
	// in caught what came of it.
	queued bool  // to catch up
	start  int64 // of the window that the client is behind
	rows   int   // how many messages to read when behind
	caught chan caught
}

// caught is what a client that is behind has read: data up to seq last, or, when
// data is nil, nothing up to there; or why there is nothing to read.
type caught struct {
	data []byte
	last int64
	rows int // how many to read next
	part *shares.Part
	err  error
}

func newClient(s *Service, f *feed, group int, owner string) *client {
	name := f.tenant.String()
	by := shares.User{Owner: cmp.Or(owner, name), Name: name}
	c := &client{service: s, feed: f, group: group, by: by, rows: firstRows, caught: make(chan caught, 1)}
	c.life, c.end = context.WithCancel(domain.WithTenantID(s.life, f.tenant))
	c.cursor.Store(-1)
	return c
}

// place puts the client where it wants to begin.
func (c *client) place(b domain.StreamBounds, from *int64) error {
	cursor := b.Last
	if from != nil {
		cursor = *from
		if cursor == 0 {
			cursor = b.First - 1
		}
	}
	switch {
	case cursor > b.Last:
		return domain.CursorAhead()
	case cursor < b.First-1:
		return domain.CursorExpired()
	}
	c.cursor.Store(cursor)
	return nil
}

// Position implements domain.EventStream.
func (c *client) Position() int64 { return c.cursor.Load() }

// Next implements domain.EventStream. It returns 256 KiB at most, or a single
// event.
func (c *client) Next(ctx context.Context) ([]byte, error) {
	c.sent() //nolint:contextcheck // others read in its room, for as long as their streams live
	for {
		if err := c.ended(ctx); err != nil {
			return nil, err
		}
		v := c.feed.window.after(c.cursor.Load(), c.group)
		switch {
		case v.last != 0:
			c.cursor.Store(v.last)
			return v.data, nil
		case v.behind:
			if data, err := c.nextFromDatabase(ctx, v.start); data != nil || err != nil {
				return data, err
			}
			continue // it may have to end
		case v.err != nil:
			return nil, v.err
		}
		select {
		case <-v.changed:
		case <-ctx.Done():
		case <-c.life.Done():
		}
	}
}

// ended returns why Next has to return.
func (c *client) ended(ctx context.Context) error {
	switch {
	case c.service.life.Err() != nil:
		return errShuttingDown()
	case c.life.Err() != nil:
		return domain.New(domain.ErrUnavailable, "stream_closed", "The stream is closed.")
	}
	return ctx.Err()
}

// Close implements domain.EventStream.
func (c *client) Close() {
	c.closing.Do(func() {
		c.end()
		c.service.catchUp.dequeue(c)
		c.sent()
		c.service.removeClient(c)
	})
}

// sent gives back the memory for what Next returned last.
func (c *client) sent() {
	if part := c.sending.Swap(nil); part != nil {
		part.GiveBack()
		c.service.catchUp.freed()
	}
}

// nextFromDatabase returns what follows the cursor, for a client that is behind
// the window, which begins at start; nothing when the window is to be looked at
// again. The
// client keeps its turn when ctx ends, and a later call gets what was read.
func (c *client) nextFromDatabase(ctx context.Context, start int64) ([]byte, error) {
	if !c.queued {
		c.queued, c.start = true, start
		c.service.catchUp.enqueue(c) //nolint:contextcheck // reads for as long as the stream lives
	}
	select {
	case got := <-c.caught:
		c.queued = false
		if got.err != nil {
			return nil, got.err
		}
		c.rows = got.rows
		c.cursor.Store(got.last)
		c.sending.Store(got.part)
		return got.data, nil
	case <-ctx.Done():
	case <-c.life.Done():
	}
	return nil, nil
}

// read is the turn of a client that is behind.
func (c *client) read() caught {
	ctx, cancel := context.WithTimeout(c.life, readTimeout)
	defer cancel()
	cursor := c.cursor.Load()
	messages, _, err := c.service.options.Streams.ReadStream(ctx, c.feed.tenant, cursor, c.rows, chunkBytes)
	if err != nil {
		return caught{err: err}
	}
	if len(messages) == 0 {
		// They were there when the window was made.
		c.service.options.Log.ErrorContext(ctx, "messages are missing in a history",
			slog.Int64("after", cursor), slog.Int64("before", c.start+1))
		return caught{last: c.start, rows: c.rows}
	}
	c.service.reportHole(ctx, cursor, messages)
	got := caught{rows: c.rows}
	taken := 0
	for ; taken < len(messages); taken++ {
		event := c.service.options.Encode(&messages[taken])
		if taken > 0 && len(got.data)+len(event) > chunkBytes {
			break
		}
		got.data = append(got.data, event...)
	}
	switch {
	case taken < len(messages):
		got.rows = taken
	case taken == c.rows:
		got.rows = min(2*c.rows, maxRows)
	}
	got.last = messages[taken-1].Seq
	return got
}

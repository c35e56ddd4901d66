package stream

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"lanekeeper/domain"
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
	life    context.Context //nolint:containedctx // of the stream, not of a call
	end     context.CancelFunc
	leave   sync.Once
	// cursor is the seq of the last event that Next returned; -1 before Open
	// is done. Written by Next, read by the feed.
	cursor atomic.Int64

	// Those of Next.
	rows  int           // how many messages to read when behind
	retry time.Duration // the pause after the next error
}

func newClient(s *Service, f *feed, group int) *client {
	c := &client{service: s, feed: f, group: group, rows: firstRows, retry: minRetry}
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
			if data, err := c.catchUp(ctx, v.start); data != nil || err != nil {
				return data, err
			}
			continue
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
	c.leave.Do(func() {
		c.end()
		c.service.leave(c)
	})
}

// catchUp reads what follows the cursor, for a client that is behind the
// window, which begins at start. It returns nothing when it is to be tried
// again. Only few clients do this at a time, and while they wait they hold no
// messages.
func (c *client) catchUp(ctx context.Context, start int64) ([]byte, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.life, cancel)() //nolint:contextcheck // ends with the stream as well
	select {
	case c.service.laggards <- struct{}{}:
	case <-ctx.Done():
		return nil, nil
	}
	data, err := c.read(ctx, start)
	<-c.service.laggards
	switch {
	case ctx.Err() != nil && data == nil:
		return nil, nil
	case err == nil:
		c.retry = minRetry
		return data, nil
	case isFinal(err):
		return nil, err
	}
	// The feed logs that the database is away.
	wait(ctx, jitter(c.retry))
	c.retry = min(2*c.retry, maxRetry)
	return nil, nil
}

func (c *client) read(ctx context.Context, start int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(domain.WithTenantID(ctx, c.feed.tenant), readTimeout)
	defer cancel()
	cursor := c.cursor.Load()
	messages, err := c.service.options.Streams.ReadStream(ctx, c.feed.tenant, cursor, c.rows)
	if err != nil {
		return nil, err
	}
	if len(messages) == 0 {
		// They were there when the window was made.
		c.service.options.Log.ErrorContext(ctx, "messages are missing in a history",
			slog.Int64("after", cursor), slog.Int64("before", start+1))
		c.cursor.Store(start)
		return nil, nil
	}
	c.service.reportHole(ctx, cursor, messages)
	var data []byte
	taken := 0
	for ; taken < len(messages); taken++ {
		event := c.service.options.Encode(&messages[taken])
		if taken > 0 && len(data)+len(event) > chunkBytes {
			break
		}
		data = append(data, event...)
	}
	switch {
	case taken < len(messages):
		c.rows = taken
	case taken == c.rows:
		c.rows = min(2*c.rows, maxRows)
	}
	c.cursor.Store(messages[taken-1].Seq)
	return data, nil
}

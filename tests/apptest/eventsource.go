package apptest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"lanekeeper/pkg/sse"
)

// ErrGaveUp: an EventSource got an answer after which it never comes back.
var ErrGaveUp = errors.New("the EventSource has given up")

// browserPause is how long browsers wait before they come back, as long as the
// server did not say.
const browserPause = 3 * time.Second

// EventSource follows a stream as a browser does (WHATWG HTML, section 9.2): it
// sends no headers but its own, comes back to the same URL after a connection
// that was lost or ended, and gives up for good after any answer but a stream.
// It is not safe for concurrent use.
type EventSource struct {
	client    *Client
	url       string
	last      string        // the last event id
	reconnect time.Duration // how long it waits before it comes back
	open      *sse.Stream   // nil while it has none
	// Opened counts the answers that were streams.
	Opened int
}

// EventSource returns one for a stream with this query. It is closed when the
// test ends.
func (c *Client) EventSource(query string) *EventSource {
	c.t.Helper()
	e := &EventSource{client: c, url: c.URL() + streamPath + "?" + query, reconnect: browserPause}
	c.t.Cleanup(e.Lose)
	return e
}

// At makes it come back to another replica, as a load balancer would.
func (e *EventSource) At(c *Client, query string) { e.url = c.URL() + streamPath + "?" + query }

// Lose breaks the connection off, as a browser does that learns that its network
// has gone. A proxy that has fallen silent does not hand that on.
func (e *EventSource) Lose() {
	if e.open != nil {
		e.open.Close()
		e.open = nil
	}
}

// Next returns the next message, however often it has to come back for it.
func (e *EventSource) Next(ctx context.Context) (Event, error) {
	for {
		if e.open == nil {
			if err := e.connect(ctx); err != nil {
				return Event{}, err
			}
		}
		s := Stream{Stream: e.open, seen: e.see}
		event, err := s.Next()
		if err == nil {
			return event, nil
		}
		if errors.Is(err, errUnknownEvent) {
			return Event{}, err
		}
		e.Lose()
		if err := e.waitToReconnect(ctx); err != nil {
			return Event{}, err
		}
	}
}

// see remembers what an event says of where the stream is, and when to come back.
func (e *EventSource) see(event sse.Event) {
	if event.ID != nil {
		e.last = string(event.ID)
	}
	e.reconnect = cmp.Or(event.Retry, e.reconnect)
}

func (e *EventSource) waitToReconnect(ctx context.Context) error {
	timer := time.NewTimer(e.reconnect)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait to come back: %w", ctx.Err())
	}
}

// connect comes back until there is an answer.
func (e *EventSource) connect(ctx context.Context) error {
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	header := http.Header{"Accept": {"text/event-stream"}, "Cache-Control": {"no-store"}}
	if e.last != "" {
		header.Set("Last-Event-ID", e.last)
	}
	for {
		stream, err := sse.Open(ctx, client, e.url, header, streamBuffer)
		var refused *sse.RefusedError
		switch {
		case errors.As(err, &refused):
			return fmt.Errorf("%w: status %d", ErrGaveUp, refused.Status)
		case err != nil && ctx.Err() != nil:
			return err //nolint:wrapcheck // says what is wrong
		case err != nil:
			if err := e.waitToReconnect(ctx); err != nil {
				return err
			}
			continue
		}
		e.open = stream
		e.Opened++
		return nil
	}
}

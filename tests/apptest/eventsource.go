package apptest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"lanekeeper/tests/sse"
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
	client *Client
	url    string
	last   string // the last event id
	pause  time.Duration
	open   *http.Response
	events *sse.Reader
	// Opened counts the answers that were streams.
	Opened int
}

// EventSource returns one for a stream with this query. It is closed when the
// test ends.
func (c *Client) EventSource(query string) *EventSource {
	c.t.Helper()
	e := &EventSource{client: c, url: c.URL() + streamPath + "?" + query, pause: browserPause}
	c.t.Cleanup(e.Lose)
	return e
}

// At makes it come back to another replica, as a load balancer would.
func (e *EventSource) At(c *Client, query string) { e.url = c.URL() + streamPath + "?" + query }

// Lose breaks the connection off, as a browser does that learns that its network
// has gone. A proxy that has fallen silent does not hand that on.
func (e *EventSource) Lose() {
	if e.open != nil {
		_ = e.open.Body.Close() // it was broken off
		e.open, e.events = nil, nil
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
		s := Stream{events: e.events, seen: e.see}
		event, err := s.Next()
		if err == nil {
			return event, nil
		}
		if errors.Is(err, errUnknownEvent) {
			return Event{}, err
		}
		e.Lose()
		if err := e.rest(ctx); err != nil {
			return Event{}, err
		}
	}
}

// see remembers what an event says of where the stream is, and when to come back.
func (e *EventSource) see(event sse.Event) {
	if event.ID != nil {
		e.last = string(event.ID)
	}
	e.pause = cmp.Or(event.Retry, e.pause)
}

func (e *EventSource) rest(ctx context.Context) error {
	timer := time.NewTimer(e.pause)
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
	transport := &http.Transport{DisableKeepAlives: true}
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, e.url, http.NoBody)
		if err != nil {
			return fmt.Errorf("make request: %w", err)
		}
		request.Header.Set("Accept", "text/event-stream")
		request.Header.Set("Cache-Control", "no-store")
		if e.last != "" {
			request.Header.Set("Last-Event-ID", e.last)
		}
		response, err := transport.RoundTrip(request)
		switch {
		case err != nil && ctx.Err() != nil:
			return fmt.Errorf("open stream: %w", err)
		case err != nil:
			if err := e.rest(ctx); err != nil {
				return err
			}
			continue
		case response.StatusCode != http.StatusOK:
			_ = response.Body.Close() // nobody wants it
			return fmt.Errorf("%w: status %s", ErrGaveUp, strconv.Itoa(response.StatusCode))
		}
		e.open, e.events = response, sse.NewReader(response.Body, 64<<10)
		e.Opened++
		return nil
	}
}

package apptest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/sse"
)

const (
	// streamPath is where the stream is.
	streamPath = "/api/messages/stream"
	// streamBuffer is the buffer of a stream's reader, in bytes.
	streamBuffer = 64 << 10
)

// Event is one message as a stream tells it.
type Event struct {
	Seq     int64
	Message Message
}

// Stream is an open stream of a tenant's messages. It is not safe for
// concurrent use, but for Close.
type Stream struct {
	*sse.Stream

	seen func(sse.Event) // may be nil
}

// LastEventID resumes a stream.
func LastEventID(seq int64) Header { return Header{"Last-Event-ID", strconv.FormatInt(seq, 10)} }

// TryStream opens a stream, from any goroutine, with a query such as
// "cursor=0". An answer other than 200 is a *RefusedError. The stream lives as
// long as ctx, and no longer than until Close.
func (c *Client) TryStream(ctx context.Context, query string, headers ...Header) (*Stream, error) {
	path := streamPath
	if query != "" {
		path += "?" + query
	}
	header := make(http.Header)
	if c.token != "" {
		header.Set("Authorization", c.token)
	}
	for _, h := range headers {
		header.Set(h[0], h[1])
	}
	unlimited := &http.Client{Transport: c.http.Transport} // a stream may take any time
	events, err := sse.Open(ctx, unlimited, c.URL()+path, header, streamBuffer)
	var refused *sse.RefusedError
	switch {
	case errors.As(err, &refused):
		return nil, &RefusedError{&Answer{Status: refused.Status, Header: refused.Header, Body: refused.Body}}
	case err != nil:
		return nil, err //nolint:wrapcheck // says what is wrong
	}
	return &Stream{Stream: events}, nil
}

// Stream opens a tenant's stream and ends the test when it is refused. It is
// closed when the test ends.
func (c *Client) Stream(tenant, query string, headers ...Header) *Stream {
	c.t.Helper()
	s, err := c.TryStream(c.t.Context(), query, append(headers, ForTenant(tenant))...)
	require.NoError(c.t, err)
	c.t.Cleanup(s.Close)
	media := s.Header.Get("Content-Type")
	require.True(c.t, strings.HasPrefix(media, "text/event-stream"), media)
	return s
}

// StreamRefused opens a stream and ends the test unless the answer is a
// complete problem document with this status and code.
func (c *Client) StreamRefused(status int, code, query string, headers ...Header) {
	c.t.Helper()
	s, err := c.TryStream(c.t.Context(), query, headers...)
	if err == nil {
		s.Close()
		require.FailNow(c.t, "the stream was opened", "%s %v", query, headers)
	}
	var refused *RefusedError
	require.ErrorAs(c.t, err, &refused)
	p, err := refused.Problem()
	require.NoError(c.t, err)
	require.Equal(c.t, status, p.Status, "%s", refused.Body)
	require.Equal(c.t, code, p.Code, "%s", refused.Body)
}

// Next returns the next message. The error is io.EOF when the service has
// ended the stream in good order, and that of the connection otherwise.
func (s *Stream) Next() (Event, error) {
	for {
		e, err := s.Stream.Next()
		if err != nil {
			return Event{}, err //nolint:wrapcheck // io.EOF is part of the contract
		}
		if s.seen != nil {
			s.seen(e)
		}
		var event Event
		if e.ID != nil {
			if event.Seq, err = strconv.ParseInt(string(e.ID), 10, 64); err != nil {
				return Event{}, fmt.Errorf("id of an event: %w", err)
			}
		}
		if e.Name == nil && e.Data == nil {
			continue // a comment, a retry or a place alone
		}
		if string(e.Name) != "message" {
			return Event{}, fmt.Errorf("event %q: %w", e.Name, errUnknownEvent)
		}
		if err := json.Unmarshal(e.Data, &event.Message); err != nil {
			return Event{}, fmt.Errorf("decode event %.500s: %w", e.Data, err)
		}
		if event.Message.Seq != event.Seq {
			return Event{}, fmt.Errorf("%w: id %d, seq %d", errUnknownEvent, event.Seq, event.Message.Seq)
		}
		return event, nil
	}
}

var errUnknownEvent = errors.New("not an event as it should be")

// Take returns the next n messages, after checking that they follow seq
// without a hole.
func (s *Stream) Take(after int64, n int) ([]Event, error) {
	events := make([]Event, 0, n)
	for range n {
		e, err := s.Next()
		if err != nil {
			return events, err
		}
		if e.Seq != after+1 {
			return events, NotYet("seq %d after %d, not %d", after+1, after, e.Seq)
		}
		after = e.Seq
		events = append(events, e)
	}
	return events, nil
}

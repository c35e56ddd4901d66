package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"net/http"
	"strconv"
	"time"

	"lanekeeper/pkg/backoff"
	"lanekeeper/pkg/sse"
)

// Now is where a stream begins that is only for what is stored from now on.
const Now int64 = -1

// silenceLimit is after how long without a byte a stream counts as dead. The
// service sends something each 15 seconds.
const silenceLimit = 45 * time.Second

// streamBuffer is how much of a stream is read at a time.
const streamBuffer = 16 << 10

// StreamOptions says where a stream begins.
type StreamOptions struct {
	// After is the seq after which it begins: 0 for the oldest message that is kept,
	// Now for the first that is stored from now on.
	After int64
}

// GapError says that a stream went on behind messages that it should have had.
type GapError struct {
	// Want is the seq that should have come, Got the one that did, twice.
	Want, Got int64
}

// Error implements error.
func (e *GapError) Error() string {
	return fmt.Sprintf("the stream has message %d where %d should be", e.Got, e.Want)
}

// follow is Client.Stream.
func follow(ctx context.Context, c *caller, tenant string, o StreamOptions) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		f := follower{api: c, tenant: tenant, after: o.After}
		if err := f.run(ctx, yield); err != nil {
			yield(Message{}, err)
		}
	}
}

// follower follows one stream. It belongs to one goroutine.
type follower struct {
	api    *caller
	tenant string
	// after is the seq of the last message; Now while there is no place.
	after int64
	// pause is how long the service wants to be left alone after the stream ended.
	pause time.Duration
	gap   bool // the last stream ended with one
	got   bool // this stream had something
}

var (
	// errStopped: the reader of the sequence wants no more.
	errStopped = errors.New("stopped")
	// errEnded: the service ended the stream.
	errEnded = errors.New("the stream has ended")
)

// run yields messages until it must end. It returns nil when the reader wants no
// more.
func (f *follower) run(ctx context.Context, yield func(Message, error) bool) error {
	pauses := backoff.New(firstPause, longestPause)
	r := call{method: http.MethodGet, path: "/messages/stream", tenant: f.tenant, again: always}
	for {
		stream, err := f.open(ctx, &r)
		if err != nil {
			return err
		}
		err = f.read(stream, yield)
		stream.Close()
		gap := &GapError{}
		switch {
		case errors.Is(err, errStopped):
			return nil
		case ctx.Err() != nil:
			return ctx.Err() //nolint:wrapcheck // nothing to add
		case errors.As(err, &gap) && f.gap, errors.Is(err, errBadEvent):
			return err
		}
		f.gap = errors.As(err, &gap)
		if f.got {
			pauses.Reset()
		}
		wait := pauses.Next()
		if !f.got {
			wait = max(wait, f.pause)
		}
		f.api.report(&r, err, wait)
		if err := backoff.Sleep(ctx, wait); err != nil {
			return err //nolint:wrapcheck // nothing to add
		}
		r.retryFor = math.MaxInt64
	}
}

// open opens the stream where it goes on.
func (f *follower) open(ctx context.Context, r *call) (*sse.Stream, error) {
	f.got = false
	var stream *sse.Stream
	_, err := f.api.persist(ctx, r, func(ctx context.Context, token string) (*answer, error) {
		header := f.api.header(r, token)
		header.Set("Accept", "text/event-stream")
		if f.after >= 0 {
			header.Set("Last-Event-ID", strconv.FormatInt(f.after, 10))
		}
		opened, err := sse.Open(ctx, f.api.streaming, f.api.address(r), header, streamBuffer)
		if refused, ok := errors.AsType[*sse.RefusedError](err); ok {
			return nil, problem(refused.Status, refused.Header, refused.Body)
		}
		if err != nil {
			return nil, err //nolint:wrapcheck // it says all
		}
		opened.EndAfter(silenceLimit)
		stream = opened
		return nil, nil //nolint:nilnil // the answer is the stream
	})
	return stream, err
}

// errBadEvent: what came is no message.
var errBadEvent = errors.New("the stream has an event that is no message")

// read yields what a stream has, and returns why it ended.
func (f *follower) read(stream *sse.Stream, yield func(Message, error) bool) error {
	for {
		e, err := stream.Next()
		if errors.Is(err, io.EOF) {
			return errEnded
		}
		if err != nil {
			return err //nolint:wrapcheck // it says all
		}
		if e.Retry > 0 {
			f.pause = e.Retry
		}
		if e.Data == nil {
			if place, err := strconv.ParseInt(string(e.ID), 10, 64); err == nil && f.after < 0 {
				f.after = place
			}
			continue
		}
		var m Message
		if err := json.Unmarshal(e.Data, &m); err != nil || m.Seq < 1 {
			return errBadEvent
		}
		f.got = true
		switch {
		case f.after > 0 && m.Seq <= f.after:
			continue // it was here before
		case f.after > 0 && m.Seq != f.after+1:
			return &GapError{Want: f.after + 1, Got: m.Seq}
		}
		f.after = m.Seq
		if !yield(m, nil) {
			return errStopped
		}
	}
}

package sse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Stream is an open stream. It is not safe for concurrent use, but for Close.
type Stream struct {
	*Reader

	// Header is that of the answer.
	Header http.Header

	body   *watched
	ctx    context.Context //nolint:containedctx // says why the stream ended
	cancel context.CancelCauseFunc
}

// ErrSilent: nothing came for as long as EndAfter says.
var ErrSilent = errors.New("the stream was silent for too long")

// RefusedError is an answer other than 200.
type RefusedError struct {
	Status int
	Header http.Header
	Body   []byte
}

// Error implements error.
func (e *RefusedError) Error() string { return fmt.Sprintf("open stream: %d: %s", e.Status, e.Body) }

// Open opens the stream at this address with these headers, and a reader with a
// buffer of this size. An answer other than 200 is a *RefusedError. The stream
// lives as long as ctx, and no longer than until Close. The client must have no
// timeout: a stream may take any time.
func Open(ctx context.Context, client *http.Client, address string, header http.Header, size int) (*Stream, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		cancel(nil)
		return nil, fmt.Errorf("make request: %w", err)
	}
	for name, values := range header {
		request.Header[http.CanonicalHeaderKey(name)] = values
	}
	response, err := client.Do(request)
	if err != nil {
		cancel(nil)
		return nil, fmt.Errorf("open stream: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		defer cancel(nil)
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			return nil, fmt.Errorf("read answer: %w", err)
		}
		return nil, &RefusedError{Status: response.StatusCode, Header: response.Header, Body: body}
	}
	body := &watched{ReadCloser: response.Body}
	return &Stream{Reader: NewReader(body, size), Header: response.Header, body: body, ctx: ctx, cancel: cancel}, nil
}

// Close ends the stream. Closing twice is allowed.
func (s *Stream) Close() {
	s.cancel(nil)
	_ = s.body.Close() // it was cut off
}

// EndAfter makes the stream end with ErrSilent when it waits for this long for the
// next byte. It must be called before the first Next.
func (s *Stream) EndAfter(silence time.Duration) {
	s.body.silence = silence
	s.body.end = func() { s.cancel(ErrSilent) }
}

// Next is that of Reader.
func (s *Stream) Next() (Event, error) {
	e, err := s.Reader.Next()
	if err != nil && context.Cause(s.ctx) == ErrSilent { //nolint:errorlint // the cause itself
		return Event{}, ErrSilent
	}
	return e, err
}

// watched is a body whose silence is measured while it is read.
type watched struct {
	io.ReadCloser

	silence time.Duration // 0 for any
	end     func()
}

// Read implements io.Reader.
func (w *watched) Read(p []byte) (int, error) {
	if w.silence > 0 {
		defer time.AfterFunc(w.silence, w.end).Stop()
	}
	return w.ReadCloser.Read(p) //nolint:wrapcheck // of a reader that says what it reads
}

package sse

import (
	"context"
	"fmt"
	"io"
	"net/http"
)

// Stream is an open stream. It is not safe for concurrent use, but for Close.
type Stream struct {
	*Reader

	// Header is that of the answer.
	Header http.Header

	body   io.Closer
	cancel context.CancelFunc
}

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
	ctx, cancel := context.WithCancel(ctx)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("make request: %w", err)
	}
	for name, values := range header {
		request.Header[http.CanonicalHeaderKey(name)] = values
	}
	response, err := client.Do(request)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("open stream: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		defer cancel()
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			return nil, fmt.Errorf("read answer: %w", err)
		}
		return nil, &RefusedError{Status: response.StatusCode, Header: response.Header, Body: body}
	}
	return &Stream{Reader: NewReader(response.Body, size), Header: response.Header, body: response.Body, cancel: cancel}, nil
}

// Close ends the stream. Closing twice is allowed.
func (s *Stream) Close() {
	s.cancel()
	_ = s.body.Close() // it was cut off
}

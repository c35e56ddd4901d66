package fault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// HangingEndpoint is an endpoint that takes messages and never answers.
type HangingEndpoint struct {
	server *http.Server
	URL    string
	ended  chan error

	now, Most, Taken atomic.Int64
}

// StartHangingEndpoint starts one on a free port. Call Close at the end.
func StartHangingEndpoint(ctx context.Context) (*HangingEndpoint, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	h := &HangingEndpoint{URL: "http://" + listener.Addr().String(), ended: make(chan error, 1)}
	h.server = &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	go func() { h.ended <- h.server.Serve(listener) }()
	return h, nil
}

// ServeHTTP implements http.Handler. It returns when the caller gives up.
func (h *HangingEndpoint) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return // given up
	}
	h.Taken.Add(1)
	now := h.now.Add(1)
	defer h.now.Add(-1)
	for most := h.Most.Load(); now > most && !h.Most.CompareAndSwap(most, now); {
		most = h.Most.Load()
	}
	<-r.Context().Done()
}

// Close breaks all connections.
func (h *HangingEndpoint) Close() error {
	err := h.server.Close()
	if served := <-h.ended; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

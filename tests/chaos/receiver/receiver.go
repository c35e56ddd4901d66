package receiver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Receiver is an HTTP server with endpoints. Call Close at the end.
type Receiver struct {
	server *http.Server
	base   string
	ended  chan error

	mu        sync.Mutex // guards what follows; nothing waits while it is held
	endpoints map[string]*Endpoint
	now, most int
}

// Start starts one on a free port.
func Start(ctx context.Context) (*Receiver, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	r := &Receiver{base: "http://" + listener.Addr().String(), ended: make(chan error, 1), endpoints: make(map[string]*Endpoint)}
	r.server = &http.Server{Handler: r, ReadHeaderTimeout: time.Minute}
	go func() { r.ended <- r.server.Serve(listener) }()
	return r, nil
}

// Add returns a new endpoint that answers like this.
func (r *Receiver) Add(answer Answer) *Endpoint {
	r.mu.Lock()
	defer r.mu.Unlock()
	path := fmt.Sprintf("/%d", len(r.endpoints)+1)
	e := newEndpoint(r.base+path, answer)
	r.endpoints[path] = e
	return e
}

// ServeHTTP implements http.Handler.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	r.mu.Lock()
	e := r.endpoints[strings.TrimSuffix(request.URL.Path, "/")]
	r.now++
	r.most = max(r.most, r.now)
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.now--
	}()
	if e == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	e.serve(w, request)
}

// Busy returns how many requests are under way, and how many were at most.
func (r *Receiver) Busy() (now, most int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now, r.most
}

// Close breaks all connections.
func (r *Receiver) Close() error {
	err := r.server.Close()
	if served := <-r.ended; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

package main

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

const (
	hangingWorkers = 100
	// hangingPause is how long each of the noisy tenant's clients waits
	// between batches. It is about an endpoint that hangs, not about a flood.
	hangingPause = 100 * time.Millisecond
)

// hanging is an endpoint that takes messages and never answers.
type hanging struct {
	server *http.Server
	url    string
	ended  chan error

	now, most, taken atomic.Int64
}

func startHanging(ctx context.Context) (*hanging, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	h := &hanging{url: "http://" + listener.Addr().String(), ended: make(chan error, 1)}
	h.server = &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	go func() { h.ended <- h.server.Serve(listener) }()
	return h, nil
}

// ServeHTTP implements http.Handler. It returns when the caller gives up.
func (h *hanging) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return // given up
	}
	h.taken.Add(1)
	now := h.now.Add(1)
	defer h.now.Add(-1)
	for most := h.most.Load(); now > most && !h.most.CompareAndSwap(most, now); {
		most = h.most.Load()
	}
	<-r.Context().Done()
}

// close breaks all connections.
func (h *hanging) close() error {
	err := h.server.Close()
	if served := <-h.ended; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// noisyEndpoint has one tenant publish whose endpoint hangs. Between the
// measurements and at the end it has no endpoint, so that what was published is
// stored.
func noisyEndpoint(ctx context.Context, st *stage) (err error) {
	noisy, p, err := st.quietAndOther(ctx)
	if err != nil {
		return err
	}
	if r := st.client.resize(ctx, noisy, hangingWorkers); r.status != http.StatusOK {
		return errors.Join(fmt.Errorf("%w: resize: %s", errUnexpected, r.text()), r.err)
	}
	endpoint, err := startHanging(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, endpoint.close()) }()
	l := &load{st: st}
	err = st.undisturbed(ctx, p, st.measure, func(ctx context.Context, meanwhile func() error) error {
		path := "/api/tenants/" + noisy + "/endpoint"
		if r := st.client.call(ctx, http.MethodPut, path, "", "", fmt.Appendf(nil, `{"url":%q}`, endpoint.url)); r.status != http.StatusOK {
			return errors.Join(fmt.Errorf("%w: set an endpoint: %s", errUnexpected, r.text()), r.err)
		}
		err := st.while(ctx, 2, meanwhile, func(ctx context.Context) {
			l.send(ctx, noisy, batchSize, false)
			rest(ctx, hangingPause)
		})
		if r := st.client.call(ctx, http.MethodDelete, path, "", "", nil); r.status != http.StatusNoContent {
			err = errors.Join(err, fmt.Errorf("%w: delete an endpoint: %s", errUnexpected, r.text()), r.err)
		}
		return err
	})
	st.show("published to the hanging one", "%d messages, %d attempts to transmit, %d at a time at most", l.accepted.Load(), endpoint.taken.Load(), endpoint.most.Load())
	if most := endpoint.most.Load(); most != hangingWorkers {
		st.fail("%d transmissions at a time hung, not %d", most, hangingWorkers)
	}
	return errors.Join(err, st.check(ctx))
}

package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// headerType is where a delivery says which type its message has.
const headerType = "Lanekeeper-Type"

const (
	statusTaken   = http.StatusNoContent
	statusAway    = http.StatusServiceUnavailable
	statusRefused = http.StatusUnprocessableEntity

	// A receiver that fails now and then fails once in failsOnce, and is away for the
	// last awayFor of each minute.
	failsOnce = 4
	awayFor   = 15 * time.Second

	// A slow receiver takes between least and most to answer.
	slowLeast, slowMost = 300 * time.Millisecond, 900 * time.Millisecond

	longestBody = 2 << 20
)

// behavior is what a receiver does with its n-th request, from 1: how long it thinks,
// and what it answers. Elapsed is since the receivers were opened.
type behavior func(n int64, kind string, elapsed time.Duration) (think time.Duration, status int)

func steady(int64, string, time.Duration) (think time.Duration, status int) { return 0, statusTaken }

func strict(_ int64, kind string, _ time.Duration) (think time.Duration, status int) {
	if kind == poisonType {
		return 0, statusRefused
	}
	return 0, statusTaken
}

func flaky(n int64, _ string, elapsed time.Duration) (think time.Duration, status int) {
	if elapsed%time.Minute >= time.Minute-awayFor || n%failsOnce == 0 {
		return 0, statusAway
	}
	return 0, statusTaken
}

func slow(n int64, _ string, _ time.Duration) (think time.Duration, status int) {
	const step = 170 * time.Millisecond
	return slowLeast + time.Duration(n)*step%(slowMost-slowLeast), statusTaken
}

// receivers are the addresses that the demo's endpoints point to, on this machine only.
type receivers struct {
	server *http.Server
	url    string
	opened time.Time
	served sync.WaitGroup

	taken, refused atomic.Int64
}

// openReceivers listens, and answers until close.
func openReceivers(ctx context.Context, all []shop) (*receivers, error) {
	const head = 5 * time.Second
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for deliveries: %w", err)
	}
	r := &receivers{url: "http://" + listener.Addr().String(), opened: time.Now()}
	mux := http.NewServeMux()
	for _, s := range all {
		for _, b := range s.endpoints {
			mux.HandleFunc("POST "+b.path(&s), r.receive(b.behavior))
		}
	}
	r.server = &http.Server{Handler: mux, ReadHeaderTimeout: head, ReadTimeout: 2 * head, WriteTimeout: 2 * head}
	r.served.Go(func() {
		if err := r.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			_ = listener.Close() // deliveries fail, which everybody sees
		}
	})
	return r, nil
}

func (b *branch) path(s *shop) string { return "/" + s.id + "/" + b.id }

// receive returns the handler of an endpoint.
func (r *receivers) receive(behave behavior) http.HandlerFunc {
	var requests atomic.Int64
	return func(w http.ResponseWriter, request *http.Request) {
		if _, err := io.Copy(io.Discard, http.MaxBytesReader(w, request.Body, longestBody)); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		think, status := behave(requests.Add(1), request.Header.Get(headerType), time.Since(r.opened))
		if think > 0 {
			timer := time.NewTimer(think)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-request.Context().Done(): // who asks is gone
				return
			}
		}
		if status == statusTaken {
			r.taken.Add(1)
		} else {
			r.refused.Add(1)
		}
		w.WriteHeader(status)
	}
}

// close ends all connections.
func (r *receivers) close() {
	_ = r.server.Close() // nothing is left to be told
	r.served.Wait()
}

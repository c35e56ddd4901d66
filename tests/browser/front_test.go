//go:build browser

package browser

import (
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

// front stands before the service at an address that stays, while the service is stopped
// and started as scripts say. Who comes while it is stopped gets a connection that is
// closed, as from a machine on which nothing listens any more.
type front struct {
	app     *apptest.App
	server  *httptest.Server
	control *httptest.Server
	// orders are carried out by the test's own goroutine.
	orders chan order

	mu     sync.Mutex
	target *url.URL // nil while the service is stopped
	delay  time.Duration
}

// order is what a script wants done; done is closed when it is.
type order struct {
	what string
	done chan struct{}
}

func newFront(t *testing.T, app *apptest.App) *front {
	t.Helper()
	f := &front{app: app, orders: make(chan order)}
	f.aim(t)
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.target != nil {
				r.SetURL(f.target)
			}
			r.Out.URL.Path, r.Out.URL.RawPath = r.In.URL.Path, r.In.URL.RawPath
		},
		FlushInterval: -1,
		ErrorHandler:  func(w http.ResponseWriter, _ *http.Request, _ error) { hangUp(w) },
	}
	f.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		away, delay := f.target == nil, f.delay
		f.mu.Unlock()
		if away {
			hangUp(w)
			return
		}
		select {
		case <-time.After(delay):
		case <-r.Context().Done():
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(f.server.Close)
	f.control = httptest.NewServer(f.controls())
	t.Cleanup(f.control.Close)
	return f
}

func (f *front) url() string        { return f.server.URL }
func (f *front) controlURL() string { return f.control.URL }

// controls is what scripts can have done, and pages of another origin.
func (f *front) controls() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /order/{what}", func(w http.ResponseWriter, r *http.Request) {
		o := order{what: r.PathValue("what"), done: make(chan struct{})}
		select {
		case f.orders <- o:
			<-o.done
		case <-r.Context().Done():
		}
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST /delay/{duration}", func(w http.ResponseWriter, r *http.Request) {
		delay, err := time.ParseDuration(r.PathValue("duration"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		f.mu.Lock()
		f.delay = delay
		f.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /frame", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<!doctype html><title>Elsewhere</title><iframe src="%s/console/" width="600" height="400"></iframe>`, html.EscapeString(f.url()))
	})
	return mux
}

// serveWhile runs a script, carries out what it orders, and fails the test as it does.
func (f *front) serveWhile(t *testing.T, script *exec.Cmd) {
	t.Helper()
	out := output(script)
	require.NoError(t, script.Start())
	ended := make(chan error, 1)
	go func() { ended <- script.Wait() }()
	for {
		select {
		case err := <-ended:
			require.NoError(t, err, "%s", out)
			t.Logf("%s", out)
			return
		case o := <-f.orders:
			f.carryOut(t, o)
			close(o.done)
		}
	}
}

func (f *front) carryOut(t *testing.T, o order) {
	t.Helper()
	switch o.what {
	case "stop":
		f.mu.Lock()
		f.target = nil
		f.mu.Unlock()
		f.server.CloseClientConnections()
		f.app.Stop()
	case "start":
		f.app.Start()
		f.aim(t)
	default:
		what, tenant, _ := strings.Cut(o.what, "-")
		switch what {
		case "poison":
			poison(f.app, tenant)
		case "large":
			large(f.app, tenant)
		case "letters":
			fillLetters(f.app, tenant)
		default:
			t.Errorf("a script orders %q", o.what)
		}
	}
}

// aim makes the front lead to the service as it runs now.
func (f *front) aim(t *testing.T) {
	t.Helper()
	target, err := url.Parse(f.app.URL())
	require.NoError(t, err)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.target = target
}

// hangUp closes a connection without an answer.
func hangUp(w http.ResponseWriter) {
	connection, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		_ = connection.Close()
	}
}

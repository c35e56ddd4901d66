package webhook_test

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"lanekeeper/pkg/webhook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var secret = []byte("0123456789abcdef0123456789abcdef")

func newClient(t *testing.T, o webhook.ClientOptions) *webhook.Client {
	t.Helper()
	c := webhook.NewClient(o)
	t.Cleanup(c.Close)
	return c
}

// reachLocal returns a client that may connect to the tests' servers.
func reachLocal(t *testing.T) *webhook.Client {
	t.Helper()
	return newClient(t, webhook.ClientOptions{AllowPrivate: true, UserAgent: "Lanekeeper/1"})
}

func serve(t *testing.T, handle http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(handle)
	t.Cleanup(server.Close)
	return server
}

// serveAt is serve at an address of this machine that counts as one elsewhere.
func serveAt(t *testing.T, address net.IP, handler http.Handler) *httptest.Server {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(address.String(), "0"))
	require.NoError(t, err)
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: handler}}
	server.Start()
	t.Cleanup(server.Close)
	return server
}

const (
	id      = "0197a3a3-11d2-7a51-9a3e-0242ac120003"
	payload = `{"text": "hello <&>"}`
)

func request(to string) webhook.Request {
	return webhook.Request{To: webhook.To(to), Timeout: 5 * time.Second, Secrets: [][]byte{secret}, ID: id, Body: []byte(payload)}
}

// outcome is what does not differ from attempt to attempt.
func outcome(r webhook.Result) webhook.Result {
	r.Started, r.Duration, r.Answer = time.Time{}, 0, nil
	return r
}

func TestSend(t *testing.T) {
	t.Parallel()
	requests := make(chan *http.Request, 1)
	bodies := make(chan string, 1)
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		requests <- r
		bodies <- string(body)
		w.WriteHeader(http.StatusNoContent)
	})
	now := time.Unix(1767225600, 5)
	client := newClient(t, webhook.ClientOptions{AllowPrivate: true, UserAgent: "Lanekeeper/1", Now: func() time.Time { return now }})
	result := client.Send(t.Context(), request(server.URL+"/hook?a=b"))
	require.Equal(t, webhook.Result{Status: 204}, outcome(result))

	r, body := <-requests, <-bodies
	require.Equal(t, "POST", r.Method)
	require.Equal(t, "/hook?a=b", r.RequestURI)
	require.Equal(t, payload, body) //nolint:testifylint // the same bytes, and not only what they mean
	require.Equal(t, "application/json", r.Header.Get("Content-Type"))
	require.Equal(t, "Lanekeeper/1", r.Header.Get("User-Agent"))
	require.Equal(t, id, r.Header.Get("webhook-id"))
	require.Equal(t, "1767225600", r.Header.Get("webhook-timestamp"))
	mac := hmac.New(sha256.New, secret)
	_, _ = fmt.Fprintf(mac, "%s.%d.%s", id, now.Unix(), body)
	require.Equal(t, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)), r.Header.Get("webhook-signature"))
	require.NotContains(t, r.Header, "Idempotency-Key")
	require.EqualValues(t, len(body), r.ContentLength)
}

func TestStatuses(t *testing.T) {
	t.Parallel()
	status := atomic.Int32{}
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(status.Load())) })
	client := reachLocal(t)
	for want, text := range map[int]string{
		200: "", 202: "", 299: "", 300: "status 300: such redirects are not followed",
		304: "status 304: such redirects are not followed", 400: "status 400", 410: "status 410", 429: "status 429", 500: "status 500", 599: "status 599",
	} {
		status.Store(int32(want))
		result := client.Send(t.Context(), request(server.URL))
		require.Equal(t, want, result.Status)
		if text == "" {
			require.NoError(t, result.Err)
			continue
		}
		require.EqualError(t, result.Err, text)
	}
}

// Answers that are slow, endless or huge cost neither memory nor time.
func TestHostileAnswers(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{}, 10)
	until := func(w http.ResponseWriter, r *http.Request, chunk string, pause time.Duration) {
		defer func() { ended <- struct{}{} }()
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, chunk); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
			select {
			case <-time.After(pause):
			case <-r.Context().Done():
			}
		}
	}
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		switch r.URL.Path {
		case "/drip":
			until(w, r, "x", 10*time.Millisecond)
		case "/endless":
			until(w, r, strings.Repeat("x", 64<<10), 0)
		case "/huge":
			w.Header().Set("Content-Length", "2147483648")
			until(w, r, strings.Repeat("x", 64<<10), 0)
		case "/silent":
			<-r.Context().Done()
			ended <- struct{}{}
		case "/header":
			w.Header().Set("X-Long", strings.Repeat("x", 100<<10))
			ended <- struct{}{}
		}
	})
	client := reachLocal(t)
	for path, want := range map[string]webhook.Result{
		"/drip": {Status: 200}, "/endless": {Status: 200}, "/huge": {Status: 200},
	} {
		begun := time.Now()
		require.Equal(t, want, outcome(client.Send(t.Context(), request(server.URL+path))), path)
		require.Less(t, time.Since(begun), 4*time.Second, path)
		<-ended
	}
	hurried := request(server.URL + "/silent")
	hurried.Timeout = 100 * time.Millisecond
	result := client.Send(t.Context(), hurried)
	require.EqualError(t, result.Err, "timeout")
	require.Zero(t, result.Status)
	<-ended
	result = client.Send(t.Context(), request(server.URL+"/header"))
	require.Error(t, result.Err)
	<-ended
}

// The timeout also covers an answer whose header comes byte by byte.
func TestSlowHeader(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = bufio.NewReader(conn).ReadString('\n')
		for {
			if _, err := io.WriteString(conn, "H"); err != nil {
				return
			}
			<-time.After(5 * time.Millisecond)
		}
	}()
	e := request("http://" + listener.Addr().String())
	e.Timeout = 100 * time.Millisecond
	result := reachLocal(t).Send(t.Context(), e)
	require.Error(t, result.Err)
	require.NoError(t, listener.Close())
	<-done
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	var hits atomic.Int32
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		to, kept := strings.CutPrefix(r.URL.Path, "/307/")
		switch {
		case kept:
			if r.Header.Get("Referer") != "" {
				w.WriteHeader(http.StatusTeapot)
				return
			}
			http.Redirect(w, r, "/"+to, http.StatusTemporaryRedirect)
		case r.URL.Path == "/302":
			http.Redirect(w, r, "/end", http.StatusFound)
		case r.URL.Path == "/user":
			http.Redirect(w, r, "http://user:pass@"+r.Host+"/end", http.StatusPermanentRedirect)
		case r.URL.Path == "/end" && r.Method == http.MethodPost && string(body) == payload && r.Header.Get("Referer") == "":
			hits.Add(1)
		default:
			w.WriteHeader(http.StatusTeapot)
		}
	})
	secure := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(secure.Close)
	client := reachLocal(t)
	for path, want := range map[string]string{
		"/end": "", "/307/end": "", "/307/307/307/end": "", "/307/307/307/307/end": "too many redirects",
		"/302": "status 302: such redirects are not followed", "/user": "the redirect is not allowed",
	} {
		result := client.Send(t.Context(), request(server.URL+path))
		if want == "" {
			require.Equal(t, webhook.Result{Status: 200}, outcome(result), path)
			continue
		}
		require.EqualError(t, result.Err, want, path)
	}
	require.EqualValues(t, 3, hits.Load())
	require.EqualError(t, client.Send(t.Context(), request(secure.URL)).Err, "the TLS certificate is not accepted")
}

// A query that was not encoded, in a redirect or in a URL that was stored before
// that was refused, must not tear the request's first line apart.
func TestQueriesAreSentEncoded(t *testing.T) {
	t.Parallel()
	const raw, encoded = "?a=b c\u00fc\"<&d=%20", "?a=b%20c%C3%BC%22%3C&d=%20"
	got := make(chan string, 2)
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/moved" {
			w.Header().Set("Location", "/end"+raw)
			w.WriteHeader(http.StatusTemporaryRedirect)
			return
		}
		got <- r.RequestURI
	})
	client := reachLocal(t)
	for _, path := range []string{"/moved", "/end" + raw} {
		require.Equal(t, webhook.Result{Status: 200}, outcome(client.Send(t.Context(), request(server.URL+path))), path)
		require.Equal(t, "/end"+encoded, <-got, path)
	}
}

func TestNoAnswer(t *testing.T) {
	t.Parallel()
	broken := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_ = conn.Close()
		}
	})
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	resolver := newResolver(t, func(int) net.IP { return nil })
	client := newClient(t, webhook.ClientOptions{AllowPrivate: true, Resolver: resolver.Resolver})
	for to, want := range map[string]string{
		broken.URL:                "the connection broke before there was an answer",
		closed.URL:                "the connection is refused or cannot be made",
		"http://nowhere.example/": "the host name cannot be resolved",
		"http://[::1":             "the URL is not valid",
	} {
		result := client.Send(t.Context(), request(to))
		require.EqualError(t, result.Err, want, to)
		require.Zero(t, result.Status)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, client.Send(ctx, request(broken.URL)).Err, context.Canceled)
}

// Nothing leads into the service's own network: not an address, in whatever
// spelling, not a name, not one that resolves to something else the second
// time, and not a redirect.
func TestPrivateAddressesAreRefused(t *testing.T) {
	t.Parallel()
	var hits atomic.Int32
	server := serve(t, func(http.ResponseWriter, *http.Request) { hits.Add(1) })
	port := mustURL(t, server.URL).Port()
	private := net.IPv4(127, 0, 0, 1)
	resolver := newResolver(t, func(int) net.IP { return private })
	client := newClient(t, webhook.ClientOptions{Resolver: resolver.Resolver})
	for _, host := range []string{
		"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]", "10.0.0.1", "169.254.169.254",
		"[fe80::1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "100.64.0.1", "inside.example",
	} {
		result := client.Send(t.Context(), request("http://"+host+":"+port+"/"))
		require.EqualError(t, result.Err, "the address is not allowed", host)
		require.Zero(t, result.Status)
	}
	// Some resolvers take these for addresses, others for names that there are
	// not.
	for _, host := range []string{"2130706433", "0x7f.1", "127.1", "017700000001", "localhost."} {
		require.Error(t, client.Send(t.Context(), request("http://"+host+":"+port+"/")).Err, host)
	}
	require.Zero(t, hits.Load())
}

// A name that was harmless once, and was connected to, is checked again
// whenever it is connected to.
func TestRebinding(t *testing.T) {
	t.Parallel()
	outside, inside := net.IPv4(127, 0, 0, 2), net.IPv4(127, 0, 0, 1)
	var outsideHits, insideHits atomic.Int32
	listener, err := net.Listen("tcp", net.JoinHostPort(outside.String(), "0"))
	require.NoError(t, err)
	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	start := func(l net.Listener, hits *atomic.Int32) {
		server := &httptest.Server{Listener: l, Config: &http.Server{
			Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				hits.Add(1)
				w.Header().Set("Connection", "close")
			}),
		}}
		server.Start()
		t.Cleanup(server.Close)
	}
	start(listener, &outsideHits)
	listener, err = net.Listen("tcp", net.JoinHostPort(inside.String(), port))
	require.NoError(t, err)
	start(listener, &insideHits)

	resolver := newResolver(t, func(n int) net.IP {
		if n == 1 {
			return outside
		}
		return inside
	})
	client := webhook.NewClientTaking(webhook.ClientOptions{Resolver: resolver.Resolver}, outside)
	t.Cleanup(client.Close)
	e := request("http://rebinding.example:" + port)
	require.NoError(t, client.Send(t.Context(), e).Err)
	require.EqualError(t, client.Send(t.Context(), e).Err, "the address is not allowed")
	require.EqualValues(t, 1, outsideHits.Load())
	require.Zero(t, insideHits.Load())

	open := newClient(t, webhook.ClientOptions{Resolver: resolver.Resolver, AllowPrivate: true})
	require.NoError(t, open.Send(t.Context(), e).Err)
	require.EqualValues(t, 1, insideHits.Load(), "without the guard it would have been reached")
}

// A redirect is checked like every other connection.
func TestRedirectIntoThePrivateNetwork(t *testing.T) {
	t.Parallel()
	outside := net.IPv4(127, 0, 0, 2)
	var hits atomic.Int32
	inside := serve(t, func(http.ResponseWriter, *http.Request) { hits.Add(1) })
	public := serveAt(t, outside, http.RedirectHandler(inside.URL, http.StatusTemporaryRedirect))
	client := webhook.NewClientTaking(webhook.ClientOptions{}, outside)
	t.Cleanup(client.Close)
	result := client.Send(t.Context(), request(public.URL))
	require.EqualError(t, result.Err, "the address is not allowed")
	require.Zero(t, hits.Load())
}

func mustURL(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	require.NoError(t, err)
	return u
}

package controller

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/model"
	"lanekeeper/pkg/shares"
)

// rawCall is a request that is written by hand, piece by piece.
type rawCall struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

// rawReply is the answer to one.
type rawReply struct {
	reply

	last bool // on its connection
}

// dial connects to the server.
func (a *api) dial(t *testing.T) *rawCall {
	t.Helper()
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(a.url, "http://"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(4*patience)))
	return &rawCall{t, conn, bufio.NewReader(conn)}
}

// begin sends the head of a request to publish.
func (r *rawCall) begin(method, path string, headers ...string) {
	r.t.Helper()
	head := method + " " + path + " HTTP/1.1\r\nHost: localhost\r\nAuthorization: admin\r\nX-Tenant-ID: " + tenantID.String() +
		"\r\nContent-Type: application/json\r\n" + strings.Join(append(headers, "", ""), "\r\n")
	r.send(head)
}

func (r *rawCall) send(text string) {
	r.t.Helper()
	_, err := io.WriteString(r.conn, text)
	require.NoError(r.t, err)
}

// problem reads the answer and requires it to be a problem document.
func (r *rawCall) problem(status int, code string) rawReply {
	r.t.Helper()
	got := r.answer()
	require.Equal(r.t, status, got.status, got.body)
	require.Equal(r.t, model.ProblemContentType, got.header.Get("Content-Type"), got.body)
	var p model.Problem
	require.NoError(r.t, json.Unmarshal([]byte(got.body), &p))
	require.Equal(r.t, code, p.Code)
	return got
}

func (r *rawCall) answer() rawReply {
	r.t.Helper()
	response, err := http.ReadResponse(r.in, nil)
	require.NoError(r.t, err)
	content, err := io.ReadAll(response.Body)
	require.NoError(r.t, err)
	require.NoError(r.t, response.Body.Close())
	return rawReply{reply{response.StatusCode, response.Header, string(content)}, response.Close}
}

// A body that does not come is not waited for.
func TestBodiesThatDoNotCome(t *testing.T) {
	t.Parallel()
	a := newAPI(t, func(o *Options) { o.Timeout = 300 * time.Millisecond })
	for name, tc := range map[string]func(r *rawCall){
		"nothing": func(r *rawCall) { r.begin("POST", "/messages", "Content-Length: 30") },
		"all but the last byte": func(r *rawCall) {
			r.begin("POST", "/messages/batch", "Content-Length: 200001")
			r.send(strings.Repeat(" ", 200_000))
		},
		"chunks that end in the middle": func(r *rawCall) {
			r.begin("POST", "/messages", "Transfer-Encoding: chunked")
			r.send("5\r\n    ")
		},
		"drop by drop": func(r *rawCall) {
			r.begin("POST", "/login", "Content-Length: 60000")
			for range 60 { // a drop in time, but not for ever
				if _, err := io.WriteString(r.conn, " "); err != nil {
					return
				}
				<-time.After(10 * time.Millisecond)
			}
		},
		"after it was asked for": func(r *rawCall) {
			r.begin("POST", "/messages", "Content-Length: 30", "Expect: 100-continue")
			response, err := http.ReadResponse(r.in, nil)
			require.NoError(r.t, err)
			require.NoError(r.t, response.Body.Close())
			require.Equal(r.t, http.StatusContinue, response.StatusCode)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begun := time.Now()
			r := a.dial(t)
			tc(r)
			got := r.problem(http.StatusRequestTimeout, "body_too_slow")
			require.True(t, got.last, "the connection is of no use any more")
			require.Less(t, time.Since(begun), patience)
		})
	}
}

// deadlines notes how much time is left for publishing.
type deadlines struct {
	fakeMessages

	left chan time.Duration
}

func (d deadlines) Publish(ctx context.Context, t domain.Tenant, submissions []domain.Submission) []domain.Receipt {
	deadline, _ := ctx.Deadline()
	d.left <- time.Until(deadline)
	<-time.After(20 * time.Millisecond)
	if err := ctx.Err(); err != nil {
		return []domain.Receipt{{Err: err}}
	}
	return d.fakeMessages.Publish(ctx, t, submissions)
}

// A body that comes steadily may take longer than the request, which then has
// its time still.
func TestSlowBodiesThatCome(t *testing.T) {
	t.Parallel()
	const timeout = time.Second
	left := make(chan time.Duration, 1)
	a := newAPI(t, func(o *Options) {
		o.Timeout = timeout
		fakes, ok := o.Messages.(fakeMessages)
		require.True(t, ok)
		o.Messages = deadlines{fakes, left}
	})
	r := a.dial(t)
	body := `{"payload":1}` + strings.Repeat(" ", 600_000)
	r.begin("POST", "/messages", fmt.Sprintf("Content-Length: %d", len(body)))
	begun := time.Now()
	for piece := range pieces(body, 20_000) {
		r.send(piece)
		<-time.After(50 * time.Millisecond)
	}
	require.Greater(t, time.Since(begun), timeout)
	got := r.answer()
	require.Equal(t, http.StatusAccepted, got.status, got.body)
	require.Greater(t, <-left, timeout/2)
	// The deadlines are not those of the next request.
	r.begin("GET", "/tenants")
	got = r.answer()
	require.Equal(t, http.StatusOK, got.status, got.body)
}

func pieces(text string, size int) func(func(string) bool) {
	return func(yield func(string) bool) {
		for len(text) > 0 {
			n := min(size, len(text))
			if !yield(text[:n]) {
				return
			}
			text = text[n:]
		}
	}
}

// No answer waits for a body that no handler reads.
func TestUnreadBodies(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for name, tc := range map[string]struct {
		method, path, header string
		status               int
	}{
		"where there is none":     {"GET", "/tenants", "Content-Length: 1000", 200},
		"chunks where is none":    {"GET", "/tenants", "Transfer-Encoding: chunked", 200},
		"no such route":           {"POST", "/nothing", "Content-Length: 1000", 404},
		"no such method":          {"PUT", "/tenants", "Content-Length: 1000", 405},
		"without need":            {"POST", "/consumers", "Content-Length: 1000", 202},
		"of a type that is wrong": {"POST", "/messages", "Content-Length: 1000\r\nContent-Encoding: br", 415},
		"too large":               {"POST", "/messages", "Content-Length: 99999999999", 413},
		"too large, asks before":  {"POST", "/messages", "Content-Length: 99999999999\r\nExpect: 100-continue", 413},
		"wrong, asks before":      {"POST", "/messages", "Content-Length: 100\r\nExpect: 100-continue\r\nContent-Encoding: br", 415},
		"no route, asks before":   {"POST", "/nothing", "Content-Length: 100\r\nExpect: 100-continue", 404},
		"health":                  {"GET", "/healthz", "Content-Length: 1000", 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := a.dial(t)
			begun := time.Now()
			r.begin(tc.method, tc.path, tc.header)
			got := r.answer()
			require.Equal(t, tc.status, got.status, got.body)
			require.Less(t, time.Since(begun), 6*time.Second)
		})
	}
}

const megabyte = 1 << 20

func newMemory(total, share int64) *shares.Shares {
	return shares.New(shares.Options{Total: total, PerOwner: share, PerUser: share})
}

// Memory is reserved before any of a body is read, for whose tenant it is, and
// given back whatever becomes of the request.
func TestBodiesShareMemory(t *testing.T) {
	t.Parallel()
	memory := newMemory(100*megabyte, 20*megabyte)
	refused := make(chan struct{}, 10)
	a := newAPI(t, func(o *Options) {
		o.Bodies, o.BodyRefused = memory, func() { refused <- struct{}{} }
	})
	require.True(t, memory.Reserve(userID.String(), 10*megabyte))

	r := a.dial(t)
	r.begin("POST", "/messages/batch", "Content-Length: 16000000", "Expect: 100-continue")
	got := r.problem(http.StatusServiceUnavailable, "body_budget") // and was not asked to go on
	require.NotEmpty(t, got.header.Get("Retry-After"))
	require.Len(t, refused, 1)
	require.EqualValues(t, 10*megabyte, memory.Used())

	// Without a length it is refused as it grows.
	r = a.dial(t)
	r.begin("POST", "/messages/batch", "Transfer-Encoding: chunked")
	go func() { // until it is refused
		chunk := fmt.Sprintf("%x\r\n%s\r\n", megabyte, strings.Repeat(" ", megabyte))
		for range 15 {
			if _, err := io.WriteString(r.conn, chunk); err != nil {
				return
			}
		}
	}()
	r.problem(http.StatusServiceUnavailable, "body_budget")
	require.Eventually(t, func() bool { return memory.Used() == 10*megabyte }, patience, time.Millisecond)

	// Others have their share, and what is small has room.
	stranger := a.dial(t)
	stranger.begin("POST", "/tenants", "Content-Length: 60000")
	require.Eventually(t, func() bool { return memory.Used() > 10*megabyte+60_000 }, patience, time.Millisecond)
	require.NoError(t, stranger.conn.Close())
	require.Eventually(t, func() bool { return memory.Used() == 10*megabyte }, patience, time.Millisecond)
	for body, status := range map[string]int{
		`{"messages":[{"payload":1}]}`:                        202,
		`{"messages":[` + strings.Repeat(`{},`, 999) + `{}]}`: 207,
		`{"messages":[`:  400,
		`{"messages":1}`: 422,
		`{"messages":[` + strings.Repeat(`{"payload":1},`, 999) + `{"x":1}]}`: 207,
	} {
		got := a.do("POST", "/messages/batch", body)
		require.Equal(t, status, got.status, got.body)
		require.Eventually(t, func() bool { return memory.Used() == 10*megabyte }, patience, time.Millisecond)
	}
}

// The largest body there may be has room, whether it says its length or not.
func TestLargestBodyFitsAShare(t *testing.T) {
	t.Parallel()
	memory := newMemory(128*megabyte, 34*megabyte)
	a := newAPI(t, func(o *Options) { o.Bodies = memory })
	body := `{"messages":[{"payload":1}]}`
	body += strings.Repeat(" ", largeBody-len(body))
	require.Equal(t, http.StatusAccepted, a.do("POST", "/messages/batch", body).status)
	r := a.dial(t)
	r.begin("POST", "/messages/batch", "Transfer-Encoding: chunked")
	r.send(fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body))
	got := r.answer()
	require.Equal(t, http.StatusAccepted, got.status, got.body)
	require.Eventually(t, func() bool { return memory.Used() == 0 }, patience, time.Millisecond)
}

// The decoded form of a batch counts, too: it may be much larger than its text.
func TestBatchesReserveWhatTheyBecome(t *testing.T) {
	t.Parallel()
	const free = 3 * megabyte
	memory := newMemory(free, free)
	a := newAPI(t, func(o *Options) { o.Bodies = memory })
	valid := `{"messages":[` + strings.Repeat(`{"payload":1},`, 999) + `{"payload":1}]}`
	require.Equal(t, http.StatusAccepted, a.do("POST", "/messages/batch", valid).status)
	wrong := `{"messages":[` + strings.Repeat(`{"a":1,"b":1},`, 999) + `{}]}`
	a.problem(a.do("POST", "/messages/batch", wrong), http.StatusServiceUnavailable, "body_budget")
	// Headers are copied, payloads are not: of bodies of the same size only one has room.
	for body, status := range map[string]int{
		`{"payload":"` + strings.Repeat("x", 20_000) + `"},`: http.StatusAccepted,
		`{"payload":1,"headers":{"a":"` + strings.Repeat("x", 4000) + `","b":"` + strings.Repeat("x", 8000) + `","c":"` + strings.Repeat("x", 8000) + `"}},`: http.StatusServiceUnavailable,
	} {
		body = `{"messages":[` + strings.Repeat(body, 45) + `{"payload":1}]}`
		require.Equal(t, status, a.do("POST", "/messages/batch", body).status)
	}
	require.Eventually(t, func() bool { return memory.Used() == 0 }, patience, time.Millisecond)
}

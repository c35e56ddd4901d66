package tests

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

// connect opens a connection by hand, which can keep little of what it does not
// read.
func connect(t *testing.T, c *apptest.Client, from string) net.Conn {
	t.Helper()
	dialer := net.Dialer{
		LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 10 * time.Second,
		Control: func(_, _ string, c syscall.RawConn) error {
			return c.Control(func(fd uintptr) {
				_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10)
			})
		},
	}
	conn, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(c.URL(), "http://"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// Answers that are not read are cut, whatever they are, and what reads goes on.
func TestAnswersThatNobodyReads(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant, other := app.CreateTenant("large", 1).ID, app.CreateTenant("other", 1).ID
	for range 8 {
		app.Publish(tenant, `"`+strings.Repeat("x", 1_000_000)+`"`)
		app.Publish(other, `"`+strings.Repeat("x", 1_000_000)+`"`)
	}
	first := app.Stored(tenant, 8)[0]
	app.Stored(other, 8)
	const clients = 6
	for i := range clients {
		conn := connect(t, app.Client, "127.0.0.1")
		path := []string{"/messages?limit=1000", "/messages/" + first.ID, "/messages?limit=5&order=desc"}[i%3]
		_, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\nX-Tenant-ID: %s\r\n\r\n", path, tenant)
		require.NoError(t, err)
	}
	steady := make(chan int, 1)
	conn := connect(t, app.Client, "127.0.0.1")
	go func() { steady <- readSteadily(conn, other) }()
	cut := func() int {
		return int(app.Metrics().Value("lanekeeper_connections_ended_total", "reason", "answer_unread"))
	}
	require.Eventually(t, func() bool { return cut() == clients }, 30*time.Second, 100*time.Millisecond, "they are not cut")
	require.Equal(t, 8, <-steady, "messages were read")
	require.Equal(t, clients, cut())
}

// readSteadily reads a tenant's history page by page, a window of some KB a hundred
// times a second, which is fast enough, and returns how many messages there were until it ended or broke.
func readSteadily(conn io.ReadWriter, tenant string) (messages int) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	in := bufio.NewReaderSize(readerFunc(func(p []byte) (int, error) {
		<-tick.C
		return conn.Read(p)
	}), 20_000)
	for cursor := "0"; cursor != ""; {
		_, _ = fmt.Fprintf(conn, "GET /messages?limit=1000&cursor=%s HTTP/1.1\r\nHost: localhost\r\nX-Tenant-ID: %s\r\n\r\n", cursor, tenant)
		answer, err := http.ReadResponse(in, nil)
		if err != nil {
			return messages
		}
		var page struct {
			Data       []json.RawMessage
			NextCursor string `json:"next_cursor"`
		}
		err = json.NewDecoder(answer.Body).Decode(&page)
		_, rest := io.Copy(io.Discard, answer.Body)
		if errors.Join(err, rest, answer.Body.Close()) != nil {
			return messages
		}
		messages += len(page.Data)
		cursor = page.NextCursor
	}
	return messages
}

type readerFunc func([]byte) (int, error)

// Read implements io.Reader.
func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// Uploads that do not end take their owner's share, and nothing of the others'.
func TestUploadsThatDoNotEnd(t *testing.T) {
	t.Parallel()
	app := apptest.StartProcess(t)
	tenant := app.CreateTenant("tenant", 1).ID
	other := app.From("127.0.0.2")
	const size = 16 << 20
	body := bytes.Repeat([]byte(" "), size-10)
	answers := make(chan int, 60)
	for range cap(answers) {
		conn := connect(t, app.Client, "127.0.0.1")
		go func() {
			_, _ = fmt.Fprintf(conn, "POST /messages/batch HTTP/1.1\r\nHost: localhost\r\nX-Tenant-ID: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", tenant, size)
			go func() { _, _ = conn.Write(body) }()
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil { // a refusal that came before the whole body may be lost with it
				answers <- 0
				return
			}
			var problem apptest.Problem
			_ = json.NewDecoder(response.Body).Decode(&problem)
			_ = response.Body.Close()
			answers <- response.StatusCode
		}()
	}
	require.Eventually(t, func() bool { return app.From("127.0.0.2").Metrics().Value("lanekeeper_bodies_refused_total") >= 56 },
		20*time.Second, 50*time.Millisecond, "there is memory for all of them")
	require.LessOrEqual(t, other.Metrics().Value("lanekeeper_body_memory_bytes"), float64(64<<20))
	app.Refused(http.StatusServiceUnavailable, "body_budget", "POST", "/messages/batch", strings.Repeat(" ", 15<<20), apptest.ForTenant(tenant))
	other.Publish(tenant, `"as ever"`)
	t.Logf("the service took %d MiB at most", app.PeakMemory()>>20)
	if !apptest.Raced() {
		require.Less(t, app.PeakMemory(), int64(300<<20))
	}
	statuses := make(map[int]int)
	for range cap(answers) {
		select {
		case status := <-answers:
			statuses[status]++
		case <-time.After(30 * time.Second):
			require.FailNow(t, "an upload that does not go on is waited for")
		}
	}
	require.GreaterOrEqual(t, statuses[http.StatusRequestTimeout], 1, "%v", statuses)
	require.Equal(t, cap(answers), statuses[http.StatusRequestTimeout]+statuses[http.StatusServiceUnavailable]+statuses[0], "%v", statuses)
	require.Eventually(t, func() bool { return app.Metrics().Value("lanekeeper_body_memory_bytes") == 0 }, 10*time.Second, 50*time.Millisecond)
}

// One address cannot take all of the files that the process may have open: not
// those of other addresses, and not those for its own servers.
func TestConnectionsOfOneAddress(t *testing.T) {
	t.Parallel()
	p := apptest.StartProcessWithFiles(t, 1000)
	tenant := p.CreateTenant("before", 1).ID
	conns := make([]net.Conn, 1100)
	for i := range conns {
		conns[i] = connect(t, p.Client, "127.0.0.3")
	}
	other := p.From("127.0.0.2")
	other.Publish(tenant, `1`)
	// The service can open what it needs, too.
	p.Exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	var later string
	require.Eventually(t, func() bool {
		answer := other.Call("POST", "/tenants", `{"name":"while they are there"}`)
		var created apptest.Tenant
		if answer.Status == http.StatusCreated {
			require.NoError(t, json.Unmarshal(answer.Body, &created))
			later = created.ID
		}
		return later != ""
	}, 30*time.Second, 200*time.Millisecond)
	other.Publish(later, `2`)
	other.Stored(later, 1)
	require.LessOrEqual(t, other.Metrics().Value("lanekeeper_connections"), float64(200), "a quarter of three quarters, and ours")
	require.GreaterOrEqual(t, other.Metrics().Value("lanekeeper_connections_ended_total", "reason", "idle_of_address"), float64(1100-188))
	require.Zero(t, other.Metrics().Value("lanekeeper_connections_ended_total", "reason", "idle"))
	p.Signal(syscall.SIGTERM)
	require.NoError(t, p.Exited(25*time.Second))
}

package tests

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

// Clients that have gone without a word, and never come back, do not stay open
// streams until the system gives their connections up after a quarter of an
// hour.
func TestStreamsOfTheSilentEnd(t *testing.T) {
	t.Parallel()
	const limit = 45 * time.Second // a heartbeat, and what a connection may be silent
	app := apptest.Boot(t)
	tenant := app.CreateTenant("tenant", 1).ID
	address := strings.TrimPrefix(app.URL(), "http://")
	for range 3 {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		_, err = fmt.Fprintf(conn, "GET /api/messages/stream HTTP/1.1\r\nHost: %s\r\nX-Tenant-ID: %s\r\n\r\n", address, tenant)
		require.NoError(t, err)
		status, err := bufio.NewReader(conn).ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, "HTTP/1.1 200 OK\r\n", status)
		fallSilent(t, conn)
	}
	apptest.Await(t, apptest.Long, func() error { return app.Metrics().Is(3, "lanekeeper_stream_clients") })
	begun := time.Now()
	apptest.Await(t, 2*limit, func() error { return app.Metrics().Is(0, "lanekeeper_stream_clients") })
	t.Log("noticed after", time.Since(begun))
}

// fallSilent makes the connection's own side drop whatever comes, and so
// acknowledge nothing, as if the network were gone: with a filter of one
// instruction, that 0 bytes of a packet pass.
func fallSilent(t *testing.T, conn net.Conn) {
	t.Helper()
	drop := syscall.SockFilter{Code: syscall.BPF_RET | syscall.BPF_K}
	program := syscall.SockFprog{Len: 1, Filter: &drop}
	raw, err := conn.(syscall.Conn).SyscallConn() //nolint:errcheck // a TCP connection is one
	require.NoError(t, err)
	var failed syscall.Errno
	require.NoError(t, raw.Control(func(fd uintptr) {
		_, _, failed = syscall.Syscall6(syscall.SYS_SETSOCKOPT, fd, syscall.SOL_SOCKET, syscall.SO_ATTACH_FILTER,
			uintptr(unsafe.Pointer(&program)), unsafe.Sizeof(program), 0)
	}))
	require.Zero(t, failed)
}

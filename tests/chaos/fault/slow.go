package fault

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"

	"lanekeeper/tests/chaos/load"
)

// slowAddress is where slow clients come from. In open mode it counts as their
// owner, who is not that of the other clients.
const slowAddress = "127.0.0.9"

// SlowDial connects to the service at this URL with a small receive buffer.
func SlowDial(ctx context.Context, service string) (net.Conn, error) {
	dialer := net.Dialer{
		LocalAddr: &net.TCPAddr{IP: net.ParseIP(slowAddress)}, Timeout: load.RequestLimit,
		Control: func(_, _ string, c syscall.RawConn) error {
			return c.Control(func(fd uintptr) {
				_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10)
			})
		},
	}
	conn, err := dialer.DialContext(ctx, "tcp", strings.TrimPrefix(service, "http://"))
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return conn, nil
}

// StuckUpload sends a body that is shorter than the size that it promises, and
// returns the status of the answer, or 0.
func StuckUpload(ctx context.Context, service, tenant string, body []byte, size int) int {
	conn, err := SlowDial(ctx, service)
	if err != nil {
		return 0
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "POST /api/messages/batch HTTP/1.1\r\nHost: localhost\r\nX-Tenant-ID: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
		tenant, size); err != nil {
		return 0
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = conn.Write(body) // a refusal ends it
	}()
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	_ = conn.Close()
	<-sent
	if err != nil {
		return 0
	}
	_ = response.Body.Close()
	return response.StatusCode
}

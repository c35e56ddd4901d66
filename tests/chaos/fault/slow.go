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

// Address is where clients come from that disturb. In open mode it counts as their
// owner, who is not that of the other clients.
const Address = "127.0.0.9"

// SlowDial connects to the service at this URL with a small receive buffer.
func SlowDial(ctx context.Context, service string) (net.Conn, error) {
	dialer := net.Dialer{
		LocalAddr: &net.TCPAddr{IP: net.ParseIP(Address)}, Timeout: load.RequestLimit,
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
	return send(ctx, service, fmt.Appendf(nil, "POST /api/messages/batch HTTP/1.1\r\nHost: localhost\r\nX-Tenant-ID: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
		tenant, size), body)
}

// LargeHead sends a request with these lines in its head, and returns the status of
// the answer, or 0.
func LargeHead(ctx context.Context, service string, lines []byte) int {
	return send(ctx, service, []byte("GET /healthz HTTP/1.1\r\nHost: localhost\r\n"), lines, []byte("\r\n"))
}

// send sends the parts of a request as long as somebody takes them, and returns the
// status of the answer, or 0.
func send(ctx context.Context, service string, parts ...[]byte) int {
	conn, err := SlowDial(ctx, service)
	if err != nil {
		return 0
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	defer conn.Close()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for _, part := range parts {
			if _, err := conn.Write(part); err != nil { // a refusal ends it
				return
			}
		}
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

package fault

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"lanekeeper/tests/chaos/load"
)

// Idle is connections of one address that do nothing after their first request, in
// the order in which they were opened. One goroutine at a time uses it.
type Idle struct{ conns []net.Conn }

// OpenIdle opens n connections from an address of this machine to the service, one
// after the other. Call Close at the end.
func OpenIdle(ctx context.Context, service, address string, n int) (*Idle, error) {
	i := &Idle{}
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}, Timeout: load.RequestLimit}
	for range n {
		conn, err := dialer.DialContext(ctx, "tcp", strings.TrimPrefix(service, "http://"))
		if err != nil {
			i.Close()
			return nil, fmt.Errorf("connect: %w", err)
		}
		i.conns = append(i.conns, conn)
		if err := ask(conn); err != nil {
			i.Close()
			return nil, err
		}
	}
	return i, nil
}

// ask makes one request, and leaves the connection open.
func ask(conn net.Conn) error {
	_ = conn.SetDeadline(time.Now().Add(load.RequestLimit))
	if _, err := io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		return fmt.Errorf("ask: %w", err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	_, err = io.Copy(io.Discard, response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	return nil
}

// Closed returns how many the service has closed, and how many are still open that
// were opened before one of these.
func (i *Idle) Closed() (closed, older int) {
	open := 0
	for _, conn := range i.conns {
		_ = conn.SetReadDeadline(time.Now().Add(time.Millisecond))
		if _, err := conn.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
			open++
			continue
		}
		closed++
		older = open
	}
	return closed, older
}

// Close closes all of them.
func (i *Idle) Close() {
	for _, conn := range i.conns {
		_ = conn.Close()
	}
}

package httpconn

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"strconv"
)

// refusalStatus returns the status of an answer that net/http has written by
// itself to something that is no request that it can read, and 0 for all others.
// Those answers are whole when they are written, and begin with what no handler
// writes in this order.
func refusalStatus(data []byte) int {
	head, ok := bytes.CutPrefix(data, []byte("HTTP/1.1 "))
	if !ok || len(head) < 3 {
		return 0
	}
	status, err := strconv.Atoi(string(head[:3]))
	if err != nil || status < http.StatusBadRequest {
		return 0
	}
	_, rest, _ := bytes.Cut(head, []byte("\r\n"))
	if status != http.StatusExpectationFailed && !bytes.HasPrefix(rest, []byte("Content-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n")) {
		return 0
	}
	return status
}

// refusal returns the whole answer to what is no request, to HTTP where TLS is
// expected, or to a connection that is not let in (503), after which the connection
// is closed.
func (s *Connections) refusal(status int, remote net.Addr) []byte {
	contentType, body := "text/plain; charset=utf-8", []byte(http.StatusText(status)+"\n")
	if s.o.Refusal != nil {
		contentType, body = s.o.Refusal(status, remote)
	}
	if status == StatusPlainHTTP {
		status = http.StatusBadRequest
	}
	answer := fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n",
		status, http.StatusText(status), contentType, len(body))
	if status == http.StatusServiceUnavailable {
		answer = append(answer, "Retry-After: 2\r\n"...)
	}
	return append(append(answer, "\r\n"...), body...)
}

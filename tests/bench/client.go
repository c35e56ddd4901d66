package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// payloadSize is the size of every message's payload in bytes.
	payloadSize = 256
	// callTimeout is far above the six seconds that the service promises.
	callTimeout = 30 * time.Second
	excerptSize = 500
)

var errAnswer = errors.New("unexpected answer")

// call is a POST request as bytes, with a place for the tenant. The load
// generator shares the machine with what it measures, so it makes no request
// anew, and does not try again what would then be measured twice: that is why it
// has a way of its own, and only calls that are not measured are made by
// pkg/client. A call belongs to one goroutine.
type call struct {
	bytes []byte
	at    int // where the tenant's id stands
}

// newCall returns a call that publishes so many messages: one by
// POST /api/messages, more by POST /api/messages/batch.
func newCall(address string, messages int) *call {
	path, body := "/api/messages", message()
	if messages > 1 {
		path = "/api/messages/batch"
		body = []byte(`{"messages":[` + strings.Repeat(string(message())+",", messages-1) + string(message()) + `]}`)
	}
	const nobody = "00000000-0000-0000-0000-000000000000"
	head := "POST " + path + " HTTP/1.1\r\nHost: " + address + "\r\nContent-Type: application/json\r\nContent-Length: " +
		strconv.Itoa(len(body)) + "\r\nX-Tenant-ID: " + nobody + "\r\n\r\n"
	return &call{bytes: append([]byte(head), body...), at: strings.Index(head, nobody)}
}

// message returns the JSON of one message to publish.
func message() []byte {
	return append(append([]byte(`{"payload":`), payload()...), '}')
}

// payload returns a JSON document of payloadSize bytes.
func payload() []byte {
	doc := []byte(`{"event":"order.created","amount":1299,"text":"`)
	const letters = "abcdefghijklmnopqrstuvwxyz"
	for i := 0; len(doc) < payloadSize-2; i++ {
		doc = append(doc, letters[(i*i*7+i)%len(letters)])
	}
	return append(doc, '"', '}')
}

// connection is one to the service that is kept open.
type connection struct {
	conn net.Conn
	in   *bufio.Reader
	stop func() bool
}

// dial returns a connection that works until ctx ends.
func dial(ctx context.Context, address string) (*connection, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connect to the service: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	return &connection{conn: conn, in: bufio.NewReader(conn), stop: stop}, nil
}

// post sends the call for a tenant and returns nil when everything in it was
// accepted.
func (c *connection) post(request *call, tenant string) error {
	copy(request.bytes[request.at:], tenant)
	if err := c.conn.SetDeadline(time.Now().Add(callTimeout)); err != nil {
		return fmt.Errorf("set deadline: %w", err)
	}
	if _, err := c.conn.Write(request.bytes); err != nil {
		return fmt.Errorf("send request: %w", err)
	}
	response, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if response.StatusCode != http.StatusAccepted {
		excerpt, err := io.ReadAll(io.LimitReader(response.Body, excerptSize))
		return errors.Join(fmt.Errorf("%w: %s %s", errAnswer, response.Status, excerpt), err, response.Body.Close())
	}
	_, err = io.Copy(io.Discard, response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	return nil
}

func (c *connection) close() {
	c.stop()
	_ = c.conn.Close()
}

package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	dialTimeout  = 5 * time.Second
	writeTimeout = 5 * time.Second
	heartbeat    = 5 * time.Second
	// refusalDelay is the least that RabbitMQ lets somebody wait whose login it refuses:
	// it closes the connection without a word after 3 s.
	refusalDelay = 2 * time.Second
)

// errLoginCut stands for the library's guess that the login was refused, when the
// connection ended too soon for that.
var errLoginCut = errors.New("the connection was lost during the login")

// deadlineConn bounds every write, which amqp091 does not: without it a
// publisher hangs for as long as the peer does not read.
type deadlineConn struct {
	net.Conn
}

// Write writes b within writeTimeout.
func (c deadlineConn) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// SplitURLs splits a comma-separated list of AMQP URLs and checks each of
// them. The error names no part of a URL, because it may hold a password.
func SplitURLs(list string) ([]string, error) {
	var urls []string
	for i, s := range strings.Split(list, ",") {
		s = strings.TrimSpace(s)
		if _, err := amqp.ParseURI(s); err != nil {
			return nil, fmt.Errorf("AMQP URL number %d is not valid", i+1)
		}
		urls = append(urls, s)
	}
	return urls, nil
}

// dial opens one connection within two dialTimeouts, and returns what is under
// it, too. Cancelling ctx ends the wait for the network, not the handshake.
func dial(ctx context.Context, rawURL, name string) (*amqp.Connection, net.Conn, error) {
	rawURL, encryption, err := secure(rawURL)
	if err != nil {
		return nil, nil, fmt.Errorf("dial %s: %w", host(rawURL), err)
	}
	var socket net.Conn
	config := amqp.Config{
		Heartbeat:  heartbeat,
		Properties: amqp.NewConnectionProperties(),
		Dial: func(network, addr string) (net.Conn, error) {
			conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			// The handshake shares one deadline; amqp091 lifts it afterwards.
			if err := conn.SetDeadline(time.Now().Add(dialTimeout)); err != nil {
				_ = conn.Close()
				return nil, err
			}
			socket = conn
			encrypted, err := encrypt(ctx, deadlineConn{conn}, encryption)
			if err != nil {
				return nil, err
			}
			return newWire(newGatherer(encrypted)), nil
		},
	}
	config.Properties.SetClientConnectionName(name)
	begun := time.Now()
	conn, err := amqp.DialConfig(boundHeartbeat(rawURL), config)
	if errors.Is(err, amqp.ErrCredentials) && time.Since(begun) < refusalDelay {
		err = errLoginCut
	}
	if err != nil {
		return nil, nil, fmt.Errorf("dial %s: %w", host(rawURL), err)
	}
	return conn, socket, nil
}

// boundHeartbeat returns the URL without a heartbeat that is longer than ours,
// or none at all, which the library would prefer to the configured one. Then it
// would take as long to notice that the broker is gone.
func boundHeartbeat(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return rawURL // the library says what is wrong with it
	}
	query := u.Query()
	seconds, err := strconv.Atoi(query.Get("heartbeat"))
	if err != nil || seconds > 0 && time.Duration(seconds)*time.Second <= heartbeat {
		return rawURL
	}
	query.Del("heartbeat")
	u.RawQuery = query.Encode()
	return u.String()
}

// host returns the part of an AMQP URL that may be logged.
func host(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return "broker"
	}
	return u.Host
}

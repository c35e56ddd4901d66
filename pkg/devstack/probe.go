package devstack

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	amqp "github.com/rabbitmq/amqp091-go"
)

// errNotReady: something answers, but not as a server that is ready.
var errNotReady = errors.New("not ready")

// PingPostgres reports whether PostgreSQL answers at url.
func PingPostgres(ctx context.Context, url string) (err error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	if err := conn.Ping(ctx); err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	return nil
}

// PingRabbitMQ reports whether a broker takes connections and channels at url.
// It takes 2 s at most.
func PingRabbitMQ(ctx context.Context, url string) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	conn, err := amqp.DialConfig(url, amqp.Config{Dial: amqp.DefaultDial(2 * time.Second), Heartbeat: 5 * time.Second})
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if _, err := conn.Channel(); err != nil {
		return fmt.Errorf("open a channel: %w", err)
	}
	return nil
}

// PingManagement reports whether RabbitMQ's HTTP API answers at url, which holds
// user and password.
func PingManagement(ctx context.Context, url string) (err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/api/vhosts", http.NoBody)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	request.Close = true // no connection is left behind
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("ask for vhosts: %w", err)
	}
	if err := response.Body.Close(); err != nil {
		return fmt.Errorf("close the answer: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: %s", errNotReady, response.Status)
	}
	return nil
}

// PingRedis reports whether a Redis without a password answers at address.
func PingRedis(ctx context.Context, address string) (err error) {
	answer, err := AskRedis(ctx, address, "PING")
	if err != nil {
		return err
	}
	if answer != "+PONG" {
		return fmt.Errorf("%w: %s", errNotReady, answer)
	}
	return nil
}

// AskRedis sends commands, as one would type them, over one connection and
// returns the one-line answer to the last.
func AskRedis(ctx context.Context, address string, commands ...string) (answer string, err error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return "", fmt.Errorf("connect: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", fmt.Errorf("set a deadline: %w", err)
	}
	answers := bufio.NewReader(conn)
	for _, command := range commands {
		if _, err := conn.Write([]byte(command + "\r\n")); err != nil {
			return "", fmt.Errorf("send: %w", err)
		}
		line, err := answers.ReadString('\n')
		if err != nil {
			return "", fmt.Errorf("read the answer: %w", err)
		}
		answer = strings.TrimSpace(line)
	}
	return answer, nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/jackc/pgx/v5"
	amqp "github.com/rabbitmq/amqp091-go"

	"lanekeeper/pkg/devstack"
)

// servers are Postgres and RabbitMQ.
type servers struct {
	databaseURL, rabbitmqURL string
	stack                    *devstack.Stack // nil for servers of others
}

// startServers takes the servers that the environment names, or starts
// private ones that write what they commit to the disk.
func startServers(ctx context.Context, dir string, progress io.Writer) (*servers, error) {
	s := &servers{databaseURL: os.Getenv("DATABASE_URL"), rabbitmqURL: os.Getenv("RABBITMQ_URL")}
	switch {
	case s.databaseURL != "" && s.rabbitmqURL != "":
		return s, nil
	case s.databaseURL != "" || s.rabbitmqURL != "":
		return nil, fmt.Errorf("%w: set both DATABASE_URL and RABBITMQ_URL, or neither", errUsage)
	}
	var err error
	if s.stack, err = devstack.Start(ctx, devstack.Options{Dir: dir, Progress: progress, Durable: true}); err != nil {
		return nil, fmt.Errorf("start private servers: %w", err)
	}
	s.databaseURL, s.rabbitmqURL = s.stack.DatabaseURL(), s.stack.RabbitMQURL()
	return s, nil
}

func (s *servers) private() bool { return s.stack != nil }

// stop ends private servers and removes their data.
func (s *servers) stop(ctx context.Context) error {
	if s.stack == nil {
		return nil
	}
	return errors.Join(s.stack.Stop(ctx), os.RemoveAll(s.stack.Dir()))
}

// facts are what the figures depend on.
type facts struct {
	cpus                       int
	platform, golang           string
	postgres, rabbitmq, fsync  string
	sharedBuffers, synchronous string
}

func collectFacts(ctx context.Context, s *servers) (facts, error) {
	f := facts{cpus: runtime.NumCPU(), platform: runtime.GOOS + "/" + runtime.GOARCH, golang: runtime.Version()}
	conn, err := pgx.Connect(ctx, s.databaseURL)
	if err != nil {
		return f, fmt.Errorf("connect to the database: %w", err)
	}
	err = conn.QueryRow(ctx, `
SELECT current_setting('server_version'), current_setting('fsync'), current_setting('synchronous_commit'), current_setting('shared_buffers')`).
		Scan(&f.postgres, &f.fsync, &f.synchronous, &f.sharedBuffers)
	if err = errors.Join(err, conn.Close(ctx)); err != nil {
		return f, fmt.Errorf("ask the database for its version: %w", err)
	}
	broker, err := amqp.Dial(s.rabbitmqURL)
	if err != nil {
		return f, fmt.Errorf("connect to the broker: %w", err)
	}
	f.rabbitmq, _ = broker.Properties["version"].(string)
	if err := broker.Close(); err != nil {
		return f, fmt.Errorf("close the connection to the broker: %w", err)
	}
	return f, nil
}

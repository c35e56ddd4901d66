// Command planted is the service with a bug planted into it, to see whether
// the checker of the chaos suite notices. CHAOS_BUG names the bug. Without a
// bug, CHAOS_RECORD is where it records when it stores messages of whom.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"lanekeeper/config"
	"lanekeeper/domain"
	"lanekeeper/pkg/logger"
	"lanekeeper/pkg/server"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Getenv("CHAOS_BUG"))
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "planted:", err)
		os.Exit(1)
	}
}

var errNoBug = errors.New("CHAOS_BUG must be ack-before-commit, no-mandatory or stale-acks, or CHAOS_RECORD be set")

func run(ctx context.Context, bug string) error {
	c, err := config.Load("")
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	log, err := logger.New(os.Stderr, logger.Options{Level: c.Log.Level, Format: c.Log.Format, FromContext: server.LogAttributes})
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	d, err := decorators(bug, os.Getenv("CHAOS_RECORD"), log)
	if err != nil {
		return err
	}
	s, err := server.New(c, log, os.Stdout)
	if err != nil {
		return err //nolint:wrapcheck // says what is wrong
	}
	s.Decorate(d)
	return s.Run(ctx)
}

func decorators(bug, record string, log *slog.Logger) (server.Decorators, error) {
	switch bug {
	case "":
		if record == "" {
			break
		}
		r, err := newRecorder(record)
		return server.Decorators{Messages: func(m domain.MessageRepository) domain.MessageRepository {
			r.MessageRepository = m
			return r
		}}, err
	case "ack-before-commit":
		return server.Decorators{Messages: func(m domain.MessageRepository) domain.MessageRepository {
			return &earlyRepository{MessageRepository: m, log: log}
		}}, nil
	case "no-mandatory":
		return server.Decorators{Publisher: func(p domain.Publisher) domain.Publisher { return carelessPublisher{p} }}, nil
	case "stale-acks":
		return server.Decorators{Subscriber: func(s domain.Subscriber) domain.Subscriber { return newStaleSubscriber(s) }}, nil
	}
	return server.Decorators{}, errNoBug
}

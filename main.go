// Lanekeeper is a multi-tenant messaging service: every tenant has a queue, a
// consumer, workers and a history of its own.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"lanekeeper/config"
	"lanekeeper/pkg/logger"
	"lanekeeper/pkg/server"
)

const usage = `Usage: lanekeeper [-config FILE] [COMMAND]

  serve                      run the service (the default)
  migrate up|down|status     change or show the database schema
  user add -email ADDRESS    add a user; see lanekeeper user add -h
  token -email ADDRESS       print a token for a user
  doctor [-fix]              compare database and broker, and repair
  encrypt                    encrypt what is kept of endpoints with the first of encryption_keys
  healthcheck                succeed when the service on this machine is ready
  version                    print the version

`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "lanekeeper:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has run
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("lanekeeper", flag.ContinueOnError)
	file := flags.String("config", os.Getenv("LANEKEEPER_CONFIG"), "configuration `file`")
	flags.Usage = func() { fmt.Fprint(flags.Output(), usage); flags.PrintDefaults() }
	if err := flags.Parse(args); err != nil {
		return err
	}
	c, err := config.Read(*file)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	if err := c.Validate(server.Sections(flags.Args())...); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	log, err := logger.New(os.Stderr, logger.Options{Level: c.Log.Level, Format: c.Log.Format, FromContext: server.LogAttributes})
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	return server.Command(ctx, c, log, flags.Args(), os.Stdout)
}

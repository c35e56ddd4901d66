// Command stepped is the service, but for that it stops dead at certain steps
// of creating and deleting certain tenants, for the chaos suite to kill it
// there. CHAOS_STEPS says where, as a JSON object with the steps by the
// tenants' names; see steps. It appends the name of each tenant that arrived
// to the file CHAOS_ARRIVALS.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"lanekeeper/config"
	"lanekeeper/pkg/logger"
	"lanekeeper/pkg/server"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "stepped:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var wanted map[string]string
	if err := json.Unmarshal([]byte(os.Getenv("CHAOS_STEPS")), &wanted); err != nil {
		return fmt.Errorf("read CHAOS_STEPS: %w", err)
	}
	arrivals, err := os.OpenFile(os.Getenv("CHAOS_ARRIVALS"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("open CHAOS_ARRIVALS: %w", err)
	}
	c, err := config.Load("")
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	log, err := logger.New(os.Stderr, logger.Options{Level: c.Log.Level, Format: c.Log.Format, FromContext: server.LogAttributes})
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	s, err := server.New(c, log, os.Stdout)
	if err != nil {
		return err //nolint:wrapcheck // says what is wrong
	}
	s.Decorate(newSteps(wanted, arrivals).decorators())
	return s.Run(ctx)
}

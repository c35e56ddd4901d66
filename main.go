// Lanekeeper is a multi-tenant messaging service: every tenant has a queue, a
// consumer, workers and a history of its own.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"lanekeeper/pkg/cli"
)

func main() {
	os.Exit(run(os.Args[1:]))
}

// run runs the command that args name until it has ended, which SIGINT and SIGTERM ask
// it to, and returns the exit status.
func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return cli.Main(ctx, cli.Options{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}, args)
}

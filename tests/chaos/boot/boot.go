package boot

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"lanekeeper/config"
	"lanekeeper/pkg/logger"
	"lanekeeper/pkg/server"
	"lanekeeper/tests/command"
)

// Main is the whole main of a program of this name. Decorate returns
// the decorators.
func Main(name string, decorate func(*slog.Logger) (server.Decorators, error)) {
	command.Main(name, func(ctx context.Context, _ []string, stdout, stderr io.Writer) error {
		c, err := config.Load("")
		if err != nil {
			return fmt.Errorf("configuration: %w", err)
		}
		log, err := logger.New(stderr, logger.Options{Level: c.Log.Level, Format: c.Log.Format, FromContext: server.LogAttributes})
		if err != nil {
			return fmt.Errorf("configuration: %w", err)
		}
		d, err := decorate(log)
		if err != nil {
			return err
		}
		s, err := server.New(c, log, stdout)
		if err != nil {
			return err //nolint:wrapcheck // says what is wrong
		}
		s.Decorate(d)
		return s.Run(ctx)
	})
}

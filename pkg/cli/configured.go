package cli

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"lanekeeper/config"
	"lanekeeper/pkg/logger"
	"lanekeeper/pkg/server"
)

const (
	configFlag = "config"
	// sectionsKey is the annotation of commands that read the configuration: the parts
	// of it that they need, as config.Config.Validate takes them; "" for all.
	sectionsKey = "configuration"
)

// Sections returns which parts of the configuration a command needs, as
// config.Config.Validate takes them: none for all of it. Commands that talk to the API
// read none.
func Sections(c *cobra.Command) (sections []string, reads bool) {
	text, reads := c.Annotations[sectionsKey]
	return strings.Fields(text), reads
}

// readsConfiguration reports whether the command, or one below it, does.
func readsConfiguration(c *cobra.Command) bool {
	if _, reads := Sections(c); reads {
		return true
	}
	return slices.ContainsFunc(c.Commands(), readsConfiguration)
}

// configured makes the command read the configuration, check the sections that it
// needs, and run work.
func configured(a *app, c *cobra.Command, sections string, work func(ctx context.Context, c config.Config, log *slog.Logger, args []string) error) *cobra.Command {
	c.Annotations = map[string]string{sectionsKey: sections}
	c.RunE = func(cmd *cobra.Command, args []string) error {
		settings, err := a.Read(a.file)
		if err != nil {
			return fmt.Errorf("configuration: %w", err)
		}
		if err := settings.Validate(strings.Fields(sections)...); err != nil {
			return fmt.Errorf("configuration: %w", err)
		}
		log, err := logger.New(a.Err, logger.Options{Level: settings.Log.Level, Format: settings.Log.Format, FromContext: server.LogAttributes})
		if err != nil {
			return fmt.Errorf("configuration: %w", err)
		}
		return work(cmd.Context(), settings, log, args)
	}
	return c
}

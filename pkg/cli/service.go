package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"lanekeeper/config"
	"lanekeeper/pkg/server"
	"lanekeeper/pkg/version"
)

func serve(a *app) *cobra.Command {
	return configured(a, &cobra.Command{
		Use: "serve", Short: "Run the service (the default)",
		Long: "Run the service until Ctrl-C or SIGTERM, which drain it.\n\n" +
			"With neither database.url (DATABASE_URL) nor rabbitmq.url (RABBITMQ_URL) it starts private\n" +
			"servers, which keep their data in data_dir.",
		Example: "lanekeeper serve\nDATABASE_URL=postgres://user:pass@localhost:5432/app RABBITMQ_URL=amqp://user:pass@localhost:5672/ lanekeeper serve",
	}, "", func(ctx context.Context, c config.Config, log *slog.Logger, _ []string) error {
		return server.Serve(ctx, c, log, a.Out)
	})
}

func migrate(a *app) *cobra.Command {
	group := &cobra.Command{
		Use: "migrate", Short: "Change or show the schema of the database",
		Example: "lanekeeper migrate status\nlanekeeper migrate up",
	}
	for _, direction := range []struct{ name, short string }{
		{"up", "Bring the schema up to date"}, {"down", "Take back the last migration"}, {"status", "List the migrations, and when each was applied"},
	} {
		group.AddCommand(configured(a, &cobra.Command{
			Use: direction.name, Short: direction.short, Example: "lanekeeper migrate " + direction.name,
		}, "log database", func(ctx context.Context, c config.Config, _ *slog.Logger, _ []string) error {
			return server.Migrate(ctx, c, direction.name, a.Out)
		}))
	}
	return group
}

func doctor(a *app) *cobra.Command {
	c := &cobra.Command{
		Use: "doctor", Short: "Compare database and broker, and repair",
		Long:    "Compare the tenants in the database with partitions and queues. It fails when something\ndiffers that was not repaired.",
		Example: "lanekeeper doctor\nlanekeeper doctor --fix",
	}
	fix := c.Flags().Bool("fix", false, "repair what can be repaired without losing messages")
	return configured(a, c, "", func(ctx context.Context, c config.Config, log *slog.Logger, _ []string) error {
		return server.Doctor(ctx, c, log, *fix, a.Out)
	})
}

func encrypt(a *app) *cobra.Command {
	return configured(a, &cobra.Command{
		Use: "encrypt", Short: "Encrypt what is kept of endpoints with the first of encryption_keys",
		Example: "ENCRYPTION_KEYS=$NEW,$OLD lanekeeper encrypt",
	}, "log database encryption_keys", func(ctx context.Context, c config.Config, _ *slog.Logger, _ []string) error {
		return server.EncryptEndpoints(ctx, c, a.Out)
	})
}

func healthcheck(a *app) *cobra.Command {
	return configured(a, &cobra.Command{
		Use: "healthcheck", Short: "Succeed when the service on this machine is ready",
		Example: "lanekeeper healthcheck && echo ready",
	}, "log app_host app_port tls", func(ctx context.Context, c config.Config, _ *slog.Logger, _ []string) error {
		return server.CheckHealth(ctx, c)
	})
}

func versionCommand(a *app) *cobra.Command {
	c := &cobra.Command{Use: "version", Short: "Print the version, and what it was built of", Example: "lanekeeper version\nlanekeeper version -o json"}
	var format string
	outputFlag(c, &format)
	c.RunE = func(*cobra.Command, []string) error {
		build := version.Read()
		if format == formatJSON {
			return json.NewEncoder(a.Out).Encode(build) //nolint:wrapcheck // of the output
		}
		_, err := fmt.Fprintln(a.Out, build)
		return err //nolint:wrapcheck // of the output
	}
	return c
}

func completion() *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use: "completion SHELL", Short: "Print what completes commands and flags in a shell",
		Long:      "Print what completes commands and flags in a shell: bash, zsh, fish or powershell.",
		Example:   "lanekeeper completion bash > /etc/bash_completion.d/lanekeeper\nsource <(lanekeeper completion zsh)",
		ValidArgs: shells,
		RunE: func(c *cobra.Command, args []string) error {
			root, out := c.Root(), c.OutOrStdout()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(out, true) //nolint:wrapcheck // of the output
			case "zsh":
				return root.GenZshCompletion(out) //nolint:wrapcheck // of the output
			case "fish":
				return root.GenFishCompletion(out, true) //nolint:wrapcheck // of the output
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(out) //nolint:wrapcheck // of the output
			}
			return wrongUse(c, "unknown shell %q: bash, zsh, fish or powershell", args[0])
		},
	}
}

// environmentOr returns the value of a variable, or another one.
func environmentOr(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

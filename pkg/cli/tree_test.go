package cli_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"lanekeeper/config"
	"lanekeeper/pkg/cli"
)

// errRead is what reading the configuration ends with here: no command gets further.
var errRead = errors.New("the configuration was read")

type result struct {
	status   int
	out, err string
}

// run runs a command that reads nothing.
func run(t *testing.T, args ...string) result {
	t.Helper()
	return runOn(t, func(string) (config.Config, error) { return config.Config{}, errRead }, args...)
}

func runOn(t *testing.T, read func(string) (config.Config, error), args ...string) result {
	t.Helper()
	var out, complaint bytes.Buffer
	status := cli.Main(t.Context(), cli.Options{In: strings.NewReader(""), Out: &out, Err: &complaint, Read: read}, args)
	return result{status, out.String(), complaint.String()}
}

// commands returns all commands, by how they are called.
func commands() map[string]*cobra.Command {
	all := make(map[string]*cobra.Command)
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		all[c.CommandPath()] = c
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(cli.New(cli.Options{In: strings.NewReader(""), Out: &bytes.Buffer{}, Err: &bytes.Buffer{}}))
	return all
}

// words returns the arguments that call a command, with one for each that it needs.
func words(c *cobra.Command) []string {
	args := strings.Fields(c.CommandPath())[1:]
	for _, name := range strings.Fields(c.Use)[1:] {
		if !strings.HasPrefix(name, "[") {
			args = append(args, "1")
		}
	}
	return args
}

// Help works everywhere, goes to standard output and has an example.
func TestHelp(t *testing.T) {
	t.Parallel()
	require.Greater(t, len(commands()), 20)
	for path, c := range commands() {
		for _, flag := range []string{"-h", "--help"} {
			got := run(t, append(strings.Fields(path)[1:], flag)...)
			require.Zero(t, got.status, path)
			require.Empty(t, got.err, path)
			for _, part := range []string{"Usage:\n  " + path, "Examples:\n", "--help "} {
				require.Contains(t, got.out, part, path)
			}
		}
		require.NotEmpty(t, c.Short, path)
		require.NotRegexp(t, `[.]$`, c.Short, path)
		for line := range strings.Lines(run(t, append(strings.Fields(path)[1:], "-h")...).out) {
			require.LessOrEqual(t, len(line), 180, path)
		}
		got := run(t, append([]string{"help"}, strings.Fields(path)[1:]...)...)
		require.Zero(t, got.status, path)
		require.Contains(t, got.out, "Usage:", path)
	}
}

// What is called wrongly says so on standard error, and exits with 2.
func TestUsage(t *testing.T) {
	t.Parallel()
	wrong := func(says string, args ...string) {
		t.Helper()
		got := run(t, args...)
		require.Equal(t, 2, got.status, args)
		require.Empty(t, got.out, args)
		require.Contains(t, got.err, says, args)
		require.Contains(t, got.err, " -h.\n", args)
		require.Len(t, strings.Split(got.err, "\n"), 3, "two lines: %s", got.err)
	}
	for path, c := range commands() {
		args := words(c)
		wrong("unknown flag: --nonsense", append(args, "--nonsense")...)
		if c.HasSubCommands() {
			wrong("unknown command", append(args, "nonsense")...)
			if c.HasParent() {
				wrong("say what to do", args...)
			}
			continue
		}
		if required := len(args) - len(strings.Fields(path)) + 1; required > 0 && c.Name() != "help" {
			wrong(" is missing", args[:len(args)-required]...)
		}
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Value.Type() == "word" {
				wrong("must be ", append(args, "--"+f.Name, "nonsense")...)
			}
		})
	}
	wrong(`unknown command "migrat"; is it migrate?`, "migrat")
	wrong("unknown flag -email; write --email", "user", "add", "-email", "a@example.com")
	wrong("--email is missing", "user", "add")
	wrong(`unexpected argument "x"`, "migrate", "up", "x")
	wrong(`unknown shell "x"`, "completion", "x")
	wrong("--rate must be between 1 and 1000", "demo", "--rate", "0")
	wrong("--duration must not be below 0", "demo", "--duration", "-1s")
	wrong(`unknown command "x"`, "help", "x")
	wrong("--owner is for --database", "key", "list", "--owner", "a@example.com")
	wrong("--config is for --database", "key", "list", "--config", "x")
	wrong("--url is not for --database", "key", "list", "--database", "--url", "http://127.0.0.1:1")
	wrong("--token is not for --database", "key", "revoke", "--database", "--id", "x", "--token", "x")
	wrong("--expires: must be", "key", "create", "--expires", "soon")
	wrong("--ttl: must be", "portal-link", "--ttl", "-1m")
}

// Without a word it serves, with flags before or behind.
func TestServeIsTheDefault(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{}, {"serve"}, {"--config", "x"}, {"--config", "x", "serve"}, {"serve", "--config=x"}} {
		file := "none"
		got := runOn(t, func(path string) (config.Config, error) {
			file = path
			return config.Config{}, errRead
		}, args...)
		require.Equal(t, result{status: 1, err: "lanekeeper: configuration: the configuration was read\n"}, got)
		require.Equal(t, len(args) > 0 && args[len(args)-1] != "serve" || len(args) > 2, file == "x", args)
	}
}

// A command asks for the settings that it needs: with nothing but those it gets as far
// as to miss its servers.
func TestSettings(t *testing.T) {
	t.Parallel()
	usual := config.Default()
	have := map[string]func(c *config.Config){
		"log":             func(c *config.Config) { c.Log = usual.Log },
		"database":        func(c *config.Config) { c.Database, c.Environment = usual.Database, usual.Environment },
		"app_name":        func(c *config.Config) { c.AppName = usual.AppName },
		"environment":     func(c *config.Config) { c.Environment = usual.Environment },
		"jwt_lifetime":    func(c *config.Config) { c.JWTLifetime = usual.JWTLifetime },
		"app_port":        func(c *config.Config) { c.AppPort = 1 },
		"app_host":        func(c *config.Config) { c.AppHost = "127.0.0.1" },
		"jwt_secret":      func(*config.Config) {},
		"jwt_secrets":     func(*config.Config) {},
		"tls":             func(*config.Config) {},
		"encryption_keys": func(*config.Config) {},
	}
	for path, needs := range map[string]string{
		"migrate up": "log database", "migrate down": "log database", "migrate status": "log database",
		"user add": "log database", "user list": "log database", "user password": "log database", "user disable": "log database", "user enable": "log database",
		"token":      "log database app_name environment jwt_secret jwt_secrets jwt_lifetime",
		"key create": "log database environment jwt_secret jwt_secrets", "key list": "log database environment jwt_secret jwt_secrets",
		"key revoke": "log database environment jwt_secret jwt_secrets",
		"audit":      "log database", "encrypt": "log database encryption_keys", "healthcheck": "log app_host app_port tls",
		"serve": "", "doctor": "", "": "",
	} {
		c := commands()[strings.TrimSpace("lanekeeper "+path)]
		sections, reads := cli.Sections(c)
		if path == "" {
			c = commands()["lanekeeper serve"]
			sections, reads = cli.Sections(c)
		}
		require.True(t, reads, path)
		require.Equal(t, strings.Fields(needs), sections, path)
		settings := config.Config{}
		for _, section := range sections {
			have[section](&settings)
		}
		args := words(c)
		for _, flag := range []string{"email", "password", "id", "owner"} {
			if c.Flag(flag) != nil {
				args = append(args, "--"+flag, "01a2018a-37f9-71f2-a175-1348e3641bf0")
			}
		}
		if c.Flag("database") != nil {
			args = append(args, "--database")
		}
		got := runOn(t, func(string) (config.Config, error) { return settings, nil }, args...)
		require.Equal(t, 1, got.status, path)
		if len(sections) == 0 {
			require.Contains(t, got.err, "configuration:", path)
			continue
		}
		require.NotContains(t, got.err, "configuration:", path)
		require.Regexp(t, `database.url \(DATABASE_URL\) must be set for this command|encryption_keys \(ENCRYPTION_KEYS\) must be set|ask for readiness`, got.err, path)
	}
	for path, c := range commands() {
		if _, reads := cli.Sections(c); !reads && !c.HasSubCommands() {
			got := run(t, append(words(c), "-h")...)
			require.NotContains(t, got.out, "--config", "%s reads no configuration", path)
		}
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	got := run(t, "version")
	require.Zero(t, got.status)
	require.Regexp(t, `^\S+ \(.*go1\.\d+.*\)\n$`, got.out)
	require.Contains(t, run(t, "version", "-o", "json").out, `"version":"`)
}

func TestCompletion(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		got := run(t, "completion", shell)
		require.Zero(t, got.status, got.err)
		require.Contains(t, got.out, "lanekeeper", shell)
	}
	got := run(t, "__complete", "user", "")
	require.Zero(t, got.status)
	require.Contains(t, got.out, "disable\t")
}

// docs/cli.md is what the tree of commands says.
//
//nolint:paralleltest // sets the environment
func TestPage(t *testing.T) {
	for _, name := range []string{"LANEKEEPER_CONFIG", "LANEKEEPER_URL", "LANEKEEPER_TENANT"} {
		t.Setenv(name, "")
	}
	var page bytes.Buffer
	require.NoError(t, cli.WritePage(&page))
	written, err := os.ReadFile("../../docs/cli.md")
	require.NoError(t, err)
	require.Equal(t, string(written), page.String(), "run make generate")
}

// Secrets of the environment are no defaults that help would show.
//
//nolint:paralleltest // sets the environment
func TestHelpShowsNoSecrets(t *testing.T) {
	for _, name := range []string{"LANEKEEPER_API_KEY", "LANEKEEPER_TOKEN", "LANEKEEPER_PASSWORD"} {
		t.Setenv(name, "hunter2")
	}
	for path := range commands() {
		require.NotContains(t, run(t, append(strings.Fields(path)[1:], "-h")...).out, "hunter2", path)
	}
}

// What fails is one line on standard error.
func TestFailure(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, complaint bytes.Buffer
	status := cli.Main(ctx, cli.Options{In: strings.NewReader(""), Out: &out, Err: &complaint, Read: func(string) (config.Config, error) { return config.Default(), nil }}, []string{"migrate", "status"})
	require.Equal(t, 1, status)
	require.Len(t, strings.Split(complaint.String(), "\n"), 2, complaint.String())
	require.Empty(t, out.String())
}

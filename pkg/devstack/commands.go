package devstack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Hints returns lines on how to reach the servers by hand.
func (s *Stack) Hints() []string {
	dir := shown(s.Dir())
	hints := []string{
		"PostgreSQL  " + withoutPassword(s.DatabaseURL()),
		"            " + filepath.Join(dir, "bin", "psql") + ` -c "SELECT id, name, workers FROM tenants"`,
		"RabbitMQ    " + withoutPassword(s.RabbitMQURL()),
		"            " + filepath.Join(dir, "bin", "rabbitmqctl") + " list_consumers",
	}
	if s.redis != nil {
		hints = append(hints, "Redis       "+s.RedisURL())
	}
	if s.options.Passwords {
		hints = append(hints, "passwords   . "+shown(s.EnvironmentFile())+"    sets DATABASE_URL and RABBITMQ_URL with them")
	}
	return append(hints, "data, logs  "+dir)
}

// EnvironmentFile is for shells: it sets the URLs of the servers with their
// passwords, where there are some. It stays when the servers end.
func (s *Stack) EnvironmentFile() string { return filepath.Join(s.Dir(), "servers.env") }

// withoutPassword returns a URL that may be printed.
func withoutPassword(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	if u.User != nil {
		u.User = url.User(u.User.Username())
	}
	return u.String()
}

// writeCommands writes the programs psql and rabbitmqctl for these servers, and
// EnvironmentFile.
func (s *Stack) writeCommands() error {
	bin := filepath.Join(s.Dir(), "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil { //nolint:gosec // programs for everybody here
		return fmt.Errorf("make directory: %w", err)
	}
	psql, err := s.postgres.psqlScript()
	if err != nil {
		return err
	}
	rabbitmqctl, err := s.rabbitmq.rabbitmqctlScript(s.rabbitmq.ports())
	if err != nil {
		return err
	}
	me := account{}
	if s.options.Passwords {
		content := fmt.Sprintf("# Where the private servers are, with their passwords. They stay the same.\nexport DATABASE_URL=%s\nexport RABBITMQ_URL=%s\n",
			quote(s.DatabaseURL()), quote(s.RabbitMQURL()))
		if err := me.write(s.EnvironmentFile(), content, secretMode); err != nil {
			return err
		}
	}
	return errors.Join(
		me.write(filepath.Join(bin, "psql"), psql, 0o755),
		me.write(filepath.Join(bin, "rabbitmqctl"), rabbitmqctl, 0o755),
	)
}

// removeCommands takes the programs away: when the servers are gone, other
// programs may get their ports.
func (s *Stack) removeCommands() error {
	var errs []error
	for _, name := range []string{"psql", "rabbitmqctl"} {
		if err := os.Remove(filepath.Join(s.Dir(), "bin", name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("remove command: %w", err))
		}
	}
	return errors.Join(errs...)
}

// psqlScript returns a script that runs psql on the service's database.
func (pg *Postgres) psqlScript() (string, error) {
	bin, err := pg.programs()
	if err != nil {
		return "", err
	}
	password := ""
	if pg.options.Passwords { // who may not read it gets to know why by cat
		password = fmt.Sprintf("PGPASSWORD=$(cat %s) || exit 1\nexport PGPASSWORD\n", quote(pg.options.passwordFile(postgresSecret)))
	}
	return fmt.Sprintf(`#!/bin/sh
# psql on the private PostgreSQL server in %s, while that runs.
export PGHOST=127.0.0.1 PGPORT=%d PGUSER=postgres PGDATABASE=%s
%sexec %s "$@"
`, oneLine(pg.options.Dir), pg.server.port(0), databaseName, password, quote(filepath.Join(bin, "psql"))), nil
}

// rabbitmqctlScript returns a script that runs rabbitmqctl on the private broker,
// under the account that runs it.
func (mq *RabbitMQ) rabbitmqctlScript(ports []int) (string, error) {
	programs, err := findRabbitMQ()
	if err != nil {
		return "", err
	}
	runAs, err := serverAccount("rabbitmq", mq.home())
	if err != nil {
		return "", err
	}
	node, err := os.ReadFile(filepath.Join(mq.home(), "node"))
	if err != nil {
		return "", fmt.Errorf("read the node's name: %w", err)
	}
	var change string
	if runAs.change {
		change = fmt.Sprintf(`[ "$(id -u)" = 0 ] || { echo "rabbitmqctl: the broker runs as %[1]s: run this as root" >&2; exit 1; }
set -- runuser -u %[1]s -- "$@"
`, runAs.name)
	}
	env := mq.environment(string(node), ports)
	for i, v := range env {
		env[i] = quote(v)
	}
	return fmt.Sprintf(`#!/bin/sh
# rabbitmqctl on the private broker in %s, while that runs.
cd %s 2>/dev/null || cd /
set -- env -i %s %s "$@"
%sexec "$@"
`, oneLine(mq.options.Dir), quote(mq.home()), strings.Join(env, " "), quote(filepath.Join(programs.dir, "rabbitmqctl")), change), nil
}

// Rabbitmqctl runs that program with args on the broker, which must be running, and
// returns what it prints.
func (mq *RabbitMQ) Rabbitmqctl(ctx context.Context, args ...string) (string, error) {
	return mq.control(ctx, mq.ports(), args...)
}

// ports are those it has, from the first Start on.
func (mq *RabbitMQ) ports() []int {
	ports := make([]int, brokerPorts)
	for i := range ports {
		ports[i] = mq.server.port(i)
	}
	return ports
}

// control is Rabbitmqctl on a broker with these ports.
func (mq *RabbitMQ) control(ctx context.Context, ports []int, args ...string) (string, error) {
	script, err := mq.rabbitmqctlScript(ports)
	if err != nil {
		return "", err
	}
	var failure bytes.Buffer
	cmd := exec.CommandContext(ctx, "/bin/sh", append([]string{"-c", script, "rabbitmqctl"}, args...)...) //nolint:gosec // RabbitMQ's own program
	cmd.Stderr = &failure
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("rabbitmqctl: %w: %s", err, bytes.TrimSpace(failure.Bytes()))
	}
	return string(out), nil
}

// quote makes text one word for the shell.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// oneLine keeps a strange path from leaving the comment it stands in.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// shown returns path as seen from the working directory when it is below that.
func shown(path string) string {
	wd, err := os.Getwd()
	if err != nil {
		return path
	}
	relative, err := filepath.Rel(wd, path)
	if err != nil || strings.HasPrefix(relative, "..") {
		return path
	}
	return relative
}

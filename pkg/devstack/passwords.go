package devstack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// errNoAlter: PostgreSQL did not take the password.
var errNoAlter = errors.New("the password was not set")

// demandPassword makes PostgreSQL ask for a password. Data of an earlier version,
// which let in everybody on the machine, are changed before the server listens.
// Broken off at any point, it begins again the next time.
func demandPassword(ctx context.Context, pg *Postgres, bin string, runAs account) error {
	password, kept, err := pg.options.password(postgresSecret)
	if err != nil {
		return err
	}
	if err := pg.initialise(ctx, bin, runAs, password); err != nil {
		return err
	}
	trusting, err := trusts(pg)
	if err != nil {
		return err
	}
	if err := pg.dropStaleLock(); err != nil {
		return err
	}
	if trusting || !kept {
		if err := alterPassword(ctx, pg, bin, runAs, password); err != nil {
			return err
		}
	}
	if !kept {
		if err := pg.options.keepPassword(postgresSecret, password); err != nil {
			return err
		}
	}
	if trusting {
		say(pg.options.Progress, "PostgreSQL: asks for a password from now on; it is in %s", pg.options.passwordFile(postgresSecret))
		if err := runAs.write(hba(pg), onlyByScram, secretMode); err != nil {
			return err
		}
	}
	pg.secret.set(password)
	return nil
}

// onlyByScram is who may connect, and how: from this machine, with a password.
const onlyByScram = `# Who may connect. Lines with "trust" are not left here.
local  all          all                scram-sha-256
host   all          all  127.0.0.1/32  scram-sha-256
local  replication  all                scram-sha-256
host   replication  all  127.0.0.1/32  scram-sha-256
`

// hba is the file that says who may connect.
func hba(pg *Postgres) string { return filepath.Join(pg.data(), "pg_hba.conf") }

// trusts reports whether somebody is let in without a password.
func trusts(pg *Postgres) (bool, error) {
	text, err := os.ReadFile(hba(pg))
	if err != nil {
		return false, fmt.Errorf("read who may connect: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		rule, _, _ := strings.Cut(line, "#")
		if fields := strings.Fields(rule); len(fields) > 0 && fields[len(fields)-1] == "trust" {
			return true, nil
		}
	}
	return false, nil
}

// alterPassword sets the password while the server does not run, in its
// single-user mode.
func alterPassword(ctx context.Context, pg *Postgres, bin string, runAs account, password string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "postgres"), "--single", "-D", pg.data(), //nolint:gosec // PostgreSQL's own program
		"-c", "password_encryption=scram-sha-256", "-c", "log_statement=none", "-c", "logging_collector=off", "-c", "log_destination=stderr", "postgres")
	cmd.Stdin = strings.NewReader("ALTER ROLE postgres PASSWORD '" + password + "';\n")
	cmd.Dir, cmd.Env = pg.home(), serverEnv()
	cmd.SysProcAttr = processAttributes(syscall.SIGKILL)
	cmd.SysProcAttr.Credential = runAs.credential()
	out, err := cmd.CombinedOutput()
	if err == nil && (bytes.Contains(out, []byte("ERROR:")) || bytes.Contains(out, []byte("FATAL:"))) {
		err = errNoAlter
	}
	if err != nil {
		return fmt.Errorf("set a password: %w: %s", err, hidden(out, password))
	}
	return nil
}

// writeDefinitions writes the broker's user with its password, which RabbitMQ reads
// each time that it starts. A broker that reads them makes no guest.
func writeDefinitions(mq *RabbitMQ, runAs account) (path string, err error) {
	password, kept, err := mq.options.password(rabbitmqSecret)
	if err != nil {
		return "", err
	}
	if !kept {
		if err := mq.options.keepPassword(rabbitmqSecret, password); err != nil {
			return "", err
		}
	}
	mq.secret.set(password)
	path = filepath.Join(mq.home(), "definitions.json")
	content := fmt.Sprintf(`{
  "users": [{"name": %q, "password_hash": %q, "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": "administrator"}],
  "vhosts": [{"name": "/"}],
  "permissions": [{"user": %[1]q, "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}]
}
`, brokerUser, brokerHash(password))
	return path, runAs.write(path, content, secretMode)
}

// forgetGuest deletes the user that brokers of an earlier version had, whose
// password everybody knows, once.
func forgetGuest(ctx context.Context, mq *RabbitMQ, runAs account, ports []int) error {
	done := filepath.Join(mq.home(), "guest-forgotten")
	if _, err := os.Stat(done); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	users, err := mq.control(ctx, ports, "-q", "list_users")
	if err != nil {
		return err
	}
	for line := range strings.Lines(users) {
		if fields := strings.Fields(line); len(fields) > 0 && fields[0] == "guest" {
			if _, err := mq.control(ctx, ports, "-q", "delete_user", "guest"); err != nil {
				return err
			}
			say(mq.options.Progress, "RabbitMQ: has the user %s instead of guest from now on; its password is in %s", brokerUser, mq.options.passwordFile(rabbitmqSecret))
		}
	}
	return runAs.write(done, "", 0o644)
}

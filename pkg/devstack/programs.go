package devstack

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// The Debian packages of the servers.
const (
	packagePostgres = "postgresql"
	packageRabbitMQ = "rabbitmq-server"
	packageRedis    = "redis-server"
)

// NotInstalledError names the server programs that this machine lacks.
type NotInstalledError struct {
	// Packages are the Debian packages that hold them.
	Packages []string
}

// Error says in one line what is missing and which command installs it.
func (e *NotInstalledError) Error() string {
	return fmt.Sprintf("not installed: %s; install with: %s", strings.Join(e.Packages, ", "), e.Command())
}

// Command returns the command that installs what is missing on this system.
func (e *NotInstalledError) Command() string {
	if runtime.GOOS == "darwin" {
		formulas := map[string]string{packagePostgres: "postgresql@17", packageRabbitMQ: "rabbitmq", packageRedis: "redis"}
		names := make([]string, 0, len(e.Packages))
		for _, p := range e.Packages {
			names = append(names, formulas[p])
		}
		return "brew install " + strings.Join(names, " ")
	}
	return "sudo apt-get install -y --no-install-recommends " + strings.Join(e.Packages, " ")
}

// Missing returns the Debian packages of those servers among PostgreSQL,
// RabbitMQ and, if asked for, Redis, that are not installed here.
func Missing(redis bool) []string {
	var missing []string
	if _, err := findPostgres(""); err != nil {
		missing = append(missing, packagePostgres)
	}
	if _, err := findRabbitMQ(); err != nil {
		missing = append(missing, packageRabbitMQ)
	}
	if redis {
		if _, err := findRedis(); err != nil {
			missing = append(missing, packageRedis)
		}
	}
	return missing
}

// findPostgres returns the directory of the newest PostgreSQL programs, or of
// those of one major version.
func findPostgres(major string) (string, error) {
	version := major
	if version == "" {
		version = "*"
	}
	var dirs []string
	for _, pattern := range []string{
		"/usr/lib/postgresql/" + version + "/bin",          // Debian, Ubuntu
		"/usr/pgsql-" + version + "/bin",                   // Red Hat
		"/opt/homebrew/opt/postgresql@" + version + "/bin", // macOS
		"/usr/local/opt/postgresql@" + version + "/bin",    // macOS on Intel
		"/Library/PostgreSQL/" + version + "/bin",          // macOS installer
	} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return "", fmt.Errorf("look for PostgreSQL: %w", err)
		}
		dirs = append(dirs, found...)
	}
	slices.SortFunc(dirs, func(a, b string) int { return majorOf(b) - majorOf(a) })
	if path, err := exec.LookPath("initdb"); err == nil {
		dirs = append(dirs, filepath.Dir(path))
	}
	for _, dir := range dirs {
		if executable(filepath.Join(dir, "initdb")) && executable(filepath.Join(dir, "postgres")) {
			return dir, nil
		}
	}
	return "", &NotInstalledError{Packages: []string{packagePostgres}}
}

// PostgresPrograms returns the directory of the newest PostgreSQL's programs. It
// fails with a *NotInstalledError when there is none.
func PostgresPrograms() (string, error) { return findPostgres("") }

// majorOf reads the version out of a directory such as /usr/lib/postgresql/15/bin.
func majorOf(dir string) int {
	digits := strings.TrimLeft(filepath.Base(filepath.Dir(dir)), "abcdefghijklmnopqrstuvwxyz@-")
	n, err := strconv.Atoi(digits)
	if err != nil {
		return 0
	}
	return n
}

// brokerPrograms are where RabbitMQ's programs are.
type brokerPrograms struct {
	dir     string // rabbitmq-server and rabbitmqctl
	epmd    string
	version string // empty when the path does not say
}

// findRabbitMQ returns RabbitMQ's own scripts, not the wrappers of the same
// name that Debian puts on the PATH: those change user and log.
func findRabbitMQ() (brokerPrograms, error) {
	missing := &NotInstalledError{Packages: []string{packageRabbitMQ}}
	dirs := []string{"/usr/lib/rabbitmq/bin", "/opt/homebrew/opt/rabbitmq/sbin", "/usr/local/opt/rabbitmq/sbin"}
	if path, err := exec.LookPath("rabbitmq-server"); err == nil && filepath.Dir(path) != "/usr/sbin" {
		dirs = append(dirs, filepath.Dir(path))
	}
	for _, dir := range dirs {
		if !executable(filepath.Join(dir, "rabbitmq-server")) {
			continue
		}
		epmd, err := exec.LookPath("epmd")
		if err != nil {
			return brokerPrograms{}, missing
		}
		p := brokerPrograms{dir: dir, epmd: epmd}
		if homes, err := filepath.Glob("/usr/lib/rabbitmq/lib/rabbitmq_server-*"); err == nil && len(homes) > 0 {
			_, p.version, _ = strings.Cut(filepath.Base(homes[len(homes)-1]), "-")
		}
		return p, nil
	}
	return brokerPrograms{}, missing
}

func findRedis() (string, error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return "", &NotInstalledError{Packages: []string{packageRedis}}
	}
	return path, nil
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

package env

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	// BrokerImage has RabbitMQ 4.
	BrokerImage = "rabbitmq:4-management"
	// tickTime is after how many seconds, give or take a quarter, nodes on
	// several hosts consider a silent one gone. RabbitMQ has 60, which is longer
	// than most cuts here last.
	tickTime = 8
)

// brokerPrograms finds, below a root directory or on this machine, RabbitMQ's
// own script, not the wrapper that Debian puts on the path; and here the port
// mapper, which speaks with all versions.
func brokerPrograms(root string) (server, epmd string, err error) {
	places := []string{"/usr/lib/rabbitmq/bin", "/opt/homebrew/opt/rabbitmq/sbin", "/usr/local/opt/rabbitmq/sbin"}
	if root != "" {
		places = []string{"/opt/rabbitmq/sbin", "/usr/lib/rabbitmq/bin"}
	}
	for _, dir := range places {
		server = filepath.Join(dir, "rabbitmq-server")
		if _, err = os.Stat(filepath.Join(root, server)); err == nil {
			break
		}
	}
	if err != nil {
		return "", "", fmt.Errorf("find RabbitMQ: %w", err)
	}
	if epmd, err = exec.LookPath("epmd"); err != nil {
		return "", "", fmt.Errorf("find Erlang's port mapper: %w", err)
	}
	return server, epmd, nil
}

// mapper returns the port mapper of the node's host.
func (n *BrokerNode) mapper(epmd, logFile string, port int) *process {
	return &process{
		Program: epmd, wrap: n.wrapHost, LogFile: logFile, Environment: PlainEnvironment(filepath.Dir(logFile)),
		Arguments: []string{"-port", fmt.Sprint(port), "-address", n.ip},
	}
}

// chrootScript runs a program of the directory $2 with $1 as the root directory,
// where it finds that directory, too. No other process sees what it mounts, which
// vanishes with it.
const chrootScript = `set -e
mkdir -p "$1$2"
mount --bind "$2" "$1$2"
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
exec chroot "$1" "$2/start"
`

// chroot has the node started below a root directory, if there is one.
func (n *BrokerNode) chroot(home, root string) error {
	n.wrapHost = n.wrap
	if root == "" {
		return nil
	}
	script := filepath.Join(home, "chroot")
	if err := os.WriteFile(script, []byte(chrootScript), 0o600); err != nil {
		return fmt.Errorf("configure a broker: %w", err)
	}
	n.Program, n.Arguments = "unshare", []string{"--mount", "sh", script, root, home}
	for i, variable := range n.Environment {
		if path, found := strings.CutPrefix(variable, "PATH="); found {
			n.Environment[i] = "PATH=" + path + ":/opt/rabbitmq/sbin:/opt/erlang/bin" // the image's own
		}
	}
	return nil
}

var errImage = errors.New("no image of RabbitMQ 4")

// brokerRoot returns the root directory of the brokers' programs, which is
// unpacked once; "" for those that are installed.
func brokerRoot(ctx context.Context, s *Shared) (string, error) {
	root := filepath.Join(s.Dir.Path(), "rabbitmq-4")
	if s.Options.RabbitMQ == "" {
		return "", nil
	}
	if _, err := os.Stat(root); err == nil {
		return root, nil
	}
	if os.Geteuid() != 0 {
		return "", fmt.Errorf("%w: only root may run it without a container", errImage)
	}
	s.Say("unpacking %s", BrokerImage)
	if err := os.MkdirAll(root+".half", 0o755); err != nil {
		return "", fmt.Errorf("make a directory: %w", err)
	}
	const script = `set -e
id=$(docker create "$1")
trap 'docker rm "$id" >/dev/null' EXIT
docker export "$id" | tar -x -C "$2" --exclude=dev/*`
	text, err := exec.CommandContext(ctx, "sh", "-c", script, "sh", BrokerImage, root+".half").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %w: %s", errImage, err, strings.TrimSpace(string(text)))
	}
	if err := os.Rename(root+".half", root); err != nil {
		return "", fmt.Errorf("put %s in place: %w", BrokerImage, err)
	}
	return root, nil
}

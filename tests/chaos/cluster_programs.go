package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	// brokerImage has RabbitMQ 4.
	brokerImage = "rabbitmq:4-management"
	// tickTime is after how many seconds, give or take a quarter, nodes on
	// several hosts take a silent one for gone. RabbitMQ has 60, which is longer
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
func (n *brokerNode) mapper(epmd, logFile string, port int) *service {
	return &service{
		program: epmd, wrap: n.wrapHost, logFile: logFile, environment: plainEnvironment(filepath.Dir(logFile)),
		arguments: []string{"-port", fmt.Sprint(port), "-address", n.ip},
	}
}

// enterScript runs a program of the directory $2 with $1 as the root directory,
// where it finds that directory, too. What it mounts is seen by nobody else, and
// vanishes with it.
const enterScript = `set -e
mkdir -p "$1$2"
mount --bind "$2" "$1$2"
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
exec chroot "$1" "$2/start"
`

// enter has the node started below a root directory, if there is one.
func (n *brokerNode) enter(home, root string) error {
	n.wrapHost = n.wrap
	if root == "" {
		return nil
	}
	script := filepath.Join(home, "enter")
	if err := os.WriteFile(script, []byte(enterScript), 0o600); err != nil {
		return fmt.Errorf("configure a broker: %w", err)
	}
	n.program, n.arguments = "unshare", []string{"--mount", "sh", script, root, home}
	for i, variable := range n.environment {
		if path, found := strings.CutPrefix(variable, "PATH="); found {
			n.environment[i] = "PATH=" + path + ":/opt/rabbitmq/sbin:/opt/erlang/bin" // the image's own
		}
	}
	return nil
}

var errImage = errors.New("no image of RabbitMQ 4")

// brokerRoot returns the root directory of the brokers' programs, which is
// unpacked once; "" for those that are installed.
func (s *suite) brokerRoot(ctx context.Context) (string, error) {
	root := filepath.Join(s.dir.Path(), "rabbitmq-4")
	if s.options.rabbitmq == "" {
		return "", nil
	}
	if _, err := os.Stat(root); err == nil {
		return root, nil
	}
	if os.Geteuid() != 0 {
		return "", fmt.Errorf("%w: only root may run it without a container", errImage)
	}
	s.say("unpacking %s", brokerImage)
	if err := os.MkdirAll(root+".half", 0o755); err != nil {
		return "", fmt.Errorf("make a directory: %w", err)
	}
	const script = `set -e
id=$(docker create "$1")
trap 'docker rm "$id" >/dev/null' EXIT
docker export "$id" | tar -x -C "$2" --exclude=dev/*`
	text, err := exec.CommandContext(ctx, "sh", "-c", script, "sh", brokerImage, root+".half").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %w: %s", errImage, err, strings.TrimSpace(string(text)))
	}
	if err := os.Rename(root+".half", root); err != nil {
		return "", fmt.Errorf("put %s in place: %w", brokerImage, err)
	}
	return root, nil
}

// showBrokers tells which version the nodes have, and since when they are up.
func (st *stage) showBrokers(c *cluster, begun time.Time) error {
	took := time.Since(begun)
	conn, err := amqp.DialConfig(c.nodes[0].url(), amqp.Config{Dial: amqp.DefaultDial(nodeLimit)})
	if err != nil {
		return fmt.Errorf("connect to %s: %w", c.nodes[0].name, err)
	}
	version, _ := conn.Properties["version"].(string)
	st.show("brokers", "%d with RabbitMQ %s, up after %.0f s", len(c.nodes), version, took.Seconds())
	return conn.Close()
}

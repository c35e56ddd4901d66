package devstack

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// The ports of a private broker, by their place in server.ports.
const (
	portAMQP = iota
	portDistribution
	portEPMD
	portManagement
	brokerPorts
)

const (
	// rabbitmqSecret names its password, and brokerUser is whose it is.
	rabbitmqSecret = "rabbitmq"
	brokerUser     = "lanekeeper"
)

// RabbitMQ is one private RabbitMQ server with an Erlang port mapper (epmd) of
// its own. It can be stopped, killed, paused and started again; it keeps its
// ports, its node name and its data. Safe for concurrent use.
type RabbitMQ struct {
	options Options
	server  server
	epmd    *process // guarded by server.mu
	secret  secret   // its password, from writeDefinitions; without, there is guest
}

// NewRabbitMQ returns a server that keeps its data in the directory rabbitmq
// below options.Dir. Nothing happens before Start.
func NewRabbitMQ(options Options) *RabbitMQ {
	mq := &RabbitMQ{options: options}
	mq.server = server{
		keep: filepath.Join(options.Dir, "rabbitmq.ports"),
		name: "RabbitMQ", stopWith: syscall.SIGTERM, nPorts: brokerPorts,
		launcher: mq, progress: options.Progress, exits: make(chan error, 1),
	}
	return mq
}

// Start starts the server and returns when it answers, which takes 5 to 8 s.
// A running server is left alone. It fails with a *NotInstalledError when the
// programs are missing.
func (mq *RabbitMQ) Start(ctx context.Context) error { return mq.server.start(ctx) }

// Stop ends the server in good order. It is killed when that takes long or
// when ctx ends, and that is an error.
func (mq *RabbitMQ) Stop(ctx context.Context) error { return mq.server.stop(ctx) }

// Kill ends the server with SIGKILL.
func (mq *RabbitMQ) Kill() { mq.server.kill() }

// Pause freezes the server (SIGSTOP): connections stay open, nothing answers.
func (mq *RabbitMQ) Pause() error { return mq.server.pauseMain() }

// Resume ends a pause.
func (mq *RabbitMQ) Resume() error { return mq.server.resumeMain() }

// Exited gets the reason when the server ends without having been asked to.
func (mq *RabbitMQ) Exited() <-chan error { return mq.server.exits }

// URL is where the broker is, from the first Start on: virtual host /, and a user
// who may do everything.
func (mq *RabbitMQ) URL() string { return mq.urlOf(mq.server.port(portAMQP)) }

// FileLimit is how many open files the broker may have.
func (mq *RabbitMQ) FileLimit() int { return int(min(fileLimit(), math.MaxInt32)) }

// ManagementURL is where the broker's HTTP API is, from the first Start on;
// empty unless Options.Management is set.
func (mq *RabbitMQ) ManagementURL() string {
	if !mq.options.Management {
		return ""
	}
	return mq.managementOf(mq.server.port(portManagement))
}

func (mq *RabbitMQ) urlOf(port int) string {
	return "amqp://" + mq.user().String() + "@" + loopback(port) + "/"
}

func (mq *RabbitMQ) managementOf(port int) string {
	return "http://" + mq.user().String() + "@" + loopback(port)
}

// user is who may do everything, with the password.
func (mq *RabbitMQ) user() *url.Userinfo {
	if password := mq.secret.get(); password != "" {
		return url.UserPassword(brokerUser, password)
	}
	return url.UserPassword("guest", "guest")
}

func (mq *RabbitMQ) home() string { return filepath.Join(mq.options.Dir, "rabbitmq") }

// launch implements launcher.
func (mq *RabbitMQ) launch(ctx context.Context, ports []int) (*process, error) {
	programs, err := findRabbitMQ()
	if err != nil {
		return nil, err
	}
	runAs, err := serverAccount("rabbitmq", mq.home())
	if err != nil {
		return nil, err
	}
	log, err := mq.options.logFile("rabbitmq")
	if err != nil {
		return nil, err
	}
	if err := runAs.own(mq.home()); err != nil {
		return nil, err
	}
	theirs := []string{"beam.smp", "epmd", "erl_child_setup", "inet_gethost"}
	if err := endLeftovers(ctx, mq.home(), theirs, syscall.SIGTERM, mq.options.Progress); err != nil {
		return nil, err
	}
	node, err := mq.configure(runAs, ports)
	if err != nil {
		return nil, err
	}
	base := command{
		name: "epmd", path: programs.epmd, args: []string{"-port", strconv.Itoa(ports[portEPMD]), "-address", "127.0.0.1"},
		env: mq.environment(node, ports), dir: mq.home(), log: log, account: runAs, death: syscall.SIGKILL,
	}
	if mq.epmd, err = startProcess(base, func(error) {}); err != nil {
		return nil, err
	}
	base.name, base.path, base.args = "rabbitmq-server", filepath.Join(programs.dir, "rabbitmq-server"), nil
	base.death, base.files = deathSignal(mq.options.Durable, syscall.SIGTERM), fileLimit()
	say(mq.options.Progress, "RabbitMQ %s: starting, takes 5 to 8 s (%d open files allowed)", programs.version, base.files)
	p, err := startProcess(base, mq.server.report)
	if err != nil {
		return nil, err
	}
	if err := p.awaitReady(ctx, func(ctx context.Context) error { return mq.probe(ctx, ports) }); err != nil {
		p.kill()
		return nil, err
	}
	if mq.options.Passwords {
		if err := forgetGuest(ctx, mq, runAs, ports); err != nil {
			p.kill()
			return nil, err
		}
	}
	return p, nil
}

// probe reports whether the broker is ready, with all that was asked for.
func (mq *RabbitMQ) probe(ctx context.Context, ports []int) error {
	if err := PingRabbitMQ(ctx, mq.urlOf(ports[portAMQP])); err != nil {
		return err
	}
	if !mq.options.Management {
		return nil
	}
	return PingManagement(ctx, mq.managementOf(ports[portManagement]))
}

// cleanUp implements launcher: the port mapper goes after the broker.
func (mq *RabbitMQ) cleanUp() {
	if mq.epmd != nil {
		mq.epmd.kill()
		mq.epmd = nil
	}
}

// configure writes the configuration files and returns the node's name.
func (mq *RabbitMQ) configure(runAs account, ports []int) (node string, err error) {
	conf := []string{
		"listeners.tcp.default = " + loopback(ports[portAMQP]),
		"loopback_users = none",
		"disk_free_limit.absolute = 50MB",
		"log.console = true",
		"log.console.level = warning",
		"log.file = false",
	}
	plugins := "[]."
	if mq.options.Management {
		plugins = "[rabbitmq_management]."
		conf = append(conf,
			"management.tcp.ip = 127.0.0.1",
			"management.tcp.port = "+strconv.Itoa(ports[portManagement]),
			// Only its commands are wanted; gathering figures costs with
			// every queue.
			"management_agent.disable_metrics_collector = true")
	}
	if mq.options.Passwords {
		path, err := writeDefinitions(mq, runAs)
		if err != nil {
			return "", err
		}
		conf = append(conf, "load_definitions = "+path)
	}
	files := []struct{ name, content string }{
		{"rabbitmq.conf", strings.Join(conf, "\n") + "\n"},
		{"enabled_plugins", plugins + "\n"},
	}
	for _, f := range files {
		if err := runAs.write(filepath.Join(mq.home(), f.name), f.content, 0o644); err != nil {
			return "", err
		}
	}
	if _, err := mq.keep(runAs, ".erlang.cookie", 0o400, "%s"); err != nil {
		return "", err
	}
	// The data belong to the name of the node: it must stay the same.
	return mq.keep(runAs, "node", 0o644, "lk%.8s@localhost")
}

// keep returns the content of a file in the home directory, which is made
// with a random text in format the first time.
func (mq *RabbitMQ) keep(runAs account, name string, mode fs.FileMode, format string) (string, error) {
	path := filepath.Join(mq.home(), name)
	content, err := os.ReadFile(path)
	if err == nil {
		return strings.TrimSpace(string(content)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read %s: %w", name, err)
	}
	random := make([]byte, 16)
	if _, err := rand.Read(random); err != nil {
		return "", fmt.Errorf("make %s: %w", name, err)
	}
	text := fmt.Sprintf(format, hex.EncodeToString(random))
	return text, runAs.write(path, text, mode)
}

// environment is all that the broker's programs see.
func (mq *RabbitMQ) environment(node string, ports []int) []string {
	home := mq.home()
	return serverEnv(
		"HOME="+home,
		"RABBITMQ_NODENAME="+node,
		"RABBITMQ_NODE_IP_ADDRESS=127.0.0.1",
		"RABBITMQ_NODE_PORT="+strconv.Itoa(ports[portAMQP]),
		"RABBITMQ_DIST_PORT="+strconv.Itoa(ports[portDistribution]),
		// Else the port for other nodes is open to the network.
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1}",
		"ERL_EPMD_PORT="+strconv.Itoa(ports[portEPMD]),
		"ERL_EPMD_ADDRESS=127.0.0.1",
		"RABBITMQ_CONFIG_FILE="+filepath.Join(home, "rabbitmq.conf"),
		"RABBITMQ_ADVANCED_CONFIG_FILE="+filepath.Join(home, "advanced.config"),
		"RABBITMQ_CONF_ENV_FILE="+filepath.Join(home, "env.conf"),
		"RABBITMQ_MNESIA_BASE="+filepath.Join(home, "mnesia"),
		"RABBITMQ_LOG_BASE="+filepath.Join(home, "log"),
		"RABBITMQ_LOGS=-",
		"RABBITMQ_GENERATED_CONFIG_DIR="+filepath.Join(home, "gen"),
		"RABBITMQ_ENABLED_PLUGINS_FILE="+filepath.Join(home, "enabled_plugins"),
		// Makes the start script become the broker instead of waiting for it,
		// so that signals reach the broker itself.
		"RUNNING_UNDER_SYSTEMD=true",
	)
}

package env

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"lanekeeper/pkg/devstack"
	"lanekeeper/tests/chaos/wait"
)

// BrokerNode is one RabbitMQ of a cluster: a process that can be killed and started again on
// the same ports, with the same data.
type BrokerNode struct {
	process

	Name                         string   // as Erlang knows it
	vhost                        string   // the only one, made by the first start
	erlang                       string   // more arguments of its virtual machine
	wrapHost                     []string // what puts a program on its host
	amqp, distribution, httpPort int
}

// configure writes what the node needs to start.
func (n *BrokerNode) configure(home, cookie, server string, mapper int, all []*BrokerNode) error {
	conf := []string{
		"listeners.tcp.default = " + n.address(n.amqp),
		"loopback_users = none",
		// A virtual host that is made later is missing for a while on a node
		// that is still starting.
		"default_vhost = " + n.vhost,
		"disk_free_limit.absolute = 50MB",
		"log.console = true",
		"log.console.level = warning",
		"log.file = false",
		"management.tcp.ip = " + n.ip,
		"management.tcp.port = " + strconv.Itoa(n.httpPort),
		"management_agent.disable_metrics_collector = true",
		// A node that sees only itself stops serving.
		"cluster_partition_handling = pause_minority",
		"cluster_formation.peer_discovery_backend = classic_config",
		// The one that starts first, and waits for no other: RabbitMQ 4 asks each
		// that is named here for its state, again and again, before it starts.
		"cluster_formation.classic_config.nodes.1 = " + all[0].Name,
	}
	script := fmt.Sprintf("#!/bin/sh\nulimit -n %d || ulimit -n \"$(ulimit -Hn)\"\nexec %s\n", brokerFiles, server)
	files := []struct {
		name, content string
		mode          os.FileMode
	}{
		{"rabbitmq.conf", strings.Join(conf, "\n") + "\n", 0o600},
		{"enabled_plugins", "[rabbitmq_management].\n", 0o600},
		{".erlang.cookie", cookie, 0o400},
		{"start", script, 0o700},
	}
	if err := os.MkdirAll(home, 0o700); err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(home, f.name), []byte(f.content), f.mode); err != nil {
			return fmt.Errorf("configure a broker: %w", err)
		}
	}
	n.Program, n.LogFile = filepath.Join(home, "start"), filepath.Join(home, "log")
	n.Environment = append(PlainEnvironment(home),
		"RABBITMQ_NODENAME="+n.Name,
		"RABBITMQ_USE_LONGNAME="+strconv.FormatBool(!strings.HasSuffix(n.Name, "@localhost")),
		"RABBITMQ_NODE_IP_ADDRESS="+n.ip,
		"RABBITMQ_NODE_PORT="+strconv.Itoa(n.amqp),
		"RABBITMQ_DIST_PORT="+strconv.Itoa(n.distribution),
		// Three of them share this machine's processors with the load.
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+n.erlang+" +sbwt none +sbwtdcpu none +sbwtdio none",
		"ERL_EPMD_PORT="+strconv.Itoa(mapper),
		"ERL_EPMD_ADDRESS="+n.ip,
		"RABBITMQ_CONFIG_FILE="+filepath.Join(home, "rabbitmq.conf"),
		"RABBITMQ_ADVANCED_CONFIG_FILE="+filepath.Join(home, "advanced.config"),
		"RABBITMQ_CONF_ENV_FILE="+filepath.Join(home, "env.conf"),
		"RABBITMQ_MNESIA_BASE="+filepath.Join(home, "mnesia"),
		"RABBITMQ_LOG_BASE="+filepath.Join(home, "log-dir"),
		"RABBITMQ_LOGS=-",
		"RABBITMQ_GENERATED_CONFIG_DIR="+filepath.Join(home, "gen"),
		"RABBITMQ_ENABLED_PLUGINS_FILE="+filepath.Join(home, "enabled_plugins"),
		// The script becomes the broker, so that a kill hits that.
		"RUNNING_UNDER_SYSTEMD=true",
	)
	return nil
}

// URL is where the node takes AMQP connections.
func (n *BrokerNode) URL() string {
	return "amqp://guest:guest@" + n.address(n.amqp) + "/" + n.vhost
}

// managementURL is where its HTTP API is.
func (n *BrokerNode) managementURL() string {
	return "http://guest:guest@" + n.address(n.httpPort)
}

// awaitUp waits until the node answers.
func (n *BrokerNode) awaitUp(ctx context.Context) error {
	return wait.Until(ctx, nodeLimit, n.Name+" is up", func() error {
		select {
		case <-n.ended:
			return fmt.Errorf("%s: %w: %w", n.Name, wait.ErrEnded, n.err)
		default:
		}
		pingCtx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		return errors.Join(devstack.PingRabbitMQ(pingCtx, n.URL()), devstack.PingManagement(pingCtx, n.managementURL()))
	})
}

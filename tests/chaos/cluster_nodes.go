package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"lanekeeper/pkg/devstack"
)

const (
	clusterSize = 3
	// nodeLimit is for the start of a node on a machine that is busy with the
	// other two and a load.
	nodeLimit = 90 * time.Second
	// brokerFiles is what a broker is given of open files, if the machine does.
	brokerFiles = 20_000
)

// cluster is three RabbitMQ nodes on this machine that know each other from
// their configuration. Their data are gone when it stops. One goroutine at a
// time uses it.
type cluster struct {
	nodes []*brokerNode
	epmd  []*service // port mappers, by which they find each other: one on each host
}

// clusterSite is where and how a cluster runs.
type clusterSite struct {
	dir, vhost string
	// hosts are one for each node; none when all are on this one.
	hosts []*host
	// root is the directory of a file system that has the programs; "" for the
	// installed ones.
	root string
}

// brokerNode is one of them: a process that can be killed and started again on
// the same ports, with the same data.
type brokerNode struct {
	service

	name                         string   // as Erlang knows it
	vhost                        string   // the only one, made by the first start
	erlang                       string   // more arguments of its virtual machine
	wrapHost                     []string // what puts a program on its host
	amqp, distribution, httpPort int
}

// startCluster starts the first node and then the others, which join it, and
// returns when all answer. (Nodes that begin at the same time may find each
// other too late, and then each is a cluster of its own.)
func startCluster(ctx context.Context, site clusterSite) (*cluster, error) {
	server, epmd, err := brokerPrograms(site.root)
	if err != nil {
		return nil, err
	}
	ports, err := devstack.FreePorts(1 + 3*clusterSize)
	if err != nil {
		return nil, fmt.Errorf("find ports: %w", err)
	}
	c := &cluster{}
	mapper := ports[0]
	for i := range clusterSize {
		n := &brokerNode{name: fmt.Sprintf("lk%d-%d@localhost", mapper, i+1), vhost: site.vhost}
		n.ip, n.erlang = "127.0.0.1", "-kernel inet_dist_use_interface {127,0,0,1}"
		if site.hosts != nil {
			n.ip, n.wrap, n.erlang = site.hosts[i].ip, site.hosts[i].wrap(), "-kernel net_ticktime "+strconv.Itoa(tickTime)
			n.name = "lk@" + n.ip
		}
		n.amqp, n.distribution, n.httpPort = ports[3*i+1], ports[3*i+2], ports[3*i+3]
		c.nodes = append(c.nodes, n)
	}
	cookie := rand.Text()
	for i, n := range c.nodes {
		home := filepath.Join(site.dir, "node-"+strconv.Itoa(i+1))
		if err := n.configure(home, cookie, server, mapper, c.nodes); err != nil {
			return nil, err
		}
		if err := n.enter(home, site.root); err != nil {
			return nil, err
		}
		if i == 0 || site.hosts != nil {
			c.epmd = append(c.epmd, n.mapper(epmd, filepath.Join(site.dir, "epmd.log"), mapper))
		}
	}
	for _, m := range c.epmd {
		if err = m.launch(); err != nil {
			break
		}
	}
	if err == nil {
		err = c.nodes[0].launch()
	}
	if err == nil {
		err = c.nodes[0].awaitUp(ctx)
	}
	if err == nil {
		err = c.start(ctx)
	}
	if err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}

// plainEnvironment is the least that RabbitMQ's scripts need, and nothing of
// the caller's: RABBITMQ_ variables would change what they do.
func plainEnvironment(home string) []string {
	return []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8"}
}

// configure writes what the node needs to start.
func (n *brokerNode) configure(home, cookie, server string, mapper int, all []*brokerNode) error {
	conf := []string{
		"listeners.tcp.default = " + n.address(n.amqp),
		"loopback_users = none",
		// One that is made later is missing for a while on a node that is
		// still busy with starting.
		"default_vhost = " + n.vhost,
		"disk_free_limit.absolute = 50MB",
		"log.console = true",
		"log.console.level = warning",
		"log.file = false",
		"management.tcp.ip = " + n.ip,
		"management.tcp.port = " + strconv.Itoa(n.httpPort),
		"management_agent.disable_metrics_collector = true",
		// What a node does that sees only itself: it stops serving.
		"cluster_partition_handling = pause_minority",
		"cluster_formation.peer_discovery_backend = classic_config",
		// The one that starts first, and waits for nobody: RabbitMQ 4 asks each
		// that is named here for its state, again and again, before it starts.
		"cluster_formation.classic_config.nodes.1 = " + all[0].name,
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
	n.program, n.logFile = filepath.Join(home, "start"), filepath.Join(home, "log")
	n.environment = append(plainEnvironment(home),
		"RABBITMQ_NODENAME="+n.name,
		"RABBITMQ_USE_LONGNAME="+strconv.FormatBool(!strings.HasSuffix(n.name, "@localhost")),
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

// url is where the node takes AMQP connections.
func (n *brokerNode) url() string {
	return "amqp://guest:guest@" + n.address(n.amqp) + "/" + n.vhost
}

// managementURL is where its HTTP API is.
func (n *brokerNode) managementURL() string {
	return "http://guest:guest@" + n.address(n.httpPort)
}

// awaitUp waits until the node answers.
func (n *brokerNode) awaitUp(ctx context.Context) error {
	return await(ctx, nodeLimit, n.name+" is up", func() error {
		select {
		case <-n.ended:
			return fmt.Errorf("%s: %w: %w", n.name, errEnded, n.err)
		default:
		}
		pingCtx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		return errors.Join(devstack.PingRabbitMQ(pingCtx, n.url()), devstack.PingManagement(pingCtx, n.managementURL()))
	})
}

// start starts the nodes that do not run, and waits until all answer.
func (c *cluster) start(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, n := range c.nodes {
		if n.running() {
			continue
		}
		if err := n.launch(); err != nil {
			return errors.Join(err, group.Wait())
		}
		group.Go(func() error { return n.awaitUp(ctx) })
	}
	return group.Wait()
}

// running returns a node that runs.
func (c *cluster) running() *brokerNode {
	for _, n := range c.nodes {
		if n.running() {
			return n
		}
	}
	return c.nodes[0]
}

// urls are all nodes, as the service takes them: that with the number first.
func (c *cluster) urls(first int) string {
	var urls []string
	for i := range c.nodes {
		urls = append(urls, c.nodes[(first+i)%len(c.nodes)].url())
	}
	return strings.Join(urls, ",")
}

// stop ends all nodes; nobody needs their data any more.
func (c *cluster) stop() {
	for _, n := range c.nodes {
		n.kill()
	}
	for _, m := range c.epmd {
		m.kill()
	}
}

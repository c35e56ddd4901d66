package env

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"lanekeeper/pkg/devstack"
)

const (
	// ClusterSize is how many brokers a cluster has.
	ClusterSize = 3
	// nodeLimit is for the start of a node on a machine that is busy with the
	// other two and a load.
	nodeLimit = 90 * time.Second
	// brokerFiles is how many open files a broker may have, if the machine allows
	// it.
	brokerFiles = 20_000
)

// ClusterEnvironment is how the service is configured for several brokers.
func ClusterEnvironment() []string { return []string{"RABBITMQ_DEAD_LETTER_QUEUE_TYPE=quorum"} }

// Cluster is three RabbitMQ nodes on this machine that know each other from
// their configuration. Their data are gone when it stops. One goroutine at a
// time uses it.
type Cluster struct {
	Nodes []*BrokerNode
	epmd  []*process // port mappers, by which they find each other: one on each host
}

// clusterSite is where and how a cluster runs.
type clusterSite struct {
	dir, vhost string
	// hosts are one for each node; none when all are on this one.
	hosts []*Host
	// root is the directory of a file system that has the programs; "" for the
	// installed ones.
	root string
}

// newCluster starts the first node and then the others, which join it, and
// returns when all answer. (Nodes that begin at the same time may find each
// other too late, and then each is a cluster of its own.)
func newCluster(ctx context.Context, site clusterSite) (*Cluster, error) {
	server, epmd, err := brokerPrograms(site.root)
	if err != nil {
		return nil, err
	}
	ports, err := devstack.FreePorts(1 + 3*ClusterSize)
	if err != nil {
		return nil, fmt.Errorf("find ports: %w", err)
	}
	c := &Cluster{}
	mapper := ports[0]
	for i := range ClusterSize {
		n := &BrokerNode{Name: fmt.Sprintf("lk%d-%d@localhost", mapper, i+1), vhost: site.vhost}
		n.ip, n.erlang = "127.0.0.1", "-kernel inet_dist_use_interface {127,0,0,1}"
		if site.hosts != nil {
			n.ip, n.wrap, n.erlang = site.hosts[i].ip, site.hosts[i].wrap(), "-kernel net_ticktime "+strconv.Itoa(tickTime)
			n.Name = "lk@" + n.ip
		}
		n.amqp, n.distribution, n.httpPort = ports[3*i+1], ports[3*i+2], ports[3*i+3]
		c.Nodes = append(c.Nodes, n)
	}
	cookie := rand.Text()
	for i, n := range c.Nodes {
		home := filepath.Join(site.dir, "node-"+strconv.Itoa(i+1))
		if err := n.configure(home, cookie, server, mapper, c.Nodes); err != nil {
			return nil, err
		}
		if err := n.chroot(home, site.root); err != nil {
			return nil, err
		}
		if i == 0 || site.hosts != nil {
			c.epmd = append(c.epmd, n.mapper(epmd, filepath.Join(site.dir, "epmd.log"), mapper))
		}
	}
	for _, m := range c.epmd {
		if err = m.Launch(); err != nil {
			break
		}
	}
	if err == nil {
		err = c.Nodes[0].Launch()
	}
	if err == nil {
		err = c.Nodes[0].awaitUp(ctx)
	}
	if err == nil {
		err = c.Start(ctx)
	}
	if err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}

// Start starts the nodes that do not run, and waits until all answer.
func (c *Cluster) Start(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, n := range c.Nodes {
		if n.running() {
			continue
		}
		if err := n.Launch(); err != nil {
			return errors.Join(err, group.Wait())
		}
		group.Go(func() error { return n.awaitUp(ctx) })
	}
	return group.Wait()
}

// running returns a node that runs.
func (c *Cluster) running() *BrokerNode {
	for _, n := range c.Nodes {
		if n.running() {
			return n
		}
	}
	return c.Nodes[0]
}

// URLs are all nodes, as the service takes them, beginning with that of this
// number.
func (c *Cluster) URLs(first int) string {
	var urls []string
	for i := range c.Nodes {
		urls = append(urls, c.Nodes[(first+i)%len(c.Nodes)].URL())
	}
	return strings.Join(urls, ",")
}

// stop ends all nodes. Their data are not needed any more.
func (c *Cluster) stop() {
	for _, n := range c.Nodes {
		n.Kill()
	}
	for _, m := range c.epmd {
		m.Kill()
	}
}

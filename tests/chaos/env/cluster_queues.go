package env

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"

	"lanekeeper/tests/chaos/wait"
)

var errNoLeader = errors.New("no node leads a queue")

// clusterQueue is what the HTTP API says of a queue.
type clusterQueue struct {
	Name, Type, Leader string
	Online, Members    []string
}

func (c *Cluster) queues(ctx context.Context) ([]clusterQueue, error) {
	var queues []clusterQueue
	err := manage(ctx, c.running().managementURL(), http.MethodGet, "/api/queues/"+c.Nodes[0].vhost+"?columns=name,type,leader,online,members", "", &queues)
	return queues, err
}

// sealPrefix begins the names of queues that are declared for a moment, so that
// others outlive a broker that is killed.
const sealPrefix = "lanekeeper.seal."

// AwaitReplicated waits until the queues of these tenants, and those that all
// share, are on all nodes, and all take part. Others were declared while the nodes
// did not reach each other: RabbitMQ does not start a member later whose node it
// did not reach when it made the queue, which is for its operator to mend (see
// docs/scaling.md), and does not say how many take part.
func (c *Cluster) AwaitReplicated(ctx context.Context, tenants []string) error {
	return wait.Until(ctx, nodeLimit, "every queue is on all nodes", func() error {
		queues, err := c.queues(ctx)
		if err != nil {
			return err
		}
		for _, q := range queues {
			if strings.HasPrefix(q.Name, sealPrefix) {
				continue // nothing publishes to it, and it goes by itself if RabbitMQ lets it
			}
			if id, ok := TenantOf(q.Name); ok && !slices.Contains(tenants, id) {
				continue
			}
			if q.Type != "quorum" || q.Leader == "" || len(q.Members) != ClusterSize || len(q.Online) != ClusterSize {
				return fmt.Errorf("%w: %s %s is led by %q, %d of %d take part", wait.ErrNotReady, q.Type, q.Name, q.Leader, len(q.Online), len(q.Members))
			}
		}
		return nil
	})
}

// Leader returns the node that leads the most tenants' queues, and how many.
func (c *Cluster) Leader(ctx context.Context) (*BrokerNode, int, error) {
	queues, err := c.queues(ctx)
	if err != nil {
		return nil, 0, err
	}
	led := make(map[string]int)
	for _, q := range queues {
		if strings.HasPrefix(q.Name, "tenant_") && strings.HasSuffix(q.Name, "_queue") {
			led[q.Leader]++
		}
	}
	var most *BrokerNode
	for _, n := range c.Nodes {
		if most == nil || led[n.Name] > led[most.Name] {
			most = n
		}
	}
	if led[most.Name] == 0 {
		return nil, 0, errNoLeader
	}
	return most, led[most.Name], nil
}

// Version returns the version of RabbitMQ that the nodes run.
func (c *Cluster) Version() (string, error) {
	conn, err := amqp.DialConfig(c.Nodes[0].URL(), amqp.Config{Dial: amqp.DefaultDial(nodeLimit)})
	if err != nil {
		return "", fmt.Errorf("connect to %s: %w", c.Nodes[0].Name, err)
	}
	version, _ := conn.Properties["version"].(string)
	return version, conn.Close()
}

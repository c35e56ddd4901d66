package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	// clusterExtra is what three brokers on one machine take to start, again
	// and again.
	clusterExtra = 3 * time.Minute
	// waitingInTier is how many messages wait in a retry tier at each kill.
	waitingInTier = 100
)

// clusterEnvironment is how the service is configured for several brokers.
func clusterEnvironment() []string { return []string{"RABBITMQ_DEAD_LETTER_QUEUE_TYPE=quorum"} }

// errReturned: the broker had no queue for a message.
var errReturned = errors.New("a message was returned")

// onCluster starts three brokers, has the stage use them instead of the one
// that all scenarios share, and boots the service with the URLs of all three.
// Call leave at the end.
func (st *stage) onCluster(ctx context.Context, tenants int) (c *cluster, leave func(), err error) {
	begun := time.Now()
	root, err := st.suite.brokerRoot(ctx)
	if err != nil {
		return nil, nil, err
	}
	if c, err = startCluster(ctx, clusterSite{dir: filepath.Join(st.dir, "cluster"), vhost: st.name, root: root}); err != nil {
		return nil, nil, fmt.Errorf("start three brokers: %w", err)
	}
	if err := st.showBrokers(c, begun); err != nil {
		c.stop()
		return nil, nil, err
	}
	shared, address := st.servers, st.brokerURL
	own := *shared
	own.cluster = c
	st.servers, st.brokerURL = &own, c.nodes[0].url()
	leave = func() {
		c.stop()
		st.servers, st.brokerURL = shared, address
	}
	err = st.boot(ctx, st.databaseURL, c.urls(0), tenants)
	if err == nil {
		err = st.awaitReplicated(ctx)
	}
	if err != nil {
		leave()
		return nil, nil, err
	}
	return c, leave, nil
}

// clusterQueue is what the HTTP API tells of a queue.
type clusterQueue struct {
	Name, Type, Leader string
	Online, Members    []string
}

func (st *stage) clusterQueues(ctx context.Context) ([]clusterQueue, error) {
	var queues []clusterQueue
	err := st.servers.manage(ctx, http.MethodGet, "/api/queues/"+st.name+"?columns=name,type,leader,online,members", "", &queues)
	return queues, err
}

// sealPrefix begins the names of queues that are declared for a moment, so that
// others outlive a broker that is killed.
const sealPrefix = "lanekeeper.seal."

// awaitReplicated waits until every queue is on all nodes, and all take part; of
// the queues of tenants that were created while the nodes did not reach each other
// most have to. RabbitMQ does not start a member later whose node it did not reach
// when it made the queue: that is for its operator, see docs/scaling.md.
func (st *stage) awaitReplicated(ctx context.Context) error {
	return await(ctx, nodeLimit, "every queue is on all nodes", func() error {
		queues, err := st.clusterQueues(ctx)
		if err != nil {
			return err
		}
		for _, q := range queues {
			if strings.HasPrefix(q.Name, sealPrefix) {
				continue // nobody publishes to it, and it goes by itself if RabbitMQ lets it
			}
			least := clusterSize
			if id, ok := tenantOf(q.Name); ok && !slices.Contains(st.tenants, id) {
				least = clusterSize/2 + 1
			}
			if q.Type != "quorum" || q.Leader == "" || len(q.Members) < least || len(q.Online) < least {
				return fmt.Errorf("%w: %s %s is led by %q, %d of %d take part", errNotReady, q.Type, q.Name, q.Leader, len(q.Online), len(q.Members))
			}
		}
		return nil
	})
}

// leader returns the node that leads the most tenants' queues, and how many.
func (st *stage) leader(ctx context.Context) (*brokerNode, int, error) {
	queues, err := st.clusterQueues(ctx)
	if err != nil {
		return nil, 0, err
	}
	led := make(map[string]int)
	for _, q := range queues {
		if strings.HasPrefix(q.Name, "tenant_") && strings.HasSuffix(q.Name, "_queue") {
			led[q.Leader]++
		}
	}
	var most *brokerNode
	for _, n := range st.servers.cluster.nodes {
		if most == nil || led[n.name] > led[most.name] {
			most = n
		}
	}
	if led[most.name] == 0 {
		return nil, 0, fmt.Errorf("%w: nobody leads a queue", errUnexpected)
	}
	return most, led[most.name], nil
}

// clusterLeaderKill kills, under load, the broker that leads the most queues,
// and starts it again when the others have taken over.
func clusterLeaderKill(ctx context.Context, st *stage) error {
	c, leave, err := st.onCluster(ctx, st.figures.tenants)
	if err != nil {
		return err
	}
	defer leave()
	w := &watch{st: st}
	var led []string
	var accepted, rejoined time.Duration
	err = st.breakLoad(ctx, st.leaderKills, st.clusterLoad, func(ctx context.Context, _ *load) error {
		node, n, err := st.leader(ctx)
		if err != nil {
			return err
		}
		led = append(led, strconv.Itoa(n))
		if err := st.intoTier(ctx, node); err != nil {
			return err
		}
		node.kill()
		begun := time.Now()
		if err := w.acceptedByAll(ctx); err != nil {
			return err
		}
		accepted = max(accepted, time.Since(begun))
		begun = time.Now()
		if err := c.start(ctx); err != nil {
			return fmt.Errorf("start the broker again: %w", err)
		}
		if err := st.awaitReplicated(ctx); err != nil {
			return err
		}
		rejoined = max(rejoined, time.Since(begun))
		return nil
	})
	st.show("queues led by the killed", "%s of %d", strings.Join(led, ", "), st.figures.tenants)
	st.show("every tenant accepts again", "%.1f s after the kill at most", accepted.Seconds())
	st.show("rejoined", "%.1f s after its start at most", rejoined.Seconds())
	w.report()
	return err
}

// clusterMajorityKill kills two of three brokers under load and leaves the
// third alone for a while: nothing may be accepted then that can be lost, and
// no queue may be given up because it does not answer.
func clusterMajorityKill(ctx context.Context, st *stage) error {
	c, leave, err := st.onCluster(ctx, st.figures.tenants)
	if err != nil {
		return err
	}
	defer leave()
	w := &watch{st: st}
	var accepted time.Duration
	err = st.breakLoad(ctx, 1, st.background, func(ctx context.Context, _ *load) error {
		node, _, err := st.leader(ctx)
		if err != nil {
			return err
		}
		if err := st.intoTier(ctx, node); err != nil {
			return err
		}
		// The one that leads the most is left, and cannot do anything.
		for _, n := range c.nodes {
			if n != node {
				n.kill()
			}
		}
		w.during(ctx, st.minority)
		if err := c.start(ctx); err != nil {
			return fmt.Errorf("start the brokers again: %w", err)
		}
		begun := time.Now()
		if err := w.acceptedByAll(ctx); err != nil {
			return err
		}
		accepted = time.Since(begun)
		return st.awaitReplicated(ctx)
	})
	st.show("every tenant accepts again", "%.1f s after the brokers' return", accepted.Seconds())
	w.report()
	return errors.Join(err, st.noQueueReplaced())
}

// noQueueReplaced looks into the service's log for a queue that was deleted
// because it did not answer: it may have held something.
func (st *stage) noQueueReplaced() error {
	text, err := os.ReadFile(st.service.logFile)
	if err != nil {
		return fmt.Errorf("read the service's log: %w", err)
	}
	if strings.Contains(string(text), "replacing it") {
		st.fail("the service gave a queue up")
	}
	return nil
}

// intoTier puts messages for all tenants into the first retry tier, through
// one node, as the service does with what an endpoint did not take. They have
// to come home whatever happens to that node.
func (st *stage) intoTier(ctx context.Context, through *brokerNode) error {
	conn, err := amqp.Dial(through.url())
	if err != nil {
		return fmt.Errorf("connect to %s: %w", through.name, err)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		return fmt.Errorf("open channel: %w", err)
	}
	if err := ch.Confirm(false); err != nil {
		return fmt.Errorf("set confirm mode: %w", err)
	}
	returns := ch.NotifyReturn(make(chan amqp.Return, waitingInTier))
	attempts := make([]*attempt, waitingInTier)
	confirms := make([]*amqp.DeferredConfirmation, waitingInTier)
	for i := range attempts {
		a := &attempt{tenant: st.tenants[i%len(st.tenants)], id: uuid.NewString()}
		st.ledger.foreign(a)
		confirms[i], err = ch.PublishWithDeferredConfirmWithContext(ctx, "lanekeeper.retry.1s", queueOf(a.tenant), true, false, amqp.Publishing{
			MessageId: a.id, DeliveryMode: amqp.Persistent, Body: a.payload,
		})
		if err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		attempts[i] = a
	}
	st.awaitConfirms(ctx, attempts, confirms)
	if len(returns) > 0 {
		return fmt.Errorf("%w by the retry tier", errReturned)
	}
	return nil
}

// watch publishes to every tenant while brokers are away and looks at the
// answers: 202, or 503 that says when to try again.
type watch struct {
	st *stage

	mu       sync.Mutex
	refusals int
}

// publish publishes one message and returns nil when it is accepted.
func (w *watch) publish(ctx context.Context, tenant string) error {
	attempts := w.st.ledger.open(tenant, 1, false)
	r := w.st.client.call(ctx, http.MethodPost, "/api/messages", tenant, "", fmt.Appendf(nil, `{"payload":%s}`, attempts[0].payload))
	w.st.ledger.close(attempts, []outcome{single(r)})
	switch {
	case r.err == nil && r.status == http.StatusAccepted:
		return nil
	case ctx.Err() != nil: // nobody waits for the answer any more
		return ctx.Err()
	case r.err != nil || r.status != http.StatusServiceUnavailable || r.header.Get("Retry-After") == "":
		w.st.fail("while a broker was away: %s, Retry-After %q", r.text(), r.header.Get("Retry-After"))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refusals++
	return fmt.Errorf("%w: %s", errNotReady, r.text())
}

// each calls do for all tenants at the same time.
func (w *watch) each(do func(tenant string) error) error {
	var work sync.WaitGroup
	errs := make([]error, len(w.st.tenants))
	for i, tenant := range w.st.tenants {
		work.Go(func() { errs[i] = do(tenant) })
	}
	work.Wait()
	return errors.Join(errs...)
}

// acceptedByAll waits until every tenant has accepted a message.
func (w *watch) acceptedByAll(ctx context.Context) error { return w.acceptedWithin(ctx, recoverLimit) }

func (w *watch) acceptedWithin(ctx context.Context, limit time.Duration) error {
	return w.each(func(tenant string) error {
		return await(ctx, limit, "tenant "+tenant+" accepts a message", func() error { return w.publish(ctx, tenant) })
	})
}

// during goes on publishing to every tenant for a while, whatever the answers.
func (w *watch) during(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	_ = w.each(func(tenant string) error {
		for rest(ctx, retryPause) {
			_ = w.publish(ctx, tenant) // counted
		}
		return nil
	})
}

func (w *watch) report() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.st.show("503 with Retry-After", "%d while a broker was away", w.refusals)
}

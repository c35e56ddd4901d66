package scenario

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"lanekeeper/tests/chaos/env"
	"lanekeeper/tests/chaos/load"
)

const (
	// clusterExtra is what three brokers on one machine take to start, again
	// and again.
	clusterExtra = 3 * time.Minute
)

// bootCluster starts three brokers, has the trial use them instead of the one
// that all scenarios share, and boots the service with the URLs of all three.
// Call stop at the end.
func bootCluster(ctx context.Context, t *trial, tenants int) (c *env.Cluster, stop func(), err error) {
	begun := time.Now()
	c, stop, err = t.StartCluster(ctx)
	if err != nil {
		return nil, nil, err
	}
	err = showBrokers(t, c, begun)
	if err == nil {
		err = t.boot(ctx, t.DatabaseURL, c.URLs(0), tenants)
	}
	if err == nil {
		err = c.AwaitReplicated(ctx, t.tenants)
	}
	if err != nil {
		stop()
		return nil, nil, err
	}
	return c, stop, nil
}

// showBrokers shows which version the nodes have, and since when they are up.
func showBrokers(t *trial, c *env.Cluster, begun time.Time) error {
	took := time.Since(begun)
	version, err := c.Version()
	if err == nil {
		t.Show("brokers", "%d with RabbitMQ %s, up after %.0f s", len(c.Nodes), version, took.Seconds())
	}
	return err
}

// clusterLeaderKill kills, under load, the broker that leads the most queues,
// and starts it again when the others have taken over.
func clusterLeaderKill(ctx context.Context, t *trial) error {
	c, stop, err := bootCluster(ctx, t, t.figures.tenants)
	if err != nil {
		return err
	}
	defer stop()
	w := t.newAvailability()
	var led []string
	var accepted, rejoined time.Duration
	err = t.breakLoad(ctx, t.leaderKills, t.clusterLoad, func(ctx context.Context, _ *load.Load) error {
		node, n, err := c.Leader(ctx)
		if err != nil {
			return err
		}
		led = append(led, strconv.Itoa(n))
		node.Kill()
		begun := time.Now()
		if err := w.AcceptedByAll(ctx); err != nil {
			return err
		}
		accepted = max(accepted, time.Since(begun))
		begun = time.Now()
		if err := c.Start(ctx); err != nil {
			return fmt.Errorf("start the broker again: %w", err)
		}
		if err := c.AwaitReplicated(ctx, t.tenants); err != nil {
			return err
		}
		rejoined = max(rejoined, time.Since(begun))
		return nil
	})
	t.Show("queues led by the killed", "%s of %d", strings.Join(led, ", "), t.figures.tenants)
	t.Show("every tenant accepts again", "%.1f s after the kill at most", accepted.Seconds())
	t.Show("rejoined", "%.1f s after its start at most", rejoined.Seconds())
	w.Report()
	return err
}

// clusterMajorityKill kills two of three brokers under load and leaves the
// third alone for a while: nothing may be accepted then that can be lost, and
// no queue may be given up because it does not answer.
func clusterMajorityKill(ctx context.Context, t *trial) error {
	c, stop, err := bootCluster(ctx, t, t.figures.tenants)
	if err != nil {
		return err
	}
	defer stop()
	w := t.newAvailability()
	var accepted time.Duration
	err = t.breakLoad(ctx, 1, t.background, func(ctx context.Context, _ *load.Load) error {
		node, _, err := c.Leader(ctx)
		if err != nil {
			return err
		}
		// The one that leads the most is left, and cannot commit anything.
		for _, n := range c.Nodes {
			if n != node {
				n.Kill()
			}
		}
		var explaining sync.WaitGroup
		explaining.Go(func() { explains(ctx, t, "two of three brokers are gone", t.tenants[0], "broker_away") })
		w.During(ctx, t.minority)
		explaining.Wait()
		if err := c.Start(ctx); err != nil {
			return fmt.Errorf("start the brokers again: %w", err)
		}
		begun := time.Now()
		if err := w.AcceptedByAll(ctx); err != nil {
			return err
		}
		accepted = time.Since(begun)
		return c.AwaitReplicated(ctx, t.tenants)
	})
	t.Show("every tenant accepts again", "%.1f s after the brokers' return", accepted.Seconds())
	w.Report()
	return errors.Join(err, noQueueReplaced(t))
}

// noQueueReplaced searches the service's log for a queue that was deleted
// because it did not answer: it may have held something.
func noQueueReplaced(t *trial) error {
	text, err := os.ReadFile(t.Service.LogFile)
	if err != nil {
		return fmt.Errorf("read the service's log: %w", err)
	}
	if strings.Contains(string(text), "replacing it") {
		t.Fail("the service gave a queue up")
	}
	return nil
}

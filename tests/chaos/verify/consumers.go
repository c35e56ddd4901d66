package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	amqp "github.com/rabbitmq/amqp091-go"

	"lanekeeper/tests/chaos/env"
	"lanekeeper/tests/chaos/load"
	"lanekeeper/tests/chaos/wait"
)

// AllConsumed returns nil when every tenant has exactly one consumer, which
// runs.
func AllConsumed(ctx context.Context, e *env.Env, c *load.Client, tenants []string) error {
	if !wait.For(ctx, wait.Interval) {
		return ctx.Err()
	}
	if err := AllRun(ctx, c, len(tenants)); err != nil {
		return err
	}
	return EachConsumed(e, tenants)
}

// AllRun returns nil when the service says that as many consumers run as there
// are tenants.
func AllRun(ctx context.Context, c *load.Client, tenants int) error {
	running, cursor := 0, ""
	for more := true; more; more = cursor != "" {
		path := "/api/consumers?limit=1000"
		if cursor != "" {
			path += "&cursor=" + url.QueryEscape(cursor)
		}
		r := c.Call(ctx, http.MethodGet, path, "", "", nil)
		if r.Err != nil || r.Status != http.StatusOK {
			return errors.Join(fmt.Errorf("%w: list consumers: %s", load.ErrUnexpected, r.Text()), r.Err)
		}
		var page struct {
			Data       []struct{ State string }
			NextCursor string `json:"next_cursor"`
		}
		if err := json.Unmarshal(r.Body, &page); err != nil {
			return fmt.Errorf("read consumers: %w", err)
		}
		for _, one := range page.Data {
			if one.State == "running" {
				running++
			}
		}
		cursor = page.NextCursor
	}
	if running != tenants {
		return fmt.Errorf("%w: %d of %d consumers run", wait.ErrNotReady, running, tenants)
	}
	return nil
}

// EachConsumed returns nil when the broker says that the queue of each tenant
// has one consumer.
func EachConsumed(e *env.Env, tenants []string) error {
	return e.EachQueue(env.QueuesOf(tenants), func(q amqp.Queue) error {
		if q.Consumers != 1 {
			return fmt.Errorf("%w: %d consumers of %s", wait.ErrNotReady, q.Consumers, q.Name)
		}
		return nil
	})
}

// Consumed returns nil when every queue has a consumer.
func Consumed(e *env.Env, queues []string) error {
	return e.EachQueue(queues, func(q amqp.Queue) error {
		if q.Consumers == 0 {
			return fmt.Errorf("%w: %s has no consumer", wait.ErrNotReady, q.Name)
		}
		return nil
	})
}

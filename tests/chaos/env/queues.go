package env

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

// QueueOf returns the name of a tenant's queue.
func QueueOf(tenant string) string { return "tenant_" + tenant + "_queue" }

// QueuesOf returns the names of the tenants' queues.
func QueuesOf(tenants []string) []string {
	names := make([]string, len(tenants))
	for i, tenant := range tenants {
		names[i] = QueueOf(tenant)
	}
	return names
}

// TenantOf returns the tenant that a queue of this name belongs to.
func TenantOf(queue string) (tenant string, ok bool) {
	id, ok := strings.CutPrefix(queue, "tenant_")
	if !ok {
		return "", false
	}
	return strings.TrimSuffix(strings.TrimSuffix(id, "_dlq"), "_queue"), true
}

// IsDeadLetterQueue reports whether this is the name of one.
func IsDeadLetterQueue(name string) bool { return strings.HasSuffix(name, "_dlq") }

// TenantQueues returns the names that belong to tenants.
func TenantQueues(names []string) []string {
	var found []string
	for _, name := range names {
		if strings.HasPrefix(name, "tenant_") {
			found = append(found, name)
		}
	}
	return found
}

// QueueNames lists the queues of the virtual host.
func (e *Env) QueueNames(ctx context.Context) ([]string, error) {
	return e.Servers.names(ctx, "queues", e.Name, "name")
}

// ExchangeNames lists the exchanges of the virtual host.
func (e *Env) ExchangeNames(ctx context.Context) ([]string, error) {
	return e.Servers.names(ctx, "exchanges", e.Name, "name")
}

// BoundExchanges lists the exchanges of the virtual host that have a binding, once for
// each.
func (e *Env) BoundExchanges(ctx context.Context) ([]string, error) {
	return e.Servers.names(ctx, "bindings", e.Name, "source")
}

// Depths returns the number of ready messages of all queues that are not
// empty, dead letters aside.
func (e *Env) Depths(ctx context.Context) (map[string]int, error) {
	names, err := e.QueueNames(ctx)
	if err != nil {
		return nil, err
	}
	depths := make(map[string]int)
	return depths, e.EachQueue(slices.DeleteFunc(names, IsDeadLetterQueue), func(q amqp.Queue) error {
		if q.Messages > 0 {
			depths[q.Name] = q.Messages
		}
		return nil
	})
}

// EachQueue visits queues, one after the other, which have to be there, until
// visit returns an error.
func (e *Env) EachQueue(names []string, visit func(amqp.Queue) error) error {
	return e.OnChannel(func(ch *amqp.Channel) error {
		for _, name := range names {
			q, err := ch.QueueDeclarePassive(name, true, false, false, false, nil)
			if err != nil {
				return fmt.Errorf("look at queue %s: %w", name, err)
			}
			if err := visit(q); err != nil {
				return err
			}
		}
		return nil
	})
}

// OnChannel runs work on a connection to the broker of its own, past any
// proxy. What it leaves unacknowledged goes back.
func (e *Env) OnChannel(work func(*amqp.Channel) error) error {
	conn, err := amqp.Dial(e.BrokerURL)
	if err != nil {
		return fmt.Errorf("connect to the broker: %w", err)
	}
	ch, err := conn.Channel()
	if err == nil {
		err = work(ch)
	}
	return errors.Join(err, conn.Close())
}

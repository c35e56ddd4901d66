package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

// queueOf returns the name of a tenant's queue.
func queueOf(tenant string) string { return "tenant_" + tenant + "_queue" }

// queuesOf returns the names of the tenants' queues.
func queuesOf(tenants []string) []string {
	names := make([]string, len(tenants))
	for i, tenant := range tenants {
		names[i] = queueOf(tenant)
	}
	return names
}

// tenantOf returns the tenant that one of its queues is of, by their names.
func tenantOf(queue string) (tenant string, ok bool) {
	id, ok := strings.CutPrefix(queue, "tenant_")
	if !ok {
		return "", false
	}
	return strings.TrimSuffix(strings.TrimSuffix(id, "_dlq"), "_queue"), true
}

func isDeadLetterQueue(name string) bool { return strings.HasSuffix(name, "_dlq") }

// depths returns the number of ready messages of all queues that are not
// empty, dead letters aside.
func (st *stage) depths(ctx context.Context) (map[string]int, error) {
	names, err := st.servers.queueNames(ctx, st.name)
	if err != nil {
		return nil, err
	}
	depths := make(map[string]int)
	return depths, st.eachQueue(slices.DeleteFunc(names, isDeadLetterQueue), func(q amqp.Queue) error {
		if q.Messages > 0 {
			depths[q.Name] = q.Messages
		}
		return nil
	})
}

// eachQueue looks at queues, one after the other, which have to be there, until
// look returns an error.
func (st *stage) eachQueue(names []string, look func(amqp.Queue) error) error {
	return st.onChannel(func(ch *amqp.Channel) error {
		for _, name := range names {
			q, err := ch.QueueDeclarePassive(name, true, false, false, false, nil)
			if err != nil {
				return fmt.Errorf("look at queue %s: %w", name, err)
			}
			if err := look(q); err != nil {
				return err
			}
		}
		return nil
	})
}

// onChannel runs work on a connection to the broker of its own, past any
// proxy. What it leaves unacknowledged goes back.
func (st *stage) onChannel(work func(*amqp.Channel) error) error {
	conn, err := amqp.Dial(st.brokerURL)
	if err != nil {
		return fmt.Errorf("connect to the broker: %w", err)
	}
	ch, err := conn.Channel()
	if err == nil {
		err = work(ch)
	}
	return errors.Join(err, conn.Close())
}

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	amqp "github.com/rabbitmq/amqp091-go"
)

// lane is what there is of one tenant.
type lane struct {
	tenant    string
	status    string // of its row; empty without one
	discarded int64
	partition string // attached, detaching or detached; empty without one
	stream    bool
	main      bool // queue
	dead      bool // queue
	consumers int
}

// unsettled returns nil when the tenant is fully there, with partition, queues
// and consumer, or fully gone.
func (l *lane) unsettled() error {
	switch l.status {
	case "active":
		if l.partition == "attached" && l.stream && l.main && l.dead && l.consumers > 0 {
			return nil
		}
	case "deleted":
		if l.partition == "" && !l.stream && !l.main && !l.dead {
			return nil
		}
	}
	return fmt.Errorf("%w: tenant %s: row %q, partition %q, stream %v, queue %v with %d consumers, dead-letter queue %v",
		errNotReady, l.tenant, l.status, l.partition, l.stream, l.main, l.consumers, l.dead)
}

// lanes reads from the servers what there is of all tenants, by id, also of
// those that have no row.
func (st *stage) lanes(ctx context.Context) (map[string]*lane, error) {
	found := make(map[string]*lane)
	at := func(id string) *lane {
		if found[id] == nil {
			found[id] = &lane{tenant: id}
		}
		return found[id]
	}
	if err := st.inDatabase(ctx, func(conn *pgx.Conn) error { return readLanes(ctx, conn, at) }); err != nil {
		return nil, err
	}
	names, err := st.servers.queueNames(ctx, st.name)
	if err != nil {
		return nil, err
	}
	consumed := make(map[string]*lane) // by the names of the queues
	for _, name := range tenantQueues(names) {
		id := strings.TrimPrefix(name, "tenant_")
		if isDeadLetterQueue(name) {
			at(strings.TrimSuffix(id, "_dlq")).dead = true
		} else {
			l := at(strings.TrimSuffix(id, "_queue"))
			l.main = true
			consumed[queueOf(l.tenant)] = l
		}
	}
	return found, st.eachQueue(slices.Collect(maps.Keys(consumed)), func(q amqp.Queue) error {
		consumed[q.Name].consumers = q.Consumers
		return nil
	})
}

// A server before version 14 has no column inhdetachpending, hence the detour
// through JSON.
const partitionsSQL = `
SELECT c.relname::text, CASE
    WHEN i.inhrelid IS NULL THEN 'detached'
    WHEN (to_jsonb(i) ->> 'inhdetachpending')::boolean THEN 'detaching'
    ELSE 'attached' END
FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid AND i.inhparent = 'messages'::regclass
WHERE c.relkind = 'r' AND c.relname LIKE 'messages\_%'`

func readLanes(ctx context.Context, conn *pgx.Conn, at func(id string) *lane) error {
	var text, status string
	rows, _ := conn.Query(ctx, partitionsSQL)
	_, err := pgx.ForEachRow(rows, []any{&text, &status}, func() error {
		at(strings.ReplaceAll(strings.TrimPrefix(text, "messages_"), "_", "-")).partition = status
		return nil
	})
	if err != nil {
		return fmt.Errorf("list partitions: %w", err)
	}
	rows, _ = conn.Query(ctx, `SELECT tenant_id::text FROM tenant_streams`)
	_, err = pgx.ForEachRow(rows, []any{&text}, func() error { at(text).stream = true; return nil })
	if err != nil {
		return fmt.Errorf("list streams: %w", err)
	}
	var discarded int64
	rows, _ = conn.Query(ctx, `SELECT id::text, status, discarded FROM tenants`)
	_, err = pgx.ForEachRow(rows, []any{&text, &status, &discarded}, func() error {
		l := at(text)
		l.status, l.discarded = status, discarded
		return nil
	})
	if err != nil {
		return fmt.Errorf("list tenants: %w", err)
	}
	return nil
}

// tenantQueues returns the names that belong to tenants.
func tenantQueues(names []string) []string {
	var found []string
	for _, name := range names {
		if strings.HasPrefix(name, "tenant_") {
			found = append(found, name)
		}
	}
	return found
}

// settled returns nil when every tenant is fully there or fully gone, and
// nothing is there that belongs to nobody.
func (st *stage) settled(ctx context.Context) error {
	lanes, err := st.lanes(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, l := range lanes {
		if err := l.unsettled(); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs[:min(len(errs), maxExamples)]...)
}

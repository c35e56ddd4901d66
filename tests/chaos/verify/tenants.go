package verify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	amqp "github.com/rabbitmq/amqp091-go"

	"lanekeeper/tests/chaos/env"
	"lanekeeper/tests/chaos/wait"
)

// Parts is what there is of one tenant.
type Parts struct {
	Tenant    string
	Status    string // of its row; empty without one
	Discarded int64
	Partition string // attached, detaching or detached; empty without one
	stream    bool
	main      bool // queue
	dead      bool // queue
	consumers int
	exchange  exchange
}

// exchange is what there is of a tenant's exchange.
type exchange struct {
	wanted, exists, bound bool
}

// there reports whether messages reach the queue from there, if they have to.
func (x exchange) there() bool { return !x.wanted || x.exists && x.bound }

// Unsettled returns nil when the tenant is fully there, with partition, queues, an
// exchange where tenants have one, and consumer, or fully gone.
func (l *Parts) Unsettled() error {
	switch l.Status {
	case "active":
		if l.Partition == "attached" && l.stream && l.main && l.dead && l.exchange.there() && l.consumers > 0 {
			return nil
		}
	case "deleted":
		if l.Partition == "" && !l.stream && !l.main && !l.dead && !l.exchange.exists {
			return nil
		}
	}
	return fmt.Errorf("%w: tenant %s: row %q, partition %q, stream %v, queue %v with %d consumers, dead-letter queue %v, exchange %+v",
		wait.ErrNotReady, l.Tenant, l.Status, l.Partition, l.stream, l.main, l.consumers, l.dead, l.exchange)
}

// Tenants reads from the servers what there is of all tenants, by id, also of
// those that have no row.
func Tenants(ctx context.Context, e *env.Env) (map[string]*Parts, error) {
	found := make(map[string]*Parts)
	at := func(id string) *Parts {
		if found[id] == nil {
			found[id] = &Parts{Tenant: id, exchange: exchange{wanted: e.Exchanges}}
		}
		return found[id]
	}
	if err := e.InDatabase(ctx, func(conn *pgx.Conn) error { return readParts(ctx, conn, at) }); err != nil {
		return nil, err
	}
	if err := readExchanges(ctx, e, at); err != nil {
		return nil, err
	}
	names, err := e.QueueNames(ctx)
	if err != nil {
		return nil, err
	}
	consumed := make(map[string]*Parts) // by the names of the queues
	for _, name := range env.TenantQueues(names) {
		id := strings.TrimPrefix(name, "tenant_")
		if env.IsDeadLetterQueue(name) {
			at(strings.TrimSuffix(id, "_dlq")).dead = true
		} else {
			l := at(strings.TrimSuffix(id, "_queue"))
			l.main = true
			consumed[env.QueueOf(l.Tenant)] = l
		}
	}
	return found, e.EachQueue(slices.Collect(maps.Keys(consumed)), func(q amqp.Queue) error {
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

func readParts(ctx context.Context, conn *pgx.Conn, at func(id string) *Parts) error {
	var text, status string
	rows, _ := conn.Query(ctx, partitionsSQL)
	_, err := pgx.ForEachRow(rows, []any{&text, &status}, func() error {
		at(strings.ReplaceAll(strings.TrimPrefix(text, "messages_"), "_", "-")).Partition = status
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
		l.Status, l.Discarded = status, discarded
		return nil
	})
	if err != nil {
		return fmt.Errorf("list tenants: %w", err)
	}
	return nil
}

// Settled returns nil when every tenant is fully there or fully gone, and
// nothing is there that belongs to no tenant.
func Settled(ctx context.Context, e *env.Env) error {
	parts, err := Tenants(ctx, e)
	if err != nil {
		return err
	}
	var errs []error
	for _, l := range parts {
		if err := l.Unsettled(); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs[:min(len(errs), MaxExamples)]...)
}

// readExchanges reads which tenants have an exchange, and whether it is bound, where the
// service gives them any.
func readExchanges(ctx context.Context, e *env.Env, at func(id string) *Parts) error {
	if !e.Exchanges {
		return nil
	}
	names, err := e.ExchangeNames(ctx)
	if err != nil {
		return err
	}
	bound, err := e.BoundExchanges(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		id, of := strings.CutPrefix(name, "tenant_")
		if id, ok := strings.CutSuffix(id, "_exchange"); ok && of {
			l := at(id)
			l.exchange.exists, l.exchange.bound = true, slices.Contains(bound, name)
		}
	}
	return nil
}

package verify

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"lanekeeper/tests/chaos/env"
	"lanekeeper/tests/chaos/receiver"
	"lanekeeper/tests/chaos/report"
	"lanekeeper/tests/chaos/wait"
)

// Unrecorded is how many results of a process may be unrecorded when it ends, so
// that they are delivered again.
const Unrecorded = 512

// quietFor is how long nothing arrives before all deliveries count as over.
const quietFor = 2 * time.Second

// The kinds of findings about deliveries.
const (
	undelivered = "never delivered"
	unwanted    = "delivered without being wanted"
	madeUp      = "delivered but not stored"
	changed     = "delivered with another body, key or seq"
	outOfOrder  = "delivered out of order"
	tooMany     = "deliveries above what is allowed at a time"
	tooOften    = "delivered again too often"
)

// Subscription is an endpoint of the service, and what it has to get.
type Subscription struct {
	*receiver.Endpoint

	Tenant, ID string
	// Ordering is none, fifo or key.
	Ordering string
	// Must are the types that it always wanted, May those that it ever wanted; nil
	// for all.
	Must, May []string
	// Gone: it was deleted meanwhile, and needs to have got nothing.
	Gone bool
}

func wants(types []string, one string) bool { return types == nil || slices.Contains(types, one) }

// AwaitDelivered waits until every cursor is at the end, no delivery is open, and
// nothing arrives any more.
func AwaitDelivered(ctx context.Context, e *env.Env, r *receiver.Receiver, subscriptions []*Subscription, limit time.Duration) error {
	const query = `
SELECT (SELECT count(*) FROM endpoint_cursors c JOIN tenant_streams s ON s.tenant_id = c.tenant_id WHERE c.settled_seq < s.last_seq),
       (SELECT count(*) FROM deliveries)`
	return e.InDatabase(ctx, func(conn *pgx.Conn) error {
		return wait.Until(ctx, limit, "everything is delivered", func() error {
			var behind, open int
			if err := conn.QueryRow(ctx, query).Scan(&behind, &open); err != nil {
				return fmt.Errorf("look for open deliveries: %w", err)
			}
			busy, _ := r.Busy()
			if behind > 0 || open > 0 || busy > 0 {
				return fmt.Errorf("%w: %d endpoints are behind, %d deliveries are open, %d are under way", wait.ErrNotReady, behind, open, busy)
			}
			for _, s := range subscriptions {
				if _, last := s.Taken(); time.Since(last) < quietFor {
					return fmt.Errorf("%w: something arrived", wait.ErrNotReady)
				}
			}
			return nil
		})
	})
}

// Deliveries compares what endpoints got with what is stored.
type Deliveries struct {
	*env.Env
	*report.Result

	Receiver      *receiver.Receiver
	Subscriptions []*Subscription
	// Crashes is how often a process was ended, or could not say for long that it
	// delivers: each may repeat what was under way, and what was not recorded.
	Crashes int
}

// got is what an endpoint got of one message.
type got struct {
	seq   int64
	key   string
	body  uint64
	taken int
}

// Compare fails the result for what does not hold. The service has ended.
func (d *Deliveries) Compare(ctx context.Context) error {
	f := newFindings()
	arrived := make(map[*Subscription]map[string]*got)
	byTenant := make(map[string][]*Subscription)
	taken, again := 0, 0
	for _, s := range d.Subscriptions {
		byTenant[s.Tenant] = append(byTenant[s.Tenant], s)
		n, examples := s.Above()
		for i := range n {
			f.add(tooMany, "%s", examples[min(i, len(examples)-1)])
		}
		messages := s.gather(s.Arrivals(), f)
		arrived[s] = messages
		for _, g := range messages {
			taken += g.taken
			again += max(0, g.taken-1)
		}
	}
	if err := d.compareStored(ctx, f, byTenant, arrived); err != nil {
		return err
	}
	for s, messages := range arrived {
		for id := range messages {
			f.add(madeUp, "message %s to endpoint %s", id, s.ID)
		}
	}
	_, most := d.Receiver.Busy()
	allowed := d.Crashes * (Unrecorded + most)
	if again > allowed {
		f.add(tooOften, "%d, at most %d after %d crashes with %d under way", again, allowed, d.Crashes, most)
	}
	d.Show("deliveries", "%d to %d endpoints, at most %d at a time", taken, len(d.Subscriptions), most)
	d.Show("delivered again", "%d, allowed are %d", again, allowed)
	d.Show("deliveries lost", "%d", f.counts[undelivered])
	for _, kind := range slices.Sorted(maps.Keys(f.counts)) {
		d.Fail("%s: %d; %s", kind, f.counts[kind], strings.Join(f.examples[kind], "; "))
	}
	return nil
}

// gather returns what the endpoint got, by message, and finds what came in another
// order than it should: looking at when each message was taken first.
func (s *Subscription) gather(arrivals []receiver.Arrival, f *findings) map[string]*got {
	messages := make(map[string]*got)
	last := make(map[string]int64)
	for _, a := range arrivals {
		g := messages[a.Message]
		if g == nil {
			g = &got{seq: a.Seq, key: a.Key, body: a.Body}
			messages[a.Message] = g
		}
		if g.seq != a.Seq || g.key != a.Key || g.body != a.Body {
			f.add(changed, "message %d to endpoint %s, from one attempt to another", a.Seq, s.ID)
		}
		if !a.Taken {
			continue
		}
		if g.taken++; g.taken > 1 {
			continue
		}
		group := a.Key
		switch {
		case s.Ordering == "fifo":
			group = ""
		case s.Ordering != "key" || a.Key == "":
			continue
		}
		if a.Seq < last[group] {
			f.add(outOfOrder, "message %d after %d to %s endpoint %s", a.Seq, last[group], s.Ordering, s.ID)
		}
		last[group] = max(last[group], a.Seq)
	}
	return messages
}

// compareStored looks for every stored message at every endpoint of its tenant, and
// takes out of arrived what is stored.
func (d *Deliveries) compareStored(ctx context.Context, f *findings, byTenant map[string][]*Subscription, arrived map[*Subscription]map[string]*got) error {
	const query = `
SELECT tenant_id::text, id::text, seq, coalesce(type, ''), coalesce(ordering_key, ''), payload::text FROM messages ORDER BY tenant_id, seq`
	return d.InDatabase(ctx, func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, query)
		if err != nil {
			return fmt.Errorf("read messages: %w", err)
		}
		var tenant, id, kind, key, payload string
		var seq int64
		_, err = pgx.ForEachRow(rows, []any{&tenant, &id, &seq, &kind, &key, &payload}, func() error {
			body := receiver.Hash([]byte(payload))
			for _, s := range byTenant[tenant] {
				g := arrived[s][id]
				delete(arrived[s], id)
				switch {
				case g == nil || g.taken == 0:
					if !s.Gone && wants(s.Must, kind) {
						f.add(undelivered, "message %d (%s) of type %q to %s endpoint %s", seq, id, kind, s.Ordering, s.ID)
					}
				case !wants(s.May, kind):
					f.add(unwanted, "message %d of type %q to endpoint %s", seq, kind, s.ID)
				case g.seq != seq || g.key != key || g.body != body:
					f.add(changed, "message %d to endpoint %s", seq, s.ID)
				}
			}
			return nil
		})
		return err
	})
}

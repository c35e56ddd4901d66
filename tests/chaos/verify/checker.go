package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"lanekeeper/tests/chaos/env"
	"lanekeeper/tests/chaos/ledger"
	"lanekeeper/tests/chaos/load"
	"lanekeeper/tests/chaos/report"
	"lanekeeper/tests/chaos/wait"
)

// drainLimit is how long it may take until all queues are empty after a
// scenario.
const drainLimit = 90 * time.Second

// plantedLimit is the same where a bug was planted.
const plantedLimit = 5 * time.Second

// Checker compares what clients know of their messages with what is stored.
type Checker struct {
	*env.Env
	*report.Result

	Client *load.Client
	Ledger *ledger.Ledger
	// Forgives reports which kinds of findings the fault itself is known to
	// cost. A scenario that sets it accounts for each of them. Nil forgives none.
	Forgives func(kind string) bool
	// Patient: the bug that was planted, if there is one, has nothing to do with
	// storing, so that everything will be stored.
	Patient bool
}

// Check waits until the queues are empty, ends the service, and compares what
// is stored with the ledger. The lines of the table that every scenario has
// come from here.
func (c *Checker) Check(ctx context.Context) error {
	begun := time.Now()
	if err := c.AwaitDrained(ctx); err != nil {
		c.Fail("%v", err)
	}
	c.Show("drained", "%.1f s after the load", time.Since(begun).Seconds())
	for _, s := range c.Replicas() {
		if _, err := s.Terminate(ctx); err != nil {
			c.Fail("%v", err)
		}
		alarming, err := s.Alarming()
		if err != nil {
			return err
		}
		for i, line := range alarming {
			if i < MaxExamples {
				c.Fail("the service logged: %s", line)
			}
		}
	}
	slowest, over := c.Client.Timing()
	c.Show("slowest request", "%.2f s", slowest.Seconds())
	if over > 0 {
		c.Fail("%d requests took longer than %v, the slowest %v", over, load.RequestLimit, slowest)
	}
	return c.compare(ctx)
}

// compare reads ledger, database and queues. The service must have ended, so
// that nothing is in anybody's hands.
func (c *Checker) compare(ctx context.Context) error {
	attempts, err := ledger.Read(c.Ledger.Path)
	if err != nil {
		return err
	}
	f := newFindings()
	stored, err := c.compareRows(ctx, attempts, f)
	if err != nil {
		return err
	}
	found, err := deadLetters(ctx, c.Env)
	if err != nil {
		return err
	}
	if err := c.compareQueues(ctx, f); err != nil {
		return err
	}
	found.compare(f)
	dead := found.messages
	counts := make(map[ledger.State]int)
	for _, a := range attempts {
		counts[a.State]++
		switch {
		case a.Why == "accepted under two ids":
			f.add(renamed, "attempt %d was accepted under two ids", a.Number)
		case a.Poison && a.State == ledger.Accepted && !dead[a.ID]:
			f.add(report.Lost, "poison %d (%s) is no dead letter", a.Number, a.ID)
		case !a.Poison && a.State == ledger.Accepted && !stored[a.Number] && !dead[a.ID]:
			f.add(report.Lost, "attempt %d (%s) of tenant %s", a.Number, a.ID, a.Tenant)
		case !a.Poison && dead[a.ID]:
			f.add(Buried, "attempt %d (%s) of tenant %s", a.Number, a.ID, a.Tenant)
		case a.State == ledger.Refused && stored[a.Number]:
			f.add(denied, "attempt %d of tenant %s: %s", a.Number, a.Tenant, a.Why)
		}
	}
	c.Show("attempts", "%d", len(attempts))
	c.Show("accepted", "%d", counts[ledger.Accepted])
	c.Show("refused", "%d", counts[ledger.Refused])
	c.Show("unknown", "%d", counts[ledger.Unknown])
	c.Show("stored", "%d", len(stored))
	c.Show("dead letters", "%d", len(dead))
	c.Show(report.Lost, "%d", f.counts[report.Lost])
	c.Show(report.Twice, "%d", f.counts[report.Twice])
	c.Show(buriedMore, "%d", f.counts[buriedMore])
	for kind, n := range f.counts {
		if c.Forgives != nil && c.Forgives(kind) {
			continue
		}
		c.Fail("%s: %d; %s", kind, n, strings.Join(f.examples[kind], "; "))
	}
	return nil
}

// compareRows reads every stored message and returns which attempts they are.
func (c *Checker) compareRows(ctx context.Context, attempts map[int64]*ledger.Attempt, f *findings) (map[int64]bool, error) {
	const query = `SELECT tenant_id::text, id::text, seq, payload::text FROM messages ORDER BY tenant_id, seq`
	stored := make(map[int64]bool)
	next := make(map[string]int64)
	err := c.InDatabase(ctx, func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, query)
		if err != nil {
			return fmt.Errorf("read messages: %w", err)
		}
		var tenant, id, payload string
		var seq int64
		_, err = pgx.ForEachRow(rows, []any{&tenant, &id, &seq, &payload}, func() error {
			next[tenant]++
			if seq != next[tenant] {
				f.add(notDense, "tenant %s: %d follows %d", tenant, seq, next[tenant]-1)
				next[tenant] = seq
			}
			compareRow(attempts, stored, f, tenant, id, payload)
			return nil
		})
		return err
	})
	return stored, err
}

func compareRow(attempts map[int64]*ledger.Attempt, stored map[int64]bool, f *findings, tenant, id, payload string) {
	var label struct{ Attempt int64 }
	if err := json.Unmarshal([]byte(payload), &label); err != nil {
		f.add(altered, "message %s of tenant %s", id, tenant)
		return
	}
	a := attempts[label.Attempt]
	switch {
	case a == nil || a.Poison:
		f.add(invented, "message %s of tenant %s", id, tenant)
		return
	case stored[a.Number]:
		f.add(report.Twice, "attempt %d of tenant %s, now as %s", a.Number, tenant, id)
	case a.Tenant != tenant:
		f.add(misplaced, "attempt %d of tenant %s is in %s", a.Number, a.Tenant, tenant)
	case a.Hash != ledger.HashOf([]byte(payload)):
		f.add(altered, "attempt %d of tenant %s", a.Number, tenant)
	case a.State == ledger.Accepted && a.ID != id:
		f.add(renamed, "attempt %d was accepted as %s and is stored as %s", a.Number, a.ID, id)
	}
	stored[a.Number] = true
}

// AwaitDrained waits until no tenant's queue holds anything,
// and the service has nothing in its hands that was accepted.
func (c *Checker) AwaitDrained(ctx context.Context) error {
	limit := drainLimit
	if c.Subject.Bug != "" && !c.Patient {
		limit = plantedLimit // something will be missing for ever
	}
	return wait.Until(ctx, limit, "all queues are empty and everything is stored", func() error {
		if err := QueuesEmpty(ctx, c.Env); err != nil {
			return err
		}
		if c.Forgives != nil && c.Forgives(report.Lost) {
			return nil
		}
		return c.allStored(ctx)
	})
}

// QueuesEmpty returns nil when all queues but those of dead letters are empty.
func QueuesEmpty(ctx context.Context, e *env.Env) error {
	if !wait.For(ctx, 4*wait.Interval) {
		return ctx.Err()
	}
	depths, err := e.Depths(ctx)
	for name, n := range depths {
		err = errors.Join(err, fmt.Errorf("%w: %s holds %d", wait.ErrNotReady, name, n))
	}
	return err
}

// allStored returns nil when every accepted message is stored or a dead
// letter.
func (c *Checker) allStored(ctx context.Context) error {
	attempts, err := ledger.Read(c.Ledger.Path)
	if err != nil {
		return err
	}
	missing := make(map[string]bool)
	for _, a := range attempts {
		if a.State == ledger.Accepted {
			missing[a.ID] = true
		}
	}
	err = c.InDatabase(ctx, func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, `SELECT id::text FROM messages`)
		if err != nil {
			return fmt.Errorf("read messages: %w", err)
		}
		var id string
		_, err = pgx.ForEachRow(rows, []any{&id}, func() error { delete(missing, id); return nil })
		return err
	})
	if err != nil || len(missing) == 0 {
		return err
	}
	found, err := deadLetters(ctx, c.Env)
	if err != nil {
		return err
	}
	for id := range found.messages {
		delete(missing, id)
	}
	if len(missing) > 0 {
		return fmt.Errorf("%w: %d accepted messages are not stored", wait.ErrNotReady, len(missing))
	}
	return nil
}

func (c *Checker) compareQueues(ctx context.Context, f *findings) error {
	depths, err := c.Depths(ctx)
	for name, n := range depths {
		f.add(unfinished, "%s holds %d", name, n)
	}
	return err
}

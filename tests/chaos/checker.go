package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// drainLimit is how long it may take until all queues are empty after a
// scenario.
const drainLimit = 90 * time.Second

// plantedLimit is the same where a bug was planted.
const plantedLimit = 5 * time.Second

// maxExamples is how many cases of one kind are told one by one.
const maxExamples = 3

// findings gather what does not hold, by kind.
type findings struct {
	counts   map[string]int
	examples map[string][]string
}

func (f *findings) add(kind, format string, args ...any) {
	f.counts[kind]++
	if len(f.examples[kind]) < maxExamples {
		f.examples[kind] = append(f.examples[kind], fmt.Sprintf(format, args...))
	}
}

// The kinds of findings.
const (
	lost       = "lost"
	twice      = "stored twice"
	altered    = "altered"
	invented   = "stored but never attempted"
	misplaced  = "stored for another tenant"
	renamed    = "stored under another id"
	denied     = "refused but stored"
	notDense   = "hole in seq"
	buried     = "dead-lettered for no reason"
	buriedMore = "dead-lettered twice"
	unfinished = "left in a queue"
)

// check waits until the queues are empty, ends the service, and compares what
// is stored with the ledger. The lines of the table that every scenario has
// come from here.
func (st *stage) check(ctx context.Context) error {
	begun := time.Now()
	if err := st.awaitDrained(ctx); err != nil {
		st.fail("%v", err)
	}
	st.show("drained", "%.1f s after the load", time.Since(begun).Seconds())
	for _, s := range st.replicas() {
		if _, err := s.terminate(ctx); err != nil {
			st.fail("%v", err)
		}
		alarming, err := s.alarming()
		if err != nil {
			return err
		}
		for i, line := range alarming {
			if i < maxExamples {
				st.fail("the service logged: %s", line)
			}
		}
	}
	slowest, over := st.client.timing()
	st.show("slowest request", "%.2f s", slowest.Seconds())
	if over > 0 {
		st.fail("%d requests took longer than %v, the slowest %v", over, requestLimit, slowest)
	}
	return st.compare(ctx)
}

// compare reads ledger, database and queues. The service must have ended, so
// that nothing is in anybody's hands.
func (st *stage) compare(ctx context.Context) error {
	attempts, err := readLedger(st.ledger.path)
	if err != nil {
		return err
	}
	f := &findings{counts: make(map[string]int), examples: make(map[string][]string)}
	stored, err := st.compareRows(ctx, attempts, f)
	if err != nil {
		return err
	}
	found, err := st.deadLetters(ctx)
	if err != nil {
		return err
	}
	if err := st.compareQueues(ctx, f); err != nil {
		return err
	}
	found.compare(f)
	dead := found.messages
	counts := make(map[state]int)
	for _, a := range attempts {
		counts[a.state]++
		switch {
		case a.why == "accepted under two ids":
			f.add(renamed, "attempt %d was accepted under two ids", a.number)
		case a.poison && a.state == accepted202 && !dead[a.id]:
			f.add(lost, "poison %d (%s) is no dead letter", a.number, a.id)
		case !a.poison && a.state == accepted202 && !stored[a.number] && !dead[a.id]:
			f.add(lost, "attempt %d (%s) of tenant %s", a.number, a.id, a.tenant)
		case !a.poison && dead[a.id]:
			f.add(buried, "attempt %d (%s) of tenant %s", a.number, a.id, a.tenant)
		case a.state == refused && stored[a.number]:
			f.add(denied, "attempt %d of tenant %s: %s", a.number, a.tenant, a.why)
		}
	}
	st.show("attempts", "%d", len(attempts))
	st.show("accepted", "%d", counts[accepted202])
	st.show("refused", "%d", counts[refused])
	st.show("unknown", "%d", counts[unknown])
	st.show("stored", "%d", len(stored))
	st.show("dead letters", "%d", len(dead))
	st.show(lost, "%d", f.counts[lost])
	st.show(twice, "%d", f.counts[twice])
	st.show(buriedMore, "%d", f.counts[buriedMore])
	for kind, n := range f.counts {
		if st.forgives != nil && st.forgives(kind) {
			continue
		}
		st.fail("%s: %d; %s", kind, n, strings.Join(f.examples[kind], "; "))
	}
	return nil
}

// compareRows reads every stored message and returns which attempts they are.
func (st *stage) compareRows(ctx context.Context, attempts map[int64]*attempt, f *findings) (map[int64]bool, error) {
	const query = `SELECT tenant_id::text, id::text, seq, payload::text FROM messages ORDER BY tenant_id, seq`
	stored := make(map[int64]bool)
	next := make(map[string]int64)
	err := st.inDatabase(ctx, func(conn *pgx.Conn) error {
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

func compareRow(attempts map[int64]*attempt, stored map[int64]bool, f *findings, tenant, id, payload string) {
	var label struct{ Attempt int64 }
	if err := json.Unmarshal([]byte(payload), &label); err != nil {
		f.add(altered, "message %s of tenant %s", id, tenant)
		return
	}
	a := attempts[label.Attempt]
	switch {
	case a == nil || a.poison:
		f.add(invented, "message %s of tenant %s", id, tenant)
		return
	case stored[a.number]:
		f.add(twice, "attempt %d of tenant %s, now as %s", a.number, tenant, id)
	case a.tenant != tenant:
		f.add(misplaced, "attempt %d of tenant %s is in %s", a.number, a.tenant, tenant)
	case a.hash != hashOf([]byte(payload)):
		f.add(altered, "attempt %d of tenant %s", a.number, tenant)
	case a.state == accepted202 && a.id != id:
		f.add(renamed, "attempt %d was accepted as %s and is stored as %s", a.number, a.id, id)
	}
	stored[a.number] = true
}

// awaitDrained waits until no tenant's queue and no retry tier holds anything,
// and the service has nothing in its hands that was accepted.
func (st *stage) awaitDrained(ctx context.Context) error {
	limit := drainLimit
	if st.scenario.planted != "" {
		limit = plantedLimit // something will be missing for ever
	}
	return await(ctx, limit, "all queues are empty and everything is stored", func() error {
		if err := st.empty(ctx); err != nil {
			return err
		}
		if st.forgives != nil && st.forgives(lost) {
			return nil
		}
		return st.allStored(ctx)
	})
}

// empty returns nil when all queues but those of dead letters are empty.
func (st *stage) empty(ctx context.Context) error {
	if !rest(ctx, 4*lookEvery) {
		return ctx.Err()
	}
	depths, err := st.depths(ctx)
	for name, n := range depths {
		err = errors.Join(err, fmt.Errorf("%w: %s holds %d", errNotReady, name, n))
	}
	return err
}

// allStored returns nil when every accepted message is stored or a dead
// letter.
func (st *stage) allStored(ctx context.Context) error {
	attempts, err := readLedger(st.ledger.path)
	if err != nil {
		return err
	}
	missing := make(map[string]bool)
	for _, a := range attempts {
		if a.state == accepted202 {
			missing[a.id] = true
		}
	}
	err = st.inDatabase(ctx, func(conn *pgx.Conn) error {
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
	found, err := st.deadLetters(ctx)
	if err != nil {
		return err
	}
	for id := range found.messages {
		delete(missing, id)
	}
	if len(missing) > 0 {
		return fmt.Errorf("%w: %d accepted messages are not stored", errNotReady, len(missing))
	}
	return nil
}

func (st *stage) compareQueues(ctx context.Context, f *findings) error {
	depths, err := st.depths(ctx)
	for name, n := range depths {
		f.add(unfinished, "%s holds %d", name, n)
	}
	return err
}

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

const (
	raceLanes      = 6
	racePublishers = 3
	// convergeLimit is promised for creating and deleting tenants.
	convergeLimit = 30 * time.Second
)

// auditSQL notes every message in the transaction that stores it, so that
// what was stored can be told after it was erased with its tenant.
const auditSQL = `
CREATE TABLE chaos_audit (tenant_id uuid NOT NULL, id uuid NOT NULL);
CREATE FUNCTION chaos_note() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO chaos_audit VALUES (NEW.tenant_id, NEW.id); RETURN NULL; END $$;
CREATE TRIGGER chaos_note AFTER INSERT ON messages FOR EACH ROW EXECUTE FUNCTION chaos_note();`

// race is one tenant that is published to while it is deleted.
type race struct {
	tenant string

	mu       sync.Mutex
	accepted []string // ids
}

// publishDeleteRace deletes tenants that are being published to. A message
// that was accepted has to have been stored at some time, or counted as
// discarded.
func publishDeleteRace(ctx context.Context, st *stage) error {
	if err := st.bootDirect(ctx, 0); err != nil {
		return err
	}
	err := st.inDatabase(ctx, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, auditSQL)
		return err
	})
	if err != nil {
		return fmt.Errorf("install the audit: %w", err)
	}
	races := make([]*race, st.races)
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(raceLanes)
	for i := range races {
		wait := time.Duration(st.random.IntN(30)) * time.Millisecond
		group.Go(func() (err error) {
			races[i], err = st.race(groupCtx, i, wait)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if err := st.awaitSettled(ctx); err != nil {
		st.fail("%v", err)
	}
	if err := st.compareRaces(ctx, races); err != nil {
		return err
	}
	if _, err := st.service.terminate(ctx); err != nil {
		st.fail("%v", err)
	}
	slowest, over := st.client.timing()
	st.show("slowest request", "%.2f s", slowest.Seconds())
	if over > 0 {
		st.fail("%d requests took longer than %v", over, requestLimit)
	}
	if left, err := st.servers.queueNames(ctx, st.name); err != nil {
		return err
	} else if left = tenantQueues(left); len(left) > 0 {
		st.fail("%d queues of deleted tenants are left, such as %s", len(left), left[0])
	}
	return nil
}

// race makes a tenant, publishes to it, and deletes it after a while.
func (st *stage) race(ctx context.Context, n int, wait time.Duration) (*race, error) {
	tenants, err := st.createTenants(ctx, "race "+strconv.Itoa(n), 1)
	if err != nil {
		return nil, err
	}
	r := &race{tenant: tenants[0]}
	gone := make(chan struct{})
	var work sync.WaitGroup
	for range racePublishers {
		work.Go(func() { st.publishUntilGone(ctx, r, gone) })
	}
	rest(ctx, wait)
	reply := st.client.deleteTenant(ctx, r.tenant)
	close(gone)
	work.Wait()
	if reply.status != http.StatusNoContent && reply.status != http.StatusAccepted {
		return r, errors.Join(fmt.Errorf("%w: delete a tenant: %s", errUnexpected, reply.text()), reply.err)
	}
	return r, nil
}

// publishUntilGone publishes until the tenant is refused, and a little longer
// than its deletion takes.
func (st *stage) publishUntilGone(ctx context.Context, r *race, gone <-chan struct{}) {
	for last := false; ctx.Err() == nil && !last; {
		select {
		case <-gone:
			last = true
		default:
		}
		attempts := st.ledger.open(r.tenant, 1, false)
		outcomes := st.client.publish(ctx, attempts)
		st.ledger.close(attempts, outcomes)
		if outcomes[0].state == accepted202 {
			r.mu.Lock()
			r.accepted = append(r.accepted, outcomes[0].id)
			r.mu.Unlock()
		}
	}
}

// compareRaces compares what was accepted with what was stored and what was
// counted as discarded.
func (st *stage) compareRaces(ctx context.Context, races []*race) error {
	stored := make(map[string]map[string]bool)
	discarded := make(map[string]int)
	total := 0
	err := st.inDatabase(ctx, func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, `SELECT tenant_id::text, id::text FROM chaos_audit`)
		if err != nil {
			return fmt.Errorf("read the audit: %w", err)
		}
		var tenant, id string
		if _, err := pgx.ForEachRow(rows, []any{&tenant, &id}, func() error {
			if stored[tenant] == nil {
				stored[tenant] = make(map[string]bool)
			}
			stored[tenant][id] = true
			total++
			return nil
		}); err != nil {
			return err
		}
		if rows, err = conn.Query(ctx, `SELECT id::text, discarded FROM tenants`); err != nil {
			return fmt.Errorf("read tombstones: %w", err)
		}
		var n int
		_, err = pgx.ForEachRow(rows, []any{&tenant, &n}, func() error { discarded[tenant] = n; return nil })
		return err
	})
	if err != nil {
		return err
	}
	accepted, missing, reported, nowhere, bad := 0, 0, 0, 0, 0
	for _, r := range races {
		gone := 0
		for _, id := range r.accepted {
			accepted++
			if !stored[r.tenant][id] {
				gone++
			}
		}
		missing += gone
		reported += discarded[r.tenant]
		if gone > discarded[r.tenant] {
			nowhere += gone - discarded[r.tenant]
			if bad++; bad <= maxExamples {
				st.fail("%d messages of tenant %s were accepted and went nowhere: %d not stored, %d counted as discarded",
					gone-discarded[r.tenant], r.tenant, gone, discarded[r.tenant])
			}
		}
	}
	st.show("tenants", "%d", len(races))
	st.show("accepted", "%d", accepted)
	st.show("stored", "%d", total)
	st.show("not stored", "%d", missing)
	st.show("counted as discarded", "%d", reported)
	st.show("tenants with losses", "%d", bad)
	st.show(lost, "%d", nowhere)
	return nil
}

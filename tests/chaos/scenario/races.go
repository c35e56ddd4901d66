package scenario

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

	"lanekeeper/tests/chaos/env"
	"lanekeeper/tests/chaos/ledger"
	"lanekeeper/tests/chaos/load"
	"lanekeeper/tests/chaos/report"
	"lanekeeper/tests/chaos/verify"
	"lanekeeper/tests/chaos/wait"
)

const (
	racesAtOnce    = 6
	racePublishers = 3
	// convergeLimit is promised for creating and deleting tenants.
	convergeLimit = 30 * time.Second
)

// auditSQL notes every message in the transaction that stores it, so that
// what was stored is known after it was erased with its tenant.
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
func publishDeleteRace(ctx context.Context, t *trial) error {
	if err := t.bootDirect(ctx, 0); err != nil {
		return err
	}
	err := t.InDatabase(ctx, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, auditSQL)
		return err
	})
	if err != nil {
		return fmt.Errorf("install the audit: %w", err)
	}
	races := make([]*race, t.races)
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(racesAtOnce)
	for i := range races {
		wait := time.Duration(t.random.IntN(30)) * time.Millisecond
		group.Go(func() (err error) {
			races[i], err = runRace(groupCtx, t, i, wait)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if err := t.awaitSettled(ctx); err != nil {
		t.Fail("%v", err)
	}
	if err := compareRaces(ctx, t, races); err != nil {
		return err
	}
	if _, err := t.Service.Terminate(ctx); err != nil {
		t.Fail("%v", err)
	}
	slowest, over := t.client.Timing()
	t.Show("slowest request", "%.2f s", slowest.Seconds())
	if over > 0 {
		t.Fail("%d requests took longer than %v", over, load.RequestLimit)
	}
	if left, err := t.QueueNames(ctx); err != nil {
		return err
	} else if left = env.TenantQueues(left); len(left) > 0 {
		t.Fail("%d queues of deleted tenants are left, such as %s", len(left), left[0])
	}
	return nil
}

// runRace makes a tenant, publishes to it, and deletes it after a while.
func runRace(ctx context.Context, t *trial, n int, after time.Duration) (*race, error) {
	tenants, err := t.client.CreateTenants(ctx, "race "+strconv.Itoa(n), 1)
	if err != nil {
		return nil, err
	}
	r := &race{tenant: tenants[0]}
	gone := make(chan struct{})
	var work sync.WaitGroup
	for range racePublishers {
		work.Go(func() { publishUntilGone(ctx, t, r, gone) })
	}
	wait.For(ctx, after)
	reply := t.client.DeleteTenant(ctx, r.tenant)
	close(gone)
	work.Wait()
	if reply.Status != http.StatusNoContent && reply.Status != http.StatusAccepted {
		return r, errors.Join(fmt.Errorf("%w: delete a tenant: %s", load.ErrUnexpected, reply.Text()), reply.Err)
	}
	return r, nil
}

// publishUntilGone publishes until the tenant is refused, and a little longer
// than its deletion takes.
func publishUntilGone(ctx context.Context, t *trial, r *race, gone <-chan struct{}) {
	for last := false; ctx.Err() == nil && !last; {
		select {
		case <-gone:
			last = true
		default:
		}
		attempts := t.ledger.Open(r.tenant, 1, false)
		outcomes := t.client.Publish(ctx, attempts)
		t.ledger.Close(attempts, outcomes)
		if outcomes[0].State == ledger.Accepted {
			r.mu.Lock()
			r.accepted = append(r.accepted, outcomes[0].ID)
			r.mu.Unlock()
		}
	}
}

// compareRaces compares what was accepted with what was stored and what was
// counted as discarded.
func compareRaces(ctx context.Context, t *trial, races []*race) error {
	stored := make(map[string]map[string]bool)
	discarded := make(map[string]int)
	total := 0
	err := t.InDatabase(ctx, func(conn *pgx.Conn) error {
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
			if bad++; bad <= verify.MaxExamples {
				t.Fail("%d messages of tenant %s were accepted and went nowhere: %d not stored, %d counted as discarded",
					gone-discarded[r.tenant], r.tenant, gone, discarded[r.tenant])
			}
		}
	}
	t.Show("tenants", "%d", len(races))
	t.Show("accepted", "%d", accepted)
	t.Show("stored", "%d", total)
	t.Show("not stored", "%d", missing)
	t.Show("counted as discarded", "%d", reported)
	t.Show("tenants with losses", "%d", bad)
	t.Show(report.Lost, "%d", nowhere)
	return nil
}

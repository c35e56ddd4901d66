package scenario

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"lanekeeper/tests/chaos/env"
	"lanekeeper/tests/chaos/fault"
	"lanekeeper/tests/chaos/ledger"
	"lanekeeper/tests/chaos/load"
	"lanekeeper/tests/chaos/report"
	"lanekeeper/tests/chaos/wait"
)

// failoverLimit is how long after the promotion storing may take to begin
// again: the same as after any return of the database.
const failoverLimit = load.RecoverLimit

// failover is what becomes of a trial whose primary fails.
type failover struct {
	*env.Pair

	t *trial
}

// startFailover starts a primary and a standby that streams from it, and has the
// trial use both. Call stop at the end.
func startFailover(ctx context.Context, t *trial, synchronous bool) (f *failover, stop func(), err error) {
	p, stop, err := t.StartPair(ctx, synchronous)
	if err != nil {
		return nil, nil, err
	}
	return &failover{p, t}, stop, nil
}

func failoverSynchronous(ctx context.Context, t *trial) error {
	return databaseFailover(ctx, t, true, false)
}

func failoverAsynchronous(ctx context.Context, t *trial) error {
	return databaseFailover(ctx, t, false, false)
}

func failoverSilent(ctx context.Context, t *trial) error {
	return databaseFailover(ctx, t, true, true)
}

// plantedFailover expects of asynchronous replication what only synchronous
// replication keeps.
func plantedFailover(ctx context.Context, t *trial) error {
	p, stop, err := startFailover(ctx, t, false)
	if err != nil {
		return err
	}
	defer stop()
	return p.run(ctx, false)
}

func databaseFailover(ctx context.Context, t *trial, synchronous, freeze bool) error {
	p, stop, err := startFailover(ctx, t, synchronous)
	if err != nil {
		return err
	}
	defer stop()
	if !synchronous {
		t.forgives = func(kind string) bool { return slices.Contains([]string{report.Lost, report.Twice}, kind) }
	}
	if err := p.run(ctx, freeze); err != nil {
		return err
	}
	return p.account(ctx)
}

// run has the primary fail under load and has everything checked.
func (p *failover) run(ctx context.Context, freeze bool) error {
	t := p.t
	f, err := bootFleet(ctx, t, t.fleetTenants)
	if err != nil {
		return err
	}
	if _, err := f.awaitBalance(ctx, t.Service); err != nil {
		return err
	}
	l, end := t.startLoad(ctx, load.BackgroundPause)
	defer end()
	if err := l.AwaitAccepted(ctx, t.background/2); err != nil {
		return err
	}
	w := t.newAvailability()
	watching, ended := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); w.During(watching, time.Hour) }()
	last, err := lastCursors(ctx, t)
	if err == nil {
		err = fault.FailOver(ctx, p.Pair, freeze, func() { explains(ctx, t, "the primary has failed", t.tenants[0], "database_away") })
	}
	var took time.Duration
	if err == nil {
		took, err = p.awaitAllStoring(ctx)
	}
	ended()
	<-done
	if err != nil {
		return err
	}
	t.Show("every tenant stores again", "%.1f s after the promotion", took.Seconds())
	p.Primary.Kill() // before it wakes up, as has to be done in earnest
	w.Report()
	if err := checkCursors(ctx, t, last); err != nil {
		return err
	}
	if err := l.AwaitAccepted(ctx, t.background); err != nil {
		return err
	}
	l.Stop()
	if err := t.check(ctx); err != nil {
		return err
	}
	return f.checkOverlaps()
}

// awaitAllStoring waits until a message that was published from now on is
// stored for every tenant.
func (p *failover) awaitAllStoring(ctx context.Context) (time.Duration, error) {
	begun := time.Now()
	err := wait.Until(ctx, failoverLimit, "messages of every tenant are stored", func() error {
		return p.Standby.Do(ctx, p.Name, func(conn *pgx.Conn) error {
			var n int
			const query = `SELECT count(DISTINCT tenant_id) FROM messages WHERE created_at > $1`
			if err := conn.QueryRow(ctx, query, begun).Scan(&n); err != nil {
				return fmt.Errorf("look for messages: %w", err)
			}
			if n < len(p.t.tenants) {
				return fmt.Errorf("%w: %d of %d", wait.ErrNotReady, n, len(p.t.tenants))
			}
			return nil
		})
	})
	return time.Since(begun), err
}

// account shows what the failover has cost: of what was accepted, only what the
// old primary alone had committed may be missing.
func (p *failover) account(ctx context.Context) error {
	gone, err := p.gone(ctx)
	if err != nil {
		return err
	}
	p.t.Show("committed on the old primary alone", "%d", len(gone))
	if p.Synchronous {
		return nil // the comparison has found nothing missing
	}
	if len(gone) == 0 {
		p.t.Fail("the failover cost nothing, so nothing was shown")
	}
	attempts, err := ledger.Read(p.t.ledger.Path)
	if err != nil {
		return err
	}
	there, err := p.storedIDs(ctx, p.Standby)
	if err != nil {
		return err
	}
	missing := 0
	for _, a := range attempts {
		if a.State != ledger.Accepted || there[a.ID] {
			continue
		}
		missing++
		if !gone[a.ID] {
			p.t.Fail("attempt %d (%s) of tenant %s is lost, and was not committed on the old primary either", a.Number, a.ID, a.Tenant)
		}
	}
	p.t.Show("accepted and lost", "%d, which is what asynchronous replication costs with the standby %v behind", missing, fault.LagBehind)
	return nil
}

// gone returns the messages that the old primary had committed and the new one
// does not have. It starts the old one.
func (p *failover) gone(ctx context.Context) (map[string]bool, error) {
	p.Primary.Kill()
	// Alone, it would wait for its standby for ever.
	p.Primary.Arguments = append(p.Primary.Arguments, "-c", "synchronous_standby_names=")
	if err := p.Primary.Start(ctx); err != nil {
		return nil, fmt.Errorf("start the old primary: %w", err)
	}
	old, err := p.storedIDs(ctx, p.Primary)
	if err != nil {
		return nil, err
	}
	there, err := p.storedIDs(ctx, p.Standby)
	if err != nil {
		return nil, err
	}
	for id := range there {
		delete(old, id)
	}
	return old, nil
}

// storedIDs reads the ids of all messages of a server.
func (p *failover) storedIDs(ctx context.Context, n *env.DatabaseNode) (map[string]bool, error) {
	found := make(map[string]bool)
	err := n.Do(ctx, p.Name, func(conn *pgx.Conn) error {
		rows, _ := conn.Query(ctx, `SELECT id::text FROM messages`)
		var id string
		_, err := pgx.ForEachRow(rows, []any{&id}, func() error { found[id] = true; return nil })
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read messages: %w", err)
	}
	return found, nil
}

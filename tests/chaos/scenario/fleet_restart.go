package scenario

import (
	"context"
	"fmt"
	"time"

	"lanekeeper/tests/chaos/load"
	"lanekeeper/tests/chaos/verify"
	"lanekeeper/tests/chaos/wait"
)

// fleetKill kills one replica after the other and starts it again.
func fleetKill(ctx context.Context, t *trial) error {
	f, err := bootFleet(ctx, t, t.fleetTenants)
	if err != nil {
		return err
	}
	if _, err := f.awaitBalance(ctx, t.Service); err != nil {
		return err
	}
	var slowest time.Duration
	kills := 0
	l, end := t.startLoad(ctx, load.BackgroundPause)
	defer end()
	for i := range t.fleetKills {
		victim, survivor := f.replicas[i%replicas], f.replicas[(i+1)%replicas]
		owned, err := f.awaitBalance(ctx, survivor)
		if err != nil {
			return fmt.Errorf("before kill %d: %w", i+1, err)
		}
		var orphans []string
		name, err := f.nameOf(ctx, victim)
		if err != nil {
			return err
		}
		for tenant, c := range owned {
			if c.Replica == name {
				orphans = append(orphans, tenant)
			}
		}
		if len(orphans) == 0 {
			return fmt.Errorf("%w: replica %s owns nothing", load.ErrUnexpected, name)
		}
		died := time.Now()
		f.kill(victim)
		if i == 0 {
			explainsBy(ctx, t, t.client.At(survivor.URL()), "the replica that consumes was killed", orphans[0], "consumer_starting")
		}
		took, err := f.awaitMoved(ctx, orphans, died)
		if err != nil {
			return fmt.Errorf("kill %d: %w", i+1, err)
		}
		slowest = max(slowest, took)
		kills++
		if err := victim.Start(ctx); err != nil {
			return err
		}
	}
	if err := l.AwaitAccepted(ctx, t.background); err != nil {
		return err
	}
	l.Stop()
	t.Show("kills", "%d, of %d replicas with %d tenants", kills, replicas, len(t.tenants))
	t.Show("consumed again after", "%.1f s at most", slowest.Seconds())
	if float64(slowest) > t.slack*float64(moveLimit) {
		t.Fail("tenants of a dead replica were without a consumer for %v, %v are promised", slowest, moveLimit)
	}
	if err := t.check(ctx); err != nil {
		return err
	}
	return f.checkOverlaps()
}

// fleetDatabaseRestart takes the database away for longer than a replica may
// be silent: that must move no tenant.
func fleetDatabaseRestart(ctx context.Context, t *trial) error {
	f, err := bootFleet(ctx, t, t.fleetTenants)
	if err != nil {
		return err
	}
	before, err := f.awaitBalance(ctx, t.Service)
	if err != nil {
		return err
	}
	l, end := t.startLoad(ctx, load.BackgroundPause)
	defer end()
	if err := l.AwaitAccepted(ctx, t.background/2); err != nil {
		return err
	}
	t.Servers.Postgres.Kill()
	killed := time.Now()
	explains(ctx, t, "the database is gone", t.tenants[0], "database_away")
	if !wait.For(ctx, outage-time.Since(killed)) {
		return ctx.Err()
	}
	if err := t.Servers.Postgres.Start(ctx); err != nil {
		return fmt.Errorf("start the database again: %w", err)
	}
	took, err := verify.AwaitStoring(ctx, t.Env)
	if err != nil {
		return err
	}
	t.Show("storing again after", "%.1f s of the database's return", took.Seconds())
	if err := l.AwaitAccepted(ctx, t.background); err != nil {
		return err
	}
	if !wait.For(ctx, outage) { // a replica that would take one over has done so by now
		return ctx.Err()
	}
	l.Stop()
	moved, err := f.moved(ctx, before)
	if err != nil {
		return err
	}
	t.Show("tenants moved", "%d of %d", moved, len(before))
	if err := t.check(ctx); err != nil {
		return err
	}
	return f.checkOverlaps()
}

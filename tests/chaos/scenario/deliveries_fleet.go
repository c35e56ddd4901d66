package scenario

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"lanekeeper/tests/chaos/env"
	"lanekeeper/tests/chaos/load"
	"lanekeeper/tests/chaos/receiver"
	"lanekeeper/tests/chaos/wait"
)

const (
	// slowAnswer is how long endpoints take where it is counted what is under way.
	slowAnswer = 200 * time.Millisecond
	// resizeLimit is how soon a number of workers holds.
	resizeLimit = time.Second
	fewWorkers  = 5
	manyWorkers = 20
	// atLeastFor is for how long nothing may begin above a number of workers.
	atLeastFor = 3 * time.Second
)

// deliveriesFleet has workers changed while replicas are killed and added, and
// counts at each endpoint how many deliveries are under way.
func deliveriesFleet(ctx context.Context, t *trial) (err error) {
	d, err := newDeliveries(ctx, t)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	f, err := bootFleet(ctx, t, t.deliveryTenants, planting(t)...)
	if err != nil {
		return err
	}
	for _, tenant := range t.tenants {
		if _, err := d.subscribe(ctx, t.client, tenant, receiver.Takes(slowAnswer), nil); err != nil {
			return err
		}
	}
	if err := d.resize(ctx, fewWorkers); err != nil {
		return err
	}
	if err := d.fill(ctx, t.deliveryBacklog); err != nil {
		return err
	}
	if err := d.awaitFull(ctx, fewWorkers); err != nil {
		return err
	}
	victim, err := f.delivering(ctx)
	if err != nil {
		return err
	}
	orphaned, err := f.claimed(ctx, victim)
	if err != nil {
		return err
	}
	died := time.Now()
	f.kill(victim)
	d.crashes++
	d.explainKilled(ctx, f.replicas[0], orphaned)
	took, err := d.awaitAll(ctx, died.Add(slowAnswer))
	if err != nil {
		return err
	}
	t.Show("delivered to all again after", "%.1f s of a kill", took.Seconds())
	if err := d.growAndShrink(ctx, victim, f.replicas[0]); err != nil {
		return err
	}
	for _, s := range d.subscriptions {
		s.Answer(receiver.Takes(0))
	}
	if err := d.resize(ctx, manyWorkers); err != nil {
		return err
	}
	return d.check(ctx)
}

// explainKilled asks a replica why nothing is delivered for one of these tenants, of the
// replica that was killed.
func (d *deliveries) explainKilled(ctx context.Context, survivor *env.Service, orphaned []string) {
	const late = 3 * time.Second // so long a replica may not be heard of
	if d.t.scenario.bug != "" || !wait.For(ctx, late) {
		return
	}
	for _, s := range d.subscriptions {
		if slices.Contains(orphaned, s.Tenant) {
			explainsEndpoint(ctx, d.t, d.t.client.At(survivor.URL()), "the replica that delivers was killed", s, "nobody_delivers")
			return
		}
	}
}

// growAndShrink has many workers, a replica come back, one worker, and a replica
// leave.
func (d *deliveries) growAndShrink(ctx context.Context, killed, leaving *env.Service) error {
	if err := d.resize(ctx, manyWorkers); err != nil {
		return err
	}
	if err := d.awaitFull(ctx, manyWorkers); err != nil {
		return err
	}
	back := time.Now()
	if err := killed.Start(ctx); err != nil {
		return err
	}
	if _, err := d.awaitAll(ctx, back); err != nil {
		return err
	}
	if !wait.For(ctx, atLeastFor) { // tenants move to it
		return ctx.Err()
	}
	if err := d.resize(ctx, 1); err != nil {
		return err
	}
	if !wait.For(ctx, atLeastFor) {
		return ctx.Err()
	}
	if _, err := leaving.Terminate(ctx); err != nil {
		return err
	}
	left := time.Now()
	if _, err := d.awaitAll(ctx, left); err != nil {
		return err
	}
	return leaving.Start(ctx)
}

// resize changes the workers of all tenants, and what their endpoints may get at a
// time: more of them before the answer of the service, because they may work by then.
func (d *deliveries) resize(ctx context.Context, workers int) error {
	for _, s := range d.subscriptions {
		if workers > d.workers {
			s.Limit(workers, 0)
		}
		// The first replica is always there when workers are changed.
		if r := d.t.client.At(d.t.Service.URL()).Resize(ctx, s.Tenant, workers); r.Status != http.StatusOK {
			return errors.Join(fmt.Errorf("%w: resize: %s", load.ErrUnexpected, r.Text()), r.Err)
		}
		s.Limit(workers, time.Duration(d.t.slack*float64(resizeLimit)))
	}
	d.workers = workers
	return nil
}

// fill publishes so many messages to each tenant.
func (d *deliveries) fill(ctx context.Context, n int) error {
	const size = 500
	l := d.t.newLoad()
	l.Envelope = envelope
	for done := 0; done < n && ctx.Err() == nil; done += size {
		for _, tenant := range d.t.tenants {
			l.Send(ctx, tenant, min(size, n-done), true)
		}
	}
	return ctx.Err()
}

// awaitFull waits until as many deliveries are under way to each endpoint as may be.
func (d *deliveries) awaitFull(ctx context.Context, workers int) error {
	return wait.Until(ctx, deliverResume, fmt.Sprintf("%d deliveries are under way to each endpoint", workers), func() error {
		for _, s := range d.subscriptions {
			if most := s.Most(); most < workers && !d.usedUp(s) {
				return fmt.Errorf("%w: %d", wait.ErrNotReady, most)
			}
		}
		return nil
	})
}

// delivering returns the replica that delivers for the most tenants, but not the
// first one.
func (f *fleet) delivering(ctx context.Context) (*env.Service, error) {
	claims := make(map[string]int)
	err := f.t.InDatabase(ctx, func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, `SELECT owner, count(*) FROM delivery_claims GROUP BY owner`)
		if err != nil {
			return fmt.Errorf("read claims: %w", err)
		}
		var owner string
		var n int
		_, err = pgx.ForEachRow(rows, []any{&owner, &n}, func() error { claims[owner] = n; return nil })
		return err
	})
	if err != nil {
		return nil, err
	}
	found, most := f.replicas[1], -1
	for _, s := range f.replicas[1:] {
		name, err := f.nameOf(ctx, s)
		if err != nil {
			return nil, err
		}
		if claims[name] > most {
			found, most = s, claims[name]
		}
	}
	return found, nil
}

// claimed returns the tenants for which a replica delivers.
func (f *fleet) claimed(ctx context.Context, s *env.Service) (tenants []string, err error) {
	name, err := f.nameOf(ctx, s)
	if err != nil {
		return nil, err
	}
	err = f.t.InDatabase(ctx, func(conn *pgx.Conn) (err error) {
		rows, err := conn.Query(ctx, `SELECT tenant_id::text FROM delivery_claims WHERE owner = $1 ORDER BY tenant_id`, name)
		if err != nil {
			return fmt.Errorf("read claims: %w", err)
		}
		tenants, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	return tenants, err
}

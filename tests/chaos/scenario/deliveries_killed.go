package scenario

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lanekeeper/tests/chaos/load"
	"lanekeeper/tests/chaos/receiver"
	"lanekeeper/tests/chaos/verify"
	"lanekeeper/tests/chaos/wait"
)

const (
	// answerTime is how long endpoints take to answer, so that something is under
	// way whenever a process ends.
	answerTime = 10 * time.Millisecond
	// refusedFirst is one of how many messages is not taken at the first attempt.
	refusedFirst = 200
	// frozenReplica is for how long a replica is frozen: longer than others wait for it.
	frozenReplica = 15 * time.Second
	// deliverKeepers is how many replicas deliver while one of them is killed.
	deliverKeepers = 2
)

// killing is the trial of deliveriesKilled: two replicas, three endpoints of each
// tenant, and one that comes and goes.
type killing struct {
	*deliveries

	fleet *fleet
	// selective are the endpoints whose types are changed all the time.
	selective []*verify.Subscription
	passing   *verify.Subscription
	changes   int
	outages   int           // of the database
	slowest   time.Duration // until all endpoints were delivered to again
}

// deliveriesKilled kills the service and the database while deliveries are under
// way, and freezes a replica.
func deliveriesKilled(ctx context.Context, t *trial) error {
	return killDeliveries(ctx, t, t.deliveryKills, t.deliveryDatabaseKills, t.deliveryFreezes, 1)
}

// plantedDeliveries is deliveriesKilled with figures that suffice to see a bug:
// endpoints are so slow that something waits for them when the replica ends.
func plantedDeliveries(ctx context.Context, t *trial) error {
	const slower = 30
	return killDeliveries(ctx, t, 1, 0, 0, slower)
}

// killDeliveries does so as often as is said, to endpoints that are slower by a factor.
func killDeliveries(ctx context.Context, t *trial, kills, databaseKills, freezes int, slower time.Duration) (err error) {
	d, err := newDeliveries(ctx, t)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	k := &killing{deliveries: d, fleet: emptyFleet(t)}
	if err := k.boot(ctx, slower); err != nil {
		return err
	}
	loadCtx, end := context.WithCancel(ctx)
	defer end()
	// The first replica is the one to be frozen: nothing is sent there.
	l := load.New(k.other(0), t.ledger)
	l.Envelope = envelope
	l.Start(loadCtx, t.tenants, t.deliveryPause, t.random)
	defer l.Stop()
	defer end() // cuts it off before that
	if _, err := d.awaitAll(ctx, time.Now()); err != nil {
		return err
	}
	for i := range max(kills, databaseKills, freezes) {
		if i < kills {
			if err := k.killReplica(ctx, i%deliverKeepers); err != nil {
				return fmt.Errorf("kill %d of a replica: %w", i+1, err)
			}
		}
		if i < databaseKills {
			if err := k.killDatabase(ctx); err != nil {
				return fmt.Errorf("kill %d of the database: %w", i+1, err)
			}
		}
		if i < freezes {
			if err := k.freeze(ctx); err != nil {
				return fmt.Errorf("freeze %d: %w", i+1, err)
			}
		}
	}
	l.Stop()
	for _, s := range d.subscriptions {
		if slower > 1 {
			s.Answer(receiver.Takes(0))
		}
	}
	t.Show("load", "%d accepted", l.Accepted.Load())
	t.Show("kills", "%d of a replica, %d of the database, %d times frozen for %v, %d changes of endpoints meanwhile", kills, databaseKills, freezes, frozenReplica, k.changes)
	t.Show("delivered to all again after", "%.1f s at most", k.slowest.Seconds())
	if limit := time.Duration(t.slack * float64(claimLimit)); k.slowest > limit {
		t.Fail("some endpoint was not delivered to for %v, %v are allowed", k.slowest, limit)
	}
	return d.check(ctx)
}

// boot starts the replicas and makes tenants, and endpoints of each ordering, which
// are slower by a factor.
func (k *killing) boot(ctx context.Context, slower time.Duration) error {
	t := k.t
	for i := range deliverKeepers {
		if err := k.fleet.add(i, t.DatabaseURL, t.BrokerURL, planting(t)...); err != nil {
			return err
		}
	}
	if err := k.fleet.boot(ctx, "", t.deliveryTenants); err != nil {
		return err
	}
	for _, tenant := range t.tenants {
		answer := receiver.RefusesFirst(refusedFirst, receiver.Takes(slower*answerTime))
		plain, err := k.subscribe(ctx, t.client, tenant, answer, map[string]any{"types": messageTypes()[:1]})
		if err != nil {
			return err
		}
		k.selective = append(k.selective, plain)
		for _, ordering := range []string{"fifo", "key"} {
			answer := receiver.RefusesFirst(refusedFirst, receiver.Takes(slower*answerTime/5))
			if _, err := k.subscribe(ctx, t.client, tenant, answer, map[string]any{"ordering": ordering}); err != nil {
				return err
			}
		}
	}
	return nil
}

// other returns a client of the replica that is not this one.
func (k *killing) other(replica int) *load.Client {
	return k.t.client.At(k.fleet.replicas[(replica+1)%deliverKeepers].URL())
}

// disturb changes the types of all selective endpoints, and has the passing one
// follow another, by one of the replicas.
func (k *killing) disturb(ctx context.Context, c *load.Client) error {
	k.changes++
	types := messageTypes()[:1+k.changes%2]
	for _, s := range k.selective {
		s.May = messageTypes()[:2]
		if err := k.change(ctx, c, s, map[string]any{"types": types}); err != nil {
			return err
		}
	}
	if k.passing != nil {
		if err := k.unsubscribe(ctx, c, k.passing); err != nil {
			return err
		}
	}
	tenant := k.t.tenants[k.changes%len(k.t.tenants)]
	s, err := k.subscribe(ctx, c, tenant, receiver.Takes(answerTime), nil)
	if err != nil {
		return err
	}
	s.Must = []string{} // it begins where the history is now
	k.passing = s
	return nil
}

// resumed waits until all endpoints are delivered to after something happened.
func (k *killing) resumed(ctx context.Context, since time.Time) error {
	took, err := k.awaitAll(ctx, since)
	k.slowest = max(k.slowest, took)
	return err
}

func (k *killing) killReplica(ctx context.Context, i int) error {
	died := time.Now()
	k.fleet.kill(k.fleet.replicas[i])
	k.crashes++
	if err := k.disturb(ctx, k.other(i)); err != nil {
		return err
	}
	if err := k.fleet.replicas[i].Start(ctx); err != nil {
		return err
	}
	return k.resumed(ctx, died)
}

func (k *killing) killDatabase(ctx context.Context) error {
	k.t.Servers.Postgres.Kill()
	// What becomes of requests that are under way is not known.
	k.crashes += deliverKeepers
	if !wait.For(ctx, 500*time.Millisecond) {
		return ctx.Err()
	}
	if k.outages++; k.outages == 1 {
		explains(ctx, k.t, "the database is gone", k.t.tenants[0], "database_away")
	}
	if err := k.t.Servers.Postgres.Start(ctx); err != nil {
		return fmt.Errorf("start the database again: %w", err)
	}
	back := time.Now()
	if _, err := verify.AwaitStoring(ctx, k.t.Env); err != nil {
		return err
	}
	return k.resumed(ctx, back)
}

// freeze freezes the first replica for so long that the other one takes its tenants.
func (k *killing) freeze(ctx context.Context) (err error) {
	frozen := k.fleet.replicas[0]
	consumed, err := k.fleet.consumedBy(ctx, frozen)
	if err != nil {
		return err
	}
	if err := frozen.Freeze(); err != nil {
		return err //nolint:wrapcheck // says what is wrong
	}
	k.crashes++
	err = k.whileFrozen(ctx, consumed)
	thawed := time.Now()
	if err := errors.Join(err, frozen.Thaw()); err != nil {
		return err
	}
	return k.resumed(ctx, thawed)
}

func (k *killing) whileFrozen(ctx context.Context, tenants []string) error {
	const unheard = 6 * time.Second // after which a replica is a suspect
	begun := time.Now()
	if err := k.disturb(ctx, k.other(0)); err != nil {
		return err
	}
	if !wait.For(ctx, unheard-time.Since(begun)) {
		return ctx.Err()
	}
	if len(tenants) > 0 {
		explainsBy(ctx, k.t, k.other(0), "the replica that consumes is frozen", tenants[0], "consumer_starting")
	}
	if !wait.For(ctx, frozenReplica-time.Since(begun)) {
		return ctx.Err()
	}
	return nil
}

package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"lanekeeper/domain"
	"lanekeeper/pkg/postgres"
	"lanekeeper/repository"
)

const (
	// migrateRetry is how long to wait for a database that is away.
	migrateRetry = time.Second
	// reportEvery is how often the log says that it is still waited for.
	reportEvery = time.Minute

	// deregisterTimeout bounds telling the other replicas of the end.
	deregisterTimeout = 2 * time.Second
	// closeShare is the part of the time that is kept for closing when the
	// consumers do not end, and closeMost the most it may be.
	closeShare = 5
	closeMost  = 3 * time.Second
)

// start starts everything that runs, and calls ready once the schema is up to
// date and the broker has been reached. It does not wait, and nothing of it
// ends before stop is called.
func (p *parts) start(ctx context.Context, ready func()) {
	p.stopBroker = p.background(ctx, "broker", p.broker.Run)
	p.stopTails = p.background(ctx, "tails", p.tails.Run)
	p.stopStreams = p.background(ctx, "streams", p.streams.Run)
	p.stopWriter = p.background(ctx, "writer", p.writer.Run)
	p.stopDeliveries = p.background(ctx, "deliveries", func(ctx context.Context) { p.deliveries.run(ctx, p.migrated) })
	p.stopFleet = p.background(ctx, "fleet", func(ctx context.Context) {
		var clock sync.WaitGroup
		clock.Go(func() { p.clock.Run(ctx) })
		defer clock.Wait()
		select {
		case <-p.migrated:
			p.fleet.Run(ctx)
		case <-ctx.Done():
		}
	})
	p.stopReconciler = p.background(ctx, "reconciler", func(ctx context.Context) {
		if !p.migrate(ctx) {
			return
		}
		close(p.migrated)
		var wg sync.WaitGroup
		wg.Go(func() { p.store.WatchChanges(ctx, p.follow) })
		wg.Go(func() { p.awaitBroker(ctx, ready) })
		wg.Go(func() { p.messages.RunJanitor(ctx) })
		wg.Go(func() { p.retention.Run(ctx) })
		wg.Go(func() { p.usage.Run(ctx) })
		wg.Go(func() { p.audit.Run(ctx) })
		wg.Go(func() { p.overview.Run(ctx) })
		wg.Go(func() { p.messages.RunDepths(ctx) })
		wg.Go(func() { p.tickets.RunJanitor(ctx) })
		wg.Go(func() { p.auth.RunJanitor(ctx) })
		wg.Go(func() { p.keys.Run(ctx) })
		wg.Go(func() { p.credentials.Run(ctx) })
		wg.Go(func() { p.letterJanitor.Run(ctx) })
		wg.Go(func() { p.letterJobs.Run(ctx) })
		wg.Go(func() { p.deliveries.days.Run(ctx) })
		wg.Go(func() { p.policies.run(ctx) })
		wg.Go(func() { emptyRetryTiers(ctx, p.broker, p.log) })
		if err := p.reconciler.Run(ctx); err != nil && ctx.Err() == nil {
			p.log.ErrorContext(ctx, "reconciler ended", slog.Any("error", err))
		}
		wg.Wait()
	})
}

// follow takes a change into account that some replica made.
func (p *parts) follow(c domain.Change) {
	p.follower.Follow(c)
	p.deliveries.follow(c)
	switch c.Kind {
	case domain.UserChanged:
		p.auth.Forget(c.ID)
	case domain.APIKeyChanged:
		p.keys.Forget(c.ID)
	case domain.ReplicasChanged:
		p.fleet.Refresh()
	case domain.AnythingChanged:
		p.auth.ForgetAll()
		p.keys.ForgetAll()
		p.fleet.Refresh()
	case domain.TenantChanged, domain.TenantsChanged, domain.DeliveriesChanged:
	}
}

// migrate brings the schema up to date, and row-level security. It waits for a database that is away, or
// that refuses what can be put right there: a password, a role, a database, TLS.
// What can be put right in the configuration only ends the service, and so do
// replicas of an earlier version that still run. False means that ctx ended or will.
func (p *parts) migrate(ctx context.Context) bool {
	var reported time.Time
	last := ""
	for {
		secured, err := p.tryMigrate(ctx)
		if err == nil {
			warnOfRowSecurity(ctx, p.log, secured)
			p.store.ActAs(secured.Roles)
			return true
		}
		if errors.Is(err, repository.ErrOlderReplicas) {
			p.fail(err)
			return false
		}
		reason := postgres.Explain(err)
		if postgres.IsMisconfigured(err) {
			p.fail(fmt.Errorf("configuration: database.url (DATABASE_URL) or database.admin_url (DATABASE_ADMIN_URL): %s", reason))
			return false
		}
		if ctx.Err() == nil && (reason != last || time.Since(reported) > reportEvery) {
			reported, last = time.Now(), reason
			if reason == "" {
				p.log.WarnContext(ctx, "database is not ready, waiting for it", slog.Any("error", err))
			} else {
				p.log.ErrorContext(ctx, "the database refuses the service, which waits until that is mended",
					slog.String("reason", reason), slog.Any("error", err))
			}
		}
		select {
		case <-time.After(migrateRetry):
		case <-ctx.Done():
			return false
		}
	}
}

func (p *parts) tryMigrate(ctx context.Context) (repository.RowSecurity, error) {
	if err := checkDatabase(ctx, p.config); err != nil {
		return repository.RowSecurity{}, err
	}
	migrate := p.config.Database.Migrate
	if migrate {
		if err := repository.Migrate(ctx, adminURL(p.config)); err != nil {
			return repository.RowSecurity{}, err //nolint:wrapcheck // says that it migrated
		}
	}
	return rowSecurity(ctx, p.config, !migrate)
}

func (p *parts) awaitBroker(ctx context.Context, ready func()) {
	if p.broker.AwaitReady(ctx) != nil {
		return // it ends before it was ready
	}
	p.readiness.started.Store(true)
	ready()
}

// stop ends everything in order: no new work, the tenants left to other
// replicas while the consumers drain, then the rest, then the connections. No
// step may take more time than ctx has left, whatever the servers do; what does
// not end by then is left behind.
//
// Others try to consume before this replica has drained. It is the queue that
// hands over, when the consumer here has finished what it began and closes its
// channel; so a tenant waits for its own consumer, and not for the slowest.
func (p *parts) stop(ctx context.Context) error {
	drain, finish, hangUp, cancel := stages(ctx)
	defer cancel()
	var err error
	together(
		func() { p.stopReconciler(drain) },
		func() { p.deregister(drain) },
		func() { p.stopDeliveries(drain) },
		func() { err = p.manager.Close(drain) },
	)
	p.stopWriter(finish) // before others may consume what it has not stored
	together(
		func() { p.stopStreams(finish) },
		func() { p.stopBroker(finish) },
	)
	p.stopTails(finish) // which those read that ended before
	p.endpoints.client.Close()
	together(
		func() { p.store.Shutdown(hangUp) },
		func() { flushSpans(hangUp, p.traces, p.log) },
	)
	return errors.Join(err, p.closeRedis())
}

// stages divides the time that ctx has left.
func stages(ctx context.Context) (drain, finish, hangUp context.Context, cancel func()) {
	end, limited := ctx.Deadline()
	if !limited {
		return ctx, ctx, ctx, func() {}
	}
	kept := max(0, min(time.Until(end)/closeShare, closeMost))
	drain, cancelDrain := context.WithDeadline(ctx, end.Add(-kept))
	finish, cancelFinish := context.WithDeadline(ctx, end.Add(-kept/2))
	hangUp, cancelHangUp := context.WithDeadline(ctx, end.Add(-kept/4))
	return drain, finish, hangUp, func() { cancelDrain(); cancelFinish(); cancelHangUp() }
}

// together runs the steps at the same time and waits for them.
func together(steps ...func()) {
	var wg sync.WaitGroup
	for _, step := range steps {
		wg.Go(step)
	}
	wg.Wait()
}

// deregister lets other replicas have the tenants at once. Without a database they
// have to find out by themselves.
func (p *parts) deregister(ctx context.Context) {
	defer p.stopFleet(ctx)
	select {
	case <-p.migrated:
	default:
		return
	}
	ctx, cancel := context.WithTimeout(ctx, deregisterTimeout)
	defer cancel()
	if err := p.fleet.Deregister(ctx); err != nil {
		p.log.WarnContext(ctx, "other replicas will notice only later that this one has ended", slog.Any("error", err))
	}
}

// background runs work in a goroutine and returns what ends it and waits, until
// the context it is given ends.
func (p *parts) background(ctx context.Context, name string, work func(context.Context)) (stop func(context.Context)) {
	cancel, done := spawn(ctx, work)
	return func(limit context.Context) {
		cancel()
		select {
		case <-done:
			return
		case <-limit.Done():
		}
		select {
		case <-done: // in the same moment
		default:
			p.log.WarnContext(limit, "not waited for any longer", slog.String("part", name))
		}
	}
}

// background is the same without a limit.
func background(ctx context.Context, work func(context.Context)) (stop func()) {
	cancel, done := spawn(ctx, work)
	return func() {
		cancel()
		<-done
	}
}

func spawn(ctx context.Context, work func(context.Context)) (cancel func(), done <-chan struct{}) {
	ctx, cancel = context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		work(ctx)
	}()
	return cancel, ended
}

package server

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"lanekeeper/config"
	"lanekeeper/domain"
	"lanekeeper/pkg/metrics"
	"lanekeeper/pkg/postgres"
	"lanekeeper/pkg/shares"
	"lanekeeper/repository"
	"lanekeeper/service/auth"
	"lanekeeper/service/broker"
	"lanekeeper/service/consumer"
	"lanekeeper/service/deadletter"
	"lanekeeper/service/fleet"
	"lanekeeper/service/message"
	"lanekeeper/service/stream"
	"lanekeeper/service/tenant"
	"lanekeeper/service/transmit"
	"lanekeeper/service/writer"
)

const (
	// migrateRetry is how long to wait for a database that is away.
	migrateRetry = time.Second
	// reportEvery is how often the log tells that it is still waited for.
	reportEvery = time.Minute
)

// parts are the running pieces of the service. Those with goroutines run
// under contexts of their own, because they end one after the other.
type parts struct {
	config    config.Config
	log       *slog.Logger
	replica   string
	handler   http.Handler
	metrics   *metrics.Metrics
	readiness *readiness

	store         *repository.Store
	broker        *broker.Broker
	writer        *writer.Writer
	manager       *consumer.TenantManager
	directory     *tenant.Directory
	provisioner   *tenant.Provisioner
	reconciler    *tenant.Reconciler
	tenants       *tenant.Service
	consumers     *tenant.ConsumerService
	messages      *message.Service
	retention     *message.Retention
	letters       *deadletter.Service
	letterJanitor *deadletter.Janitor
	transmit      *transmit.Client
	auth          *auth.Service
	streams       *stream.Service
	tickets       *stream.Tickets
	clock         *fleet.Clock
	fleet         *fleet.Fleet
	follower      *tenant.Follower
	capacity      *tenant.Capacity
	// shortened asks for policies that make messages go away; nil when nobody can
	// be asked.
	shortened func(context.Context) ([]domain.ShortenedQueue, error)
	bodies    *shares.Shares

	connectionEvents *connectionEvents
	closeRedis       func() error

	// fail ends the service with an error that waiting does not mend.
	fail func(error)
	// migrated is closed when the schema is up to date.
	migrated chan struct{}

	// What ends them takes the time it may wait for that.
	stopReconciler, stopFleet, stopWriter, stopStreams, stopBroker func(context.Context)
}

// start starts everything that runs, and calls ready once the schema is up to
// date and the broker has been reached. It does not wait, and nothing of it
// ends before stop is called.
func (p *parts) start(ctx context.Context, ready func()) {
	p.stopBroker = p.background(ctx, "broker", p.broker.Run)
	p.stopStreams = p.background(ctx, "streams", p.streams.Run)
	p.stopWriter = p.background(ctx, "writer", p.writer.Run)
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
		wg.Go(func() { p.messages.RunDepths(ctx) })
		wg.Go(func() { p.tickets.RunJanitor(ctx) })
		wg.Go(func() { p.letterJanitor.Run(ctx) })
		wg.Go(func() { p.watchPolicies(ctx) })
		if err := p.reconciler.Run(ctx); err != nil && ctx.Err() == nil {
			p.log.ErrorContext(ctx, "reconciler ended", slog.Any("error", err))
		}
		wg.Wait()
	})
}

// follow takes a change into account that somebody in the fleet made.
func (p *parts) follow(c domain.Change) {
	p.follower.Follow(c)
	switch c.Kind {
	case domain.UserChanged:
		p.auth.Forget(c.ID)
	case domain.ReplicasChanged:
		p.fleet.Refresh()
	case domain.AnythingChanged:
		p.auth.ForgetAll()
		p.fleet.Refresh()
	case domain.TenantChanged, domain.TenantsChanged:
	}
}

// migrate brings the schema up to date, and waits for a database that is away, or
// refuses what can be mended there: a password, a role, a database, TLS. What can
// be mended in the configuration only ends the service. False means that ctx ended
// or will.
func (p *parts) migrate(ctx context.Context) bool {
	var reported time.Time
	last := ""
	for {
		err := p.tryMigrate(ctx)
		if err == nil {
			return true
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

func (p *parts) tryMigrate(ctx context.Context) error {
	if err := checkDatabase(ctx, p.config); err != nil {
		return err
	}
	if !p.config.Database.Migrate {
		return p.store.Ping(ctx) //nolint:wrapcheck // says that it pinged
	}
	return repository.Migrate(ctx, adminURL(p.config)) //nolint:wrapcheck // says that it migrated
}

func (p *parts) awaitBroker(ctx context.Context, ready func()) {
	if p.broker.AwaitReady(ctx) != nil {
		return // it ends before it was ready
	}
	p.readiness.started.Store(true)
	ready()
}

func (p *parts) consumerStats() []metrics.ConsumerStats {
	statuses := p.manager.Snapshot()
	stats := make([]metrics.ConsumerStats, len(statuses))
	for i, s := range statuses {
		letters, known := p.letterJanitor.Waiting(s.TenantID)
		if !known {
			letters = -1
		}
		stats[i] = metrics.ConsumerStats{
			TenantID: s.TenantID, State: string(s.State), Workers: s.Workers, Busy: s.Busy,
			Queue: broker.QueueName(s.TenantID), QueueDepth: s.Depth, DeadLetters: letters,
		}
	}
	return stats
}

// refusedConsumers returns how many of the consumers of this process the
// broker's limits keep from subscribing, and how many there are.
func (p *parts) refusedConsumers() (refused, all int) {
	statuses := p.manager.Snapshot()
	for i := range statuses {
		if statuses[i].Refused {
			refused++
		}
	}
	return refused, len(statuses)
}

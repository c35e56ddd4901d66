package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"lanekeeper/config"
	"lanekeeper/controller"
	"lanekeeper/docs"
	"lanekeeper/domain"
	"lanekeeper/pkg/metrics"
	"lanekeeper/pkg/rabbitmq"
	"lanekeeper/repository"
	"lanekeeper/service/auth"
	"lanekeeper/service/broker"
	"lanekeeper/service/consumer"
	"lanekeeper/service/deadletter"
	"lanekeeper/service/message"
	"lanekeeper/service/tenant"
	"lanekeeper/service/transmit"
)

const (
	// writerLinger is how long the writer waits for more rows when it has
	// few.
	writerLinger = time.Millisecond
	// migrateRetry is how long to wait for a database that is away.
	migrateRetry = time.Second
	// minCloseTime is what closing connections gets in any case.
	minCloseTime = 2 * time.Second
)

// parts are the running pieces of the service. Those with goroutines run
// under contexts of their own, because they end one after the other.
type parts struct {
	config    config.Config
	log       *slog.Logger
	handler   http.Handler
	metrics   *metrics.Metrics
	readiness *readiness

	store      *repository.Store
	broker     *broker.Broker
	writer     *consumer.Writer
	manager    *consumer.TenantManager
	reconciler *tenant.Reconciler
	messages   *message.Service
	letters    *deadletter.Service
	transmit   *transmit.Client
	closeRedis func() error

	stopReconciler, stopWriter, stopBroker func()
}

// assemble builds everything and starts nothing.
func assemble(ctx context.Context, c config.Config, log *slog.Logger, d Decorators) (*parts, error) {
	p := &parts{config: c, log: log}
	var err error
	if p.store, err = openStore(ctx, c); err != nil {
		return nil, err
	}
	urls, err := rabbitmq.SplitURLs(c.RabbitMQ.URL)
	if err != nil {
		return nil, fmt.Errorf("rabbitmq.url: %w", err)
	}
	p.metrics = metrics.New(metrics.Options{TenantLabels: c.Metrics.TenantLabels, MaxTenants: c.Metrics.MaxTenants})
	replica := replicaName()
	p.broker = broker.New(broker.Options{
		URLs: urls, Replica: replica, Log: log, PublishChannels: c.RabbitMQ.PublishChannels,
		QueueType:           broker.QueueType(c.RabbitMQ.QueueType),
		DeadLetterQueueType: broker.QueueType(c.RabbitMQ.DeadLetterQueueType),
	})
	publisher := decorated[domain.Publisher](p.broker, d.Publisher)
	kick := func(id uuid.UUID) { p.reconciler.Kick(id) }
	p.writer = consumer.NewWriter(consumer.WriterOptions{
		Repository: decorated[domain.MessageRepository](p.store, d.Messages), Log: log, Linger: writerLinger, PartitionMissing: kick,
		ObserveBatch: func(rows int, elapsed time.Duration) { p.metrics.ObserveStoreBatch(rows, elapsed.Seconds()) },
	})
	p.transmit = transmit.NewClient(transmit.ClientOptions{
		AllowPrivate: c.Transmit.AllowPrivate, UserAgent: "Lanekeeper/" + c.AppVersion,
	})
	p.manager = consumer.NewTenantManager(consumer.Options{
		Subscriber: decorated[domain.Subscriber](p.broker, d.Subscriber), Publisher: publisher, Depths: p.broker, Writer: p.writer,
		Transmitter: p.transmit, Endpoints: p.store, MaxAttempts: c.Retry.MaxAttempts,
		Metrics: p.metrics, Log: log, Replica: replica, QueueMissing: kick,
		Collector: p.collector(replica, kick),
	})
	p.metrics.RegisterConsumers(p.consumerStats)
	directory := tenant.NewDirectory(p.store)
	provisioner := tenant.NewProvisioner(tenant.ProvisionerOptions{
		Tenants: p.store, Partitions: p.store, Topology: p.broker, Consumers: p.manager,
		Directory: directory, Deleted: p.metrics.Forget, Log: log,
	})
	p.reconciler = tenant.NewReconciler(tenant.ReconcilerOptions{Tenants: p.store, Provisioner: provisioner, Consumers: p.manager, Log: log})
	p.messages = message.NewService(message.Options{
		Publisher: publisher, Messages: p.store, Keys: p.store, Log: log, Observer: p.metrics,
		Transmissions: p.store, Retention: p.store,
		MaxBacklog: int64(c.MaxBacklog), Depth: p.manager.Depth,
	})
	const day = 24 * time.Hour
	p.letters = deadletter.NewService(deadletter.Options{
		Letters: p.store, Publisher: publisher, Log: log,
		KeepReplayed: time.Duration(c.DeadLetters.KeepReplayedDays) * day, KeepOthers: time.Duration(c.DeadLetters.KeepDays) * day,
	})
	tenants := tenant.NewService(tenant.ServiceOptions{
		Tenants: p.store, Keys: p.store, Provisioner: provisioner, Reconciler: p.reconciler,
		Directory: directory, DefaultWorkers: c.Workers, DefaultRetentionDays: c.Retention.DefaultDays,
		Consumers: func() []domain.ConsumerStatus { return consumerStatuses(p.manager, replica) }, Log: log,
	})
	authenticator := newAuth(c, p.store, directory, log)
	p.readiness = &readiness{broker: p.broker.State, pings: map[string]func(context.Context) error{"database": p.store.Ping}}
	if err := p.watchRedis(); err != nil {
		return nil, err
	}
	var metricsHandler http.Handler
	if c.AdminPort == 0 {
		metricsHandler = p.metrics.Handler()
	}
	p.handler, err = controller.New(controller.Options{ //nolint:contextcheck // requests have contexts of their own
		Auth: authenticator, Login: authenticator, Users: authenticator, Directory: directory, Messages: p.messages, Letters: p.letters,
		Tenants: tenants, Consumers: tenants,
		Endpoints: transmit.NewService(transmit.ServiceOptions{
			Tenants: p.store, Endpoints: p.store, Transmitter: p.transmit, Settler: provisioner, Later: kick,
			Directory: directory, Log: log,
		}),
		Ready: p.readiness.check, Metrics: metricsHandler, Observe: p.metrics.ObserveRequest, OpenAPI: docs.OpenAPI,
		OpenMode: c.OpenMode(), TrustedProxies: c.TrustedProxies, Log: log,
	})
	if err != nil {
		return nil, fmt.Errorf("build routes: %w", err)
	}
	return p, nil
}

// collector returns what collects dead letters, or nil when they are to stay
// in their queues.
func (p *parts) collector(replica string, missing func(uuid.UUID)) *consumer.Collector {
	if !p.config.DeadLetters.Collect {
		return nil
	}
	return consumer.NewCollector(consumer.CollectorOptions{
		Queues: p.broker, Store: p.store, Log: p.log, Replica: replica, QueueMissing: missing,
	})
}

func openStore(ctx context.Context, c config.Config) (*repository.Store, error) {
	store, err := repository.Open(ctx, repository.Options{
		URL: c.Database.URL, AdminURL: c.Database.AdminURL, MaxConns: c.Database.MaxConnections,
	})
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	return store, nil
}

func newAuth(c config.Config, store *repository.Store, directory *tenant.Directory, log *slog.Logger) *auth.Service {
	return auth.NewService(auth.Options{
		Users: store, Tenants: directory, Secrets: tokenSecrets(c, store), Issuer: c.AppName, Audience: c.AppName,
		Lifetime: c.JWTLifetime, OpenMode: c.OpenMode(), Log: log,
	})
}

// tokenSecrets returns the configured secrets, or in open mode one that is
// made once and kept in the database.
func tokenSecrets(c config.Config, store domain.SecretRepository) func(context.Context) ([][]byte, error) {
	var configured [][]byte
	for _, s := range c.Secrets() {
		configured = append(configured, []byte(s))
	}
	if len(configured) > 0 {
		return auth.Fixed(configured...)
	}
	return func(ctx context.Context) ([][]byte, error) {
		fresh := make([]byte, auth.MinSecretLength)
		_, _ = rand.Read(fresh) // never fails, see its documentation
		secret, err := store.EnsureSecret(ctx, "open-mode-tokens", fresh)
		if err != nil {
			return nil, fmt.Errorf("read the secret of open mode: %w", err)
		}
		return [][]byte{secret}, nil
	}
}

// start starts everything that runs, and calls ready once the schema is up to
// date and the broker has been reached. It does not wait,
// and nothing of it ends before stop is called.
func (p *parts) start(ctx context.Context, ready func()) {
	p.stopBroker = background(ctx, p.broker.Run)
	p.stopWriter = background(ctx, p.writer.Run)
	p.stopReconciler = background(ctx, func(ctx context.Context) {
		if !p.migrate(ctx) {
			return
		}
		var wg sync.WaitGroup
		wg.Go(func() { p.awaitBroker(ctx, ready) })
		wg.Go(func() { p.messages.RunJanitor(ctx) })
		wg.Go(func() { p.messages.RunRetention(ctx) })
		wg.Go(func() { p.letters.RunJanitor(ctx) })
		if err := p.reconciler.Run(ctx); err != nil && ctx.Err() == nil {
			p.log.ErrorContext(ctx, "reconciler ended", slog.Any("error", err))
		}
		wg.Wait()
	})
}

// stop ends everything in order: no new work, consumers drained while writer
// and broker still run, then those, then the connections.
func (p *parts) stop(ctx context.Context) error {
	p.stopReconciler()
	err := p.manager.Close(ctx)
	p.stopWriter()
	p.stopBroker()
	p.transmit.Close()
	p.store.Close()
	return errors.Join(err, p.closeRedis())
}

// migrate brings the schema up to date, and waits for a database that is
// away. False means that ctx ended.
func (p *parts) migrate(ctx context.Context) bool {
	for reported := false; ; {
		err := p.tryMigrate(ctx)
		if err == nil {
			return true
		}
		if !reported && ctx.Err() == nil {
			p.log.WarnContext(ctx, "database is not ready, waiting for it", slog.Any("error", err))
			reported = true
		}
		select {
		case <-time.After(migrateRetry):
		case <-ctx.Done():
			return false
		}
	}
}

func (p *parts) tryMigrate(ctx context.Context) error {
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
		depth := int64(-1)
		if s.Ready >= 0 {
			depth = s.Ready + s.Held
		}
		letters, known := p.letters.Waiting(s.TenantID)
		if !known {
			letters = -1
		}
		stats[i] = metrics.ConsumerStats{
			TenantID: s.TenantID, State: string(s.State), Workers: s.Workers, Busy: s.Busy,
			Queue: broker.QueueName(s.TenantID), QueueDepth: depth, DeadLetters: letters,
		}
	}
	return stats
}

// consumerStatuses tells in the words of the domain what the manager says of
// the consumers of this process.
func consumerStatuses(m *consumer.TenantManager, replica string) []domain.ConsumerStatus {
	running := m.Snapshot()
	statuses := make([]domain.ConsumerStatus, len(running))
	for i, s := range running {
		depth := int64(-1)
		if s.Ready >= 0 {
			depth = s.Ready + s.Held
		}
		statuses[i] = domain.ConsumerStatus{
			TenantID: s.TenantID, State: string(s.State), Workers: s.Workers, Busy: s.Busy, Depth: depth,
			Tag: s.Tag, Replica: replica, Since: s.Since, LastError: s.LastError,
		}
	}
	return statuses
}

// background runs work in a goroutine and returns what ends it and waits.
func background(ctx context.Context, work func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		work(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

func adminURL(c config.Config) string {
	if c.Database.AdminURL != "" {
		return c.Database.AdminURL
	}
	return c.Database.URL
}

// replicaName names this process: the host, as far as it fits into a consumer
// tag, and a random part, because a restarted process is another replica.
func replicaName() string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "host"
	}
	host, _, _ = strings.Cut(host, ".")
	return host[:min(len(host), 40)] + "-" + uuid.NewString()[:8]
}

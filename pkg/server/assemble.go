package server

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"lanekeeper/config"
	"lanekeeper/controller"
	"lanekeeper/docs"
	"lanekeeper/domain"
	"lanekeeper/model"
	"lanekeeper/pkg/metrics"
	"lanekeeper/pkg/rabbitmq"
	"lanekeeper/pkg/sealing"
	"lanekeeper/pkg/shares"
	"lanekeeper/repository"
	"lanekeeper/service/auth"
	"lanekeeper/service/broker"
	"lanekeeper/service/consumer"
	"lanekeeper/service/deadletter"
	"lanekeeper/service/fleet"
	"lanekeeper/service/message"
	"lanekeeper/service/stream"
	"lanekeeper/service/tail"
	"lanekeeper/service/tenant"
	"lanekeeper/service/writer"
)

// writerLinger is how long the writer waits for more rows while many come.
const writerLinger = time.Millisecond

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
	endpoints     endpoints
	letters       *deadletter.Service
	letterJanitor *deadletter.Janitor
	letterJobs    *deadletter.JobRunner
	auth          *auth.Service
	tails         *tail.Service
	streams       *stream.Service
	deliveries    *deliveries
	tickets       *stream.Tickets
	clock         *fleet.Clock
	fleet         *fleet.Fleet
	follower      *tenant.Follower
	capacity      *tenant.Capacity
	policies      *policyWatch
	bodies        *shares.Shares

	connectionEvents *connectionEvents
	closeRedis       func() error

	// fail ends the service with an error that does not go away by waiting.
	fail func(error)
	// migrated is closed when the schema is up to date.
	migrated chan struct{}

	// What ends them takes the time it may wait for that.
	stopReconciler, stopFleet, stopDeliveries, stopWriter, stopTails, stopStreams, stopBroker func(context.Context)
}

// assemble builds everything and starts nothing. Address is where this process
// listens.
func assemble(ctx context.Context, c config.Config, address string, log *slog.Logger, d Decorators) (*parts, error) {
	p := &parts{config: c, log: log, replica: replicaName(), migrated: make(chan struct{})}
	sealer, err := newSealer(c)
	if err != nil {
		return nil, err
	}
	if p.store, err = openStore(ctx, c, sealer); err != nil {
		return nil, err
	}
	p.clock = fleet.NewClock(p.store, log)
	p.metrics = metrics.New(metrics.Options{TenantLabels: c.Metrics.TenantLabels, MaxTenants: c.Metrics.MaxTenants})
	p.connectionEvents = newConnectionEvents(p.metrics, log)
	p.bodies = newBodies(c)
	p.metrics.RegisterBodies(p.bodies.Used)
	if err := p.assembleBroker(); err != nil {
		return nil, err
	}
	redis, err := redisOptions(c)
	if err != nil {
		return nil, err
	}
	p.assembleStreams(redis)
	publisher := decorated[domain.Publisher](p.broker, d.Publisher)
	p.assembleConsumers(publisher, d)
	p.assembleFleet(address)
	p.assembleTenants(d)
	p.assembleMessages(publisher)
	p.endpoints = newEndpoints(c, p.store, p.clock.Now, log)
	p.deliveries = newDeliveries(p, publisher, d)
	reports := consumerReports{p.manager, p.letterJanitor}
	p.metrics.RegisterConsumers(reports.stats)
	p.readiness = &readiness{
		broker: p.broker.State, files: p.capacity.Use, consumers: reports.refused,
		pings: map[string]func(context.Context) error{"database": p.store.Ping},
	}
	p.closeRedis = func() error { return nil }
	if redis != nil {
		p.readiness.pings["redis"], p.closeRedis = pingRedis(redis)
	}
	return p, p.assembleAPI() //nolint:contextcheck // requests have contexts of their own
}

func (p *parts) assembleBroker() error {
	o := brokerOptions(p.config)
	urls, err := rabbitmq.SplitURLs(p.config.RabbitMQ.URL)
	if err != nil {
		return fmt.Errorf("rabbitmq.url: %w", err)
	}
	o.URLs, o.Replica, o.Log = urls, p.replica, p.log
	o.QueueMissing = func(id uuid.UUID) { p.reconciler.EnqueueUnlessConsumed(id) }
	o.Confirmed = func(id uuid.UUID) { p.manager.Expect(id) }
	p.broker = broker.New(o)
	shortened, err := shortenedQueues(p.config)
	p.policies = &policyWatch{shortened: shortened, metrics: p.metrics, log: p.log}
	return err
}

// brokerOptions returns what the configuration says of queues and channels.
func brokerOptions(c config.Config) broker.Options {
	return broker.Options{
		PublishChannels:     c.RabbitMQ.PublishChannels,
		QueueType:           broker.QueueType(c.RabbitMQ.QueueType),
		DeadLetterQueueType: broker.QueueType(c.RabbitMQ.DeadLetterQueueType),
	}
}

// enqueue asks the reconciler for a tenant soon.
func (p *parts) enqueue(id uuid.UUID) { p.reconciler.Enqueue(id) }

// assembleStreams builds what sends clients messages as they are stored.
func (p *parts) assembleStreams(redis *redis.Options) {
	p.tails = tail.NewService(tail.Options{Histories: p.store, Log: p.log})
	p.metrics.RegisterTails(p.tails.Bytes, p.tails.Misses)
	p.streams = stream.NewService(stream.Options{
		Streams: p.store, Tails: p.tails, Stored: p.tails.Doubt, Encode: model.EncodeEvent, Redis: redis, Log: p.log, MaxClients: p.config.Streams.MaxClients,
	})
	p.metrics.RegisterStreams(p.streams.Clients)
	p.tickets = stream.NewTickets(stream.TicketOptions{Tickets: p.store, Lifetime: p.config.JWTLifetime, Now: p.clock.Now, Log: p.log})
}

// assembleFleet builds what decides which tenants are consumed here.
func (p *parts) assembleFleet(address string) {
	p.fleet = fleet.New(fleet.Options{
		Replica: domain.Replica{Name: p.replica, Address: address}, Replicas: p.store, Reports: p.store,
		Consumers: p.manager.Snapshot, Changed: func() { p.reconciler.ResyncAll() },
		Reaches:     func() bool { return p.broker.State() != broker.Away },
		TrackDepths: p.config.MaxBacklog > 0, Log: p.log,
	})
	p.capacity = newCapacity(p.config, p.store.CountTenants, p.fleet.Size, p.broker.Admit)
}

// assembleConsumers builds what takes messages from the queues to where they
// belong.
func (p *parts) assembleConsumers(publisher domain.Publisher, d Decorators) {
	p.writer = writer.New(writer.Options{
		Repository: decorated[domain.MessageRepository](p.store, d.Messages), Log: p.log, Linger: writerLinger, PartitionMissing: p.enqueue,
		ObserveBatch: func(rows int, elapsed time.Duration) { p.metrics.ObserveStoreBatch(rows, elapsed.Seconds()) },
		Committed: func(c writer.Commit) {
			p.tails.Committed(c.Messages, c.Appended)
			p.streams.Committed(c.Tenants)
		},
		Uncertain: p.tails.Doubt,
	})
	p.manager = consumer.NewTenantManager(consumer.Options{
		Subscriber: decorated[domain.Subscriber](p.broker, d.Subscriber), Publisher: publisher, Queues: p.broker, Writer: p.writer, Returned: p.store,
		Metrics: p.metrics, Log: p.log, Replica: p.replica, QueueMissing: p.enqueue,
		Collector: p.collector(),
	})
}

// collector returns what collects dead letters, unless they are to stay in their
// queues.
func (p *parts) collector() domain.DeadLetterCollector {
	if !p.config.DeadLetters.Collect {
		return domain.NoDeadLetterCollector{}
	}
	return deadletter.NewCollector(deadletter.CollectorOptions{
		Queues: p.broker, Store: p.store, Log: p.log, Replica: p.replica, QueueMissing: p.enqueue, Died: p.metrics.AddBrokerDeath,
	})
}

// assembleTenants builds what keeps tenants as they should be.
func (p *parts) assembleTenants(d Decorators) {
	tenants := decorated[domain.TenantRepository](p.store, d.Tenants)
	p.directory = tenant.NewDirectory(p.store)
	p.provisioner = tenant.NewProvisioner(tenant.ProvisionerOptions{
		Tenants: tenants, Partitions: decorated[domain.PartitionRepository](p.store, d.Partitions),
		Topology: decorated[domain.Topology](p.broker, d.Topology), Consumers: decorated[domain.ConsumerManager](p.manager, d.Consumers),
		Directory: p.directory, Owner: p.fleet, Peers: func() bool { return p.fleet.Size() > 1 },
		Deleted: p.metrics.Forget, Log: p.log,
	})
	p.reconciler = tenant.NewReconciler(tenant.ReconcilerOptions{
		Tenants: p.store, Provisioner: p.provisioner, Consumers: p.manager, Log: p.log,
	})
	p.tenants = tenant.NewService(tenant.ServiceOptions{
		Tenants: tenants, Keys: p.store, Provisioner: p.provisioner, Reconciler: p.reconciler,
		Directory: p.directory, DefaultWorkers: p.config.Workers, DefaultRetentionDays: p.config.Retention.DefaultDays,
		Capacity: p.capacity, Log: p.log,
	})
	p.consumers = tenant.NewConsumerService(tenant.ConsumerOptions{Tenants: p.tenants, Running: p.manager.Snapshot, Reports: p.fleet.Reported})
	p.follower = tenant.NewFollower(p.directory, p.reconciler)
}

// assembleMessages builds what callers publish through and read from.
func (p *parts) assembleMessages(publisher domain.Publisher) {
	const day = 24 * time.Hour
	memory := newAnswerMemory()
	p.messages = message.NewService(message.Options{
		Publisher: publisher, Messages: p.store, Keys: p.store, Memory: memory, Log: p.log, Observer: p.metrics,
		MaxBacklog: int64(p.config.MaxBacklog), Rate: p.config.PublishRate, Depth: p.depth, Queues: p.broker,
		StillThere: p.directory.StillThere,
	})
	p.retention = message.NewRetention(message.RetentionOptions{Store: p.store, Log: p.log, Lost: p.metrics.AddDeliveriesExpired})
	p.letterJobs = deadletter.NewJobRunner(deadletter.JobOptions{
		Letters: p.store, Jobs: p.store, Publisher: publisher, Tenant: p.directory.Lookup, Pace: p.messages.Pace, Rate: p.config.PublishRate, Log: p.log,
	})
	p.letters = deadletter.NewService(deadletter.Options{
		Letters: p.store, Jobs: p.store, Publisher: publisher, Memory: memory, Admit: p.messages.Admit, Pace: p.messages.Pace,
		JobBegun: p.letterJobs.Wake, Log: p.log,
	})
	p.letterJanitor = deadletter.NewJanitor(deadletter.JanitorOptions{
		Letters: p.store, Jobs: p.store, Log: p.log,
		KeepReplayed: time.Duration(p.config.DeadLetters.KeepReplayedDays) * day,
		KeepOthers:   time.Duration(p.config.DeadLetters.KeepDays) * day,
	})
}

// depth returns what a consumer, in this replica or another, last reported of the
// depth of its queue.
func (p *parts) depth(tenantID uuid.UUID) (int64, bool) {
	if depth, known := p.manager.Depth(tenantID); known {
		return depth, true
	}
	return p.fleet.Depth(tenantID)
}

// assembleAPI builds the routes.
func (p *parts) assembleAPI() error {
	p.auth = newAuth(p.config, p.store, p.directory, p.clock, p.log)
	var metricsHandler http.Handler
	if p.config.AdminPort == 0 {
		metricsHandler = p.metrics.Handler()
	}
	var err error
	p.handler, err = controller.New(controller.Options{
		Auth: p.auth, Login: p.auth, Users: p.auth, Directory: p.directory, Messages: p.messages, Letters: p.letters,
		Tenants: p.tenants, Consumers: p.consumers, Endpoints: p.endpoints.service, Attempts: p.endpoints.attempts, Replays: p.endpoints.replays,
		Streams: p.streams, Tickets: p.tickets, StreamDropped: p.metrics.AddStreamDropped,
		Ready: p.readiness.check, Metrics: metricsHandler, Observe: p.metrics.ObserveRequest, OpenAPI: docs.OpenAPI,
		Bodies: p.bodies, BodyRefused: p.metrics.AddBodyRefused,
		OpenMode: p.config.OpenMode(), TrustedProxies: p.config.TrustedProxies, Log: p.log,
	})
	if err != nil {
		return fmt.Errorf("build routes: %w", err)
	}
	return nil
}

// openStore opens the database. Commands that have nothing to do with endpoints need no
// sealer.
func openStore(ctx context.Context, c config.Config, sealer *sealing.Sealer) (*repository.Store, error) {
	store, err := repository.Open(ctx, repository.Options{
		URL: c.Database.URL, AdminURL: c.Database.AdminURL, MaxConns: c.Database.MaxConnections, Sealer: sealer,
	})
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	return store, nil
}

func newAuth(c config.Config, store *repository.Store, directory *tenant.Directory, clock *fleet.Clock, log *slog.Logger) *auth.Service {
	return auth.NewService(auth.Options{
		Users: store, Tenants: directory, Secrets: tokenSecrets(c, store), Issuer: c.AppName, Audience: c.AppName,
		Lifetime: c.JWTLifetime, OpenMode: c.OpenMode(), Clock: clock.Now, Log: log,
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

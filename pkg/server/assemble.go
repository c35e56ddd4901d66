package server

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"lanekeeper/config"
	"lanekeeper/console"
	"lanekeeper/controller"
	"lanekeeper/controller/middleware"
	"lanekeeper/docs"
	"lanekeeper/domain"
	"lanekeeper/model"
	"lanekeeper/pkg/metrics"
	"lanekeeper/pkg/rabbitmq"
	"lanekeeper/pkg/shares"
	"lanekeeper/pkg/tracing"
	"lanekeeper/pkg/version"
	"lanekeeper/repository"
	"lanekeeper/service/audit"
	"lanekeeper/service/auth"
	"lanekeeper/service/broker"
	"lanekeeper/service/consumer"
	"lanekeeper/service/credential"
	"lanekeeper/service/deadletter"
	"lanekeeper/service/explain"
	"lanekeeper/service/fleet"
	"lanekeeper/service/message"
	"lanekeeper/service/overview"
	"lanekeeper/service/quota"
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
	traces    *tracing.Tracer // nil where nothing is traced
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
	quota         *quota.Service
	usage         *quota.Usage
	audit         *audit.Service
	overview      *overview.Service
	keys          *auth.APIKeys
	links         *auth.Links
	credentials   *credential.Service
	explain       *explain.Service
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
	if p.traces, err = newTracer(ctx, &d, p.replica, log); err != nil {
		return nil, err
	}
	if p.store, err = openStore(ctx, c, repository.Options{Sealer: sealer, AwaitRoles: true, Tracer: databaseTracer(p.traces)}); err != nil {
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
	if err := p.assembleTenants(d); err != nil {
		return nil, err
	}
	p.assembleMessages(publisher)
	p.endpoints = newEndpoints(c, p.store, p.quota, p.clock.Now, log)
	p.deliveries = newDeliveries(p, publisher, d)
	if p.explain, err = newExplain(p); err != nil {
		return nil, err
	}
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
	p.metrics.RegisterReadiness(p.readiness.measure)
	p.overview = newOverview(p)
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
		Exchanges:           c.RabbitMQ.ManagementURL != "",
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
		OwnerLimit: func(ctx context.Context, id uuid.UUID) int { return streamLimit(ctx, p.directory, p.quota, id) },
	})
	p.metrics.RegisterStreams(p.streams.Clients)
	p.tickets = stream.NewTickets(stream.TicketOptions{Tickets: p.store, Lifetime: p.config.JWTLifetime, Now: p.clock.Now, Log: p.log})
}

// assembleFleet builds what decides which tenants are consumed here.
func (p *parts) assembleFleet(address string) {
	p.fleet = fleet.New(fleet.Options{
		Replica: domain.Replica{Name: p.replica, Address: address, Version: version.Read().Version}, Replicas: p.store, Reports: p.store,
		Consumers: p.manager.Snapshot, Changed: func() { p.reconciler.ResyncAll() },
		Reaches:     func() bool { return p.broker.State() != broker.Away },
		TrackDepths: true, Log: p.log,
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
		Uncertain: p.tails.Doubt, Failed: p.metrics.AddStoreFailure, Traces: p.traces,
	})
	p.manager = consumer.NewTenantManager(consumer.Options{
		Subscriber: decorated[domain.Subscriber](p.broker, d.Subscriber), Publisher: publisher, Queues: p.broker, Writer: p.writer, Returned: p.store,
		Metrics: p.metrics, Log: p.log, Replica: p.replica, QueueMissing: p.enqueue,
		Collector: p.collector(), EndsConnections: p.broker.EndsConnections, Traces: p.traces,
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
func (p *parts) assembleTenants(d Decorators) (err error) {
	tenants := decorated[domain.TenantRepository](p.store, d.Tenants)
	if p.credentials, err = newCredentials(p.config, p.store, tenants, p.broker, p.log); err != nil {
		return err
	}
	p.directory = tenant.NewDirectory(p.store)
	p.audit = audit.NewService(audit.Options{Log: p.store, Logger: p.log, Keep: time.Duration(p.config.Audit.KeepDays) * 24 * time.Hour})
	p.keys = newAPIKeys(p.config, p.store, p.clock, p.log)
	p.auth = newAuth(p.config, p.store, p.directory, p.keys, p.clock, p.audit.Record, p.log)
	p.links = auth.NewLinks(auth.LinkOptions{Auth: p.auth, Tenants: tenants, Changed: p.directory.Put, Audit: p.audit.Record})
	p.usage = quota.NewUsage(quota.UsageOptions{Usage: p.store, Tenants: p.store, Limits: ownerLimits(p.config), Alone: p.store.Alone, Now: p.clock.Now, Log: p.log})
	p.quota = quota.NewService(quota.Options{User: p.auth.User, Limits: ownerLimits(p.config), Log: p.log})
	p.provisioner = tenant.NewProvisioner(tenant.ProvisionerOptions{
		Tenants: tenants, Partitions: decorated[domain.PartitionRepository](p.store, d.Partitions),
		Topology: decorated[domain.Topology](p.broker, d.Topology), Consumers: decorated[domain.ConsumerManager](p.manager, d.Consumers),
		Directory: p.directory, Owner: p.fleet, Peers: func() bool { return p.fleet.Size() > 1 },
		Deleted: p.metrics.Forget, Revoke: p.credentials.RevokeOf, Log: p.log,
	})
	p.reconciler = tenant.NewReconciler(tenant.ReconcilerOptions{
		Tenants: p.store, Provisioner: p.provisioner, Consumers: p.manager, Log: p.log,
	})
	p.tenants = tenant.NewService(tenant.ServiceOptions{
		Tenants: tenants, Keys: p.store, Provisioner: p.provisioner, Reconciler: p.reconciler,
		Directory: p.directory, DefaultWorkers: p.config.Workers, DefaultRetentionDays: p.config.Retention.DefaultDays,
		Limits: ownerLimits(p.config), Capacity: p.capacity, Log: p.log,
	})
	p.consumers = tenant.NewConsumerService(tenant.ConsumerOptions{Tenants: p.tenants, Running: p.manager.Snapshot, Reports: p.fleet.Reported})
	p.follower = tenant.NewFollower(p.directory, p.reconciler)
	return nil
}

// assembleMessages builds what callers publish through and read from.
func (p *parts) assembleMessages(publisher domain.Publisher) {
	memory := newAnswerMemory()
	p.messages = message.NewService(message.Options{
		Publisher: publisher, Messages: p.store, Keys: p.store, Memory: memory, Limits: p.quota, Log: p.log, Observer: p.metrics,
		MaxBacklog: int64(p.config.MaxBacklog), Rate: p.config.PublishRate, Depth: p.depth, Queues: p.broker,
		StillThere: p.directory.StillThere, Traces: p.traces,
	})
	p.retention = message.NewRetention(message.RetentionOptions{Store: p.store, Log: p.log, Lost: p.metrics.AddDeliveriesExpired})
	p.letterJobs = deadletter.NewJobRunner(deadletter.JobOptions{
		Letters: p.store, Jobs: p.store, Publisher: publisher, Tenant: p.directory.Lookup, Pace: p.messages.Pace, Rate: p.config.PublishRate, Log: p.log,
	})
	p.letters = deadletter.NewService(deadletter.Options{
		Letters: p.store, Jobs: p.store, Publisher: publisher, Memory: memory, Admit: p.messages.Admit, Pace: p.messages.Pace,
		JobBegun: p.letterJobs.Wake, Audit: p.audit.Record, Log: p.log,
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
	var metricsHandler http.Handler
	if p.config.PublicMetrics() {
		metricsHandler = p.metrics.Handler()
	}
	served, err := docs.Served(p.config.PublicURL(), p.config.OpenMode())
	if err != nil {
		return fmt.Errorf("describe the API: %w", err)
	}
	here, err := docs.Served("", p.config.OpenMode())
	if err != nil {
		return fmt.Errorf("describe the API: %w", err)
	}
	pages, err := console.NewHandler(console.Options{FrameAncestors: p.config.Portal.FrameAncestors})
	if err != nil {
		return fmt.Errorf("serve the console: %w", err)
	}
	logo, err := p.config.Portal.LogoURL()
	if err != nil {
		return fmt.Errorf("portal.logo: %w", err)
	}
	p.handler, err = controller.New(controller.Options{
		PublicURL: p.config.PublicURL(), Branding: model.Branding{Name: p.config.Portal.Name, Color: p.config.Portal.Color, Logo: logo},
		Auth: p.auth, Login: p.auth, Self: p.auth, Users: p.auth, APIKeys: p.keys, Links: p.links, Credentials: p.credentials, Directory: p.directory, Messages: p.messages, Letters: p.letters,
		Tenants: p.tenants, Consumers: p.consumers, Endpoints: p.endpoints.service, Attempts: p.endpoints.attempts, Replays: p.endpoints.replays,
		Streams: p.streams, Tickets: p.tickets, Usage: p.usage, Owners: p.usage, Overview: p.overview, Explain: p.explain, Audit: p.audit, Now: p.clock.Now, StreamDropped: p.metrics.AddStreamDropped,
		Ready: p.readiness.check, Metrics: metricsHandler, Observe: p.metrics.ObserveRequest, OpenAPI: served, OpenAPIHere: here,
		Console: pages, Bodies: p.bodies, BodyRefused: p.metrics.AddBodyRefused, Traces: p.traces,
		OpenMode: p.config.OpenMode(), OpenModePeers: networks(p.config.OpenModePeers), CORSOrigins: p.config.CORSOrigins,
		TrustedProxies: p.config.TrustedProxies, Log: p.log,
		Lines: middleware.RequestLines{Which: p.config.Log.Requests, OneIn: p.config.Log.RequestsOneIn},
	})
	if err != nil {
		return fmt.Errorf("build routes: %w", err)
	}
	return nil
}

// openStore opens the configured database with further options. Commands that have
// nothing to do with endpoints need no sealer.
func openStore(ctx context.Context, c config.Config, o repository.Options) (*repository.Store, error) {
	o.URL, o.AdminURL, o.MaxConns = c.Database.URL, c.Database.AdminURL, c.Database.MaxConnections
	store, err := repository.Open(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	return store, nil
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

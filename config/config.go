package config

import (
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// development is the environment in which no secret means open mode.
const development = "development"

// Config is everything that can be configured. Load returns a checked one.
type Config struct {
	// AppVersion is read and not used: which build runs, package version says.
	AppVersion string
	AppName    string
	// AppHost is the address to listen on; see ListenAddress for "".
	AppHost string
	// AppPort is 0 for any free port.
	AppPort int
	// AppURL is where clients reach the service; see PublicURL.
	AppURL string
	// AdminHost and AdminPort are where /metrics and /debug/pprof are served; with
	// AdminPort 0 nowhere.
	AdminHost   string
	AdminPort   int
	Environment string
	// JWTSecret signs tokens.
	JWTSecret string
	// JWTSecrets are further secrets that tokens may be signed with.
	JWTSecrets  []string
	JWTLifetime time.Duration
	// EncryptionKeys encrypt the secrets and headers of endpoints: the first
	// encrypts, and all decrypt. See EncryptionKeyBytes.
	EncryptionKeys []string
	// TrustedProxies are addresses and networks whose X-Forwarded-For is
	// believed.
	TrustedProxies []string
	// OpenModePeers are addresses and networks that open mode answers besides
	// those of this machine.
	OpenModePeers []string
	// CORSOrigins are the origins of web pages that may call the API.
	CORSOrigins []string
	// Workers is how many workers a tenant gets that asks for no number.
	Workers int
	// MaxBacklog is how many messages may wait in a tenant's queue before
	// publishing is refused; 0 for any number.
	MaxBacklog int
	// PublishRate is how many messages a second each tenant may publish through
	// one replica, where one counts for each 4 KiB begun; 0 for any number.
	PublishRate int
	// DataDir is where the private servers keep their data.
	DataDir string
	// ShutdownDelay is how long /readyz says draining before requests are
	// refused, so that load balancers look elsewhere.
	ShutdownDelay time.Duration
	// ShutdownTimeout is how long stopping may take, the delay included.
	ShutdownTimeout time.Duration

	TLS      TLS
	Log      Log
	RabbitMQ RabbitMQ
	Database Database
	Redis    Redis
	Metrics  Metrics
	Limits   Limits

	Delivery  Delivery
	Attempts  Attempts
	Retention Retention
	Streams   Streams

	DeadLetters DeadLetters
	Audit       Audit
	Portal      Portal
}

// TLS configures HTTPS on AppPort; both files are set or none is.
type TLS struct {
	// CertFile has the certificate with its chain, and KeyFile its key, in PEM.
	CertFile string
	KeyFile  string
}

// Enabled reports whether HTTPS is spoken.
func (t TLS) Enabled() bool { return t.CertFile != "" }

// Log configures the log.
type Log struct {
	Level  string // debug, info, warn or error, in any case
	Format string // text or json, in any case
	// Requests is which requests have a line: all, errors or none, in any case.
	Requests string
	// RequestsOneIn is of how many requests that succeeded one has a line.
	RequestsOneIn int
}

// RabbitMQ configures the broker.
type RabbitMQ struct {
	// URL may list several brokers of one cluster, separated by commas.
	URL string
	// ManagementURL is the broker's HTTP API, from which policies are read, and by
	// which users are made for tenants; "" for none. Without a user in it, that of URL
	// is used.
	ManagementURL string
	// PublicURL is where the AMQP clients of tenants reach the broker: scheme, host and
	// port; "" for those of URL.
	PublicURL string
	// QueueType and DeadLetterQueueType are quorum or classic.
	QueueType           string
	DeadLetterQueueType string
	// FileLimit is how many open files the broker may have; 0 for unknown.
	FileLimit int
	// PublishChannels is how many channels are used for publishing.
	PublishChannels int
}

// Database configures Postgres.
type Database struct {
	URL string
	// AdminURL is used for migrations and for partitions; "" means URL.
	AdminURL       string
	MaxConnections int
	// Migrate is whether to migrate at start.
	Migrate bool
	Roles   DatabaseRoles
}

// DatabaseRoles are the roles of Postgres as which the service acts, so that row-level
// security holds for it.
type DatabaseRoles struct {
	App, Writer, System string
}

// Redis configures the optional Redis.
type Redis struct {
	URL string
}

// Metrics configures /metrics.
type Metrics struct {
	// Public is whether they are served on AppPort too, where they are in open
	// mode in any case.
	Public bool
	// TenantLabels is whether metrics carry tenant ids, and MaxTenants of how
	// many tenants at most.
	TenantLabels bool
	MaxTenants   int
}

// Limits are the shares of a process that many callers have in common.
type Limits struct {
	// Connections may be open at a time, and ConnectionsPerAddress of them from
	// one address that is no trusted proxy; 0 for three quarters of the open
	// files this process may have, and for a quarter of Connections.
	Connections           int
	ConnectionsPerAddress int
	// BodyMemory is how many MiB the bodies of requests may take in all. One
	// owner may have a quarter of it.
	BodyMemory int

	// The shares of one owner, which is a user that created tenants; 0 for any
	// number. Users may have others, and admins have none unless they are set.

	// Tenants is how many it may have, TenantsPerMinute how many it may create in a
	// minute, Workers how many its tenants may have together, EndpointsPerTenant how
	// many endpoints each may have, and Streams how many streams of them may be open
	// in one replica.
	Tenants            int
	TenantsPerMinute   int
	Workers            int
	EndpointsPerTenant int
	Streams            int
	// BacklogMiB is how many MiB may wait in the queues of its tenants together, and
	// BacklogMiBPerTenant in the queue of each.
	BacklogMiB          int
	BacklogMiBPerTenant int
	// PublishRate is how many messages a second may be published to its tenants
	// together through one replica, where one counts for each 4 KiB begun.
	PublishRate int
}

// Delivery configures delivery to tenants' endpoints.
type Delivery struct {
	// AllowPrivate lets endpoints be in private networks and on this machine.
	AllowPrivate bool
	// AllowLocal lets endpoints be on this machine, where their URL names it. It is no
	// setting: with private servers in open mode, where every caller is on this machine
	// anyhow, package server sets it, so that one can try deliveries out.
	AllowLocal bool
	// DisableAfter is for how long every attempt must have failed until an endpoint
	// is disabled; 0 for never.
	DisableAfter time.Duration
	// ProbeInterval is how often one delivery is tried while the breaker of an
	// endpoint is open.
	ProbeInterval time.Duration
}

// Which attempts to deliver are kept.
const (
	KeepAllAttempts    = "all"
	KeepFailedAttempts = "failed"
	KeepNoAttempts     = "none"
)

// Attempts configures the record of attempts to deliver.
type Attempts struct {
	// Keep is one of KeepAllAttempts, KeepFailedAttempts and KeepNoAttempts.
	Keep string
	// KeepDays is for how many days they are kept, besides today.
	KeepDays int
}

// Retention configures for how long messages are kept.
type Retention struct {
	// DefaultDays is for tenants that do not say; 0 for ever.
	DefaultDays int
}

// Streams configures realtime streams.
type Streams struct {
	// MaxClients is how many may be open in one replica.
	MaxClients int
}

// DeadLetters configures what becomes of messages that are given up.
type DeadLetters struct {
	// Collect is whether they are moved from their queues into the database,
	// where the API finds them.
	Collect bool
	// KeepReplayedDays and KeepDays are for how many days they are kept after
	// they were replayed, or recorded and not replayed; 0 for ever.
	KeepReplayedDays int
	KeepDays         int
}

// Audit configures the audit log.
type Audit struct {
	// KeepDays is for how many days it is kept; 0 for ever.
	KeepDays int
}

// Default returns the configuration that holds when nothing is configured.
func Default() Config {
	return Config{
		AppVersion:      "0.0.1",
		AppName:         "tenant-api",
		AppPort:         8080,
		AppURL:          "http://localhost",
		AdminHost:       "127.0.0.1",
		AdminPort:       9090,
		Environment:     development,
		JWTSecrets:      []string{},
		JWTLifetime:     time.Hour,
		EncryptionKeys:  []string{},
		TrustedProxies:  []string{},
		OpenModePeers:   []string{},
		CORSOrigins:     []string{},
		Portal:          Portal{FrameAncestors: []string{}},
		Workers:         3,
		PublishRate:     5000,
		DataDir:         ".lanekeeper",
		ShutdownDelay:   500 * time.Millisecond,
		ShutdownTimeout: 20 * time.Second,
		Log:             Log{Level: "info", Format: "text", Requests: "all", RequestsOneIn: 1},
		RabbitMQ:        RabbitMQ{QueueType: "quorum", DeadLetterQueueType: "classic", PublishChannels: 2},
		Database: Database{
			MaxConnections: 20, Migrate: true,
			Roles: DatabaseRoles{App: "lanekeeper_app", Writer: "lanekeeper_writer", System: "lanekeeper_system"},
		},
		Metrics: Metrics{TenantLabels: true, MaxTenants: 1000},
		Limits: Limits{
			BodyMemory: 256, Tenants: 1000, TenantsPerMinute: 60, Workers: 2000, EndpointsPerTenant: 50, Streams: 1000,
			BacklogMiB: 4096, BacklogMiBPerTenant: 1024, PublishRate: 5000,
		},
		Delivery:    Delivery{DisableAfter: 5 * 24 * time.Hour, ProbeInterval: 30 * time.Second},
		Attempts:    Attempts{Keep: KeepAllAttempts, KeepDays: 7},
		Streams:     Streams{MaxClients: 10_000},
		DeadLetters: DeadLetters{Collect: true, KeepReplayedDays: 30},
		Audit:       Audit{KeepDays: 365},
	}
}

// OpenMode reports whether calls without a token are allowed: in development,
// when there is no secret.
func (c Config) OpenMode() bool { return c.Environment == development && len(c.Secrets()) == 0 }

// Secrets returns the secrets for tokens, the one to sign with first.
func (c Config) Secrets() []string {
	var secrets []string
	for _, s := range append([]string{c.JWTSecret}, c.JWTSecrets...) {
		if s != "" && !slices.Contains(secrets, s) {
			secrets = append(secrets, s)
		}
	}
	return secrets
}

// PrivateServers reports whether the service is to start its own Postgres and
// RabbitMQ, because no URL says where to find others.
func (c Config) PrivateServers() bool { return c.Database.URL == "" && c.RabbitMQ.URL == "" }

// ListenAddress returns where to listen: app_host if it is set, else the
// loopback interface in open mode and every interface otherwise.
func (c Config) ListenAddress() string {
	return net.JoinHostPort(c.listenHost(), strconv.Itoa(c.AppPort))
}

// PublicURL returns where clients reach the service, without a path of the API's, or ""
// where that is not configured: app_url with app_port, unless it names a port, or says
// https and something in front of the service speaks it.
func (c Config) PublicURL() string {
	at, err := url.Parse(c.AppURL)
	if err != nil || c.AppURL == "" {
		return ""
	}
	usual := map[string]int{"http": 80, "https": 443}[at.Scheme]
	if at.Port() == "" && c.AppPort != usual && (at.Scheme != "https" || c.TLS.Enabled()) {
		at.Host += ":" + strconv.Itoa(c.AppPort)
	}
	at.User, at.RawQuery, at.Fragment = nil, "", ""
	return strings.TrimRight(at.String(), "/")
}

// AdminAddress returns where to serve /metrics and /debug/pprof, or "" for
// nowhere.
func (c Config) AdminAddress() string {
	if c.AdminPort == 0 {
		return ""
	}
	return net.JoinHostPort(c.AdminHost, strconv.Itoa(c.AdminPort))
}

// PublicMetrics reports whether /metrics is served on AppPort.
func (c Config) PublicMetrics() bool { return c.Metrics.Public || c.OpenMode() }

func (c Config) listenHost() string {
	if c.AppHost == "" && c.OpenMode() {
		return "127.0.0.1"
	}
	return c.AppHost
}

// Redacted returns a copy that may be printed: without secrets, and with URLs
// without their passwords.
func (c Config) Redacted() Config {
	for _, s := range c.settings() {
		switch value := s.value.(type) {
		case *string:
			switch {
			case s.hidden && *value != "":
				*value = mask
			case s.location:
				*value = RedactURL(*value)
			}
		case *[]string:
			if s.hidden {
				*value = slices.Repeat([]string{mask}, len(*value)) // the list itself is not ours alone
			}
		}
	}
	return c
}

// String returns the redacted configuration as key=value pairs.
func (c Config) String() string {
	redacted := c.Redacted()
	var b strings.Builder
	for i, s := range redacted.settings() {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%s=%v", s.key, s.current())
	}
	return b.String()
}

// GoString keeps %#v from printing secrets.
func (c Config) GoString() string { return "config.Config{" + c.String() + "}" }

// LogValue returns the redacted configuration as a group with one attribute a
// key.
func (c Config) LogValue() slog.Value {
	redacted := c.Redacted()
	var attrs []slog.Attr
	for _, s := range redacted.settings() {
		attrs = append(attrs, slog.Any(s.key, s.current()))
	}
	return slog.GroupValue(attrs...)
}

package config

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// minSecretLength is in bytes: RFC 7518 section 3.2 asks for a key at least
// as long as the hash.
const minSecretLength = 32

// minBodyMemory is in MiB: a quarter of it is enough for the largest body.
const minBodyMemory = 128

// settings returns all keys, in the order of the example file.
func (c *Config) settings() []setting {
	return []setting{
		{key: "app_version", value: &c.AppVersion},
		{key: "app_name", value: &c.AppName, check: notEmpty(&c.AppName)},
		{key: "app_host", value: &c.AppHost, check: host(&c.AppHost)},
		{key: "app_port", value: &c.AppPort, check: between(&c.AppPort, 0, 65535)},
		{key: "app_url", value: &c.AppURL, location: true, check: location(&c.AppURL, "http", "https")},
		{key: "admin_host", value: &c.AdminHost, check: c.checkAdminHost},
		{key: "admin_port", value: &c.AdminPort, check: c.checkAdminPort},
		{key: "environment", value: &c.Environment, check: notEmpty(&c.Environment)},
		{key: "jwt_secret", value: &c.JWTSecret, hidden: true, check: c.checkSecret},
		{key: "jwt_secrets", value: &c.JWTSecrets, hidden: true, check: c.checkSecrets},
		{key: "jwt_lifetime", value: &c.JWTLifetime, check: between(&c.JWTLifetime, time.Minute, 30*24*time.Hour)},
		{key: "encryption_keys", value: &c.EncryptionKeys, hidden: true, check: c.checkEncryptionKeys},
		{key: "trusted_proxies", value: &c.TrustedProxies, check: networks(&c.TrustedProxies)},
		{key: "open_mode_peers", value: &c.OpenModePeers, check: networks(&c.OpenModePeers)},
		{key: "cors_origins", value: &c.CORSOrigins, check: func() error { return checkOrigins(c.CORSOrigins, c.OpenMode()) }},
		{key: "tls.cert_file", value: &c.TLS.CertFile, check: func() error { return checkTLSFile(c.TLS.CertFile, "tls.key_file", c.TLS.KeyFile) }},
		{key: "tls.key_file", value: &c.TLS.KeyFile, check: func() error { return checkTLSFile(c.TLS.KeyFile, "tls.cert_file", c.TLS.CertFile) }},
		{key: "log.level", value: &c.Log.Level, check: oneOfAnyCase(&c.Log.Level, "debug", "info", "warn", "error")},
		{key: "log.format", value: &c.Log.Format, check: oneOfAnyCase(&c.Log.Format, "text", "json")},
		{key: "log.requests", value: &c.Log.Requests, check: oneOfAnyCase(&c.Log.Requests, "all", "errors", "none")},
		{key: "log.requests_one_in", value: &c.Log.RequestsOneIn, check: between(&c.Log.RequestsOneIn, 1, 1_000_000)},
		{key: "rabbitmq.url", value: &c.RabbitMQ.URL, location: true, check: c.checkBrokers},
		{key: "rabbitmq.management_url", value: &c.RabbitMQ.ManagementURL, location: true, check: c.checkManagement},
		{key: "rabbitmq.public_url", value: &c.RabbitMQ.PublicURL, location: true, check: func() error { return checkPublicBroker(c.RabbitMQ.PublicURL) }},
		{key: "rabbitmq.queue_type", value: &c.RabbitMQ.QueueType, check: oneOf(&c.RabbitMQ.QueueType, "quorum", "classic")},
		{key: "rabbitmq.dead_letter_queue_type", value: &c.RabbitMQ.DeadLetterQueueType, check: oneOf(&c.RabbitMQ.DeadLetterQueueType, "classic", "quorum")},
		{key: "rabbitmq.file_limit", value: &c.RabbitMQ.FileLimit, check: between(&c.RabbitMQ.FileLimit, 0, 1_000_000_000)},
		{key: "rabbitmq.publish_channels", value: &c.RabbitMQ.PublishChannels, check: between(&c.RabbitMQ.PublishChannels, 1, 64)},
		{key: "database.url", value: &c.Database.URL, location: true, check: c.checkDatabase},
		{key: "database.admin_url", value: &c.Database.AdminURL, location: true, check: c.checkDatabaseAdmin},
		{key: "database.max_connections", value: &c.Database.MaxConnections, check: between(&c.Database.MaxConnections, 5, 1000)},
		{key: "database.migrate", value: &c.Database.Migrate},
		{key: "database.roles.app", value: &c.Database.Roles.App, check: c.checkRole(&c.Database.Roles.App)},
		{key: "database.roles.writer", value: &c.Database.Roles.Writer, check: c.checkRole(&c.Database.Roles.Writer)},
		{key: "database.roles.system", value: &c.Database.Roles.System, check: c.checkRole(&c.Database.Roles.System)},
		{key: "workers", value: &c.Workers, check: between(&c.Workers, 1, 100)},
		{key: "redis.url", value: &c.Redis.URL, location: true, check: func() error { return checkRedisURL(c.Redis.URL) }},
		{key: "max_backlog", value: &c.MaxBacklog, check: between(&c.MaxBacklog, 0, 1_000_000_000)},
		{key: "publish_rate", value: &c.PublishRate, check: between(&c.PublishRate, 0, 1_000_000_000)},
		{key: "delivery.allow_private", value: &c.Delivery.AllowPrivate},
		{key: "delivery.disable_after", value: &c.Delivery.DisableAfter, check: c.checkDisableAfter},
		{key: "delivery.probe_interval", value: &c.Delivery.ProbeInterval, check: c.checkProbeInterval},
		{key: "attempts.keep", value: &c.Attempts.Keep, check: oneOf(&c.Attempts.Keep, KeepAllAttempts, KeepFailedAttempts, KeepNoAttempts)},
		{key: "attempts.keep_days", value: &c.Attempts.KeepDays, check: between(&c.Attempts.KeepDays, 1, 365)},
		{key: "retention.default_days", value: &c.Retention.DefaultDays, check: between(&c.Retention.DefaultDays, 0, 3650)},
		{key: "streams.max_clients", value: &c.Streams.MaxClients, check: between(&c.Streams.MaxClients, 1, 1_000_000)},
		{key: "dead_letters.collect", value: &c.DeadLetters.Collect},
		{key: "dead_letters.keep_replayed_days", value: &c.DeadLetters.KeepReplayedDays, check: between(&c.DeadLetters.KeepReplayedDays, 0, 3650)},
		{key: "dead_letters.keep_days", value: &c.DeadLetters.KeepDays, check: between(&c.DeadLetters.KeepDays, 0, 3650)},
		{key: "portal.frame_ancestors", value: &c.Portal.FrameAncestors, check: func() error { return checkOriginList(c.Portal.FrameAncestors) }},
		{key: "portal.name", value: &c.Portal.Name, check: c.Portal.checkName},
		{key: "portal.color", value: &c.Portal.Color, check: c.Portal.checkColor},
		{key: "portal.logo", value: &c.Portal.Logo, check: c.Portal.checkLogo},
		{key: "audit.keep_days", value: &c.Audit.KeepDays, check: between(&c.Audit.KeepDays, 0, 3650)},
		{key: "metrics.public", value: &c.Metrics.Public},
		{key: "metrics.tenant_labels", value: &c.Metrics.TenantLabels},
		{key: "metrics.max_tenants", value: &c.Metrics.MaxTenants, check: between(&c.Metrics.MaxTenants, 1, 100_000)},
		{key: "limits.connections", value: &c.Limits.Connections, check: between(&c.Limits.Connections, 0, 1_000_000)},
		{key: "limits.connections_per_address", value: &c.Limits.ConnectionsPerAddress, check: between(&c.Limits.ConnectionsPerAddress, 0, 1_000_000)},
		{key: "limits.body_memory", value: &c.Limits.BodyMemory, check: between(&c.Limits.BodyMemory, minBodyMemory, 1_000_000)},
		{key: "limits.tenants", value: &c.Limits.Tenants, check: limit(&c.Limits.Tenants)},
		{key: "limits.tenants_per_minute", value: &c.Limits.TenantsPerMinute, check: limit(&c.Limits.TenantsPerMinute)},
		{key: "limits.workers", value: &c.Limits.Workers, check: limit(&c.Limits.Workers)},
		{key: "limits.endpoints_per_tenant", value: &c.Limits.EndpointsPerTenant, check: limit(&c.Limits.EndpointsPerTenant)},
		{key: "limits.streams", value: &c.Limits.Streams, check: limit(&c.Limits.Streams)},
		{key: "limits.backlog_mib", value: &c.Limits.BacklogMiB, check: limit(&c.Limits.BacklogMiB)},
		{key: "limits.backlog_mib_per_tenant", value: &c.Limits.BacklogMiBPerTenant, check: limit(&c.Limits.BacklogMiBPerTenant)},
		{key: "limits.publish_rate", value: &c.Limits.PublishRate, check: limit(&c.Limits.PublishRate)},
		{key: "data_dir", value: &c.DataDir, check: notEmpty(&c.DataDir)},
		{key: "shutdown_delay", value: &c.ShutdownDelay, check: between(&c.ShutdownDelay, 0, time.Minute)},
		{key: "shutdown_timeout", value: &c.ShutdownTimeout, check: between(&c.ShutdownTimeout, time.Second, time.Hour)},
	}
}

// formerSettings returns what became of the keys that earlier versions had, in words
// that go behind the key.
func formerSettings() map[string]string {
	return map[string]string{
		"transmit.allow_private": "is delivery.allow_private now",
		"retry.max_attempts":     "is not there any more: an endpoint has a schedule of its own",
	}
}

// Validate returns an error that names every key whose value is out of range,
// or nil. With sections it looks only at those and at keys of these names, for
// a command that needs no others.
func (c Config) Validate(sections ...string) error {
	var problems []error
	for _, s := range c.settings() {
		section, _, _ := strings.Cut(s.key, ".")
		if s.check == nil || len(sections) > 0 && !slices.Contains(sections, section) {
			continue
		}
		if err := s.check(); err != nil {
			problems = append(problems, s.problem(err))
		}
	}
	return errors.Join(problems...)
}

func (c *Config) checkAdminHost() error {
	if c.AdminHost == "" {
		return errors.New("must not be empty; 0.0.0.0 means every interface")
	}
	return host(&c.AdminHost)()
}

func (c *Config) checkAdminPort() error {
	if c.AdminPort != 0 && c.AdminPort == c.AppPort {
		return errors.New("must differ from app_port; 0 means that nothing is served there")
	}
	return between(&c.AdminPort, 0, 65535)()
}

func (c *Config) checkSecret() error {
	if len(c.Secrets()) == 0 && !c.OpenMode() {
		return fmt.Errorf("must be set unless environment is %q", development)
	}
	return checkSecretLength(c.JWTSecret)
}

func (c *Config) checkSecrets() error {
	for _, secret := range c.JWTSecrets {
		if err := checkSecretLength(secret); err != nil {
			return err
		}
	}
	return nil
}

// EncryptionKeyBytes returns the keys of EncryptionKeys, the one that encrypts first.
// The error never contains a key.
func (c Config) EncryptionKeyBytes() ([][]byte, error) {
	keys := make([][]byte, len(c.EncryptionKeys))
	for i, text := range c.EncryptionKeys {
		key, ok := decodeKey(text)
		if !ok {
			return nil, fmt.Errorf("must list keys of %d bytes, each in base64 or in hexadecimal digits, such as openssl rand -base64 %[1]d makes", encryptionKeySize)
		}
		keys[i] = key
	}
	return keys, nil
}

func (c *Config) checkEncryptionKeys() error {
	_, err := c.EncryptionKeyBytes()
	return err
}

func (c *Config) checkDisableAfter() error {
	const least, most = time.Hour, 365 * 24 * time.Hour
	if d := c.Delivery.DisableAfter; d != 0 && (d < least || d > most) {
		return fmt.Errorf("must be between %v and %v, or 0 for never, not %v", least, most, d)
	}
	return nil
}

func (c *Config) checkProbeInterval() error {
	const least, most = 100 * time.Millisecond, time.Hour
	if d := c.Delivery.ProbeInterval; d < least || d > most {
		return fmt.Errorf("must be between %v and %v, not %v", least, most, d)
	}
	return nil
}

func checkSecretLength(secret string) error {
	if secret != "" && len(secret) < minSecretLength {
		return fmt.Errorf("must have at least %d bytes", minSecretLength)
	}
	return nil
}

func (c *Config) checkBrokers() error {
	if c.RabbitMQ.URL == "" {
		if c.Database.URL != "" {
			return errors.New("must be set when database.url is; set both or neither")
		}
		return nil
	}
	return checkBrokerURLs(c.RabbitMQ.URL)
}

func (c *Config) checkManagement() error {
	if c.RabbitMQ.ManagementURL != "" && c.RabbitMQ.URL == "" {
		return errors.New("needs rabbitmq.url")
	}
	return location(&c.RabbitMQ.ManagementURL, "http", "https")()
}

func (c *Config) checkDatabase() error {
	if c.Database.URL == "" && c.RabbitMQ.URL != "" {
		return errors.New("must be set when rabbitmq.url is; set both or neither")
	}
	if c.Database.URL == "" && c.Environment != development {
		return fmt.Errorf("must be set unless environment is %q: private servers are for development only", development)
	}
	return checkPostgres(c.Database.URL)
}

func (c *Config) checkDatabaseAdmin() error {
	if c.Database.AdminURL != "" && c.Database.URL == "" {
		return errors.New("needs database.url")
	}
	return checkPostgres(c.Database.AdminURL)
}

// checkRole checks the name of a role, which becomes part of names of policies.
func (c *Config) checkRole(name *string) func() error {
	return func() error {
		const longest = 48
		roles := c.Database.Roles
		same := 0
		for _, other := range []string{roles.App, roles.Writer, roles.System} {
			if other == *name {
				same++
			}
		}
		switch {
		case !isRoleName(*name) || len(*name) > longest || strings.HasPrefix(*name, "pg_"):
			return fmt.Errorf("must have 1 to %d small letters, digits and underscores, begin with a letter, and not with pg_", longest)
		case same > 1:
			return errors.New("must be another role than the others of database.roles")
		}
		return nil
	}
}

func isRoleName(name string) bool {
	for i, r := range name {
		letter := r >= 'a' && r <= 'z'
		if !letter && (i == 0 || r != '_' && (r < '0' || r > '9')) {
			return false
		}
	}
	return name != ""
}

func between[T int | time.Duration](value *T, low, high T) func() error {
	return func() error {
		if *value < low || *value > high {
			return fmt.Errorf("must be between %v and %v, not %v", low, high, *value)
		}
		return nil
	}
}

// limit accepts what an owner may be limited to; 0 is any number.
func limit(value *int) func() error { return between(value, 0, 1_000_000_000) }

func oneOf(value *string, choices ...string) func() error {
	return func() error {
		if !slices.Contains(choices, *value) {
			return fmt.Errorf("must be %s, not %q", strings.Join(choices, " or "), *value)
		}
		return nil
	}
}

// oneOfAnyCase is oneOf for choices in whatever letters.
func oneOfAnyCase(value *string, choices ...string) func() error {
	return func() error {
		lower := strings.ToLower(*value)
		return oneOf(&lower, choices...)()
	}
}

func notEmpty(value *string) func() error {
	return func() error {
		if strings.TrimSpace(*value) == "" {
			return errors.New("must not be empty")
		}
		return nil
	}
}

// host accepts "", names and addresses, but neither ports nor URLs.
func host(value *string) func() error {
	return func() error {
		if _, err := netip.ParseAddr(*value); err != nil && strings.ContainsAny(*value, ":/ []") {
			return fmt.Errorf("must be a host name or an address without a port, not %q", *value)
		}
		return nil
	}
}

func networks(values *[]string) func() error {
	return func() error {
		for _, text := range *values {
			_, err := netip.ParsePrefix(text)
			if err != nil {
				_, err = netip.ParseAddr(text)
			}
			if err != nil {
				return fmt.Errorf("must list addresses and networks in CIDR notation, not %q", text)
			}
		}
		return nil
	}
}

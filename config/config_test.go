package config

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/viper"
	"github.com/stretchr/testify/require"
)

const secret = "0123456789abcdef0123456789abcdef"

// clean takes everything out of the environment that could be a setting. Tests
// that load a configuration therefore do not run in parallel.
func clean(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
	t.Setenv(pathVariable, "")
	for _, s := range new(Config).settings() {
		t.Setenv(s.environment(), "")
	}
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestExampleNamesEveryKeyWithItsDefault(t *testing.T) {
	example, err := filepath.Abs("example.config.yaml")
	require.NoError(t, err)
	clean(t)

	got, err := Load(example)
	require.NoError(t, err)
	require.Equal(t, Default(), got)

	v := viper.New()
	v.SetConfigFile(example)
	require.NoError(t, v.ReadInConfig())
	var want []string
	for _, s := range new(Config).settings() {
		want = append(want, s.key)
	}
	require.ElementsMatch(t, want, v.AllKeys())
}

func TestDefaultsAreOpenModeWithPrivateServers(t *testing.T) {
	clean(t)
	c, err := Load("")
	require.NoError(t, err)
	require.Equal(t, Default(), c)
	require.True(t, c.OpenMode())
	require.True(t, c.PrivateServers())
	require.Equal(t, "127.0.0.1:8080", c.ListenAddress())
	require.Equal(t, "127.0.0.1:9090", c.AdminAddress())
	require.True(t, c.PublicMetrics())
}

func TestEnvironmentWinsOverFileWinsOverDefault(t *testing.T) {
	clean(t)
	path := file(t, "app_port: 8081\nworkers: 7\nlog:\n  level: warn\n")
	t.Setenv("APP_PORT", "8082")
	t.Setenv("LOG_FORMAT", "json")
	c, err := Load(path)
	require.NoError(t, err)
	require.Equal(t, 8082, c.AppPort)
	require.Equal(t, 7, c.Workers)
	require.Equal(t, Log{Level: "warn", Format: "json", Requests: "all", RequestsOneIn: 1}, c.Log)
	require.Equal(t, "tenant-api", c.AppName)
}

func TestEveryKeyFromTheEnvironment(t *testing.T) {
	clean(t)
	pem, logo := file(t, "any file that is there"), file(t, "<svg/>")
	want := Config{
		AppVersion: "9", AppName: "n", AppHost: "::1", AppPort: 1, AppURL: "https://x", AdminHost: "::2", AdminPort: 2,
		Environment: "production", JWTSecret: secret, JWTSecrets: []string{secret + "a", secret + "b"},
		JWTLifetime: time.Minute, EncryptionKeys: []string{strings.Repeat("1a", 32), strings.Repeat("2b", 32)}, TrustedProxies: []string{"10.0.0.0/8", "::1"}, OpenModePeers: []string{"192.168.0.1", "10.1.0.0/16"}, CORSOrigins: []string{"https://a.example", "http://[::1]:3000"}, TLS: TLS{pem, pem}, Workers: 4, MaxBacklog: 5, PublishRate: 6,
		DataDir: "d", ShutdownTimeout: 5 * time.Second,
		Log:      Log{"Debug", "JSON", "Errors", 32},
		RabbitMQ: RabbitMQ{"amqp://a/,amqps://b/", "https://m", "amqps://p:1", "classic", "quorum", 13, 3},
		Database: Database{"postgres://c/d", "postgresql:///d?host=/run", 6, false, DatabaseRoles{"a", "w_2", "s"}},
		Redis:    Redis{"rediss://e/0"},
		Metrics:  Metrics{true, false, 8},
		Limits:   Limits{15, 16, 170, 21, 22, 23, 24, 25, 26, 27, 28},

		Delivery: Delivery{true, false, 18 * time.Hour, 20 * time.Second}, Attempts: Attempts{"failed", 19}, Retention: Retention{10}, Streams: Streams{14},
		DeadLetters: DeadLetters{false, 11, 12}, Audit: Audit{31}, Portal: Portal{[]string{"https://b.example"}, "Acme", "#0a66c2", logo},
	}
	for _, s := range want.settings() {
		text := fmt.Sprint(s.current())
		if list, ok := s.value.(*[]string); ok {
			text = strings.Join(*list, ", ")
		}
		t.Setenv(s.environment(), text)
	}
	got, err := Load("")
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.False(t, got.OpenMode())
	require.False(t, got.PrivateServers())
	require.Equal(t, "[::1]:1", got.ListenAddress())
	require.Equal(t, "[::2]:2", got.AdminAddress())
	require.True(t, got.PublicMetrics())
}

func TestDays(t *testing.T) {
	clean(t)
	for text, want := range map[string]time.Duration{"5d": 120 * time.Hour, "1d12h": 36 * time.Hour, "120h": 120 * time.Hour, "0s": 0, "365d": 8760 * time.Hour} {
		t.Setenv("DELIVERY_DISABLE_AFTER", text)
		c, err := Load("")
		require.NoError(t, err, text)
		require.Equal(t, want, c.Delivery.DisableAfter)
	}
}

func TestWhichFileIsRead(t *testing.T) {
	clean(t)
	require.NoError(t, os.Mkdir("config", 0o700))
	require.NoError(t, os.WriteFile(defaultPath, []byte("workers: 11"), 0o600))
	c, err := Load("")
	require.NoError(t, err)
	require.Equal(t, 11, c.Workers)

	t.Setenv(pathVariable, file(t, "workers: 12"))
	c, err = Load("")
	require.NoError(t, err)
	require.Equal(t, 12, c.Workers)

	c, err = Load(file(t, "workers: 13"))
	require.NoError(t, err)
	require.Equal(t, 13, c.Workers)

	_, err = Load(filepath.Join(t.TempDir(), "missing.yaml"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestEmptyFileAndCommentedSections(t *testing.T) {
	clean(t)
	for _, text := range []string{"", "# nothing\n", "database:\n  # url: x\nrabbitmq:\n", "workers:\n"} {
		c, err := Load(file(t, text))
		require.NoError(t, err, text)
		require.Equal(t, Default(), c)
	}
}

func TestRefusedFiles(t *testing.T) {
	clean(t)
	for text, key := range map[string]string{
		"wrokers: 3":                                  "wrokers",
		"log:\n  leval: info":                         "log.leval",
		"app_port:\n  a: 1":                           "app_port.a",
		"database: postgres://a:hunter2@b/c":          "database",
		"workers: many":                               "workers",
		"workers: \"3\"":                              "workers",
		"workers: 3.5":                                "workers",
		"workers: true":                               "workers",
		"workers: 0":                                  "workers",
		"workers: 101":                                "workers",
		"app_port: 65536":                             "app_port",
		"app_port: -1":                                "app_port",
		"app_host: localhost:80":                      "app_host",
		"app_url: localhost":                          "app_url",
		"app_version: 0.1":                            "app_version",
		"app_name: ''":                                "app_name",
		"admin_port: 8080":                            "admin_port",
		"app_port: 9090":                              "admin_port",
		"admin_port: 65536":                           "admin_port",
		"admin_host: ''":                              "admin_host",
		"admin_host: 'localhost:9090'":                "admin_host",
		"environment: ''":                             "environment",
		"environment: production":                     "jwt_secret",
		"jwt_secret: hunter2":                         "jwt_secret",
		"jwt_secrets: hunter2":                        "jwt_secrets",
		"jwt_secrets: [hunter2]":                      "jwt_secrets",
		"jwt_secrets: [1]":                            "jwt_secrets",
		"jwt_lifetime: 60":                            "jwt_lifetime",
		"jwt_lifetime: soon":                          "jwt_lifetime",
		"jwt_lifetime: 0s":                            "jwt_lifetime",
		"trusted_proxies: [proxy]":                    "trusted_proxies",
		"open_mode_peers: [localhost]":                "open_mode_peers",
		"cors_origins: ['https://a.example']":         "cors_origins (CORS_ORIGINS) must be empty in open mode",
		"tls: {cert_file: config_test.go}":            "tls.key_file (TLS_KEY_FILE) must be set when tls.cert_file is",
		"tls: {key_file: config_test.go}":             "tls.cert_file (TLS_CERT_FILE) must be set when tls.key_file is",
		"tls: {cert_file: /no/such, key_file: /x}":    "tls.cert_file (TLS_CERT_FILE) names a file that is not there",
		"metrics: {public: 1}":                        "metrics.public",
		"max_backlog: -1":                             "max_backlog",
		"publish_rate: -1":                            "publish_rate",
		"data_dir: ''":                                "data_dir",
		"shutdown_timeout: 1ms":                       "shutdown_timeout",
		"log: {level: loud}":                          "log.level",
		"log: {format: xml}":                          "log.format",
		"log: {requests: some}":                       "log.requests",
		"log: {requests_one_in: 0}":                   "log.requests_one_in",
		"rabbitmq: {url: 'http://a:hunter2@b/'}":      "rabbitmq.url",
		"rabbitmq: {url: 'amqp://a:hunter2@b:x/'}":    "rabbitmq.url",
		"rabbitmq: {url: 'amqp://a/,,amqp://b/'}":     "rabbitmq.url",
		"rabbitmq: {url: 'amqp://a/'}":                "database.url",
		"rabbitmq: {queue_type: stream}":              "rabbitmq.queue_type",
		"rabbitmq: {dead_letter_queue_type: x}":       "rabbitmq.dead_letter_queue_type",
		"rabbitmq: {publish_channels: 0}":             "rabbitmq.publish_channels",
		"database: {url: 'mysql://a:hunter2@b/c'}":    "database.url",
		"database: {url: 'postgres://b/c'}":           "rabbitmq.url",
		"database: {admin_url: 'postgres://b/c'}":     "database.admin_url",
		"database: {max_connections: 0}":              "database.max_connections",
		"database: {migrate: 1}":                      "database.migrate",
		"redis: {url: 'localhost'}":                   "redis.url",
		"delivery: {allow_private: 1}":                "delivery.allow_private",
		"delivery: {disable_after: 59m}":              "delivery.disable_after",
		"delivery: {disable_after: 366d}":             "delivery.disable_after",
		"delivery: {disable_after: -1d}":              "delivery.disable_after",
		"delivery: {disable_after: 1.5d}":             "delivery.disable_after",
		"delivery: {probe_interval: 99ms}":            "delivery.probe_interval",
		"delivery: {probe_interval: 61m}":             "delivery.probe_interval",
		"delivery: {disable_after: 5}":                "delivery.disable_after",
		"attempts: {keep: some}":                      "attempts.keep",
		"attempts: {keep_days: 0}":                    "attempts.keep_days",
		"attempts: {keep_days: 366}":                  "attempts.keep_days",
		"encryption_keys: [hunter2]":                  "encryption_keys",
		"encryption_keys: hunter2":                    "encryption_keys",
		"transmit: {allow_private: true}":             "transmit.allow_private is delivery.allow_private now",
		"retry: {max_attempts: 5}":                    "retry.max_attempts is not there any more",
		"retention: {default_days: -1}":               "retention.default_days",
		"retention: {default_days: 3651}":             "retention.default_days",
		"dead_letters: {collect: 1}":                  "dead_letters.collect",
		"dead_letters: {keep_replayed_days: -1}":      "dead_letters.keep_replayed_days",
		"dead_letters: {keep_days: 3651}":             "dead_letters.keep_days",
		"metrics: {tenant_labels: 'yes'}":             "metrics.tenant_labels",
		"metrics: {max_tenants: 0}":                   "metrics.max_tenants",
		"limits: {connections: -1}":                   "limits.connections",
		"limits: {connections_per_address: -1}":       "limits.connections_per_address",
		"limits: {tenants: -1}":                       "limits.tenants",
		"limits: {backlog_mib: 1000000001}":           "limits.backlog_mib",
		"limits: {body_memory: 127}":                  "limits.body_memory",
		"streams: {max_clients: 0}":                   "streams.max_clients",
		"streams: {max_clients: 1000001}":             "streams.max_clients",
		"database: {roles: {app: ''}}":                "database.roles.app",
		"database: {roles: {writer: pg_writer}}":      "database.roles.writer",
		"database: {roles: {system: \"a;b\"}}":        "database.roles.system",
		"database: {roles: {system: Lanekeeper}}":     "database.roles.system",
		"database: {roles: {app: lanekeeper_writer}}": "database.roles.app",
	} {
		_, err := Load(file(t, text))
		require.ErrorContains(t, err, key, text)
		require.NotContains(t, err.Error(), "hunter2", text)
	}
	for _, text := range []string{"workers: [", "a: 1\na: 2", "- 1"} {
		_, err := Load(file(t, text))
		require.ErrorContains(t, err, "config.yaml", text)
	}
}

func TestRefusedEnvironment(t *testing.T) {
	for name, text := range map[string]string{
		"WORKERS": "five", "APP_PORT": "80a", "DATABASE_MIGRATE": "maybe", "JWT_LIFETIME": "1",
		"TRANSMIT_ALLOW_PRIVATE": "true", "RETRY_MAX_ATTEMPTS": "5",
		"RABBITMQ_URL": "amqp://a:hunter2@%zz/", "JWT_SECRET": "hunter2", "LOG_LEVEL": "trace",
	} {
		t.Run(name, func(t *testing.T) {
			clean(t)
			t.Setenv(name, text)
			_, err := Load("")
			require.ErrorContains(t, err, name)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	clean(t)
	_, err := Load(file(t, "workers: 0\napp_port: -1\nlog: {level: x}"))
	for _, key := range []string{"workers", "app_port", "log.level"} {
		require.ErrorContains(t, err, key)
	}
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	c := Default()
	require.Empty(t, c.Secrets())
	c.JWTSecrets = []string{secret + "a", secret}
	require.Equal(t, []string{secret + "a", secret}, c.Secrets())
	require.False(t, c.OpenMode())
	c.JWTSecret = secret
	require.Equal(t, []string{secret, secret + "a"}, c.Secrets())
	require.Equal(t, ":8080", c.ListenAddress())
	c.Environment = "production"
	require.ErrorContains(t, c.Validate(), "database.url (DATABASE_URL) must be set unless environment is \"development\": private servers are for development only")
	c.Database.URL, c.RabbitMQ.URL = "postgres://a/b", "amqp://a/"
	require.NoError(t, c.Validate())
}

// No way of printing a configuration shows a secret.
func TestRedaction(t *testing.T) {
	t.Parallel()
	c := Default()
	c.JWTSecret = secret
	c.JWTSecrets = []string{secret}
	c.RabbitMQ.URL = "amqp://user:hunter2@a:5672/v, amqp://user:hunter2@b/"
	c.Database.URL = "postgres://user:hunter2@a/db?sslmode=disable&password=hunter2"
	c.Database.AdminURL = "postgres://user:hunter2@a/db\x7f"
	c.Redis.URL = "redis://:hunter2@a/0"
	before := c.JWTSecrets[0]

	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("start", slog.Any("config", c))
	slog.New(slog.NewTextHandler(&log, nil)).Info("start", slog.Any("config", c))
	texts := []string{c.String(), log.String(), fmt.Sprint(c), fmt.Sprintf("%+v", c), fmt.Sprintf("%#v", c), fmt.Sprintf("%v", &c)}
	for _, text := range texts {
		require.NotContains(t, text, "hunter2")
		require.NotContains(t, text, secret)
		require.Contains(t, text, "8080")
	}
	require.Contains(t, c.String(), "database.url=postgres://user:xxxxx@a/db?password=xxxxx&sslmode=disable")
	require.Equal(t, before, c.JWTSecrets[0], "the original stays as it is")
	require.Equal(t, mask, c.Redacted().JWTSecret)
}

// A URL may name several hosts, as one does for a database with a standby.
func TestRedactSeveralHosts(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"postgres://user:hunter2@one:5432,two:5433/db?target_session_attrs=read-write": "postgres://user:xxxxx@one:5432,two:5433/db?target_session_attrs=read-write",
		"postgres://user:hunter2@one,two,three/db?password=hunter2":                    "postgres://user:xxxxx@one,two,three/db?password=xxxxx",
		"postgres://user@one,two/db":                                                   "postgres://user@one,two/db",
		"amqp://user:hunter2@one/v,amqp://two":                                         "amqp://user:xxxxx@one/v,amqp://two",
		"amqp://user:1/hunter2,x@one/v":                                                mask,
		"postgres://user:hun,ter2@one,two/db":                                          mask,
		"amqp://user:1/hunter2@one":                                                    mask,
		"amqp://user:1?hunter2@one":                                                    mask,
		"amqp://user:1#hunter2@one":                                                    mask,
		"http://user:x@one,http://other:hunter2@two:x/":                                mask,
	} {
		require.Equal(t, want, RedactURL(text), text)
	}
}

func FuzzRedactURL(f *testing.F) {
	for _, seed := range []string{"hunter2", "hun,ter", "a/b", "a@b", "%41", "a:b", "?", "#x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, password string) {
		if len(password) < 6 || strings.Contains("amqp://user:@example/xxxxx", password) {
			return
		}
		for _, text := range []string{
			"amqp://user:" + password + "@example/",
			(&url.URL{Scheme: "amqp", User: url.UserPassword("user", password), Host: "example"}).String(),
		} {
			if got := RedactURL(text); strings.Contains(got, password) {
				t.Fatalf("%q became %q", text, got)
			}
		}
	})
}

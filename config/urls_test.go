package config

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhereTenantsReachTheBroker(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"", "amqp://broker", "amqps://broker.example.com:5671", "amqp://[::1]:5672/"} {
		require.NoError(t, checkPublicBroker(good), good)
	}
	for _, bad := range []string{
		"broker", "http://broker", "amqp://", "amqp://user@broker", "amqp://user:hunter2@broker", "amqp://broker/vhost", "amqp://broker?cacertfile=hunter2",
	} {
		err := checkPublicBroker(bad)
		require.Error(t, err, bad)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

// A second URL where there may be one ends in the path of the first, password and all.
func TestOneURLWhereThereMayBeOne(t *testing.T) {
	t.Parallel()
	c := Default()
	for name, set := range map[string]func(string){
		"rabbitmq.management_url": func(text string) { c.RabbitMQ.ManagementURL = text },
		"app_url":                 func(text string) { c.AppURL = text },
	} {
		c = Default()
		c.RabbitMQ.URL, c.Database.URL = "amqp://one", "postgres://one/db"
		set("http://user:hunter2@one:15672")
		require.NoError(t, c.Validate(), name)
		set("http://user:x@one,http://other:hunter2@two:x/")
		err := c.Validate()
		require.ErrorContains(t, err, name)
		require.NotContains(t, err.Error(), "hunter")
	}
}

// What is wrong with a URL is said as what it is, with what to write instead, and
// without any part of it that may be secret.
func TestWhatIsWrongWithAURL(t *testing.T) {
	t.Parallel()
	const canary, parts = "hunter2", "hunt"
	missing := filepath.Join(t.TempDir(), "missing")
	for _, c := range []struct{ database, brokers, redis, says string }{
		{database: "postgres://a:hunt#er2@h/d", says: "# is %23"},
		{database: "postgres://a:hunter2@h/d#x", says: "# is %23"},
		{database: "postgres://a:hunt@er2@h/d", says: "@ %40"},
		{database: "postgres://a:b@h1:1,hunter2:x/d", says: "percent-encoded"},
		{database: "postgres://a:hunt/er2@h/d", says: "/ %2F"},
		{database: "postgres://a:12/hunter2@h/d", says: "/ %2F"},
		{database: "postgres://a:hunt?er2@h/d", says: "? %3F"},
		{database: "postgres://a:12?hunter2@h/d", says: "? %3F"},
		{database: "postgres://a:12?hunter2=1@h/d", says: "? %3F"},
		{database: "postgres://a:hunter2%@h/d", says: "% %25"},
		{database: "postgres://a:hunter2%zz@h/d", says: "% %25"},
		{database: "postgres://a:hunt er2@h/d", says: "percent-encoded"},
		{database: "postgres://a:hunter2\n@h/d", says: "percent-encoded"},
		{database: "postgres://a:hunter2@h:x/d", says: "percent-encoded"},
		{database: "postgres://a:hunter2@h:99999/d", says: "port"},
		{database: "postgres://a:hunter2@h:0/d", says: "port"},
		{database: "postgres://a:hunter2@h/d/e", says: "one database"},
		{database: "mysql://a:hunter2@h/d", says: "begins with postgres://"},
		{database: "host=h user=a password=hunter2", says: "begins with postgres://"},
		{database: "postgres://a:hunter2@h/d?sslmode=hunter2", says: "sslmode: disable, allow"},
		{database: "postgres://a:hunter2@h/d?sslmode=", says: "sslmode: disable, allow"},
		{database: "postgres://a:hunter2@h/d?sslmode=require&sslmode=disable", says: "twice"},
		{database: "postgres://a:hunter2@h/d?sslrootcert=" + missing, says: "sslrootcert that is not there"},
		{database: "postgres://a:hunter2@h/d?sslcert=" + missing, says: "sslcert that is not there"},
		{database: "postgres://a:hunter2@h/d?sslkey=" + missing, says: "sslkey that is not there"},
		{database: "postgres://a:hunter2@h/d?servicefile=" + missing, says: "servicefile that is not there"},
		{database: "postgres://a:hunter2@h/d?sslcert=urls.go", says: "needs both"},
		{database: "postgres://a:hunter2@h/d?target_session_attrs=hunter2", says: "target_session_attrs: any"},
		{database: "postgres://a:hunter2@h/d?sslnegotiation=hunter2", says: "sslnegotiation: postgres"},
		{database: "postgres://a:hunter2@h/d?connect_timeout=hunter2", says: "connect_timeout"},
		{database: "postgres://a:hunter2@h/d?pool_max_conns=hunter2", says: "pool_max_conns: database.max_connections"},
		{database: "postgres://a:hunter2@h/d?pool_whatever=1", says: "pool_whatever: database.max_connections"},
		{database: "postgres://a:hunter2@h/d?default_query_exec_mode=simple_protocol", says: "default_query_exec_mode: the service decides"},
		{database: "postgres://a:hunter2@h/d?statement_cache_capacity=0", says: "statement_cache_capacity"},
		{database: "postgres://a:hunter2@h/d?description_cache_capacity=0", says: "description_cache_capacity"},
		{database: "postgres://a:hunter2@h/d?client_encoding=hunter2", says: "client_encoding: utf8"},
		{database: "postgres://a:hunter2@h/d?DateStyle=hunter2", says: "DateStyle: the service counts on"},
		{database: "postgres://a:hunter2@h/d?options=-c%20default_transaction_read_only%3Don", says: "default_transaction_read_only"},
		{database: "postgres://a:hunter2@h/d?options=--plan-cache-mode%3Dauto", says: "plan_cache_mode"},
		{database: "postgres://a:hunter2@h/d?schema=hunter2", says: "search_path"},
		{database: "postgres://a:hunter2@h/d?keepalives=1", says: "keepalives: it is for other clients"},
		{database: "postgres://a:hunter2@h/d?gssencmode=disable", says: "gssencmode: it is for other clients"},
		{database: "postgres://a:hunter2@h/d?hunter2%20=1", says: "percent-encoded"},
		{database: "postgres://a:hunter2@h/d?a;b=hunter2", says: "percent-encoded"},
		{database: "postgres://a:b@h/d", brokers: "amqp://a:hunt,er2@h/", says: "commas separate brokers"},
		{database: "postgres://a:b@h/d", brokers: "amqp://a:b@h/,amqp://a:hunt,er2@h/", says: "commas separate brokers"},
		{database: "postgres://a:b@h/d", brokers: "amqp://a:hunter2@h/,", says: "commas separate brokers"},
		{database: "postgres://a:b@h/d", brokers: "amqp://a:hunt#er2@h/", says: "# is %23"},
		{database: "postgres://a:b@h/d", brokers: "amqp://a:hunt/er2@h/", says: "/ %2F"},
		{database: "postgres://a:b@h/d", brokers: "amqp://a:12/hunter2@h/", says: "/ %2F"},
		{database: "postgres://a:b@h/d", brokers: "amqp://a:hunter2%@h/", says: "% %25"},
		{database: "postgres://a:b@h/d", brokers: "amqp://a:hunter2@h:99999/", says: "port"},
		{database: "postgres://a:b@h/d", brokers: "amqps://a:hunter2@h/?cacertfile=" + missing, says: "cacertfile that is not there"},
		{database: "postgres://a:b@h/d", brokers: "http://a:hunter2@h/", says: "amqp://"},
		{database: "postgres://a:b@h/d", brokers: "amqp://a:b@h/", redis: "redis://:hunt#er2@h/0", says: "# is %23"},
		{database: "postgres://a:b@h/d", brokers: "amqp://a:b@h/", redis: "redis://:hunt/er2@h/0", says: "/ %2F"},
		{database: "postgres://a:b@h/d", brokers: "amqp://a:b@h/", redis: "redis://:12/hunter2@h/0", says: "/ %2F"},
		{database: "postgres://a:b@h/d", brokers: "amqp://a:b@h/", redis: "redis://:hunter2%@h/0", says: "% %25"},
		{database: "postgres://a:b@h/d", brokers: "amqp://a:b@h/", redis: "redis://:b@h/hunter2", says: "number of a database"},
	} {
		config := Default()
		config.Database.URL, config.RabbitMQ.URL, config.Redis.URL = c.database, c.brokers, c.redis
		key := "redis.url (REDIS_URL)"
		switch {
		case c.brokers == "":
			key, config.RabbitMQ.URL = "database.url (DATABASE_URL)", "amqp://a/"
		case c.redis == "":
			key = "rabbitmq.url (RABBITMQ_URL)"
		}
		err := config.Validate()
		require.ErrorContains(t, err, key, "%+v", c)
		require.ErrorContains(t, err, c.says, "%+v", c)
		for _, secret := range []string{canary, parts, "er2"} {
			require.NotContains(t, err.Error(), secret, "%+v", c)
		}
	}
}

func TestURLsThatAreFine(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "there")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	for _, text := range []string{
		"postgres://a:p%23%2F%3F%40%2C%25@h:5432/d", "postgres:///d?host=/run/postgresql",
		"postgres://a:p,q@h/d?sslmode=verify-full&sslrootcert=system", "postgresql://h", "postgres://h/d?sslrootcert=" + path,
		"postgres://h/d?application_name=x&search_path=a,public&statement_timeout=5000&connect_timeout=3", "postgres://h/d?options=-c%20work_mem%3D8MB",
		"postgres://a:p@h1,h2:5432/d?target_session_attrs=read-write", "postgres://a:p@h1:5432,h2:5433/d?target_session_attrs=primary",
		"postgres://a:p@[::1]:5432/d", "postgres://h/d?client_encoding=UTF8", "postgres://h/d?user=a&password=p%40", "postgres://h/d?my.setting=1",
	} {
		config := Default()
		config.Database.URL, config.RabbitMQ.URL = text, "amqp://a:p%2C@h/v, amqps://a:p@h:5671/%2Fv?heartbeat=5"
		config.Redis.URL = "rediss://:p%23@h:6379/15?protocol=3"
		require.NoError(t, config.Validate(), text)
	}
}

// A command is asked for what it needs only.
func TestValidateSections(t *testing.T) {
	t.Parallel()
	config := Default()
	config.Database.URL, config.Environment, config.Streams.MaxClients = "postgres://a/b", "production", 0
	require.NoError(t, config.Validate("log", "database"))
	err := config.Validate("log", "database", "jwt_secret")
	require.ErrorContains(t, err, "jwt_secret")
	require.NotContains(t, err.Error(), "rabbitmq")
	err = config.Validate()
	for _, key := range []string{"jwt_secret", "rabbitmq.url", "streams.max_clients"} {
		require.ErrorContains(t, err, key)
	}
	config.Database.URL = "postgres://a/b?sslmode=x"
	require.ErrorContains(t, config.Validate("log", "database"), "sslmode")
}

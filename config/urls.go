package config

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// encodeHint ends errors about URLs. They quote nothing of a URL, which may have
// passwords in it, but the names of parameters that are known.
const encodeHint = "; what is special in a URL has to be percent-encoded in user names and passwords: # is %23, / %2F, ? %3F, @ %40, : %3A, % %25, a comma %2C"

// parseURL checks what all URLs have in common and returns it.
func parseURL(text string, schemes ...string) (*url.URL, error) {
	wanted := strings.Join(schemes, ":// or ") + "://"
	scheme, rest, found := strings.Cut(text, "://")
	if !found || !slices.Contains(schemes, strings.ToLower(scheme)) {
		return nil, errors.New("must be a URL that begins with " + wanted)
	}
	if strings.Contains(rest, "#") {
		return nil, errors.New("must not have a #" + encodeHint)
	}
	authority := rest
	if end := strings.IndexAny(rest, "/?"); end >= 0 {
		authority = rest[:end]
		// A password with such a character ends the host too early, and so does one of
		// several URLs where there may be one.
		path, _, _ := strings.Cut(rest[end:], "?")
		if strings.Contains(path, "@") || strings.Contains(rest[end:], "@") && !strings.Contains(authority, "@") {
			return nil, errors.New("must not have an @ after its host" + encodeHint)
		}
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("must be a URL that begins with " + wanted + " and can be read" + encodeHint)
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return nil, errors.New("must have a port between 1 and 65535")
		}
	}
	if _, err := url.ParseQuery(u.RawQuery); err != nil {
		return nil, errors.New("has parameters that cannot be read" + encodeHint)
	}
	return u, nil
}

// location accepts "" and URLs with one of the schemes and a host.
func location(value *string, schemes ...string) func() error {
	return func() error {
		if *value == "" {
			return nil
		}
		u, err := parseURL(*value, schemes...)
		if err != nil {
			return err
		}
		if u.Hostname() == "" {
			return fmt.Errorf("must be a URL with a host that begins with %s://", strings.Join(schemes, ":// or "))
		}
		return nil
	}
}

// checkBrokerURLs checks a list of URLs of RabbitMQ.
func checkBrokerURLs(list string) error {
	entries := strings.Split(list, ",")
	for _, one := range entries {
		if len(entries) > 1 && !strings.Contains(one, "://") {
			return errors.New("has an entry that is empty or no URL; commas separate brokers" + encodeHint)
		}
	}
	for _, one := range entries {
		one = strings.TrimSpace(one)
		if err := location(&one, "amqp", "amqps")(); err != nil {
			return err
		}
		u, err := url.Parse(one)
		if err != nil {
			continue // it was parsed just now
		}
		for _, name := range []string{"cacertfile", "certfile", "keyfile"} {
			if err := checkFile(u.Query(), name); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkPublicBroker checks where tenants reach RabbitMQ. It is told to them, so there
// must not be anything in it that is not meant for them.
func checkPublicBroker(text string) error {
	if err := location(&text, "amqp", "amqps")(); err != nil || text == "" {
		return err
	}
	u, err := parseURL(text, "amqp", "amqps")
	if err == nil && (u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "") {
		return errors.New("must have nothing but a scheme, a host and a port")
	}
	return err
}

// checkRedisURL checks the URL of Redis. Its parameters are checked by its client.
func checkRedisURL(text string) error {
	if err := location(&text, "redis", "rediss")(); err != nil {
		return err
	}
	if u, err := url.Parse(text); err == nil {
		if database := strings.Trim(u.Path, "/"); database != "" {
			if n, err := strconv.Atoi(database); err != nil || n < 0 {
				return errors.New("must have the number of a database as its path, or none" + encodeHint)
			}
		}
	}
	return nil
}

// checkPostgres does not ask for a host: it may be a socket directory in the
// query.
func checkPostgres(text string) error {
	if text == "" {
		return nil
	}
	u, err := parsePostgres(text)
	if err != nil {
		return err
	}
	if strings.Contains(strings.TrimPrefix(u.EscapedPath(), "/"), "@") || strings.Count(u.Path, "/") > 1 {
		return errors.New("must have the name of one database as its path" + encodeHint)
	}
	query := u.Query()
	for name, values := range query {
		if !regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*$`).MatchString(name) {
			return errors.New("has a parameter without a name, or with one that cannot be one" + encodeHint)
		}
		if len(values) > 1 {
			return errors.New("has a parameter twice")
		}
		if err := checkParameter(name, values[0]); err != nil {
			return err
		}
	}
	for _, name := range []string{"sslcert", "sslkey", "sslrootcert", "servicefile"} {
		if name == "sslrootcert" && query.Get(name) == "system" {
			continue
		}
		if err := checkFile(query, name); err != nil {
			return err
		}
	}
	if (query.Get("sslcert") == "") != (query.Get("sslkey") == "") {
		return errors.New("has one of the parameters sslcert and sslkey, and needs both or none")
	}
	return nil
}

// parsePostgres parses a URL that may list several hosts, and returns it with the
// last of them.
func parsePostgres(text string) (u *url.URL, err error) {
	scheme, rest, _ := strings.Cut(text, "://")
	authority, target := rest, ""
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		authority, target = rest[:end], rest[end:]
	}
	user, hosts := "", authority
	if at := strings.LastIndex(authority, "@"); at >= 0 {
		user, hosts = authority[:at+1], authority[at+1:]
		if strings.Contains(authority[:at], "@") {
			return nil, errors.New("must not have an @ in a user name or a password" + encodeHint)
		}
	}
	for host := range strings.SplitSeq(hosts, ",") {
		if u, err = parseURL(scheme+"://"+user+host+target, "postgres", "postgresql"); err != nil {
			return nil, err
		}
	}
	return u, nil
}

func checkFile(query url.Values, name string) error {
	path := query.Get(name)
	if path == "" {
		return nil
	}
	file, err := os.Open(path)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("names a file with the parameter %s that is not there", name)
		}
		return fmt.Errorf("names a file with the parameter %s that cannot be read", name)
	}
	return file.Close() //nolint:wrapcheck // does not fail
}

// checkParameter checks a parameter of a database URL. What neither this service
// nor libpq knows is for the server to judge, which may have it as a setting.
func checkParameter(name, value string) error {
	lower := strings.ToLower(name)
	for _, p := range postgresParameters() {
		if slices.Contains(p.names, lower) || p.prefix != "" && strings.HasPrefix(lower, p.prefix) {
			if p.values == nil {
				return fmt.Errorf("must not have the parameter %s: %s", name, p.reason)
			}
			if !slices.Contains(p.values, strings.ToLower(value)) {
				return fmt.Errorf("must have one of these values for the parameter %s: %s", name, strings.Join(p.values, ", "))
			}
			return nil
		}
	}
	if lower == "connect_timeout" {
		if n, err := strconv.Atoi(value); err != nil || n < 0 || n > 3600 {
			return errors.New("must have whole seconds, at most 3600, for the parameter connect_timeout")
		}
	}
	if lower == "options" {
		return checkOptions(value)
	}
	return nil
}

// checkOptions checks the settings in -c name=value and --name=value.
func checkOptions(value string) error {
	for word := range strings.FieldsSeq(value) {
		word = strings.TrimPrefix(strings.TrimPrefix(word, "--"), "-c")
		if name, setting, isSetting := strings.Cut(word, "="); isSetting {
			if err := checkParameter(strings.ReplaceAll(name, "-", "_"), setting); err != nil {
				return fmt.Errorf("options: %w", err)
			}
		}
	}
	return nil
}

// postgresParameter is one that is refused, or restricted to some values.
type postgresParameter struct {
	names  []string
	prefix string
	values []string
	reason string
}

func postgresParameters() []postgresParameter {
	return []postgresParameter{
		{names: []string{"sslmode"}, values: []string{"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}},
		{names: []string{"sslnegotiation"}, values: []string{"postgres", "direct"}},
		{names: []string{"target_session_attrs"}, values: []string{"any", "read-write", "primary", "prefer-standby", "read-only", "standby"}},
		{names: []string{"client_encoding"}, values: []string{"utf8", "utf-8", "unicode"}},
		{prefix: "pool_", reason: "database.max_connections says how many connections there are, the service looks after the rest"},
		{
			names:  []string{"default_query_exec_mode", "statement_cache_capacity", "description_cache_capacity"},
			reason: "the service decides how it sends its statements",
		},
		{
			names: []string{
				"default_transaction_isolation", "default_transaction_read_only", "transaction_isolation", "transaction_read_only", "plan_cache_mode",
				"datestyle", "intervalstyle", "bytea_output", "standard_conforming_strings", "session_replication_role", "replication",
			},
			reason: "the service counts on what it sets itself",
		},
		{
			names:  []string{"schema", "currentschema"},
			reason: "it is not one of the server's; search_path names the schema",
		},
		{
			names: []string{
				"keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "hostaddr", "gssencmode", "gsslib",
				"gssdelegation", "requiressl", "sslcompression", "sslcrl", "sslcrldir", "ssl_min_protocol_version", "ssl_max_protocol_version",
				"requirepeer", "load_balance_hosts", "fallback_application_name", "sslkeylogfile", "scram_client_key", "scram_server_key",
				"connection_limit", "pool_timeout", "pgbouncer", "socket_timeout", "ssl", "sslfactory", "preparethreshold", "charset", "encoding",
				"binary_parameters", "max_connections",
			},
			reason: "it is for other clients, and neither this service nor the server takes it in a URL",
		},
	}
}

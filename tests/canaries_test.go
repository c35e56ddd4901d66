package tests

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"lanekeeper/config"
	"lanekeeper/pkg/devstack"
	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/tests/apptest"
)

// canaries are secrets that are looked for where none may be. It is safe for concurrent
// use.
type canaries struct {
	mu sync.Mutex
	// forms are the texts by which each is found; guarded by mu.
	forms map[string][]string
	// shown are the places where one may be; guarded by mu.
	shown map[string][]string
	found []string // guarded by mu
}

func newCanaries() *canaries {
	return &canaries{forms: make(map[string][]string), shown: make(map[string][]string)}
}

// fresh makes a canary of 64 hexadecimal digits, which every secret may have.
func (c *canaries) fresh(name string, shown ...string) string {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails, see its documentation
	value := hex.EncodeToString(random)
	c.note(name, value, shown...)
	c.note(name, base64.StdEncoding.EncodeToString(random))
	return value
}

// note takes a secret for a canary that the service has made. It may be in the places
// that shown names.
func (c *canaries) note(name, value string, shown ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, encoded := range []string{
		value, url.QueryEscape(value), hex.EncodeToString([]byte(value)),
		base64.StdEncoding.EncodeToString([]byte(value)), base64.RawURLEncoding.EncodeToString([]byte(value)),
	} {
		if !slices.Contains(c.forms[name], encoded) {
			c.forms[name] = append(c.forms[name], encoded)
		}
	}
	c.shown[name] = append(c.shown[name], shown...)
}

// look looks for all canaries in what is at a place.
func (c *canaries) look(place, text string) {
	kind, _, _ := strings.Cut(place, ":")
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, forms := range c.forms {
		if slices.Contains(c.shown[name], kind) {
			continue
		}
		for _, form := range forms {
			if at := strings.Index(text, form); at >= 0 {
				around := text[max(0, at-80):min(len(text), at+len(form)+20)]
				c.found = append(c.found, fmt.Sprintf("%s in %s: ...%s", name, place, around))
				break
			}
		}
	}
}

// none ends the test where one was found, or where nothing was looked for.
func (c *canaries) none(t *testing.T) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	require.NotEmpty(t, c.forms)
	require.Empty(t, c.found, "%d secrets were told:\n%s", len(c.found), strings.Join(c.found, "\n"))
}

// settingNames returns all keys of the configuration.
func settingNames() []string {
	var names []string
	for _, attr := range config.Default().LogValue().Group() {
		names = append(names, attr.Key)
	}
	return names
}

// writeSettings writes a configuration file, in which the values are YAML.
func writeSettings(t *testing.T, values map[string]string) (path string) {
	t.Helper()
	var lines strings.Builder
	var write func(prefix, indent string)
	write = func(prefix, indent string) {
		done := make(map[string]bool)
		for _, key := range slices.Sorted(func(yield func(string) bool) {
			for key := range values {
				if !yield(key) {
					return
				}
			}
		}) {
			rest, ok := strings.CutPrefix(key, prefix)
			if !ok {
				continue
			}
			name, _, group := strings.Cut(rest, ".")
			switch {
			case !group:
				fmt.Fprintf(&lines, "%s%s: %s\n", indent, name, values[key])
			case !done[name]:
				done[name] = true
				fmt.Fprintf(&lines, "%s%s:\n", indent, name)
				write(prefix+name+".", indent+"  ")
			}
		}
	}
	write("", "")
	path = filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(path, []byte(lines.String()), 0o600))
	return path
}

// secretSettings returns the keys whose values the configuration does not print: those
// that are secrets, and URLs, which may have passwords in them.
func secretSettings(t *testing.T) []string {
	t.Helper()
	var secrets []string
	for _, name := range settingNames() {
		const value = "amqp://user:a-canary@127.0.0.1/"
		for _, text := range []string{strconv.Quote(value), "[" + strconv.Quote(value) + "]"} {
			c, err := config.Read(writeSettings(t, map[string]string{name: text}))
			if err != nil {
				continue // it is no text, or a list
			}
			if !strings.Contains(c.String(), "a-canary") {
				secrets = append(secrets, name)
			}
		}
	}
	return secrets
}

// plantedSettings returns settings that work, with a canary in every one that is secret.
func plantedSettings(t *testing.T, c *canaries) map[string]string {
	t.Helper()
	quoted := func(text string) string { return strconv.Quote(text) }
	database := devtest.Postgres(t)
	v := devtest.NewVirtualHost(t)
	broker, management := c.fresh("rabbitmq.url"), c.fresh("rabbitmq.management_url")
	brokerURL, _ := v.Administrator(broker)
	_, managementURL := v.Administrator(management)
	v.AdminManagementURL("tenant_") // deletes the users of tenants
	return map[string]string{
		"app_url":                 quoted("http://user:" + c.fresh("app_url") + "@localhost"),
		"jwt_secret":              quoted(c.fresh("jwt_secret")),
		"jwt_secrets":             "[" + quoted(c.fresh("jwt_secrets")) + "]",
		"encryption_keys":         "[" + quoted(c.fresh("encryption_keys")) + ", " + quoted(c.fresh("encryption_keys, old")) + "]",
		"rabbitmq.url":            quoted(brokerURL),
		"rabbitmq.management_url": quoted(managementURL),
		"rabbitmq.public_url":     quoted("amqp://127.0.0.1:5672"), // with a password it is refused: brokenSettings
		"database.url":            quoted(databaseWithPassword(t, database, c.fresh("database.url"))),
		"database.admin_url":      quoted(databaseWithPassword(t, database, c.fresh("database.admin_url"))),
		"redis.url":               quoted(redisWithPassword(t, c.fresh("redis.url"))),
	}
}

// databaseWithPassword returns the URL of the database for a superuser with this
// password.
func databaseWithPassword(t *testing.T, database, password string) string {
	t.Helper()
	exec := func(statements ...string) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), apptest.Long)
		defer cancel()
		conn, err := pgx.Connect(ctx, database)
		require.NoError(t, err)
		for _, statement := range statements {
			_, err = conn.Exec(ctx, statement)
			require.NoError(t, err, "%.20s", statement)
		}
		require.NoError(t, conn.Close(ctx))
	}
	role := "canary_" + password[:12]
	exec(`CREATE ROLE ` + role + ` LOGIN SUPERUSER PASSWORD '` + password + `'`)
	t.Cleanup(func() { exec(`REASSIGN OWNED BY `+role+` TO CURRENT_USER`, `DROP OWNED BY `+role, `DROP ROLE `+role) })
	u, err := url.Parse(database)
	require.NoError(t, err)
	u.User = url.UserPassword(role, password)
	return u.String()
}

// redisWithPassword returns the URL of a database for a user with this password.
func redisWithPassword(t *testing.T, password string) string {
	t.Helper()
	u, err := url.Parse(devtest.Redis(t))
	require.NoError(t, err)
	user := "canary" + password[:8]
	ask := func(command string) {
		answer, err := devstack.AskRedis(t.Context(), u.Host, command)
		require.NoError(t, err)
		require.Equal(t, "+OK", answer)
	}
	ask("ACL SETUSER " + user + " on >" + password + " ~* &* +@all")
	u.User = url.UserPassword(user, password)
	return u.String()
}

// A setting that may be a secret by its name is one, and every one that is has a canary
// in the tests below.
func TestEverySecretSettingHasACanary(t *testing.T) {
	t.Parallel()
	secrets, c := secretSettings(t), newCanaries()
	planted := plantedSettings(t, c)
	for _, name := range secrets {
		require.Contains(t, planted, name, "plant a canary in this setting, in plantedSettings")
	}
	require.Len(t, planted, len(secrets))
	for _, name := range settingNames() {
		last := name[strings.LastIndexByte(name, '.')+1:]
		suspicious := slices.ContainsFunc([]string{"secret", "password", "token", "url", "key", "dsn", "credential"}, func(part string) bool {
			return strings.Contains(last, part)
		})
		if suspicious && name != "tls.key_file" { // the name of a file
			require.Contains(t, secrets, name, "is this a secret? then mark it as hidden, or as a location")
		}
	}
}

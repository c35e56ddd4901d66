package devtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/devstack"
	"lanekeeper/pkg/devstack/testservers"
)

// cleanUpLimit is how long it may take to remove what a test was given.
const cleanUpLimit = time.Minute

// Postgres returns the URL of a fresh, empty database of the test's own. It is
// dropped, with connections that are still open, when the test ends.
func Postgres(t testing.TB) string {
	t.Helper()
	server := sharedServer(t, testservers.Postgres)
	name := freshName()
	// template0 is never connected to, so tests can copy it at the same time.
	administer(t, server.URL, "CREATE DATABASE "+name+" TEMPLATE template0")
	t.Cleanup(func() { administer(t, server.URL, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	return withPath(t, server.URL, name)
}

// RabbitMQ returns the URL of a fresh virtual host of the test's own. It is
// deleted, with its queues and connections, when the test ends.
//
// Where the broker's HTTP API is unknown (TEST_RABBITMQ_URL without
// TEST_RABBITMQ_MANAGEMENT_URL), the test gets the virtual host that the URL
// names, together with everybody else, and a line in its log says so.
func RabbitMQ(t testing.TB) string {
	t.Helper()
	server := sharedServer(t, testservers.RabbitMQ)
	if server.ManagementURL == "" {
		t.Logf("%s is not set: using the virtual host of %s, which other tests use too",
			testservers.ManagementVariable, testservers.RabbitMQ.Variable())
		return server.URL
	}
	api, err := url.Parse(server.ManagementURL)
	require.NoError(t, err)
	name, user := freshName(), api.User.Username()
	manage(t, http.MethodPut, api.JoinPath("api/vhosts", name), "")
	t.Cleanup(func() { manage(t, http.MethodDelete, api.JoinPath("api/vhosts", name), "") })
	manage(t, http.MethodPut, api.JoinPath("api/permissions", name, user), `{"configure":".*","write":".*","read":".*"}`)
	return withPath(t, server.URL, name)
}

// Redis returns the URL of an empty database of the test's own. It is emptied
// when the test ends. Published messages know no databases: every test of the
// server gets them.
//
// A server that TEST_REDIS_URL names is used as it is, and shared, unless it
// has at least 1,024 databases, as those have that we start.
func Redis(t testing.TB) string {
	t.Helper()
	server := sharedServer(t, testservers.Redis)
	u, err := url.Parse(server.URL)
	require.NoError(t, err)
	const databases = 1024
	if _, secret := u.User.Password(); secret {
		t.Logf("%s has a password: using its database, which other tests use too", testservers.Redis.Variable())
		return server.URL
	}
	if answer := ask(t, u.Host, "SELECT "+strconv.Itoa(databases-1)); answer != "+OK" {
		t.Logf("%s has few databases (%s): using the one it names, which other tests use too", testservers.Redis.Variable(), answer)
		return server.URL
	}
	n, err := strconv.Atoi(strings.TrimPrefix(ask(t, u.Host, "INCR lanekeeper:devtest:databases"), ":"))
	require.NoError(t, err)
	database := strconv.Itoa(1 + n%(databases-1)) // 0 holds the counter
	require.Equal(t, "+OK", ask(t, u.Host, "SELECT "+database, "FLUSHDB"))
	t.Cleanup(func() { require.Equal(t, "+OK", ask(t, u.Host, "SELECT "+database, "FLUSHDB")) })
	return withPath(t, server.URL, database)
}

// freshName returns a name that nothing has yet. It says which process it
// belongs to, for those who find it later.
func freshName() string {
	return fmt.Sprintf("test_%d_%.12s", os.Getpid(), strings.ReplaceAll(uuid.NewString(), "-", ""))
}

// withPath returns the URL with another database or virtual host.
func withPath(t testing.TB, base, path string) string {
	t.Helper()
	u, err := url.Parse(base)
	require.NoError(t, err)
	u.Path = "/" + path
	return u.String()
}

// administer runs one statement on a connection of its own.
func administer(t testing.TB, base, statement string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), cleanUpLimit)
	defer cancel()
	conn, err := pgx.Connect(ctx, base)
	require.NoError(t, err)
	_, err = conn.Exec(ctx, statement)
	require.NoError(t, errors.Join(err, conn.Close(ctx)))
}

// manage makes one call of RabbitMQ's HTTP API.
func manage(t testing.TB, method string, u *url.URL, body string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), cleanUpLimit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, u.String(), strings.NewReader(body))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	request.Close = true // no connection is left behind
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Less(t, response.StatusCode, http.StatusMultipleChoices, "%s %s: %s", method, u.Redacted(), response.Status)
}

// read makes one call of RabbitMQ's HTTP API that answers with JSON.
func read(t testing.TB, u *url.URL, into any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), cleanUpLimit)
	defer cancel()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
		require.NoError(t, err)
		request.Close = true
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err, "GET %s", u.Redacted())
		if response.StatusCode == http.StatusInternalServerError { // what it lists was just deleted
			require.NoError(t, response.Body.Close())
			<-time.After(50 * time.Millisecond)
			continue
		}
		defer response.Body.Close()
		require.Equal(t, http.StatusOK, response.StatusCode, "GET %s", u.Redacted())
		require.NoError(t, json.NewDecoder(response.Body).Decode(into))
		return
	}
}

func ask(t testing.TB, address string, commands ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), cleanUpLimit)
	defer cancel()
	answer, err := devstack.AskRedis(ctx, address, commands...)
	require.NoError(t, err)
	return answer
}

package tests

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/config"
	"lanekeeper/domain"
	"lanekeeper/pkg/client"
	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/tests/apptest"
)

// While a server is away, or silent, it is said so in time, from what is known.
func TestExplainServersAway(t *testing.T) {
	t.Parallel()
	database, broker := devtest.PrivatePostgres(t), devtest.PrivateRabbitMQ(t)
	app := apptest.Boot(t, apptest.On(database.URL(), broker.URL()))
	tenant := app.CreateTenant("tenant", 1).ID
	app.Publish(tenant, `1`)
	app.Stored(tenant, 1)
	flows(t, app.Client, tenant)
	for _, c := range []struct {
		name             string
		begin, end       func()
		publishes        bool
		kind, sentence   string
		message, because string
	}{
		{
			"database frozen", database.Pause, database.Resume, true, "database_away",
			`^The database does not answer( since .*)?: nothing is stored, and (nothing waits|[\d,]+ messages? waits?); publishing goes on\.$`,
			"unknown", "because the database does not answer",
		},
		{
			"database killed", database.Kill, database.Start, true, "database_away",
			`^The database does not answer( since .*)?: nothing is stored, and (nothing waits|[\d,]+ messages? waits?); publishing goes on\.$`,
			"unknown", "because the database does not answer",
		},
		{
			"broker frozen", broker.Pause, broker.Resume, false, "broker_away",
			`^The message broker (does not answer|cannot be reached)( since .*)?: nothing is accepted or stored; .*\.$`, "", "",
		},
		{
			"broker killed", broker.Kill, broker.Start, false, "broker_away",
			`^The message broker cannot be reached( since .*)?: nothing is accepted or stored; .*\.$`, "", "",
		},
	} {
		c.begin()
		if c.publishes {
			app.PublishAll(tenant, numbered(3))
		}
		_, cause := explained(t, app.Client, tenant, c.kind)
		t.Log(c.name, cause.Sentence, cause.Help)
		require.Regexp(t, c.sentence, cause.Sentence, c.name)
		require.NotEmpty(t, cause.Help)
		if c.because != "" {
			m := explainMessage(t, app.Client, tenant, tenant)
			require.Equal(t, c.message, m.State, c.name)
			require.Contains(t, m.Sentence, c.because)
		}
		c.end()
		apptest.Await(t, apptest.Long, func() error {
			e := explain(t, app.Client, tenant)
			if !e.Flows || e.Backlog == nil || *e.Backlog != 0 {
				return apptest.NotYet("after %s: %s", c.name, e.Sentence)
			}
			return nil
		})
	}
}

// Any replica explains any tenant, and callers are told what they may know.
func TestExplainOnAnyReplicaToAnyCaller(t *testing.T) {
	t.Parallel()
	fleet := apptest.BootFleet(t, 2, apptest.WithSecret())
	app := fleet[0]
	app.AddUser("admin@example.com", "admin", "")
	app.AddUser("owner@example.com", "member", "")
	admin, owner := app.LoggedIn("admin@example.com"), app.LoggedIn("owner@example.com")
	tenant := owner.CreateTenant("tenant", 1).ID
	app.AddUser("viewer@example.com", "viewer", tenant)
	app.AddUser("stranger@example.com", "member", "")
	viewer, stranger := app.LoggedIn("viewer@example.com"), app.LoggedIn("stranger@example.com")
	_, others := apptest.Owner(t, fleet, tenant)
	elsewhere := others[0].URL()

	admin.Want(http.StatusAccepted, nil, "DELETE", "/api/consumers", nil)
	for caller, says := range map[*apptest.Client]string{
		admin:  `^The consumer was stopped by admin@example\.com at .* ago\): `,
		owner:  `^The consumer was stopped by admin@example\.com at .* ago\): `,
		viewer: `^The consumer was stopped at .* ago\): `,
	} {
		_, cause := explained(t, caller.At(elsewhere), tenant, "consumer_stopped")
		require.Regexp(t, says, cause.Sentence)
		require.Equal(t, caller != viewer, cause.By != nil)
		require.Equal(t, caller == viewer, strings.HasPrefix(cause.Help, "Ask the tenant's owner"), cause.Help)
		require.WithinDuration(t, time.Now(), *cause.Since, time.Minute)
	}
	admin.Want(http.StatusAccepted, nil, "POST", "/api/consumers", nil)
	flows(t, admin.At(elsewhere), tenant)

	unlock := lockIn(t, app, "LOCK TABLE "+apptest.PartitionName(tenant)+" IN EXCLUSIVE MODE")
	owner.PublishAll(tenant, numbered(3))
	_, cause := explained(t, admin.At(elsewhere), tenant, "partition_locked")
	require.Regexp(t, `by the session with pid \d+ `, cause.Sentence)
	require.NotEmpty(t, cause.Data.Sessions)
	require.NotZero(t, cause.Data.Sessions[0].PID)
	for _, caller := range []*apptest.Client{owner, viewer} {
		answer := caller.At(elsewhere).Want(http.StatusOK, nil, "GET", "/api/tenants/"+tenant+"/explain", nil)
		require.Contains(t, string(answer.Body), "partition_locked")
		for _, secret := range []string{"pid", "sessions", "LOCK TABLE", "a test", `"replica"`} {
			require.NotContains(t, string(answer.Body), secret)
		}
	}
	unlock()
	flows(t, admin.At(elsewhere), tenant)
	owner.Stored(tenant, 3)
	stranger.Refused(http.StatusNotFound, "tenant_not_found", "GET", "/api/tenants/"+tenant+"/explain", nil)
	stranger.Refused(http.StatusNotFound, "tenant_not_found", "GET", "/api/messages/"+tenant+"/explain", nil, apptest.ForTenant(tenant))
}

// A policy by which messages go away is named where the management API is configured.
func TestExplainPolicies(t *testing.T) {
	t.Parallel()
	v := devtest.NewVirtualHost(t)
	app := apptest.Boot(t, apptest.On(devtest.Postgres(t), v.URL), func(c *config.Config) { c.RabbitMQ.ManagementURL = v.ManagementURL })
	tenant := app.CreateTenant("short-lived", 1).ID
	require.Empty(t, flows(t, app.Client, tenant).Causes)
	v.SetPolicy("short", "^tenant_.*_queue$", map[string]any{"message-ttl": 60_000})
	e, cause := explained(t, app.Client, tenant, "queue_policy")
	require.True(t, e.Flows)
	require.Equal(t, "The policy short of the broker sets message-ttl to 60000 for the queue "+apptest.QueueName(tenant)+": messages there may go away before they are stored or looked at.", cause.Sentence)
	require.Contains(t, cause.Help, `rabbitmqctl clear_policy "short"`)
}

// Where a limit of the broker lets no consumer subscribe, that is said, and what helps.
func TestExplainRefusedConsumer(t *testing.T) {
	t.Parallel()
	v := devtest.NewVirtualHost(t)
	app := apptest.Boot(t, apptest.On(devtest.Postgres(t), v.URL))
	tenant := app.CreateTenant("refused", 1).ID
	app.Want(http.StatusAccepted, nil, "DELETE", "/api/consumers/"+tenant, nil)
	app.PublishAll(tenant, numbered(3))
	v.LimitUser("max-channels", 1)
	app.Call("POST", "/api/consumers/"+tenant, nil)
	e, cause := explained(t, app.Client, tenant, "consumer_refused")
	require.False(t, e.Flows)
	require.Contains(t, cause.Sentence, "because a limit set there is reached")
	require.EqualValues(t, 3, *e.Backlog)
	require.Contains(t, cause.Help, "Raise the broker's limit")
	v.LimitUser("max-channels", -1)
	flows(t, app.Client, tenant)
	app.Stored(tenant, 3)
}

// Where the owner's share of what waits is used up, publishing is refused, and the owner
// learns of it from each of its tenants.
func TestExplainQuotaOfTheOwner(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.WithSecret(), func(c *config.Config) { c.Limits.BacklogMiB = 1 })
	app.AddUser("ada@example.com", "member", "")
	ada := app.LoggedIn("ada@example.com")
	full, empty := ada.CreateTenant("full", 1).ID, ada.CreateTenant("empty", 1).ID
	ada.Want(http.StatusAccepted, nil, "DELETE", "/consumers/"+full, nil)
	for range 2 {
		ada.Publish(full, `"`+strings.Repeat("x", 700_000)+`"`)
	}
	e, cause := explained(t, ada, empty, "quota_exceeded")
	require.Contains(t, cause.Sentence, "Publishing is refused")
	require.Contains(t, e.Sentence, "Publishing is refused")
	ada.Want(http.StatusAccepted, nil, "POST", "/consumers/"+full, nil)
	flows(t, ada, full)
	require.Eventually(t, func() bool { return len(explain(t, ada, empty).Causes) == 0 }, apptest.Long, 50*time.Millisecond)
}

// slowStore stores a message each so often.
type slowStore struct {
	domain.MessageRepository

	each time.Duration
}

// AppendMessages implements domain.MessageRepository.
func (s slowStore) AppendMessages(ctx context.Context, messages []domain.Message) ([]domain.AppendResult, error) {
	select {
	case <-time.After(time.Duration(len(messages)) * s.each):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return s.MessageRepository.AppendMessages(ctx, messages) //nolint:wrapcheck // as it is
}

// When a backlog drains slowly, it is said when it will be stored, and that is when it
// is, for the backlog as for its last message.
func TestExplainBacklogAndWhenItIsStored(t *testing.T) {
	t.Parallel()
	app := apptest.New(t)
	app.Decorators.Messages = func(r domain.MessageRepository) domain.MessageRepository { return slowStore{r, 2 * time.Millisecond} }
	app.Start()
	const n = 5000
	tenant := app.CreateTenant("slow", 1).ID
	app.Want(http.StatusAccepted, nil, "DELETE", "/api/consumers/"+tenant, nil)
	ids := app.PublishAll(tenant, numbered(n))
	app.Want(http.StatusAccepted, nil, "POST", "/api/consumers/"+tenant, nil)
	apptest.Await(t, apptest.Long, func() error {
		if page := app.Page(tenant, "order=desc&limit=1"); len(page.Data) == 0 || page.Data[0].Seq < 1500 {
			return apptest.NotYet("1,500 are stored")
		}
		return nil
	})
	asked := time.Now()
	e, cause := explained(t, app.Client, tenant, "backlog")
	m := explainMessage(t, app.Client, tenant, ids[n-1])
	require.True(t, e.Flows)
	require.Regexp(t, `^Flows: \d+ messages a second, [\d,]+ waiting, all stored in about [\d.]+ s, \d of 1 workers busy, last stored .* ago\.$`, e.Sentence)
	require.Regexp(t, `^[\d,]+ messages wait to be stored, at \d+ a second: the last one in about [\d.]+ s\.$`, cause.Sentence)
	require.Equal(t, "waiting", m.State)
	require.NotNil(t, m.ExpectedSeconds)
	require.NotNil(t, e.ExpectedSeconds)
	app.Stored(tenant, n)
	took := time.Since(asked).Seconds()
	t.Logf("%s; %.1f s and %.1f s expected, %.1f s taken", e.Sentence, *e.ExpectedSeconds, *m.ExpectedSeconds, took)
	for _, expected := range []float64{*e.ExpectedSeconds, *m.ExpectedSeconds} {
		require.Less(t, math.Abs(expected-took)/took, 0.3, "%.1f s expected, %.1f s taken", expected, took)
	}
}

// The command prints what matters, and what helps; or all as JSON.
func TestExplainByCommand(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	run := func(args ...string) string { return done(t, apptest.RunCommand(t, app.URL(), nil, args...)) }
	tenant := app.CreateTenant("tenant", 3).ID
	flows(t, app.Client, tenant)
	require.Equal(t, "Flows: 0 messages a second, 0 waiting, 0 of 3 workers busy, nothing was stored yet.\n", run("explain", tenant))
	run("tenants", "stop", tenant)
	explained(t, app.Client, tenant, "consumer_stopped")
	require.Regexp(t, `^The consumer was stopped by the built-in admin of open mode at [^\n]+\n  -> lanekeeper tenants start `+tenant+`\n$`, run("explain", "-t", tenant))
	var e client.Explanation
	require.NoError(t, json.Unmarshal([]byte(run("explain", tenant, "-o", "json")), &e))
	require.Equal(t, "consumer_stopped", e.Causes[0].Kind)
	id := app.Publish(tenant, `1`)
	require.Contains(t, run("explain", tenant, "--message", id), "Not stored yet. If it was accepted, it is the one message that waits.")
	run("tenants", "start", tenant)
	app.Stored(tenant, 1)
	require.Regexp(t, `^Stored as message 1 at .*; the tenant has no endpoints\.\n$`, run("explain", tenant, "--message", id))
	require.Equal(t, 1, apptest.RunCommand(t, app.URL(), nil, "explain").Status, "there is no tenant to explain")
	require.Equal(t, 2, apptest.RunCommand(t, app.URL(), nil, "explain", tenant, "-t", id).Status)
}

package tests

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/client"
	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/tests/apptest"
)

func overviewOf(c *apptest.Client) (o client.Overview) {
	c.Want(http.StatusOK, &o, "GET", "/api/overview", nil)
	return o
}

// overviewRow returns how a tenant does, as the list has it.
func overviewRow(t *testing.T, c *apptest.Client, tenant string) client.TenantOverview {
	t.Helper()
	var page struct {
		Data []client.TenantOverview `json:"data"`
	}
	c.Want(http.StatusOK, &page, "GET", "/api/overview/tenants?q="+tenant, nil)
	require.Len(t, page.Data, 1)
	return page.Data[0]
}

// awaitOverview waits until the overview is as it should be.
func awaitOverview(t *testing.T, c *apptest.Client, what string, holds func(client.Overview) bool) (o client.Overview) {
	t.Helper()
	apptest.Await(t, apptest.Long, func() error {
		if o = overviewOf(c); !holds(o) {
			return apptest.NotYet("%s: %+v", what, o)
		}
		return nil
	})
	return o
}

// A tenant's way through an overview: it flows, its consumer is stopped and messages wait,
// the call that is offered helps, and everything that was published is counted.
func TestOverview(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.WithSecret(), apptest.Delivering())
	app.AddUser("root@example.com", "admin", "")
	app.AddUser("ada@example.com", "member", "")
	root, ada := app.LoggedIn("root@example.com"), app.LoggedIn("ada@example.com")
	require.Zero(t, overviewOf(ada).Tenants.Total)
	tenant := ada.CreateTenant("Acme", 2).ID
	var row client.TenantOverview
	ada.Want(http.StatusOK, &row, "GET", "/api/overview/tenants/"+tenant, nil)
	require.Equal(t, "Acme", row.Name, "a tenant that was just made is there")
	other := root.CreateTenant("of root", 1).ID
	ada.PublishAll(tenant, numbered(30))
	ada.Stored(tenant, 30)
	o := awaitOverview(t, ada, "flows", func(o client.Overview) bool { return o.Tenants.Flowing == 1 && o.StoredTotal == 30 })
	require.Equal(t, 1, o.Tenants.Total)
	require.Empty(t, o.Attention)
	require.Nil(t, o.Replicas)
	require.Nil(t, o.Rates)
	row = overviewRow(t, ada, tenant)
	require.Equal(t, []any{"flows", "running", int64(30), 2}, []any{row.State, *row.Consumer, row.LastSeq, row.Workers})
	require.WithinDuration(t, time.Now(), *row.LastStoredAt, time.Minute)
	ada.Refused(http.StatusNotFound, "tenant_not_found", "GET", "/api/overview/tenants/"+other, nil)
	ada.Refused(http.StatusForbidden, "role_insufficient", "GET", "/api/fleet", nil)

	ada.Want(http.StatusAccepted, nil, "DELETE", "/api/consumers/"+tenant, nil)
	ada.Want(http.StatusOK, &row, "GET", "/api/overview/tenants/"+tenant, nil)
	require.Equal(t, "stopped", row.State, "it shows at once")
	ada.PublishAll(tenant, numbered(7))
	o = awaitOverview(t, root, "7 messages wait", func(o client.Overview) bool { return len(o.Attention) == 1 && o.Attention[0].Messages == 7 })
	a := o.Attention[0]
	require.Equal(t, []string{"consumer_stopped", tenant, "Acme"}, []string{a.Kind, *a.TenantID, *a.TenantName})
	require.Regexp(t, `^Acme's consumer was stopped by ada@example.com \d+ s ago; 7 messages wait\.$`, a.Sentence)
	require.WithinDuration(t, time.Now(), *a.Since, time.Minute)
	require.EqualValues(t, 7, o.Backlog.Messages)
	require.Contains(t, overviewOf(ada).Attention[0].Sentence, "stopped by you")
	ada.Want(http.StatusAccepted, nil, a.Action.Method, "/api"+a.Action.Path, nil)
	ada.Stored(tenant, 37)
	o = awaitOverview(t, root, "nothing needs attention", func(o client.Overview) bool {
		return len(o.Attention) == 0 && o.StoredTotal == 37 && o.Tenants.Flowing == 2
	})
	require.Equal(t, map[string]string{"database": "ready", "broker": "ready"}, map[string]string{"database": o.Servers["database"], "broker": o.Servers["broker"]})
	require.Equal(t, 1, *o.Replicas)
	require.NotEmpty(t, o.Version)
	awaitOverview(t, root, "the rates of what was stored and accepted", func(o client.Overview) bool {
		accepted, stored, timed, gap := 0.0, 0.0, false, false
		for _, r := range o.Rates {
			if r.Accepted == nil {
				gap = true
				continue
			}
			accepted, stored, timed = accepted+5**r.Accepted, stored+5**r.Stored, timed || r.EndToEndP99MS != nil && r.PublishP50MS != nil
		}
		return len(o.Rates) == 180 && gap && timed && accepted > 36 && accepted < 38 && stored > 36 && stored < 38
	})

	apptest.Await(t, apptest.Long, func() error {
		if row = overviewRow(t, ada, tenant); row.Rate == nil {
			return apptest.NotYet("a rate: %+v", row)
		}
		return nil
	})
	ada.Delete(tenant)
	ada.Refused(http.StatusNotFound, "tenant_not_found", "GET", "/api/overview/tenants/"+tenant, nil)
	awaitOverview(t, ada, "it is gone", func(o client.Overview) bool { return o.Tenants.Total == 0 && o.StoredTotal == 0 })
}

// An endpoint that fails is counted and named, and its lag is exact; so are one that is
// held, and dead letters.
func TestOverviewOfEndpoints(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.Delivering())
	tenant := app.CreateTenant("Acme", 1).ID
	failing := apptest.NewReceiver(t, apptest.Answering(http.StatusInternalServerError))
	fine := apptest.NewReceiver(t, apptest.Answering(http.StatusOK))
	broken := app.CreateEndpoint(tenant, failing.URL(), map[string]any{"description": "the warehouse"})
	held := app.CreateEndpoint(tenant, fine.URL(), map[string]any{"description": "the shop"})
	app.Tell(&held, "hold")
	app.PublishAll(tenant, numbered(25))
	app.Stored(tenant, 25)
	o := awaitOverview(t, app.Client, "a breaker is open", func(o client.Overview) bool { return o.Endpoints.BreakerOpen == 1 && o.Endpoints.Lag == 50 })
	require.Equal(t, []int{2, 1, 1, 0}, []int{o.Endpoints.Total, o.Endpoints.Active, o.Endpoints.Held, o.Endpoints.Disabled})
	require.Equal(t, 1, o.Tenants.Failing)
	row := overviewRow(t, app.Client, tenant)
	require.Equal(t, []any{"fails", 2, 1, int64(50)}, []any{row.State, row.Endpoints, row.EndpointsFailing, row.Lag})
	require.Equal(t, row.Lag, app.Endpoint(&broken).Lag+app.Endpoint(&held).Lag)
	sentences := fmt.Sprint(o.Attention)
	require.Contains(t, sentences, "Acme's endpoint the warehouse has failed for ")
	require.Contains(t, sentences, "Acme's endpoint the shop is held; 25 messages wait for it.")
	for _, a := range o.Attention {
		answer := app.Call(a.Action.Method, "/api"+a.Action.Path, a.Action.Body)
		require.Equal(t, http.StatusOK, answer.Status, "%s: %s", a.Sentence, answer.Body)
	}
	failing.Answer(apptest.Answering(http.StatusGone))
	app.Put(apptest.QueueName(tenant), "", "no JSON")
	o = awaitOverview(t, app.Client, "disabled, a dead letter, and the other has all", func(o client.Overview) bool {
		return o.Endpoints.Disabled == 1 && o.DeadLetters == 1 && o.Endpoints.Lag == app.Endpoint(&broken).Lag
	})
	sentences = fmt.Sprint(o.Attention)
	require.Contains(t, sentences, "1 message of Acme became dead letters in the last hour")
	require.Contains(t, sentences, "Acme's endpoint the warehouse is disabled (")
}

// What moved shows on every replica, also when the one it moved from has ended.
func TestOverviewOfAFleet(t *testing.T) {
	t.Parallel()
	fleet := apptest.BootFleet(t, 2)
	var tenants []string
	for range enoughTenants {
		tenants = append(tenants, fleet[0].CreateTenant("tenant", 1).ID)
	}
	awaitShares(t, fleet, tenants)
	fleetOf := func(app *apptest.App) (f client.Fleet) {
		app.Want(http.StatusOK, &f, "GET", "/api/fleet", nil)
		return f
	}
	var before client.Fleet
	apptest.Await(t, apptest.Long, func() error {
		before = fleetOf(fleet[1])
		sum := 0
		for _, r := range before.Replicas {
			if r.State != "live" || r.Version == "" {
				return apptest.NotYet("live: %+v", r)
			}
			sum += r.Tenants
		}
		if len(before.Replicas) != 2 || sum != enoughTenants {
			return apptest.NotYet("two replicas that have all: %+v", before)
		}
		return nil
	})
	for _, r := range before.Replicas {
		var page struct {
			Data  []client.TenantOverview `json:"data"`
			Total int                     `json:"total"`
		}
		fleet[0].Want(http.StatusOK, &page, "GET", "/api/fleet/"+r.ID+"/tenants?limit=1000", nil)
		require.Equal(t, r.Tenants, page.Total)
		require.Len(t, page.Data, r.Tenants)
	}
	fleet[0].Refused(http.StatusNotFound, "replica_not_found", "GET", "/api/fleet/nobody/tenants", nil)

	owner, others := apptest.Owner(t, fleet, tenants[0])
	leaving := owner.Consumer(tenants[0]).Replica
	owner.Stop()
	had := 0
	for _, r := range before.Replicas {
		if r.ID == leaving {
			had = r.Tenants
		}
	}
	var after client.Fleet
	apptest.Await(t, apptest.Long, func() error {
		after = fleetOf(others[0])
		if len(after.Replicas) != 1 || after.Replicas[0].Tenants != enoughTenants {
			return apptest.NotYet("one that has all: %+v", after)
		}
		moved := 0
		for _, m := range after.Moves {
			if m.From == leaving && m.To == after.Replicas[0].ID {
				require.Equal(t, "tenant", m.TenantName)
				moved++
			}
		}
		if moved < had { // each is one once its consumer runs
			return apptest.NotYet("all %d that it had: %+v", had, after.Moves)
		}
		require.Equal(t, had, moved)
		return nil
	})
	others[0].Restart()
	apptest.Await(t, apptest.Long, func() error {
		for _, m := range fleetOf(others[0]).Moves {
			if m.From == after.Replicas[0].ID {
				return nil
			}
		}
		return apptest.NotYet("moved once more, over a restart")
	})
}

// While the database is away the overview is what was known last, and says so.
func TestOverviewWhileTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	server := devtest.PrivatePostgres(t)
	app := apptest.Boot(t, apptest.On(server.URL(), devtest.RabbitMQ(t)))
	tenant := app.CreateTenant("Acme", 1).ID
	app.PublishAll(tenant, numbered(5))
	app.Stored(tenant, 5)
	known := awaitOverview(t, app.Client, "5 are stored", func(o client.Overview) bool { return o.StoredTotal == 5 && o.Tenants.Flowing == 1 })
	server.Stop()
	o := awaitOverview(t, app.Client, "known for a while, and the database is away", func(o client.Overview) bool {
		return o.AgeSeconds > 2 && o.Servers["database"] == "away" && o.Status == "degraded"
	})
	require.EqualValues(t, 5, o.StoredTotal)
	require.False(t, o.At.Before(known.At))
	require.Equal(t, "Acme", overviewRow(t, app.Client, tenant).Name)
	begun := time.Now()
	overviewOf(app.Client)
	require.Less(t, time.Since(begun), answerLimit)
	server.Start()
	app.Publish(tenant, `6`)
	app.Stored(tenant, 6)
	awaitOverview(t, app.Client, "as it is", func(o client.Overview) bool { return o.StoredTotal == 6 && o.AgeSeconds < 2 && o.Status == "ready" })
}

// The same by command.
func TestOverviewByCommand(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	run := func(args ...string) string { return done(t, apptest.RunCommand(t, app.URL(), nil, args...)) }
	tenant := app.CreateTenant("Acme", 2).ID
	app.PublishAll(tenant, numbered(1200))
	app.Stored(tenant, 1200)
	awaitOverview(t, app.Client, "flows", func(o client.Overview) bool { return o.Tenants.Flowing == 1 && o.StoredTotal == 1200 })
	text := run("overview")
	require.Regexp(t, `(?m)^tenants +1 \(1 flow\)$`, text)
	require.Regexp(t, `(?m)^stored +1,200$`, text)
	require.Regexp(t, `(?m)^database +ready$`, text)
	require.Contains(t, text, "\nNothing needs attention.\n")
	require.Contains(t, run("overview", "-o", "json"), `"stored_total":1200`)
	require.Regexp(t, tenant+` +flows +\d/2 +\S+ +\S+ +1,200 +`, run("overview", "--tenants", "--search", "acm"))
	require.Equal(t, 1, strings.Count(run("overview", "--tenants", "--state", "fails"), "\n"), "only the head")
	require.Contains(t, run("overview", "--tenants", "-o", "json"), `"tenant_id":"`+tenant+`"`)
	require.Equal(t, 2, apptest.RunCommand(t, app.URL(), nil, "overview", "--state", "fails").Status)
	text = run("fleet")
	require.Regexp(t, `(?m)^\S+ +live +1 +\S+ +\S+Z$`, text)
	replica := strings.Fields(strings.Split(text, "\n")[1])[0]
	require.Contains(t, run("fleet", "--replica", replica), tenant)
	require.Contains(t, run("fleet", "-o", "json"), `"state":"live"`)
	app.Want(http.StatusAccepted, nil, "DELETE", "/api/consumers/"+tenant, nil)
	app.Publish(tenant, `1`)
	apptest.Await(t, apptest.Long, func() error {
		if text := run("overview"); !strings.Contains(text, "Acme's consumer was stopped by an admin ") {
			return apptest.NotYet("stopped: %s", text)
		}
		return nil
	})
}

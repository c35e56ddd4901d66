package tests

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/config"
	"lanekeeper/pkg/client"
	"lanekeeper/tests/apptest"
)

// A database that answers and takes nothing is told from one that is away, whether it
// takes nothing of one tenant or of anybody; and a partition that cannot be made again
// from both.
func TestExplainRefusingStore(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		begin          func(app *apptest.App, tenant string) (end func())
		kind, sentence string
	}{
		"of one tenant": {func(app *apptest.App, tenant string) func() {
			return refuseRows(app.Probes, apptest.PartitionName(tenant), "53100")
		}, "store_refuses", `^The database answers and takes nothing since .*: its disk may be full, it may be read-only, or wait for a standby; 3 messages wait\.$`},
		"of anybody": {func(app *apptest.App, _ string) func() {
			return refuseRows(app.Probes, "messages", "25006")
		}, "store_refuses", `^The database answers and takes nothing since .*: its disk may be full, it may be read-only, or wait for a standby; 3 messages wait\.$`},
		"without a partition": {func(app *apptest.App, tenant string) func() {
			app.Exec(`CREATE FUNCTION no_tables() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no tables'; END $$`)
			app.Exec(`CREATE EVENT TRIGGER no_tables ON ddl_command_start WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION no_tables()`)
			app.Exec(`DROP TABLE ` + apptest.PartitionName(tenant))
			return func() { app.Exec(`DROP EVENT TRIGGER no_tables`) }
		}, "partition_missing", `^The tenant's partition is missing, or behind its history since .*: 3 messages wait\.$`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			app := apptest.Boot(t)
			tenant := app.CreateTenant(name, 1).ID
			end := c.begin(app, tenant)
			app.PublishAll(tenant, numbered(3))
			apptest.Await(t, apptest.Long, func() error {
				_, cause := explained(t, app.Client, tenant, c.kind)
				return apptest.Matches(c.sentence, cause.Sentence)
			})
			end()
			app.Stored(tenant, 3)
			flows(t, app.Client, tenant)
		})
	}
}

// Who publishes faster than a tenant may is told so; what was accepted is stored.
func TestExplainPublishRate(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, func(c *config.Config) { c.PublishRate = 1 })
	tenant := app.CreateTenant("hasty", 1).ID
	accepted := 0
	apptest.Await(t, apptest.Long, func() error {
		for app.Call("POST", "/api/messages", `{"payload":1}`, apptest.ForTenant(tenant)).Status == http.StatusAccepted {
			accepted++
		}
		e := explain(t, app.Client, tenant)
		if len(e.Causes) == 0 || e.Causes[0].Kind != "rate_exceeded" {
			return apptest.NotYet("rate_exceeded: %+v", e.Causes)
		}
		require.Regexp(t, `^Publishing is refused: .*\.$`, e.Sentence)
		require.Contains(t, e.Help, "Publish more slowly")
		return nil
	})
	app.Stored(tenant, accepted)
	flows(t, app.Client, tenant)
}

// How deliveries stand is said without blaming what is not to blame: nobody claims them,
// an endpoint is slow, or how far they are cannot be read.
func TestExplainDeliveriesThatStand(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.Delivering())
	good := apptest.NewReceiver(t, apptest.Answering(http.StatusOK))
	of := func(name string, n int, endpoint func(tenant string)) string {
		tenant := app.CreateTenant(name, 1).ID
		endpoint(tenant)
		app.PublishAll(tenant, numbered(n))
		app.Stored(tenant, n)
		return tenant
	}

	unlock := lockIn(t, app, "LOCK TABLE delivery_claims IN EXCLUSIVE MODE")
	unclaimed := of("unclaimed", 3, func(tenant string) { app.CreateEndpoint(tenant, good.URL(), nil) })
	_, cause := explained(t, app.Client, unclaimed, "nobody_delivers")
	require.Regexp(t, `^No replica delivers to the endpoint 127\.0\.0\.1:\d+ at the moment: 3 messages wait for it\.$`, cause.Sentence)
	unlock()
	require.Empty(t, flows(t, app.Client, unclaimed).Causes)

	unlock = lockIn(t, app, "LOCK TABLE endpoints IN ACCESS EXCLUSIVE MODE")
	_, cause = explained(t, app.Client, unclaimed, "endpoints_unknown")
	require.Contains(t, cause.Sentence, "could not be read in time")
	unlock()
	require.Empty(t, flows(t, app.Client, unclaimed).Causes)

	const each = 100 * time.Millisecond
	slow := apptest.NewReceiver(t, func(http.ResponseWriter, *http.Request) { <-time.After(each) })
	behind := of("behind", 300, func(tenant string) { app.CreateEndpoint(tenant, slow.URL(), map[string]any{"ordering": "fifo"}) })
	apptest.Await(t, apptest.Long, func() error {
		e, cause := explained(t, app.Client, behind, "endpoint_behind")
		require.True(t, e.Flows)
		if err := apptest.Matches("--concurrency N", cause.Help); err != nil {
			return err
		}
		return apptest.Matches(`^The endpoint 127\.0\.0\.1:\d+ is 2\d\d messages behind and takes [\d.]+ a second: the last one arrives in about \d+ s\.$`, cause.Sentence)
	})
}

// What is under way to an endpoint is told from what an endpoint has passed without a
// record, and from what is not stored.
func TestExplainWaysOfMessages(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.Delivering())
	tenant := app.CreateTenant("ways", 2).ID
	first := app.Publish(tenant, `1`)
	app.Stored(tenant, 1)
	until := make(chan struct{})
	var hanging *apptest.Receiver
	hanging = apptest.NewReceiver(t, func(_ http.ResponseWriter, r *http.Request) {
		if len(hanging.Received()) == 1 {
			hanging.Hold(r, until)
		}
	})
	app.CreateEndpoint(tenant, hanging.URL(), map[string]any{"timeout_ms": 15_000})
	second := app.Publish(tenant, `2`)
	hanging.AwaitAtOnce(1)
	app.Publish(tenant, `"arrives"`) // with it, the endpoint has passed the one before
	way := func(id string) *client.MessageExplanation { return explainMessage(t, app.Client, tenant, id) }
	apptest.Await(t, apptest.Long, func() error {
		m := way(second)
		if len(m.Causes) != 1 || m.Causes[0].Kind != "delivery_due" {
			return apptest.NotYet("delivery_due: %+v", m.Causes)
		}
		return apptest.Matches(`^Its first attempt at the endpoint 127\.0\.0\.1:\d+ is due .*, or under way\.$`, m.Causes[0].Sentence)
	})
	m := way(first)
	require.Equal(t, "passed", m.Causes[0].Kind)
	require.Contains(t, m.Causes[0].Sentence, "or it was stored before the endpoint began")
	close(until)
	apptest.Await(t, apptest.Long, func() error {
		if m := way(second); m.Causes[0].Kind != "delivered" {
			return apptest.NotYet("delivered: %+v", m.Causes)
		}
		return nil
	})

	app.Want(http.StatusAccepted, nil, "DELETE", "/api/consumers/"+tenant, nil)
	third := app.Publish(tenant, `3`)
	m = explainedMessage(t, app.Client, tenant, third, "waiting", "consumer_stopped")
	require.Equal(t, "not_stored", m.Causes[len(m.Causes)-1].Kind)
}

// While what another replica reports cannot be read, that is said, and not that the
// consumer stands.
func TestExplainUnreadReport(t *testing.T) {
	t.Parallel()
	fleet := apptest.BootFleet(t, 2)
	tenant := fleet[0].CreateTenant("reported", 1).ID
	_, others := apptest.Owner(t, fleet, tenant)
	flows(t, others[0].Client, tenant)
	unlock := lockIn(t, fleet[0], "LOCK TABLE consumer_reports IN ACCESS EXCLUSIVE MODE")
	_, cause := explained(t, others[0].Client, tenant, "consumer_unknown")
	require.Equal(t, "Another replica consumes the tenant, and what it reports cannot be read at the moment.", cause.Sentence)
	unlock()
	flows(t, others[0].Client, tenant)
}

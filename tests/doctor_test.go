package tests

import (
	"maps"
	"strings"
	"testing"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

// finding is a line of the doctor's report.
type finding struct{ tenant, problem, state string }

// examine runs the doctor as the program does, and returns what it prints, and
// the error that makes its exit status.
func examine(t *testing.T, app *apptest.App, flags ...string) ([]finding, error) {
	t.Helper()
	out, err := app.Command(append([]string{"doctor"}, flags...)...)
	var found []finding
	last := ""
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		if !strings.Contains(line, ": ") {
			last = line
			continue
		}
		problem, state, ok := strings.Cut(line, ": ")
		words := strings.Fields(problem)
		require.True(t, ok && len(words) > 1, line)
		found = append(found, finding{words[0], problem, state})
	}
	switch {
	case err != nil:
		require.Empty(t, last)
	case len(found) == 0:
		require.Equal(t, "nothing is amiss", last)
	default:
		require.Equal(t, "everything that was found is repaired", last)
	}
	return found, err
}

// requireFindings ends the test unless there is exactly one finding for each
// tenant, with these words in it and this state.
func requireFindings(t *testing.T, found []finding, state string, want map[string]string) {
	t.Helper()
	require.Len(t, found, len(want), "%v", found)
	for _, f := range found {
		require.Contains(t, want, f.tenant)
		require.Contains(t, f.problem, want[f.tenant])
		require.Equal(t, state, f.state, f.problem)
	}
}

// Everything that may have been done to the servers by hand is found, and
// repaired where that loses no messages.
func TestDoctorFindsAndRepairs(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	create := func(name string) string { return app.CreateTenant(name, 1).ID }
	healthy, dropped, detached := create("healthy"), create("dropped"), create("detached")
	noQueue, noLetters, differs, gone := create("no queue"), create("no letters"), create("differs"), create("gone")
	app.Publish(detached, `"kept"`)
	app.Stored(detached, 1)
	app.Delete(gone)
	app.Stop()
	found, err := examine(t, app)
	require.NoError(t, err)
	require.Empty(t, found)

	app.Exec(`DROP TABLE ` + apptest.PartitionName(dropped))
	app.Exec(`ALTER TABLE messages DETACH PARTITION ` + apptest.PartitionName(detached))
	app.DeleteQueue(apptest.QueueName(noQueue))
	app.DeleteQueue(apptest.DeadLetterQueueName(noLetters))
	app.DeleteQueue(apptest.QueueName(differs))
	declare(t, app, apptest.QueueName(differs), amqp.Table{"x-queue-type": "classic"})
	declare(t, app, apptest.QueueName(gone), nil)
	nobody := uuid.NewString()
	app.Exec(`CREATE TABLE ` + apptest.PartitionName(nobody) + ` (LIKE messages INCLUDING ALL)`)
	repairable := map[string]string{
		dropped: "active        partition is missing", detached: "active        partition is not attached",
		noQueue: "main queue is missing", noLetters: "dead-letter queue is missing",
		gone: "queue of a deleted tenant", nobody: "partition of a tenant that does not exist",
	}
	remaining := map[string]string{differs: "main queue has other arguments"}

	found, err = examine(t, app)
	require.ErrorContains(t, err, "there are findings: 7")
	all := maps.Clone(repairable)
	maps.Copy(all, remaining)
	requireFindings(t, found, "found", all)
	again, err := examine(t, app)
	require.Error(t, err)
	require.ElementsMatch(t, found, again, "without -fix nothing is changed")

	found, err = examine(t, app, "--fix")
	require.ErrorContains(t, err, "there are findings: 1")
	var repaired, left []finding
	for _, f := range found {
		if f.tenant == differs {
			left = append(left, f)
		} else {
			repaired = append(repaired, f)
		}
	}
	requireFindings(t, repaired, "repaired", repairable)
	requireFindings(t, left, "found", remaining)

	found, err = examine(t, app, "--fix")
	require.ErrorContains(t, err, "there are findings: 1")
	requireFindings(t, found, "found", remaining)
	app.DeleteQueue(apptest.QueueName(differs))
	found, err = examine(t, app, "--fix")
	require.NoError(t, err)
	requireFindings(t, found, "repaired", map[string]string{differs: "main queue is missing"})
	found, err = examine(t, app)
	require.NoError(t, err)
	require.Empty(t, found)

	app.Start()
	for _, tenant := range []string{healthy, dropped, detached, noQueue, noLetters, differs} {
		requireThere(t, app, tenant)
		app.Publish(tenant, `"works"`)
	}
	require.Equal(t, `"kept"`, string(app.Stored(detached, 2)[0].Payload))
	for _, tenant := range []string{healthy, dropped, noQueue, noLetters, differs} {
		apptest.Await(t, apptest.Long, func() error {
			if n := len(app.Page(tenant, "").Data); n != 1 {
				return apptest.NotYet("stored: %d", n)
			}
			return nil
		})
	}
	require.NotContains(t, app.Partitions(), apptest.PartitionName(nobody))
}

// What is in a queue stays there, whatever the doctor finds and does.
func TestDoctorKeepsMessages(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant := app.CreateTenant("inactive", 1).ID
	app.SetStatus(tenant, "inactive")
	app.Stop()
	app.Put(apptest.QueueName(tenant), uuid.NewString(), "1")
	app.Exec(`DROP TABLE ` + apptest.PartitionName(tenant))
	found, err := examine(t, app, "--fix")
	require.NoError(t, err)
	requireFindings(t, found, "repaired", map[string]string{tenant: "inactive      partition is missing"})
	app.DeleteQueue(apptest.DeadLetterQueueName(tenant))
	found, err = examine(t, app, "--fix")
	require.NoError(t, err)
	requireFindings(t, found, "repaired", map[string]string{tenant: "dead-letter queue is missing"})
	apptest.Await(t, apptest.Long, func() error {
		if n := app.Queue(apptest.QueueName(tenant)).Ready; n != 1 {
			return apptest.NotYet("one message in the queue: %d", n)
		}
		return nil
	})
	app.Start()
	app.SetStatus(tenant, "active")
	app.Stored(tenant, 1)
}

// A doctor that cannot look says so, and not that nothing is amiss.
func TestDoctorWithoutServers(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	app.Stop()
	app.Config.Database.URL = "postgres://nobody@127.0.0.1:1/none?sslmode=disable"
	out, err := app.Command("doctor")
	require.Error(t, err)
	require.Empty(t, out)
}

func declare(t *testing.T, app *apptest.App, queue string, arguments amqp.Table) {
	t.Helper()
	ch := app.Channel()
	_, err := ch.QueueDeclare(queue, true, false, false, false, arguments)
	require.NoError(t, err)
	require.NoError(t, ch.Close())
}

package tests

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

// letterJob is a job about dead letters, as the service answers it.
type letterJob struct {
	JobID    string `json:"job_id"`
	State    string
	Total    int
	Done     int
	Skipped  int
	WaitsFor string `json:"waits_for"`
}

// fillDeadLetters inserts letters whose bodies can be stored by now.
func fillDeadLetters(p *apptest.Probes, tenant, reason string, n int) {
	p.Exec(fmt.Sprintf(`INSERT INTO dead_letters (tenant_id, letter_id, message_id, body, headers, reason, error, attempts, created_at)
		SELECT '%s', gen_random_uuid(), '%s-' || n, convert_to(n::text, 'UTF8'), '{}', '%s', '', 1, now() FROM generate_series(1, %d) AS n`, tenant, reason, reason, n))
}

// awaitJob waits until a job has got somewhere.
func awaitJob(t *testing.T, c *apptest.Client, tenant, id string, reached func(letterJob) bool) (job letterJob) {
	t.Helper()
	apptest.Await(t, 90*time.Second, func() error {
		job = letterJob{}
		c.Want(http.StatusOK, &job, "GET", "/api/dead-letters/jobs/"+id, nil, apptest.ForTenant(tenant))
		if !reached(job) {
			return apptest.NotYet("the job is %+v", job)
		}
		return nil
	})
	return job
}

func ended(j letterJob) bool { return j.State != "running" }

// A job whose replica is killed in the middle is finished, with every letter sent
// and every message stored once.
func TestJobsSurviveTheirReplica(t *testing.T) {
	t.Parallel()
	const letters, given = 3000, 200
	p := apptest.StartProcess(t, "PUBLISH_RATE=300", "DELIVERY_ALLOW_PRIVATE=true")
	tenant, other := p.CreateTenant("a long job", 4).ID, p.CreateTenant("other", 0).ID
	receiver := apptest.NewReceiver(t, apptest.Answering(http.StatusOK))
	endpoint := p.CreateEndpoint(tenant, receiver.URL(), nil)
	payloads := make([]string, given)
	for i := range payloads {
		payloads[i] = fmt.Sprint(i)
	}
	ids := p.PublishAll(tenant, payloads)
	apptest.Await(t, apptest.Long, func() error {
		if e := p.Endpoint(&endpoint); e.Lag != 0 || e.SettledSeq < given {
			return apptest.NotYet("lag %d", e.Lag)
		}
		return nil
	})
	fillDeadLetters(p.Probes, tenant, "unknown", letters)
	p.Exec(fmt.Sprintf(`INSERT INTO dead_letters (tenant_id, letter_id, message_id, body, headers, reason, error, attempts, endpoint_id, seq)
		SELECT tenant_id, gen_random_uuid(), id::text, '', '{}', 'delivery_failed', 'status 500', 8, '%s', seq FROM messages WHERE tenant_id = '%s' AND seq <= %d`,
		endpoint.ID, tenant, given))

	var job letterJob
	p.Want(http.StatusAccepted, &job, "POST", "/api/dead-letters/replay", `{"all":true}`, apptest.ForTenant(tenant))
	require.NotEmpty(t, job.JobID)
	require.Equal(t, letters+given, job.Total)
	p.Refused(http.StatusNotFound, "dead_letter_job_not_found", "GET", "/api/dead-letters/jobs/"+job.JobID, nil, apptest.ForTenant(other))
	p.Refused(http.StatusConflict, "dead_letter_job_running", "POST", "/api/dead-letters/replay", `{"filter":{"reason":"unknown"}}`, apptest.ForTenant(tenant))
	fillDeadLetters(p.Probes, tenant, "id_conflict", 5) // not part of it
	before := awaitJob(t, p.Client, tenant, job.JobID, func(j letterJob) bool { return j.Done > letters/10 })
	require.Less(t, before.Done, letters)
	p.Kill()
	p.Start()
	job = awaitJob(t, p.Client, tenant, job.JobID, ended)
	require.Equal(t, letterJob{JobID: job.JobID, State: "done", Total: letters + given, Done: letters + given}, job)
	require.Equal(t, 5, apptest.QueryRow[int](p.Probes, `SELECT count(*) FROM dead_letters WHERE replayed_at IS NULL`))
	apptest.Await(t, 30*time.Second, func() error {
		if e := p.Endpoint(&endpoint); e.LastSeq < letters+given || e.Lag != 0 {
			return apptest.NotYet("%d stored, lag %d", e.LastSeq, e.Lag)
		}
		return nil
	})
	require.Equal(t, letters+given, p.RequireDense(tenant), "each once")
	times := receiver.Times()
	for _, id := range ids {
		require.GreaterOrEqual(t, times[id], 2, "delivered once, and again for its letter")
	}
}

// Letters are deleted and replayed by filter, by the call itself where they are few;
// a job can be canceled.
func TestDeadLettersByFilter(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant, other := app.CreateTenant("filters", 0).ID, app.CreateTenant("other", 0).ID
	fillDeadLetters(app.Probes, tenant, "unknown", 3)
	fillDeadLetters(app.Probes, tenant, "not_storable", 2)
	fillDeadLetters(app.Probes, tenant, "id_conflict", 1500)
	fillDeadLetters(app.Probes, other, "unknown", 2)
	var result replayed
	app.Want(http.StatusAccepted, &result, "POST", "/api/dead-letters/replay", `{"filter":{"reason":"unknown"}}`, apptest.ForTenant(tenant))
	require.Equal(t, replayed{3, 0}, result)
	app.Stored(tenant, 3)
	var deleted struct{ Deleted int }
	app.Want(http.StatusOK, &deleted, "DELETE", "/api/dead-letters", `{"filter":{"reason":"unknown","from":"2020-01-01T00:00:00Z"}}`, apptest.ForTenant(tenant))
	require.Equal(t, 3, deleted.Deleted, "replayed or not")
	app.Want(http.StatusOK, &deleted, "DELETE", "/api/dead-letters", `{"filter":{"to":"2020-01-01T00:00:00Z"}}`, apptest.ForTenant(tenant))
	require.Zero(t, deleted.Deleted)
	var job letterJob
	app.Want(http.StatusAccepted, &job, "DELETE", "/api/dead-letters", `{"filter":{"reason":"id_conflict"}}`, apptest.ForTenant(tenant))
	require.Equal(t, 1500, job.Total)
	job = awaitJob(t, app.Client, tenant, job.JobID, ended)
	require.Equal(t, letterJob{JobID: job.JobID, State: "done", Total: 1500, Done: 1500}, job)
	require.Len(t, deadLetters(t, app, tenant, "", 2), 2)
	deadLetters(t, app, other, "", 2)

	// Nothing gets on while the tenant takes no messages.
	fillDeadLetters(app.Probes, tenant, "id_conflict", 1500)
	app.SetStatus(tenant, "inactive")
	app.Want(http.StatusAccepted, &job, "POST", "/api/dead-letters/replay", `{"filter":{"reason":"id_conflict"}}`, apptest.ForTenant(tenant))
	job = awaitJob(t, app.Client, tenant, job.JobID, func(j letterJob) bool { return j.WaitsFor != "" })
	require.Zero(t, job.Done)
	app.Refused(http.StatusNotFound, "dead_letter_job_not_found", "DELETE", "/api/dead-letters/jobs/"+job.JobID, nil, apptest.ForTenant(other))
	app.Want(http.StatusOK, &job, "DELETE", "/api/dead-letters/jobs/"+job.JobID, nil, apptest.ForTenant(tenant))
	require.Equal(t, "canceled", job.State)
	require.Zero(t, apptest.QueryRow[int](app.Probes, `SELECT count(*) FROM dead_letters WHERE replayed_at IS NOT NULL`))
}

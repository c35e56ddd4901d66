package repository

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// jobLease is for how long jobs are left alone in tests.
const jobLease = time.Minute

func (d *database) insertJob(t testing.TB, tenantID uuid.UUID, owner string, change ...func(*domain.DeadLetterJob)) domain.DeadLetterJob {
	t.Helper()
	j := domain.DeadLetterJob{ID: newID(t), TenantID: tenantID, Owner: owner, Action: domain.ReplayDeadLetters, Last: 1 << 40, Total: 10}
	for _, c := range change {
		c(&j)
	}
	inserted, err := d.store.InsertDeadLetterJob(t.Context(), j)
	require.NoError(t, err)
	return inserted
}

// takeJob takes a job and requires that there is one.
func (d *database) takeJob(t testing.TB) domain.DeadLetterJob {
	t.Helper()
	j, ok, err := d.store.TakeDeadLetterJob(t.Context(), jobLease)
	require.NoError(t, err)
	require.True(t, ok)
	return j
}

func (d *database) requireNoJob(t testing.TB) {
	t.Helper()
	_, ok, err := d.store.TakeDeadLetterJob(t.Context(), jobLease)
	require.NoError(t, err)
	require.False(t, ok)
}

func TestDeadLetterJobsAreKept(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	id, other := d.newLane(t), d.newLane(t)
	at := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	filter := domain.DeadLetterFilter{Reason: domain.ReasonDeliveryFailed, EndpointID: newID(t), From: at, To: at.Add(time.Hour)}
	j := d.insertJob(t, id, "user 1", func(j *domain.DeadLetterJob) { j.Filter, j.Action, j.Last = filter, domain.DeleteDeadLetters, 17 })
	want := domain.DeadLetterJob{
		ID: j.ID, TenantID: id, Owner: "user 1", Action: domain.DeleteDeadLetters, Filter: filter, Last: 17, State: domain.DeadLetterJobRunning, Total: 10,
		CreatedAt: j.CreatedAt,
	}
	require.Equal(t, want, j)
	require.WithinDuration(t, time.Now(), j.CreatedAt, time.Minute)
	found, err := d.store.FindDeadLetterJob(t.Context(), id, j.ID)
	require.NoError(t, err)
	require.Equal(t, want, found)
	for _, tenant := range []uuid.UUID{other, newID(t)} {
		_, err = d.store.FindDeadLetterJob(t.Context(), tenant, j.ID)
		require.ErrorIs(t, err, domain.ErrNotFound, "it is another tenant's")
		_, err = d.store.CancelDeadLetterJob(t.Context(), tenant, j.ID)
		require.ErrorIs(t, err, domain.ErrNotFound)
	}

	listed, err := d.store.ListDeadLetterJobs(t.Context(), id, 5)
	require.NoError(t, err)
	require.Equal(t, []domain.DeadLetterJob{want}, listed)
	listed, err = d.store.ListDeadLetterJobs(t.Context(), other, 5)
	require.NoError(t, err)
	require.Empty(t, listed)

	// One at a time for each tenant.
	second := domain.DeadLetterJob{ID: newID(t), TenantID: id, Owner: "x", Action: domain.ReplayDeadLetters, Last: 1}
	_, err = d.store.InsertDeadLetterJob(t.Context(), second)
	require.ErrorIs(t, err, domain.ErrConflict)
	require.Equal(t, "dead_letter_job_running", domain.CodeOf(err))
	require.Contains(t, err.Error(), j.ID.String())
	d.insertJob(t, other, "x")
	canceled, err := d.store.CancelDeadLetterJob(t.Context(), id, j.ID)
	require.NoError(t, err)
	require.Equal(t, domain.DeadLetterJobCanceled, canceled.State)
	require.WithinDuration(t, time.Now(), canceled.EndedAt, time.Minute)
	again, err := d.store.CancelDeadLetterJob(t.Context(), id, j.ID)
	require.NoError(t, err)
	require.Equal(t, canceled, again)
	_, err = d.store.InsertDeadLetterJob(t.Context(), second)
	require.NoError(t, err)

	// A tenant that is being deleted gets none, and takes those it has with it.
	_, err = d.store.ChangeTenant(t.Context(), other, func(c *domain.Tenant) error { return c.Transition(domain.TenantDeleting) })
	require.NoError(t, err)
	require.NoError(t, d.store.ErasePartition(t.Context(), other))
	require.Equal(t, 2, ask[int](t, d, `SELECT count(*) FROM dead_letter_jobs`))
	for _, tenant := range []uuid.UUID{other, newID(t)} {
		_, err = d.store.InsertDeadLetterJob(t.Context(), domain.DeadLetterJob{ID: newID(t), TenantID: tenant, Action: domain.ReplayDeadLetters})
		require.ErrorIs(t, err, domain.ErrNotFound)
	}

	// What has ended is not kept for ever.
	n, err := d.store.DeleteOldDeadLetterJobs(t.Context(), time.Hour, 10)
	require.NoError(t, err)
	require.Zero(t, n)
	d.exec(t, `UPDATE dead_letter_jobs SET ended_at = now() - interval '2 h' WHERE ended_at IS NOT NULL`)
	d.exec(t, `UPDATE dead_letter_jobs SET created_at = now() - interval '2 h'`)
	n, err = d.store.DeleteOldDeadLetterJobs(t.Context(), time.Hour, 10)
	require.NoError(t, err)
	require.Equal(t, 1, n)
}

// A job is one replica's until its lease is over, and nobody's turn is later than that
// of an owner with many jobs.
func TestDeadLetterJobsAreTakenInTurn(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.requireNoJob(t)
	var greedy []domain.DeadLetterJob
	for range 5 {
		greedy = append(greedy, d.insertJob(t, d.newLane(t), "greedy"))
	}
	modest := d.insertJob(t, d.newLane(t), "modest")
	first := d.takeJob(t)
	require.Equal(t, greedy[0].ID, first.ID)
	require.EqualValues(t, 1, first.Turn)
	require.Equal(t, modest.ID, d.takeJob(t).ID, "its owner had no turn yet")
	require.Equal(t, greedy[1].ID, d.takeJob(t).ID)
	require.NoError(t, d.store.PauseDeadLetterJob(t.Context(), first, 0, ""))
	modest.Turn = 1
	require.NoError(t, d.store.PauseDeadLetterJob(t.Context(), modest, 0, "the broker"))
	require.Equal(t, modest.ID, d.takeJob(t).ID)
	require.Equal(t, greedy[2].ID, d.takeJob(t).ID)
	require.Equal(t, greedy[3].ID, d.takeJob(t).ID)
	require.Equal(t, greedy[4].ID, d.takeJob(t).ID)
	require.Equal(t, first.ID, d.takeJob(t).ID)
	d.requireNoJob(t)
	found, err := d.store.FindDeadLetterJob(t.Context(), modest.TenantID, modest.ID)
	require.NoError(t, err)
	require.Equal(t, "the broker", found.WaitsFor)

	// The lease of one is over: that of before can do nothing any more.
	d.exec(t, `UPDATE dead_letter_jobs SET due_at = now() - interval '1 s' WHERE id = $1`, modest.ID)
	now := d.takeJob(t)
	require.EqualValues(t, 3, now.Turn)
	before := now
	before.Turn = 2
	_, err = d.store.StepDeadLetterJob(t.Context(), before, domain.DeadLetterStep{Cursor: 5, Skipped: 1}, jobLease)
	require.ErrorIs(t, err, domain.ErrConflict)
	require.NoError(t, d.store.PauseDeadLetterJob(t.Context(), before, 0, "x"))
	require.NoError(t, d.store.FinishDeadLetterJob(t.Context(), before))
	d.requireNoJob(t)
	now, err = d.store.StepDeadLetterJob(t.Context(), now, domain.DeadLetterStep{Cursor: 5, Skipped: 4}, jobLease)
	require.NoError(t, err)
	require.EqualValues(t, 5, now.Cursor)
	require.EqualValues(t, 4, now.Done)
	require.EqualValues(t, 4, now.Skipped)
	require.Empty(t, now.WaitsFor)
	require.NoError(t, d.store.FinishDeadLetterJob(t.Context(), now))
	found, err = d.store.FindDeadLetterJob(t.Context(), modest.TenantID, modest.ID)
	require.NoError(t, err)
	require.Equal(t, domain.DeadLetterJobDone, found.State)
	require.EqualValues(t, 10, found.Done)
	require.EqualValues(t, 10, found.Skipped, "six are gone")
	_, err = d.store.StepDeadLetterJob(t.Context(), now, domain.DeadLetterStep{Skipped: 1}, jobLease)
	require.ErrorIs(t, err, domain.ErrConflict)
}

// Whoever looks for jobs at the same time gets different ones.
func TestDeadLetterJobsAreTakenOnce(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	for i := range 30 {
		d.insertJob(t, d.newLane(t), fmt.Sprint("owner ", i%3))
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var workers sync.WaitGroup
	var mu sync.Mutex
	taken := make(map[uuid.UUID]int)
	for range 6 {
		workers.Go(func() {
			for ctx.Err() == nil {
				j, ok, err := d.store.TakeDeadLetterJob(ctx, jobLease)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				if ok {
					taken[j.ID]++
				}
				enough := len(taken) == 30
				mu.Unlock()
				if enough {
					return
				}
			}
		})
	}
	workers.Wait()
	require.Len(t, taken, 30)
	for _, n := range taken {
		require.Equal(t, 1, n)
	}
}

// What a step does and how far the job is then are there together, or not at all.
func TestStepsOfDeadLetterJobs(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s, messages := d.deliveredHistory(t, 5)
	var seqs []int64
	for i := range messages {
		seqs = append(seqs, d.deliveryLetter(t, s, messages[i], int64(i+1), 0))
	}
	d.fillLetters(t, s.TenantID, 6, nil)
	queue := ask[[]int64](t, d, `SELECT array_agg(id ORDER BY id) FROM dead_letters WHERE endpoint_id IS NULL`)
	d.exec(t, `DELETE FROM messages WHERE tenant_id = $1 AND seq = 2`, s.TenantID)
	d.insertJob(t, s.TenantID, "x")
	j := d.takeJob(t)
	refs := d.refs(t, s.TenantID, seqs...)
	lost := j
	lost.Turn++
	for _, step := range []domain.DeadLetterStep{{Reopen: refs}, {Replayed: queue}, {Delete: queue}} {
		_, err := d.store.StepDeadLetterJob(t.Context(), lost, step, jobLease)
		require.ErrorIs(t, err, domain.ErrConflict)
	}
	rows, marked := d.reopened(t, s.TenantID)
	require.Empty(t, rows)
	require.Empty(t, marked)
	require.Equal(t, 11, ask[int](t, d, `SELECT count(*) FROM dead_letters`))

	step := func(step domain.DeadLetterStep) {
		var err error
		j, err = d.store.StepDeadLetterJob(t.Context(), j, step, jobLease)
		require.NoError(t, err)
	}
	step(domain.DeadLetterStep{Reopen: refs, Cursor: seqs[4]})
	require.EqualValues(t, 5, j.Done)
	require.EqualValues(t, 1, j.Skipped, "one of the messages is gone")
	rows, marked = d.reopened(t, s.TenantID)
	require.Equal(t, "1 r1 a0 due, 3 r1 a0 due, 4 r1 a0 due, 5 r1 a0 due", rows)
	require.Len(t, marked, 4)
	step(domain.DeadLetterStep{Replayed: queue[:3], Cursor: queue[3], Skipped: 1})
	require.EqualValues(t, 9, j.Done)
	require.EqualValues(t, 2, j.Skipped)
	_, marked = d.reopened(t, s.TenantID)
	require.Len(t, marked, 7)
	step(domain.DeadLetterStep{Delete: append(queue[4:], 1<<40), Cursor: queue[5]})
	require.EqualValues(t, 12, j.Done)
	require.EqualValues(t, 3, j.Skipped)
	require.Equal(t, 9, ask[int](t, d, `SELECT count(*) FROM dead_letters`))
	require.Equal(t, queue[5], j.Cursor)
	step(domain.DeadLetterStep{Skipped: 1, Cursor: 1})
	require.Equal(t, queue[5], j.Cursor, "it does not go back")
	require.InDelta(t, jobLease.Seconds(), ask[float64](t, d, `SELECT extract(epoch FROM due_at - now()) FROM dead_letter_jobs`), 10)
}

// Letters wait, and not rows: an endpoint that has enough to do gets no more, and
// what it has waiting for a later attempt does not count.
func TestJobsLeaveBusyEndpointsAlone(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s, messages := d.deliveredHistory(t, 2)
	refs := d.refs(t, s.TenantID, d.deliveryLetter(t, s, messages[0], 1, 0))
	d.insertJob(t, s.TenantID, "x")
	j := d.takeJob(t)
	d.exec(t, `INSERT INTO deliveries (tenant_id, endpoint_id, seq, message_id, next_at)
		SELECT $1, $2, n + 100, gen_random_uuid(), now() + CASE WHEN n % 2 = 0 THEN interval '1 h' ELSE '0' END FROM generate_series(1, 2 * $3::int) AS n`,
		s.TenantID, s.EndpointID, maxReopenedDue)
	_, err := d.store.StepDeadLetterJob(t.Context(), j, domain.DeadLetterStep{Reopen: refs, Cursor: 1}, jobLease)
	require.ErrorIs(t, err, domain.ErrLimited)
	d.exec(t, `DELETE FROM deliveries WHERE seq = 101`)
	j, err = d.store.StepDeadLetterJob(t.Context(), j, domain.DeadLetterStep{Reopen: refs, Cursor: 1}, jobLease)
	require.NoError(t, err)
	require.Zero(t, j.Skipped)
	n, err := d.store.ReopenDeliveries(t.Context(), s.TenantID, d.refs(t, s.TenantID, d.deliveryLetter(t, s, messages[1], 2, 0)))
	require.NoError(t, err)
	require.Equal(t, 1, n, "a call is about few")
	blocks, plan := d.blocksRead(t, anyEndpointBusySQL, s.TenantID, []uuid.UUID{s.EndpointID}, maxReopenedDue-1)
	require.Less(t, blocks, 1200, plan)
	require.NotContains(t, plan, "Seq Scan on deliveries")
}

// Counting what a job is about takes no longer than a call may take.
func TestCountingMatchingDeadLetters(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	tenantID, rare, first := d.manyLetters(t)
	for name, q := range map[string]domain.DeadLetterQuery{
		"all": {Replayed: true}, "waiting": {}, "endpoint": {Filter: domain.DeadLetterFilter{EndpointID: rare}, Replayed: true},
		"reason": {Filter: domain.DeadLetterFilter{Reason: domain.ReasonDeliveryFailed}, Replayed: true},
		"late":   {Filter: domain.DeadLetterFilter{From: first.Add(5 * time.Hour)}, Replayed: true},
	} {
		q.TenantID = tenantID
		blocks, plan := d.blocksRead(t, countDeadLettersSQL, letterArgs(&q, 1001)...)
		require.Less(t, blocks, 400, "%s: %s", name, plan)
	}
}

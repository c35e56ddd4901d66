package deadletter

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// runUntilDone runs a runner until the job has ended, or for so long.
func runUntilDone(t *testing.T, j *jobs, runner *JobRunner, tenantID, id uuid.UUID, within time.Duration) domain.DeadLetterJob {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	ended := make(chan struct{})
	go func() { defer close(ended); runner.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	for {
		job, err := j.FindDeadLetterJob(t.Context(), tenantID, id)
		require.NoError(t, err)
		if job.State != domain.DeadLetterJobRunning || ctx.Err() != nil {
			return job
		}
		time.Sleep(10 * time.Millisecond) //nolint:forbidigo // the time of a bubble
	}
}

// What is about more letters than a call works on becomes a job, whose members are
// those that there were; what is about fewer does not.
func TestManyLettersBecomeAJob(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, tenant := newWorld(), active()
		j := newJobs(w)
		begun := 0
		s := j.service(func() { begun++ })
		w.die(tenant.ID, domain.MaxDeadLettersAtOnce)
		endpoint := uuid.New()
		deliveries := w.dieAt(tenant.ID, endpoint, domain.MaxDeadLettersAtOnce)
		result, err := s.Replay(t.Context(), tenant, domain.DeadLetterSelection{Filter: domain.DeadLetterFilter{EndpointID: endpoint}})
		require.NoError(t, err)
		require.Equal(t, domain.ReplayResult{Replayed: domain.MaxDeadLettersAtOnce}, result, "not too many")
		require.Equal(t, deliveries, w.reopened)
		nowhere := w.dieAt(tenant.ID, uuid.Nil, 1)
		w.die(tenant.ID, 5)

		ctx := domain.WithOwner(t.Context(), "user 1")
		result, err = s.Replay(ctx, tenant, domain.DeadLetterSelection{All: true})
		require.NoError(t, err)
		require.NotNil(t, result.Job)
		require.Equal(t, 1, begun)
		require.Zero(t, result.Replayed)
		require.Empty(t, w.bodies(), "the call does nothing itself")
		require.EqualValues(t, 1006, result.Job.Total)
		require.Equal(t, "user 1", result.Job.Owner)
		later := w.die(tenant.ID, 3)
		_, err = s.Replay(ctx, tenant, domain.DeadLetterSelection{All: true})
		require.ErrorIs(t, err, domain.ErrConflict)
		_, err = s.Job(t.Context(), uuid.New(), result.Job.ID)
		require.ErrorIs(t, err, domain.ErrNotFound, "another tenant's")

		job := runUntilDone(t, j, j.runner(0, nil), tenant.ID, result.Job.ID, time.Minute)
		require.Equal(t, domain.DeadLetterJobDone, job.State)
		require.EqualValues(t, 1006, job.Done)
		require.EqualValues(t, 1, job.Skipped)
		require.Len(t, w.bodies(), 1005)
		require.Equal(t, append(nowhere, later...), w.waiting(tenant.ID))
		require.True(t, slices.IsSortedFunc(w.published, func(a, b domain.Outgoing) int { return len(a.Body) - len(b.Body) }), "in their order")

		deleted, err := s.Delete(t.Context(), tenant.ID, domain.DeadLetterSelection{Filter: domain.DeadLetterFilter{Reason: domain.ReasonDeliveryFailed}})
		require.NoError(t, err)
		require.EqualValues(t, 1001, deleted.Job.Total)
		job = runUntilDone(t, j, j.runner(0, nil), tenant.ID, deleted.Job.ID, time.Minute)
		require.EqualValues(t, 1001, job.Done)
		require.Zero(t, job.Skipped)
		require.Len(t, w.letters[tenant.ID], 1008)
		require.Equal(t, later, w.waiting(tenant.ID))
	})
}

// beginJob has a tenant with n letters and a job to replay them.
func beginJob(t *testing.T, j *jobs, n int) (domain.Tenant, domain.DeadLetterJob, []int64) {
	t.Helper()
	tenant := active()
	seqs := j.w.die(tenant.ID, n)
	result, err := j.service(nil).Replay(t.Context(), tenant, domain.DeadLetterSelection{All: true})
	require.NoError(t, err)
	require.NotNil(t, result.Job)
	return tenant, *result.Job, seqs
}

// A job takes what its tenant may publish in small parts, so that others get in
// between, and turns end so that those of other tenants get theirs.
func TestJobsPublishAtTheTenantsPace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := newJobs(newWorld())
		tenant, job, _ := beginJob(t, j, 1001)
		j.w.letters[tenant.ID][5].Body = make([]byte, 3*rateUnit)
		j.w.letters[tenant.ID][6].Body = make([]byte, 20*rateUnit)
		var most, turns int
		runner := j.runner(80, func(ctx context.Context, of domain.Tenant, sizes []int) error {
			require.Equal(t, tenant.ID, of.ID)
			units := 0
			for _, size := range sizes {
				units += max(1, (size+rateUnit-1)/rateUnit)
			}
			if len(sizes) > 1 {
				most = max(most, units)
			}
			select {
			case <-time.After(time.Duration(units) * time.Second / 80):
				return nil
			case <-ctx.Done():
				turns++
				return domain.New(domain.ErrLimited, "rate_exceeded", "Too fast.")
			}
		})
		begun := time.Now()
		ended := runUntilDone(t, j, runner, tenant.ID, job.ID, time.Minute)
		require.Equal(t, domain.DeadLetterJobDone, ended.State)
		require.Len(t, j.w.replayed(tenant.ID), 1001)
		require.LessOrEqual(t, most, 10)
		require.InDelta(t, 1001/80, time.Since(begun).Seconds(), 2)
		require.Positive(t, turns)
		for _, waitsFor := range j.pauses {
			require.Empty(t, waitsFor, "to have had its turn is nothing to wait for")
		}
	})
}

// While the broker is away, or an endpoint has enough to do, a job waits, and says
// why. Letters stay as they are.
func TestJobsWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := newJobs(newWorld())
		endpoint := uuid.New()
		tenant, job, queue := beginJob(t, j, 1001)
		deliveries := j.w.dieAt(tenant.ID, endpoint, 300)
		j.all[job.ID].Last = deliveries[299]
		j.w.publish = func(context.Context, domain.Outgoing) error { return away() }
		runner := j.runner(0, nil)
		waits := runUntilDone(t, j, runner, tenant.ID, job.ID, time.Minute)
		require.Equal(t, domain.DeadLetterJobRunning, waits.State)
		require.Equal(t, "The broker is away.", waits.WaitsFor)
		require.Zero(t, waits.Done)
		require.Empty(t, j.w.replayed(tenant.ID))

		j.w.publish = func(context.Context, domain.Outgoing) error { return nil }
		j.busy[endpoint] = true
		waits = runUntilDone(t, j, runner, tenant.ID, job.ID, time.Minute)
		require.Equal(t, "It is busy.", waits.WaitsFor)
		require.Equal(t, queue, j.w.replayed(tenant.ID))
		j.w.mu.Lock()
		j.busy[endpoint] = false
		j.w.mu.Unlock()
		ended := runUntilDone(t, j, runner, tenant.ID, job.ID, time.Minute)
		require.Equal(t, domain.DeadLetterJobDone, ended.State)
		require.Equal(t, deliveries, j.w.reopened)
		require.Len(t, j.w.bodies(), 1001)
	})
}

// One letter that the broker never takes is skipped, and keeps no other waiting; one
// that it does not take at once is published again.
func TestJobsPassALetterThatIsNeverTaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := newJobs(newWorld())
		tenant, job, seqs := beginJob(t, j, 1200)
		tried := make(map[string]int)
		j.w.publish = func(_ context.Context, m domain.Outgoing) error {
			b := string(m.Body)
			if tried[b]++; b == "3" || b == "700" || b == "701" || b == "900" && tried[b] == 1 {
				return away()
			}
			return nil
		}
		ended := runUntilDone(t, j, j.runner(0, nil), tenant.ID, job.ID, time.Hour)
		require.Equal(t, domain.DeadLetterJobDone, ended.State)
		require.EqualValues(t, 1200, ended.Done)
		require.EqualValues(t, 3, ended.Skipped)
		require.Equal(t, []int64{seqs[2], seqs[699], seqs[700]}, j.w.waiting(tenant.ID))
		require.Len(t, j.w.bodies(), 1197, "each once")
	})
}

// Whatever becomes of a replica in the middle of a job, another one finishes it, with
// every letter counted once.
func TestJobsGoOn(t *testing.T) {
	t.Parallel()
	for name, disturb := range map[string]func(j *jobs, step int) (before, after error){
		"the database is away":       func(_ *jobs, step int) (error, error) { return failEvery(step, 3), nil },
		"the answer is lost":         func(_ *jobs, step int) (error, error) { return nil, failEvery(step, 3) },
		"both":                       func(_ *jobs, step int) (error, error) { return failEvery(step, 2), failEvery(step, 3) },
		"another one takes the turn": func(j *jobs, step int) (error, error) { j.stealEvery(step, 4); return nil, nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				j := newJobs(newWorld())
				tenant, job, seqs := beginJob(t, j, 1100)
				deliveries := j.w.dieAt(tenant.ID, uuid.New(), 500)
				more := j.w.die(tenant.ID, 300)
				j.all[job.ID].Last, j.all[job.ID].Total = more[299], 1900
				step := 0
				j.before = func(domain.DeadLetterStep) error {
					j.w.mu.Lock()
					defer j.w.mu.Unlock()
					step++
					before, _ := disturb(j, step)
					return before
				}
				j.after = func() error { _, after := disturb(j, step); return after }
				ended := runUntilDone(t, j, j.runner(0, nil), tenant.ID, job.ID, time.Hour)
				require.Equal(t, domain.DeadLetterJobDone, ended.State)
				require.EqualValues(t, 1900, ended.Done)
				if name != "another one takes the turn" { // what the one before published is not its own
					require.Zero(t, ended.Skipped)
				}
				require.Empty(t, j.w.waiting(tenant.ID))
				require.Equal(t, deliveries, j.w.reopened, "each once")
				times := make(map[string]int)
				for _, body := range j.w.bodies() {
					times[body]++
				}
				require.Len(t, times, len(seqs)+len(more))
			})
		})
	}
}

func failEvery(step, n int) error {
	if step%n == 0 {
		return away()
	}
	return nil
}

// stealEvery has another replica begin a turn, which it does not go on with.
func (j *jobs) stealEvery(step, n int) {
	if step%n == 0 {
		for _, job := range j.all {
			job.Turn++
			job.due = time.Now().Add(jobLease)
		}
	}
}

// A job that was canceled changes nothing any more; what was published meanwhile is
// marked nevertheless.
func TestCanceledJobsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := newJobs(newWorld())
		tenant, job, seqs := beginJob(t, j, 2000)
		j.w.publish = func(ctx context.Context, m domain.Outgoing) error {
			if string(m.Body) == fmt.Sprint(seqs[600]) {
				_, err := j.service(nil).CancelJob(ctx, tenant.ID, job.ID)
				return err
			}
			return nil
		}
		ended := runUntilDone(t, j, j.runner(0, nil), tenant.ID, job.ID, time.Minute)
		require.Equal(t, domain.DeadLetterJobCanceled, ended.State)
		require.Less(t, ended.Done, int64(700))
		require.Len(t, j.w.bodies(), len(j.w.replayed(tenant.ID)))
		require.Less(t, len(j.w.bodies()), 900)
	})
}

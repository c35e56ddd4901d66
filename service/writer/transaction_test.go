package writer

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/service/writer/writertest"
)

// committed collects the commits that a writer reports.
type committed struct {
	mu      sync.Mutex
	calls   [][]uuid.UUID
	commits []Commit
}

func (c *committed) report(commit Commit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, slices.Clone(commit.Tenants))
	c.commits = append(c.commits, commit)
}

func (c *committed) of(tenant uuid.UUID) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, call := range c.calls {
		for _, id := range call {
			if id == tenant {
				n++
			}
		}
	}
	return n
}

func TestWriterReportsCommits(t *testing.T) {
	t.Parallel()
	store, told := writertest.NewStore(), &committed{}
	w := startWriter(t, Options{Repository: store, Committed: told.report})
	tenant := uuid.New()
	messages := messagesOf(tenant, 3)
	for range 2 { // the second time they are duplicates, of a commit that may not have been reported
		before := told.of(tenant)
		_, err := w.Store(t.Context(), messages)
		require.NoError(t, err)
		require.Equal(t, before+1, told.of(tenant), "told before the caller goes on")
	}

	rejected := uuid.New()
	store.SetFault(func(batch []domain.Message) error {
		if writertest.Has(batch, rejected) {
			return domain.New(domain.ErrRejected, "row_rejected", "bad row")
		}
		return nil
	})
	_, err := w.Store(t.Context(), messagesOf(rejected, 2))
	require.NoError(t, err)
	require.Zero(t, told.of(rejected))
}

// What was stored is reported with what the store gave it, and a transaction that
// failed with the tenants whose messages may have been stored all the same.
func TestWriterReportsWhatWasStored(t *testing.T) {
	t.Parallel()
	store, told, uncertain := writertest.NewStore(), &committed{}, &committed{}
	w := startWriter(t, Options{
		Repository: store, Committed: told.report,
		Uncertain: func(tenants []uuid.UUID) { uncertain.report(Commit{Tenants: tenants}) },
	})
	tenant := uuid.New()
	messages := messagesOf(tenant, 3)
	_, err := w.Store(t.Context(), messages)
	require.NoError(t, err)
	stored := store.Stored(tenant)
	require.Len(t, told.commits, 1)
	for i, m := range told.commits[0].Messages {
		require.Equal(t, messages[i], m)
		want := domain.AppendResult{Outcome: domain.AppendStored, Seq: stored[i].Seq, CreatedAt: stored[i].CreatedAt}
		require.Equal(t, want, told.commits[0].Appended[i])
	}
	require.Empty(t, uncertain.calls)

	var once sync.Once
	store.SetFault(func([]domain.Message) (err error) {
		once.Do(func() { err = domain.New(domain.ErrUnavailable, "down", "down") })
		return err
	})
	_, err = w.Store(t.Context(), messagesOf(tenant, 2))
	require.NoError(t, err)
	require.Equal(t, [][]uuid.UUID{{tenant}}, uncertain.calls)
	require.Len(t, told.commits, 2)
}

// A parked tenant is stored by another goroutine than the others.
func TestWriterReportsCommitsOfAParkedTenant(t *testing.T) {
	t.Parallel()
	store, told := writertest.NewStore(), &committed{}
	w := startWriter(t, Options{Repository: store, Committed: told.report})
	blocked, free := uuid.New(), uuid.New()
	var mu sync.Mutex
	refusals := 0
	store.SetFault(func(batch []domain.Message) error {
		mu.Lock()
		defer mu.Unlock()
		if writertest.Has(batch, blocked) && refusals < 4 {
			refusals++
			return domain.New(domain.ErrContended, "blocked", "blocked")
		}
		return nil
	})
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := w.Store(t.Context(), messagesOf(blocked, 10)); err != nil {
			t.Errorf("store: %v", err)
		}
	})
	for range 100 {
		_, err := w.Store(t.Context(), messagesOf(free, 1))
		require.NoError(t, err)
	}
	wg.Wait()
	require.Equal(t, 1, told.of(blocked))
	require.Equal(t, 100, told.of(free))
}

func TestEveryTenantOfABatchIsReportedOnce(t *testing.T) {
	t.Parallel()
	store, told := writertest.NewStore(), &committed{}
	w := New(Options{Repository: store, Log: slog.New(slog.DiscardHandler), Committed: told.report})
	var tenants []uuid.UUID
	var jobs []*job
	for range 5 {
		id := uuid.New()
		tenants = append(tenants, id)
		m := messagesOf(id, 3*turnRows+rand.IntN(turnRows)) // several turns each
		jobs = append(jobs, newJob(t.Context(), m))
	}
	for _, j := range jobs {
		w.backlog.add(j)
	}
	batch := w.backlog.next()
	require.NoError(t, w.store(t.Context(), batch))
	require.Len(t, told.calls, 1)
	require.ElementsMatch(t, tenants, told.calls[0])

	// The ids need no memory of their own.
	messages := make([]domain.Message, len(batch))
	appended := make([]domain.AppendResult, len(batch))
	for i, r := range batch {
		messages[i], appended[i].Outcome = *r.message(), domain.AppendStored
	}
	appended[0].Outcome = domain.AppendConflict
	touched := tenantsOf(messages, w.touched, func(i int) bool { return appended[i].Outcome == domain.AppendStored })
	require.ElementsMatch(t, tenants, touched)
	require.Same(t, &w.touched[:1][0], &touched[0])
}

func TestWriterReportsNothingThatIsNotCommitted(t *testing.T) {
	t.Parallel()
	store, told := writertest.NewStore(), &committed{}
	var failures atomic.Int64
	w := startWriter(t, Options{Repository: store, Committed: told.report, Failed: func(reason string) {
		assert.Equal(t, "unavailable", reason)
		failures.Add(1)
	}})
	store.SetFault(func([]domain.Message) error { return domain.New(domain.ErrUnavailable, "down", "down") })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	tenant := uuid.New()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = w.Store(ctx, messagesOf(tenant, 1))
	}()
	require.Eventually(t, func() bool { _, away := w.UnavailableSince(); return away }, 10*time.Second, time.Millisecond)
	require.Zero(t, told.of(tenant))
	require.Positive(t, failures.Load())
	cancel()
	<-done
}

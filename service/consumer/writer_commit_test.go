package consumer

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// committed collects what a writer tells of its commits.
type committed struct {
	mu    sync.Mutex
	calls [][]uuid.UUID
}

func (c *committed) tell(tenants []uuid.UUID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, slices.Clone(tenants))
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

func TestWriterTellsOfCommits(t *testing.T) {
	t.Parallel()
	store, told := newFaultyStore(), &committed{}
	w := startWriter(t, WriterOptions{Repository: store, Committed: told.tell})
	tenant := uuid.New()
	messages := messagesOf(tenant, 3)
	for range 2 { // the second time they are duplicates, of a commit that nobody may have been told of
		before := told.of(tenant)
		_, err := w.Store(t.Context(), messages)
		require.NoError(t, err)
		require.Equal(t, before+1, told.of(tenant), "told before the caller goes on")
	}

	rejected := uuid.New()
	store.setFault(func(batch []domain.Message) error {
		if has(batch, rejected) {
			return domain.New(domain.ErrRejected, "row_rejected", "bad row")
		}
		return nil
	})
	_, err := w.Store(t.Context(), messagesOf(rejected, 2))
	require.NoError(t, err)
	require.Zero(t, told.of(rejected))
}

// A tenant that was set aside is stored by another goroutine than the others.
func TestWriterTellsOfCommitsOfATenantSetAside(t *testing.T) {
	t.Parallel()
	store, told := newFaultyStore(), &committed{}
	w := startWriter(t, WriterOptions{Repository: store, Committed: told.tell})
	blocked, free := uuid.New(), uuid.New()
	var mu sync.Mutex
	refusals := 0
	store.setFault(func(batch []domain.Message) error {
		mu.Lock()
		defer mu.Unlock()
		if has(batch, blocked) && refusals < 4 {
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

func TestEveryTenantOfABatchIsToldOnce(t *testing.T) {
	t.Parallel()
	store, told := newFaultyStore(), &committed{}
	w := NewWriter(WriterOptions{Repository: store, Log: slog.New(slog.DiscardHandler), Committed: told.tell})
	var tenants []uuid.UUID
	var jobs []*job
	for range 5 {
		id := uuid.New()
		tenants = append(tenants, id)
		m := messagesOf(id, 3*turnRows+rand.IntN(turnRows)) // several turns each
		jobs = append(jobs, &job{ctx: t.Context(), messages: m, results: make([]Result, len(m)), done: make(chan struct{}), left: len(m)})
	}
	for _, j := range jobs {
		w.enqueue(j)
	}
	batch := w.collect()
	require.NoError(t, w.store(t.Context(), batch))
	require.Len(t, told.calls, 1)
	require.ElementsMatch(t, tenants, told.calls[0])

	// The ids need no memory of their own.
	messages := make([]domain.Message, len(batch))
	outcomes := make([]domain.AppendOutcome, len(batch))
	for i, r := range batch {
		messages[i], outcomes[i] = *r.message(), domain.AppendStored
	}
	outcomes[0] = domain.AppendConflict
	touched := touchedTenants(messages, outcomes, w.touched)
	require.ElementsMatch(t, tenants, touched)
	require.Same(t, &w.touched[:1][0], &touched[0])
}

func TestWriterTellsOfNothingThatIsNotCommitted(t *testing.T) {
	t.Parallel()
	store, told := newFaultyStore(), &committed{}
	w := startWriter(t, WriterOptions{Repository: store, Committed: told.tell})
	store.setFault(func([]domain.Message) error { return domain.New(domain.ErrUnavailable, "down", "down") })
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
	cancel()
	<-done
}

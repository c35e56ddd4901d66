package writer

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"lanekeeper/domain"
	"lanekeeper/service/writer/writertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func startWriter(t *testing.T, o Options) *Writer {
	t.Helper()
	o.Log = slog.New(slog.DiscardHandler)
	w := New(o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); w.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return w
}

func messagesOf(tenant uuid.UUID, n int) []domain.Message {
	messages := make([]domain.Message, n)
	for i := range messages {
		messages[i] = domain.Message{ID: uuid.New(), TenantID: tenant, Payload: fmt.Appendf(nil, "%d", i)}
	}
	return messages
}

func TestWriterStoresEverythingInOrder(t *testing.T) {
	t.Parallel()
	store := writertest.NewStore()
	w := startWriter(t, Options{Repository: store})
	var wg sync.WaitGroup
	for range 30 {
		tenant := uuid.New()
		wg.Go(func() {
			var sent []domain.Message
			for range 40 {
				chunk := messagesOf(tenant, 1+rand.IntN(100))
				sent = append(sent, chunk...)
				results, err := w.Store(t.Context(), chunk)
				if err != nil || len(results) != len(chunk) {
					t.Errorf("store: %v, %d results for %d", err, len(results), len(chunk))
				}
			}
			if got := store.Stored(tenant); len(got) != len(sent) {
				t.Errorf("stored %d of %d", len(got), len(sent))
			} else {
				for i := range got {
					if got[i].ID != sent[i].ID {
						t.Errorf("message %d is out of order", i)
						break
					}
				}
			}
		})
	}
	wg.Wait()
	for _, batch := range store.Batches() {
		require.LessOrEqual(t, len(batch), maxBatchRows)
	}
}

func TestWriterGivesUpThePoisonedRowOnly(t *testing.T) {
	t.Parallel()
	store := writertest.NewStore()
	w := startWriter(t, Options{Repository: store})
	messages := messagesOf(uuid.New(), 256)
	poison := messages[77].ID
	store.SetFault(func(batch []domain.Message) error {
		if writertest.Has(batch, poison) {
			return domain.New(domain.ErrRejected, "row_rejected", "bad row")
		}
		return nil
	})
	results, err := w.Store(t.Context(), messages)
	require.NoError(t, err)
	for i, r := range results {
		if i == 77 {
			require.ErrorIs(t, r.Err, domain.ErrRejected)
			continue
		}
		require.NoError(t, r.Err)
		require.Equal(t, domain.AppendStored, r.Outcome)
	}
	require.Len(t, store.Stored(messages[0].TenantID), 255)
}

func TestWriterGoesOnAroundABlockedTenant(t *testing.T) {
	t.Parallel()
	for _, kind := range []domain.Kind{domain.ErrContended, domain.ErrPartitionMissing} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			store := writertest.NewStore()
			missing := make(chan uuid.UUID, 1000)
			w := startWriter(t, Options{Repository: store, PartitionMissing: func(id uuid.UUID) { missing <- id }})
			blocked, free := uuid.New(), uuid.New()
			store.SetFault(func(batch []domain.Message) error {
				if writertest.Has(batch, blocked) {
					return domain.New(kind, "blocked", "blocked")
				}
				return nil
			})
			var wg sync.WaitGroup
			for range 3 { // more than one call, so that order across calls shows
				chunk := messagesOf(blocked, 300)
				started := make(chan struct{})
				wg.Go(func() {
					close(started)
					results, err := w.Store(t.Context(), chunk)
					if err != nil || results[299].Outcome != domain.AppendStored {
						t.Errorf("blocked tenant: %v", err)
					}
				})
				<-started
			}
			for range 50 {
				results, err := w.Store(t.Context(), messagesOf(free, 10))
				require.NoError(t, err)
				require.Equal(t, domain.AppendStored, results[0].Outcome)
			}
			require.Empty(t, store.Stored(blocked))
			store.SetFault(nil)
			wg.Wait()
			require.Len(t, store.Stored(blocked), 900)
			if kind == domain.ErrPartitionMissing {
				require.Equal(t, blocked, <-missing)
			}
		})
	}
}

func TestWriterHoldsThroughAnOutage(t *testing.T) {
	t.Parallel()
	store := writertest.NewStore()
	w := startWriter(t, Options{Repository: store})
	down := make(chan struct{}, 100)
	store.SetFault(func([]domain.Message) error {
		select {
		case down <- struct{}{}:
		default:
		}
		return domain.New(domain.ErrUnavailable, "down", "down")
	})
	tenant := uuid.New()
	done := make(chan error)
	go func() {
		results, err := w.Store(t.Context(), messagesOf(tenant, 20))
		for _, r := range results {
			if r.Outcome != domain.AppendStored {
				err = fmt.Errorf("outcome %d, %w", r.Outcome, r.Err)
			}
		}
		done <- err
	}()
	for range 3 {
		<-down
	}
	since, away := w.UnavailableSince()
	require.True(t, away)
	require.Contains(t, since.String(), " m=", "setting the clock makes an outage no longer and no shorter")
	store.SetFault(nil)
	require.NoError(t, <-done)
	require.Eventually(t, func() bool { _, away := w.UnavailableSince(); return !away }, time.Second, time.Millisecond)
	require.Len(t, store.Stored(tenant), 20)
}

// A tenant that floods the writer does not make another one wait for more
// than the batch under way.
func TestWriterTakesTurns(t *testing.T) {
	t.Parallel()
	store := writertest.NewStore()
	w := startWriter(t, Options{Repository: store})
	entered, gate := make(chan struct{}, 100), make(chan struct{})
	store.SetFault(func([]domain.Message) error { entered <- struct{}{}; <-gate; return nil })
	flood, quiet := uuid.New(), uuid.New()
	var wg sync.WaitGroup
	send := func(tenant uuid.UUID, n int) {
		wg.Go(func() { _, _ = w.Store(t.Context(), messagesOf(tenant, n)) })
	}
	waiting := func(jobs int) {
		require.Eventually(t, func() bool { return len(w.jobs) == jobs }, 5*time.Second, time.Millisecond)
	}
	send(flood, 256)
	<-entered // the first batch is under way; what comes now waits
	for range 19 {
		send(flood, 256)
	}
	waiting(19)
	send(quiet, 1)
	waiting(20)
	close(gate)
	wg.Wait()
	after := 0
	for _, batch := range store.Batches() {
		if writertest.Has(batch, quiet) {
			break
		}
		after++
	}
	require.LessOrEqual(t, after, 2, "batches before the quiet tenant's row, of %d", len(store.Batches()))
}

// A batch is bounded by all that its messages carry.
func TestBatchesAreBoundedWithHeaders(t *testing.T) {
	t.Parallel()
	b := newBacklog()
	headers := make(map[string]string)
	for i := range domain.MaxHeaders {
		headers[string(rune('a'+i))] = strings.Repeat("v", domain.MaxHeaderValueLength)
	}
	messages := make([]domain.Message, maxBatchRows)
	for i := range messages {
		messages[i] = domain.Message{ID: uuid.New(), Payload: []byte(`1`), Headers: headers}
	}
	b.add(newJob(t.Context(), messages))
	batch := b.next()
	require.Less(t, len(batch), 450)
	require.Greater(t, len(batch), 350)
}

func TestWriterStoresARedeliveryOnce(t *testing.T) {
	t.Parallel()
	store := writertest.NewStore()
	w := startWriter(t, Options{Repository: store})
	tenant := uuid.New()
	m := messagesOf(tenant, 3)
	results, err := w.Store(t.Context(), []domain.Message{m[0], m[1], m[0], m[2], m[0]})
	require.NoError(t, err)
	var outcomes []domain.AppendOutcome
	for _, r := range results {
		outcomes = append(outcomes, r.Outcome)
	}
	require.Equal(t, []domain.AppendOutcome{
		domain.AppendStored, domain.AppendStored, domain.AppendDuplicate, domain.AppendStored, domain.AppendDuplicate,
	}, outcomes)
	require.Len(t, store.Stored(tenant), 3)
}

// Whatever mixture of faults comes, every message ends with one result, is
// stored once, and in order within its tenant.
func TestWriterUnderRandomFaults(t *testing.T) {
	t.Parallel()
	store := writertest.NewStore()
	w := startWriter(t, Options{Repository: store, Linger: time.Millisecond})
	faults := []error{
		domain.New(domain.ErrContended, "random", "random"), domain.New(domain.ErrPartitionMissing, "random", "random"),
		domain.New(domain.ErrUnavailable, "random", "random"), refusal(),
	}
	poison := make(map[uuid.UUID]bool)
	var mu sync.Mutex
	store.SetFault(func(batch []domain.Message) error {
		if rand.IntN(4) == 0 {
			return faults[rand.IntN(len(faults))]
		}
		mu.Lock()
		defer mu.Unlock()
		for _, m := range batch {
			if poison[m.ID] {
				return domain.New(domain.ErrRejected, "poison", "poison")
			}
		}
		return nil
	})
	var wg sync.WaitGroup
	for range 10 {
		tenant := uuid.New()
		wg.Go(func() {
			var want []uuid.UUID
			for range 5 {
				chunk := messagesOf(tenant, 1+rand.IntN(40))
				mu.Lock()
				for _, m := range chunk {
					if rand.IntN(40) == 0 {
						poison[m.ID] = true
					} else {
						want = append(want, m.ID)
					}
				}
				mu.Unlock()
				results, err := w.Store(t.Context(), chunk)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for i, r := range results {
					if poison[chunk[i].ID] != (r.Err != nil) || (r.Err == nil) != (r.Outcome == domain.AppendStored) {
						t.Errorf("message %d: poison %v, %+v", i, poison[chunk[i].ID], r)
					}
				}
				mu.Unlock()
			}
			var got []uuid.UUID
			for _, m := range store.Stored(tenant) {
				got = append(got, m.ID)
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("stored %d, want %d in order", len(got), len(want))
			}
		})
	}
	wg.Wait()
}

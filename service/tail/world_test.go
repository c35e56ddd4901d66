package tail

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"lanekeeper/domain"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what should happen at once.
const patience = 30 * time.Second

// world has histories, and a service that keeps their tails.
type world struct {
	*Service

	mu        sync.Mutex
	histories map[uuid.UUID][]domain.Message
	fault     func(ctx context.Context) error // asked before the ends are read
	meanwhile func()                          // called once, when they are read but not returned
	queries   [][]uuid.UUID
}

// newWorld runs a service until the test ends. Nobody looks by himself unless the
// test says so.
func newWorld(t testing.TB, o Options, tenants ...uuid.UUID) *world {
	t.Helper()
	w := &world{histories: make(map[uuid.UUID][]domain.Message)}
	for _, id := range tenants {
		w.histories[id] = []domain.Message{}
	}
	o.Histories = w
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Interval == 0 {
		o.Interval = 1000 * time.Hour
	}
	w.Service = NewService(o)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() { defer close(done); w.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return w
}

// LastSeqs implements domain.TailRepository.
func (w *world) LastSeqs(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]int64, error) {
	w.mu.Lock()
	fault := w.fault
	w.queries = append(w.queries, slices.Clone(ids))
	w.mu.Unlock()
	if fault != nil {
		if err := fault(ctx); err != nil {
			return nil, err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	ends := make(map[uuid.UUID]int64)
	for _, id := range ids {
		if history, ok := w.histories[id]; ok {
			ends[id] = int64(len(history))
		}
	}
	if meanwhile := w.meanwhile; meanwhile != nil {
		w.meanwhile = nil
		w.mu.Unlock()
		meanwhile()
		w.mu.Lock()
	}
	return ends, nil
}

func (w *world) setFault(fault func(context.Context) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault = fault
}

// during has f called when the next query has read what it will return.
func (w *world) during(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.meanwhile = f
}

func (w *world) queried() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.queries)
}

// store commits n messages with payloads of about a size, and tells nobody.
func (w *world) store(tenant uuid.UUID, n, size int) (messages []domain.Message, appended []domain.AppendResult) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for range n {
		seq := int64(len(w.histories[tenant])) + 1
		m := domain.Message{ID: uuid.New(), TenantID: tenant, Payload: fmt.Appendf(nil, `{"n":%d,"x":"%*s"}`, seq, size, "")}
		messages = append(messages, m)
		appended = append(appended, domain.AppendResult{Outcome: domain.AppendStored, Seq: seq, CreatedAt: time.Unix(seq, 0).UTC()})
		m.Payload = fmt.Appendf(nil, `{"n": %d, "x": "%*s"}`, seq, size, "")
		m.Seq, m.CreatedAt, m.Bytes = seq, time.Unix(seq, 0).UTC(), len(m.Payload)
		w.histories[tenant] = append(w.histories[tenant], m)
	}
	return messages, appended
}

// commit stores messages and hands them over.
func (w *world) commit(tenant uuid.UUID, n, size int) { w.Committed(w.store(tenant, n, size)) }

// restore has a history end at last, as if it came from a copy.
func (w *world) restore(tenant uuid.UUID, last int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.histories[tenant] = slices.Clone(w.histories[tenant][:last])
}

func (w *world) erase(tenant uuid.UUID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.histories, tenant)
}

var (
	errConflict = errors.New("the cursor is ahead of the history")
	errGone     = errors.New("there is no history")
)

// read reads the database.
func (w *world) read(tenant uuid.UUID, cursor int64, limit int) ([]domain.Message, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	history, ok := w.histories[tenant]
	switch {
	case !ok:
		return nil, errGone
	case cursor > int64(len(history)):
		return nil, errConflict
	}
	return slices.Clone(history[cursor:min(cursor+int64(limit), int64(len(history)))]), nil
}

// follower reads a history by its tail, as all readers do.
type follower struct {
	world  *world
	tail   domain.Tail
	tenant uuid.UUID
	cursor int64
	reads  int // of the database
	rows   int // from memory
	// wrong, if it is not nil, is what somebody does who reads differently.
	wrong func(domain.TailView) domain.TailView
}

func (w *world) follow(t testing.TB, tenant uuid.UUID, cursor int64) *follower {
	t.Helper()
	f := &follower{world: w, tail: w.Open(tenant), tenant: tenant, cursor: cursor}
	t.Cleanup(f.tail.Close)
	return f
}

// until reads up to last, and checks everything with the history.
func (f *follower) until(ctx context.Context, last int64) error {
	for f.cursor < last {
		changed, err := f.step(1+int(f.cursor%7)*50, 1<<20)
		if err != nil {
			return err
		}
		if changed == nil {
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting at %d of %d: %w", f.cursor, last, ctx.Err())
		}
	}
	return nil
}

// step looks once, and returns what to wait for.
func (f *follower) step(limit, maxBytes int) (<-chan struct{}, error) {
	v := f.tail.After(f.cursor, limit, maxBytes)
	if f.wrong != nil {
		v = f.wrong(v)
	}
	messages := v.Messages
	if v.Behind {
		if len(messages) > 0 || v.Changed != nil {
			return nil, fmt.Errorf("behind, and more: %v", v)
		}
		f.reads++
		var err error
		if messages, err = f.world.read(f.tenant, f.cursor, limit); err != nil {
			return nil, err
		}
	} else {
		f.rows += len(messages)
	}
	if !v.Behind && (len(messages) == 0) != (v.Changed != nil) {
		return nil, fmt.Errorf("nothing, and nothing to wait for: %v", v)
	}
	if len(messages) > limit {
		return nil, fmt.Errorf("%d messages, more than %d", len(messages), limit)
	}
	return v.Changed, f.check(messages)
}

// check compares messages with the history.
func (f *follower) check(messages []domain.Message) error {
	if len(messages) == 0 {
		return nil // that the history is another one is for the tail to find out
	}
	want, err := f.world.read(f.tenant, f.cursor, len(messages))
	if err != nil {
		return err
	}
	for i, m := range messages {
		if m.Seq != f.cursor+1 {
			return fmt.Errorf("%d follows %d", m.Seq, f.cursor)
		}
		if i >= len(want) || !equal(m, want[i]) {
			return fmt.Errorf("%v is not %v", m, want)
		}
		f.cursor = m.Seq
	}
	return nil
}

func equal(a, b domain.Message) bool {
	return a.ID == b.ID && a.TenantID == b.TenantID && a.Seq == b.Seq && string(a.Payload) == string(b.Payload) && a.Bytes == b.Bytes &&
		a.CreatedAt.Equal(b.CreatedAt)
}

func (f *follower) requireUntil(t testing.TB, last int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, f.until(ctx, last))
}

// settled waits until everything that was handed over has entered, and the ends
// are known.
func (w *world) settled(t testing.TB) {
	t.Helper()
	require.Eventually(t, func() bool {
		w.ends.mu.Lock()
		doubts := len(w.ends.doubted)
		w.ends.mu.Unlock()
		if w.entrance.bytes.Load() != 0 || doubts != 0 {
			return false
		}
		for _, window := range w.windows.all() {
			window.mu.Lock()
			last := window.last
			window.mu.Unlock()
			w.mu.Lock()
			end := len(w.histories[window.tenant])
			w.mu.Unlock()
			if last != int64(end) {
				return false
			}
		}
		return true
	}, patience, time.Millisecond)
}

// requireCounted requires what is counted to be what there is.
func (w *world) requireCounted(t testing.TB) {
	t.Helper()
	held := int64(0)
	for _, window := range w.windows.all() {
		held += window.requireCounted(t)
	}
	require.Equal(t, held, w.Bytes())
}

func (w *window) requireCounted(t testing.TB) int64 {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	bytes, rows, after := int64(0), 0, int64(-1)
	for _, c := range w.chunks {
		require.Greater(t, c.first(), after, "in order")
		after = c.end()
		chunk := int64(0)
		for i := range c.messages {
			require.Equal(t, c.first()+int64(i), c.messages[i].Seq, "without gaps")
			chunk += sizeOf(&c.messages[i])
		}
		require.Equal(t, chunk, c.bytes)
		bytes, rows = bytes+chunk, rows+len(c.messages)
	}
	require.Equal(t, bytes, w.bytes)
	require.Equal(t, rows, w.rows)
	require.LessOrEqual(t, after, w.last)
	return bytes
}

func (w *window) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rows
}

// pass has time pass, in a bubble of synctest.
func pass(d time.Duration) { <-time.After(d) }

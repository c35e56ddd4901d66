package stream

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"lanekeeper/domain"
	"lanekeeper/pkg/sse"
	"lanekeeper/service/tail"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what should happen at once.
const patience = 30 * time.Second

// memory is a StreamRepository and a TailRepository with the behaviour of the real
// ones.
type memory struct {
	mu      sync.Mutex
	tenants map[uuid.UUID]*history
	fault   func(ctx context.Context) error // asked before every call
	// meanwhile is called once, when a read has seen what it will return.
	meanwhile func()
	reads     int
	rows      int
}

type history struct {
	first    int64
	last     int64 // 0 means first-1
	messages []domain.Message
}

func newMemory(tenants ...uuid.UUID) *memory {
	m := &memory{tenants: make(map[uuid.UUID]*history)}
	for _, id := range tenants {
		m.tenants[id] = &history{first: 1}
	}
	return m
}

// add stores n messages of a size and returns the last seq.
func (m *memory) add(tenant uuid.UUID, n, size int) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.tenants[tenant]
	seq := h.bounds().Last
	for range n {
		seq++
		h.messages = append(h.messages, domain.Message{ID: uuid.New(), TenantID: tenant, Seq: seq, Payload: bytes.Repeat([]byte{'x'}, size)})
	}
	h.last = seq
	return seq
}

func (h *history) bounds() domain.StreamBounds {
	return domain.StreamBounds{First: h.first, Last: max(h.last, h.first-1)}
}

// expire forgets the messages before first.
func (m *memory) expire(tenant uuid.UUID, first int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.tenants[tenant]
	h.first = first
	for len(h.messages) > 0 && h.messages[0].Seq < first {
		h.messages = h.messages[1:]
	}
}

// change works on a history under the lock; nil removes it.
func (m *memory) change(tenant uuid.UUID, f func(h *history) *history) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if h := f(m.tenants[tenant]); h != nil {
		m.tenants[tenant] = h
	} else {
		delete(m.tenants, tenant)
	}
}

func (m *memory) setFault(f func(context.Context) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault = f
}

func (m *memory) duringRead(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.meanwhile = f
}

func (m *memory) counts() (reads, rows int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.reads, m.rows
}

func (m *memory) find(ctx context.Context, tenant uuid.UUID) (*history, error) {
	m.mu.Lock()
	fault := m.fault
	m.mu.Unlock()
	if fault != nil {
		if err := fault(ctx); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, domain.Wrap(err, domain.ErrUnavailable, "database_unavailable", "The database cannot be reached.")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.tenants[tenant]
	if h == nil {
		return nil, domain.TenantNotFound()
	}
	copied := *h
	return &copied, nil
}

func (m *memory) StreamBounds(ctx context.Context, tenant uuid.UUID) (domain.StreamBounds, error) {
	h, err := m.find(ctx, tenant)
	if err != nil {
		return domain.StreamBounds{}, err
	}
	return h.bounds(), nil
}

// LastSeqs implements domain.TailRepository.
func (m *memory) LastSeqs(ctx context.Context, tenants []uuid.UUID) (map[uuid.UUID]int64, error) {
	ends := make(map[uuid.UUID]int64)
	for _, id := range tenants {
		h, err := m.find(ctx, id)
		switch {
		case errors.Is(err, domain.ErrNotFound):
		case err != nil:
			return nil, err
		default:
			ends[id] = h.bounds().Last
		}
	}
	return ends, nil
}

func (m *memory) ReadStream(ctx context.Context, tenant uuid.UUID, cursor int64, limit, maxBytes int) ([]domain.Message, bool, error) {
	h, err := m.find(ctx, tenant)
	if err != nil {
		return nil, false, err
	}
	m.mu.Lock()
	meanwhile := m.meanwhile
	m.meanwhile = nil
	m.mu.Unlock()
	if meanwhile != nil {
		meanwhile()
	}
	if cursor < h.first-1 {
		return nil, false, domain.CursorExpired()
	}
	if cursor > h.bounds().Last {
		return nil, false, domain.CursorAhead()
	}
	var found []domain.Message
	size := 0
	begin, _ := slices.BinarySearchFunc(h.messages, cursor+1, func(m domain.Message, seq int64) int { return cmp.Compare(m.Seq, seq) })
	for _, message := range h.messages[begin:] {
		if size += len(message.Payload) + domain.RowOverhead; len(found) == limit || size > maxBytes && len(found) > 0 {
			break
		}
		found = append(found, message)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads++
	m.rows += len(found)
	return found, begin+len(found) < len(h.messages), nil
}

func encodeEvent(m *domain.Message) []byte {
	return fmt.Appendf(nil, "id: %d\ndata: %s\n\n", m.Seq, m.Payload)
}

// decodeEvents returns the seqs of the events in data, which must be whole.
func decodeEvents(data []byte) ([]int64, error) {
	if len(data) > 0 && !bytes.HasSuffix(data, []byte("\n\n")) {
		return nil, fmt.Errorf("half an event: %.60q", data)
	}
	var seqs []int64
	events := sse.NewReader(bytes.NewReader(data), 4<<10)
	for {
		e, err := events.Next()
		if errors.Is(err, io.EOF) {
			return seqs, nil
		}
		if err != nil {
			return nil, err
		}
		if e.ID == nil || e.Data == nil {
			return nil, fmt.Errorf("half an event: %.60q", data)
		}
		seq, err := strconv.ParseInt(string(e.ID), 10, 64)
		if err != nil {
			return nil, err
		}
		seqs = append(seqs, seq)
	}
}

// store is what a service reads.
type store interface {
	domain.StreamRepository
	domain.TailRepository
}

// served is a service with the tails that its feeds read.
type served struct {
	*Service

	tails *tail.Service
}

// newServed returns a service that looks by itself as often as interval says.
func newServed(o Options, interval time.Duration) *served {
	if o.Encode == nil {
		o.Encode = encodeEvent
	}
	if o.Log == nil {
		o.Log = discard()
	}
	histories, _ := o.Streams.(store)
	tails := tail.NewService(tail.Options{Histories: histories, Log: o.Log, Interval: interval})
	o.Tails, o.Stored = tails, tails.Doubt
	return &served{NewService(o), tails}
}

// Run runs both until ctx ends.
func (s *served) Run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { s.tails.Run(ctx) })
	s.Service.Run(ctx)
	running.Wait()
}

// Committed says that messages were stored, and not which.
func (s *served) Committed(tenants []uuid.UUID) {
	s.tails.Doubt(tenants)
	s.Service.Committed(tenants)
}

// awaitEnd waits until it is known where a history ends.
func (s *served) awaitEnd(t testing.TB, tenant uuid.UUID, last int64) {
	t.Helper()
	end := s.tails.Open(tenant)
	defer end.Close()
	require.Eventually(t, func() bool { v := end.After(last, 1, 1); return v.Changed != nil && v.Last == last }, patience, time.Millisecond)
}

// start runs a service until the test ends. Nobody looks by himself.
func start(t testing.TB, streams domain.StreamRepository, change ...func(*Service)) *served {
	t.Helper()
	return startWith(t, Options{Streams: streams}, change...)
}

func startWith(t testing.TB, o Options, change ...func(*Service)) *served {
	t.Helper()
	return startLooking(t, time.Hour, o, change...)
}

// startLooking runs a service that looks by itself, as often as interval says.
func startLooking(t testing.TB, interval time.Duration, o Options, change ...func(*Service)) *served {
	t.Helper()
	s := newServed(o, interval)
	for _, f := range change {
		f(s.Service)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return s
}

// reader takes events from a stream and checks their order.
type reader struct {
	stream domain.EventStream
	last   int64
	taken  [][]byte
}

func open(t testing.TB, s *served, tenant uuid.UUID, from *int64, last int64) *reader {
	t.Helper()
	stream, err := s.Open(t.Context(), tenant, from)
	require.NoError(t, err)
	t.Cleanup(stream.Close)
	return &reader{stream: stream, last: last}
}

func (r *reader) client() *client {
	c, _ := r.stream.(*client)
	return c
}

// until takes events up to seq.
func (r *reader) until(ctx context.Context, seq int64) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for r.last < seq {
		if err := r.step(ctx); err != nil {
			return fmt.Errorf("after %d, on the way to %d: %w", r.last, seq, err)
		}
	}
	if r.last != seq {
		return fmt.Errorf("there is %d, beyond %d", r.last, seq)
	}
	return nil
}

func (r *reader) step(ctx context.Context) error {
	data, err := r.stream.Next(ctx)
	if err != nil {
		return err
	}
	seqs, err := decodeEvents(data)
	if err != nil {
		return err
	}
	if len(seqs) == 0 {
		return fmt.Errorf("nothing, and no error")
	}
	for _, seq := range seqs {
		if seq != r.last+1 {
			return fmt.Errorf("seq %d follows %d", seq, r.last)
		}
		r.last = seq
	}
	return nil
}

func (s *Service) feedOf(tenant uuid.UUID) *feed {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.feeds[tenant]
}

func redisOptions(t testing.TB, url string) *redis.Options {
	t.Helper()
	o, err := redis.ParseURL(url)
	require.NoError(t, err)
	return o
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

package stream

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// One read serves all clients, and they share the bytes.
func TestClientsShareWhatIsRead(t *testing.T) {
	t.Parallel()
	tenant := uuid.New()
	store := newMemory(tenant)
	s := start(t, store)
	const clients, commits = 15, 20
	streams := make([]domain.EventStream, clients)
	for i := range streams {
		streams[i] = open(t, s, tenant, nil, 0).stream
	}
	for range commits {
		store.add(tenant, 3, 50)
		s.Committed([]uuid.UUID{tenant})
		var first []byte
		for _, stream := range streams {
			data, err := stream.Next(t.Context())
			require.NoError(t, err)
			if first == nil {
				first = data
			}
			require.Same(t, &first[0], &data[0])
			require.Equal(t, len(data), cap(data), "appending must not reach what others read")
		}
	}
	reads, rows := store.counts()
	require.Equal(t, commits, reads)
	require.Equal(t, 3*commits, rows)
}

// Clients that the window does not reach back to read for themselves, in
// pieces, and then go on with the others.
func TestLaggardsCatchUp(t *testing.T) {
	t.Parallel()
	tenant := uuid.New()
	store := newMemory(tenant)
	store.add(tenant, 10_000, 10)
	s := start(t, store)
	ahead := open(t, s, tenant, nil, 10_000)
	behind := open(t, s, tenant, new(int64(0)), 0)
	middle := open(t, s, tenant, new(int64(5_000)), 5_000)
	var work sync.WaitGroup
	for _, r := range []*reader{ahead, behind, middle} {
		work.Go(func() {
			if err := r.until(t.Context(), 12_000); err != nil {
				t.Error(err)
			}
		})
	}
	for range 200 {
		store.add(tenant, 10, 10)
		s.Committed([]uuid.UUID{tenant})
	}
	work.Wait()
	// Now they go together.
	readsBefore, _ := store.counts()
	store.add(tenant, 1, 10)
	s.Committed([]uuid.UUID{tenant})
	for _, r := range []*reader{ahead, behind, middle} {
		require.NoError(t, r.until(t.Context(), 12_001))
	}
	reads, _ := store.counts()
	require.LessOrEqual(t, reads-readsBefore, 2)
}

// A client that takes nothing falls out of the window. It holds up nobody for
// long, costs no memory, and misses nothing when it goes on.
func TestASlowClientHoldsUpNobody(t *testing.T) {
	t.Parallel()
	tenant := uuid.New()
	store := newMemory(tenant)
	s := start(t, store)
	slow, quick := open(t, s, tenant, nil, 0), open(t, s, tenant, nil, 0)
	const total = 5 * windowEvents
	for range total / 64 {
		last := store.add(tenant, 64, 100)
		s.Committed([]uuid.UUID{tenant})
		require.NoError(t, quick.until(t.Context(), last))
	}
	f := s.feedOf(tenant)
	f.window.mu.RLock()
	require.LessOrEqual(t, f.window.events, windowEvents)
	require.Positive(t, f.window.start)
	f.window.mu.RUnlock()
	require.NoError(t, slow.until(t.Context(), total))
}

// A backlog that is read faster than clients take it must not drive them out
// of the window: each would read the database for itself.
func TestTheFeedWaitsForItsClients(t *testing.T) {
	t.Parallel()
	tenant := uuid.New()
	store := newMemory(tenant)
	s := start(t, store)
	const clients, total = 10, 20_000
	var work sync.WaitGroup
	var opened sync.WaitGroup
	opened.Add(clients)
	for range clients {
		r := open(t, s, tenant, nil, 0)
		work.Go(func() {
			opened.Done()
			if err := r.until(t.Context(), total); err != nil {
				t.Error(err)
			}
		})
	}
	opened.Wait()
	store.add(tenant, total, 100)
	s.Committed([]uuid.UUID{tenant})
	work.Wait()
	_, rows := store.counts()
	require.Less(t, rows, 3*total, "rows read in all, for %d clients", clients)
}

func TestFeedsEndWithTheirLastClient(t *testing.T) {
	t.Parallel()
	tenant := uuid.New()
	store := newMemory(tenant)
	s := startLooking(t, time.Millisecond, Options{Streams: store})
	a, b := open(t, s, tenant, nil, 0), open(t, s, tenant, nil, 0)
	a.stream.Close()
	require.NotNil(t, s.feedOf(tenant))
	b.stream.Close()
	require.Nil(t, s.feedOf(tenant))
	s.running.Wait() // the goroutine has ended too
	before, _ := store.counts()
	store.add(tenant, 1, 1)
	s.Committed([]uuid.UUID{tenant})
	after, _ := store.counts()
	require.Equal(t, before, after)
	c := open(t, s, tenant, new(int64(0)), 0)
	require.NoError(t, c.until(t.Context(), 1))
}

// Wake-ups are hints: without any, feeds find out by themselves.
func TestFeedsLookByThemselves(t *testing.T) {
	t.Parallel()
	tenant := uuid.New()
	store := newMemory(tenant)
	s := startLooking(t, 20*time.Millisecond, Options{Streams: store})
	r := open(t, s, tenant, nil, 0)
	for range 5 {
		require.NoError(t, r.until(t.Context(), store.add(tenant, 3, 10)))
	}
}

// Every commit is seen although nobody looks by himself: not one wake-up may
// get lost, wherever the feed is when it comes.
func TestNoWakeUpIsLost(t *testing.T) {
	t.Parallel()
	tenant := uuid.New()
	store := newMemory(tenant)
	s := start(t, store)
	r := open(t, s, tenant, nil, 0)
	var last int64
	commit := func() {
		last = store.add(tenant, 1, 10)
		s.Committed([]uuid.UUID{tenant})
	}
	for range 3000 {
		commit()
		if rand.IntN(2) == 0 {
			commit()
		}
		require.NoError(t, r.until(t.Context(), last))
	}
	for range 100 {
		committed := make(chan struct{})
		store.duringRead(func() { commit(); close(committed) })
		store.add(tenant, 1, 10)
		s.Committed([]uuid.UUID{tenant})
		<-committed
		require.NoError(t, r.until(t.Context(), last))
	}
}

func TestStreamsOutliveTheDatabase(t *testing.T) {
	t.Parallel()
	tenant := uuid.New()
	store := newMemory(tenant)
	store.add(tenant, 5000, 10)
	s := start(t, store)
	waiting, behind := open(t, s, tenant, nil, 5000), open(t, s, tenant, new(int64(7)), 7)
	var calls atomic.Int64
	store.setFault(func(context.Context) error { calls.Add(1); return errAway() })
	last := store.add(tenant, 10, 10)
	s.Committed([]uuid.UUID{tenant})
	begin := time.Now()
	var work sync.WaitGroup
	for _, r := range []*reader{waiting, behind} {
		work.Go(func() {
			if err := r.until(t.Context(), last); err != nil {
				t.Error(err)
			}
		})
	}
	require.Eventually(t, func() bool { return calls.Load() > 8 }, patience, time.Millisecond)
	require.LessOrEqual(t, calls.Load(), 2*(4+int64(time.Since(begin)/retryFirst)*2), "it must not run hot")
	store.setFault(nil)
	work.Wait()
}

// A client that is behind, and whose messages expire before it reads them, is told so.
func TestLaggardsLearnOfExpiredMessages(t *testing.T) {
	t.Parallel()
	tenant := uuid.New()
	store := newMemory(tenant)
	store.add(tenant, 3000, 10)
	s := start(t, store)
	other := open(t, s, tenant, nil, 3000)
	r := open(t, s, tenant, new(int64(0)), 0)
	require.NoError(t, r.step(t.Context()))
	store.expire(tenant, 2000)
	_, err := r.stream.Next(t.Context())
	require.ErrorIs(t, err, domain.ErrGone)
	last := store.add(tenant, 1, 10)
	s.Committed([]uuid.UUID{tenant})
	require.NoError(t, other.until(t.Context(), last))
}

// A message deleted by hand is no reason to stop, for the feed or a client that is behind.
func TestHolesArePassed(t *testing.T) {
	t.Parallel()
	tenant := uuid.New()
	store := newMemory(tenant)
	store.add(tenant, 2000, 10)
	store.change(tenant, func(h *history) *history {
		h.messages = append(h.messages[:99:99], h.messages[100:]...) // 100
		return h
	})
	s := start(t, store)
	waiting := open(t, s, tenant, nil, 2000)
	behind := open(t, s, tenant, new(int64(90)), 90)
	require.NoError(t, behind.readOverHole(t.Context(), 2000))
	require.Eventually(t, func() bool { reads, _ := store.counts(); return reads > 0 }, patience, time.Millisecond)
	store.add(tenant, 1, 10)
	store.change(tenant, func(h *history) *history {
		h.messages[len(h.messages)-1].Seq++ // 2001 is not there
		h.last++
		return h
	})
	s.Committed([]uuid.UUID{tenant})
	for _, r := range []*reader{waiting, behind} {
		data, err := r.stream.Next(t.Context())
		require.NoError(t, err)
		seqs, err := decodeEvents(data)
		require.NoError(t, err)
		require.Equal(t, []int64{2002}, seqs)
	}

	// A feed passes what was deleted before it was read, and reads once for that.
	before, _ := store.counts()
	store.change(tenant, func(h *history) *history { h.last += 3; return h })
	s.Committed([]uuid.UUID{tenant})
	s.awaitEnd(t, tenant, 2005)
	require.Eventually(t, func() bool { _, end := s.feedOf(tenant).window.bounds(); return end == 2005 }, patience, time.Millisecond)
	reads, _ := store.counts()
	require.Equal(t, before+1, reads)
	store.add(tenant, 1, 10)
	s.Committed([]uuid.UUID{tenant})
	data, err := waiting.stream.Next(t.Context())
	require.NoError(t, err)
	seqs, err := decodeEvents(data)
	require.NoError(t, err)
	require.Equal(t, []int64{2006}, seqs)

	// When all that a client should read is deleted it goes on at the window.
	late := open(t, s, tenant, new(int64(2000)), 2000)
	late.client().feed.window.trim(time.Now().Add(time.Hour))
	store.change(tenant, func(*history) *history { return &history{first: 1, last: 2006} })
	ctx, cancel := context.WithTimeout(t.Context(), time.Second/10)
	defer cancel()
	_, err = late.stream.Next(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	store.add(tenant, 1, 10)
	s.Committed([]uuid.UUID{tenant})
	data, err = late.stream.Next(t.Context())
	require.NoError(t, err)
	seqs, err = decodeEvents(data)
	require.NoError(t, err)
	require.Equal(t, []int64{2007}, seqs)
}

func (r *reader) readOverHole(ctx context.Context, until int64) error {
	for r.last < until {
		data, err := r.stream.Next(ctx)
		if err != nil {
			return err
		}
		seqs, err := decodeEvents(data)
		if err != nil {
			return err
		}
		for _, seq := range seqs {
			if seq <= r.last || seq > r.last+2 {
				return fmt.Errorf("seq %d follows %d", seq, r.last)
			}
			r.last = seq
		}
	}
	return nil
}

func TestManyClientsAreWokenLessOften(t *testing.T) {
	t.Parallel()
	require.Zero(t, broadcastPause(1))
	require.Zero(t, broadcastPause(fewClients-1))
	require.Equal(t, 100*time.Millisecond, broadcastPause(1000))
	require.Equal(t, maxClientPause, broadcastPause(1_000_000))

	tenant := uuid.New()
	store := newMemory(tenant)
	s := start(t, store)
	const clients = 200 // 20 ms
	readers := make([]*reader, clients)
	for i := range readers {
		readers[i] = open(t, s, tenant, nil, 0)
	}
	begin := time.Now()
	readsBefore, _ := store.counts()
	var last int64
	for time.Since(begin) < 200*time.Millisecond {
		last = store.add(tenant, 1, 10)
		s.Committed([]uuid.UUID{tenant})
		require.NoError(t, readers[0].until(t.Context(), last)) // so it is the commits that are many
	}
	reads, _ := store.counts()
	require.LessOrEqual(t, reads-readsBefore, 2+int(time.Since(begin)/(20*time.Millisecond)))
	for _, r := range readers {
		require.NoError(t, r.until(t.Context(), last))
	}

	// All of them are, each time.
	for range 3 {
		var work sync.WaitGroup
		var waiting sync.WaitGroup
		waiting.Add(clients)
		next := last + 1
		for _, r := range readers {
			work.Go(func() {
				waiting.Done()
				if err := r.until(t.Context(), next); err != nil {
					t.Error(err)
				}
			})
		}
		waiting.Wait()
		last = store.add(tenant, 1, 10)
		s.Committed([]uuid.UUID{tenant})
		work.Wait()
	}
}

package stream

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

func TestOpen(t *testing.T) {
	t.Parallel()
	fresh, used, old := uuid.New(), uuid.New(), uuid.New()
	world := func(t *testing.T) (*memory, *served) {
		t.Helper()
		store := newMemory(fresh, used, old)
		store.add(used, 10, 10)
		store.add(old, 10, 10)
		store.expire(old, 6)
		return store, start(t, store)
	}
	for name, tt := range map[string]struct {
		tenant uuid.UUID
		from   *int64
		first  int64 // the seq that comes first, of two that are added
		err    error
	}{
		"now":                              {used, nil, 11, nil},
		"now, of an empty history":         {fresh, nil, 1, nil},
		"0 of an empty history":            {fresh, new(int64(0)), 1, nil},
		"from the start":                   {used, new(int64(0)), 1, nil},
		"after a cursor":                   {used, new(int64(4)), 5, nil},
		"at the end":                       {used, new(int64(10)), 11, nil},
		"ahead":                            {used, new(int64(11)), 0, domain.ErrConflict},
		"ahead of an empty history":        {fresh, new(int64(1)), 0, domain.ErrConflict},
		"0 is where the history begins":    {old, new(int64(0)), 6, nil},
		"just before what is kept":         {old, new(int64(5)), 6, nil},
		"before what is kept":              {old, new(int64(4)), 0, domain.ErrGone},
		"far before what is kept":          {old, new(int64(1)), 0, domain.ErrGone},
		"a tenant that there is not":       {uuid.New(), nil, 0, domain.ErrNotFound},
		"a cursor of no tenant":            {uuid.New(), new(int64(3)), 0, domain.ErrNotFound},
		"a number that was never a cursor": {used, new(int64(-1)), 0, domain.ErrGone},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, s := world(t)
			stream, err := s.Open(t.Context(), tt.tenant, tt.from)
			if tt.err != nil {
				require.ErrorIs(t, err, tt.err)
				require.Nil(t, stream)
				require.Zero(t, s.Clients())
				require.Nil(t, s.feedOf(tt.tenant))
				return
			}
			require.NoError(t, err)
			r := &reader{stream: stream, last: tt.first - 1}
			// What is there is returned without a wake-up.
			bounds, err := store.StreamBounds(t.Context(), tt.tenant)
			require.NoError(t, err)
			require.NoError(t, r.until(t.Context(), bounds.Last))
			last := store.add(tt.tenant, 2, 10)
			s.Committed([]uuid.UUID{uuid.New(), tt.tenant})
			require.NoError(t, r.until(t.Context(), last))
			stream.Close()
		})
	}
	_, s := world(t)
	code := func(tenant uuid.UUID, from *int64) string {
		_, err := s.Open(t.Context(), tenant, from)
		return domain.CodeOf(err)
	}
	require.Equal(t, "cursor_ahead", code(used, new(int64(11))))
	require.Equal(t, "cursor_expired", code(old, new(int64(4))))
	require.Equal(t, "tenant_not_found", code(uuid.New(), nil))
}

func TestOpenIsRefused(t *testing.T) {
	t.Parallel()
	tenant := uuid.New()
	store := newMemory(tenant)
	s := startWith(t, Options{Streams: store, MaxClients: 2})
	first, second := open(t, s, tenant, nil, 0), open(t, s, tenant, nil, 0)
	_, err := s.Open(t.Context(), tenant, nil)
	require.ErrorIs(t, err, domain.ErrUnavailable)
	require.Equal(t, "streams_full", domain.CodeOf(err))
	require.Equal(t, 2, s.Clients())
	first.stream.Close()
	first.stream.Close() // gives back one place, not two
	require.Equal(t, 1, s.Clients())
	open(t, s, tenant, nil, 0)
	_, err = s.Open(t.Context(), tenant, nil)
	require.Equal(t, "streams_full", domain.CodeOf(err))
	second.stream.Close()

	store.setFault(func(context.Context) error { return errAway() })
	_, err = s.Open(t.Context(), tenant, nil)
	require.Equal(t, "database_unavailable", domain.CodeOf(err))
	require.Equal(t, 1, s.Clients())

	s.Close()
	_, err = s.Open(t.Context(), tenant, nil)
	require.ErrorIs(t, err, domain.ErrUnavailable)
	require.Equal(t, "shutting_down", domain.CodeOf(err))
}

func errAway() error {
	return domain.New(domain.ErrUnavailable, "database_unavailable", "The database cannot be reached.")
}

func TestNextEndsWithItsContext(t *testing.T) {
	t.Parallel()
	tenant := uuid.New()
	store := newMemory(tenant)
	store.add(tenant, 5000, 10)
	s := start(t, store)
	for _, from := range []*int64{nil, new(int64(100))} {
		r := open(t, s, tenant, from, 0)
		r.last = r.client().cursor.Load()
		// As often as heartbeats are due, nothing is lost and nothing repeated.
		for range 100 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(300))*time.Microsecond)
			if err := r.step(ctx); err != nil {
				require.ErrorIs(t, err, context.DeadlineExceeded)
			}
			cancel()
		}
		last := store.add(tenant, 10, 10)
		s.Committed([]uuid.UUID{tenant})
		require.NoError(t, r.until(t.Context(), last))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := r.stream.Next(ctx)
		require.ErrorIs(t, err, context.Canceled)
	}
}

func TestCloseEndsStreamsAtOnce(t *testing.T) {
	t.Parallel()
	tenant := uuid.New()
	store := newMemory(tenant)
	store.add(tenant, 5000, 10)
	s := start(t, store)
	// One waits for events, one reads the database, which does not answer, and
	// some wait to read it.
	waiting := open(t, s, tenant, nil, 5000)
	s.awaitEnd(t, tenant, 5000)
	readers := []*reader{waiting}
	for range 3 {
		readers = append(readers, open(t, s, tenant, new(int64(1)), 1))
	}
	var entered atomic.Int32
	store.setFault(func(ctx context.Context) error { entered.Add(1); <-ctx.Done(); return errAway() })
	ended := make(chan error, len(readers))
	for _, r := range readers {
		go func() {
			_, err := r.stream.Next(context.WithoutCancel(t.Context()))
			ended <- err
		}()
	}
	require.Eventually(t, func() bool { return entered.Load() == 1 }, patience, time.Millisecond)
	s.Close()
	for range readers {
		select {
		case err := <-ended:
			require.Equal(t, "shutting_down", domain.CodeOf(err))
		case <-time.After(patience):
			t.Fatal("a stream goes on")
		}
	}
	_, err := waiting.stream.Next(t.Context())
	require.ErrorIs(t, err, domain.ErrUnavailable)
}

func TestClosedStreamsReturnNothing(t *testing.T) {
	t.Parallel()
	tenant := uuid.New()
	store := newMemory(tenant)
	s := start(t, store)
	r := open(t, s, tenant, nil, 0)
	ended := make(chan error, 1)
	go func() { _, err := r.stream.Next(t.Context()); ended <- err }()
	r.stream.Close()
	require.Equal(t, "stream_closed", domain.CodeOf(<-ended))
}

// What a client that is behind has read it gets, even when its context ends
// at that moment; or else the next call returns it.
func TestWhatIsReadIsNotLost(t *testing.T) {
	t.Parallel()
	tenant := uuid.New()
	store := newMemory(tenant)
	store.add(tenant, 5000, 10)
	s := start(t, store)
	open(t, s, tenant, nil, 5000)
	s.awaitEnd(t, tenant, 5000)
	r := open(t, s, tenant, new(int64(10)), 10)
	for range 5 {
		ctx, cancel := context.WithCancel(t.Context())
		store.duringRead(cancel)
		if err := r.step(ctx); err != nil {
			require.ErrorIs(t, err, context.Canceled)
			reads, _ := store.counts()
			require.NoError(t, r.step(t.Context()))
			now, _ := store.counts()
			require.LessOrEqual(t, now, reads+1, "it is not read again")
		}
		require.Error(t, ctx.Err())
	}
	require.NoError(t, r.until(t.Context(), 5000))
}

func TestStreamsEndWithTheirHistory(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(*history) *history
		kind   domain.Kind
	}{
		"tenant deleted":   {func(*history) *history { return nil }, domain.ErrNotFound},
		"messages expired": {func(*history) *history { return &history{first: 50} }, domain.ErrGone},
		"history replaced": {func(*history) *history { return &history{first: 1} }, domain.ErrConflict},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tenant := uuid.New()
			store := newMemory(tenant)
			store.add(tenant, 10, 10)
			s := start(t, store)
			taken, untaken := open(t, s, tenant, new(int64(0)), 0), open(t, s, tenant, new(int64(0)), 0)
			require.NoError(t, taken.until(t.Context(), 10))
			store.change(tenant, tt.change)
			s.Committed([]uuid.UUID{tenant})
			_, err := taken.stream.Next(t.Context())
			require.ErrorIs(t, err, tt.kind)
			require.NoError(t, untaken.until(t.Context(), 10), "what was read already")
			_, err = untaken.stream.Next(t.Context())
			require.ErrorIs(t, err, tt.kind)
			require.Nil(t, s.feedOf(tenant))
			taken.stream.Close()
			untaken.stream.Close()
			require.Zero(t, s.Clients())
			// Somebody who comes now gets a feed that works.
			if tt.kind == domain.ErrGone {
				r := open(t, s, tenant, new(int64(0)), 49)
				last := store.add(tenant, 3, 10)
				s.Committed([]uuid.UUID{tenant})
				require.NoError(t, r.until(t.Context(), last))
			}
		})
	}
}

// Streams come and go, messages are stored and the service closes, all at the
// same time; whoever gets events gets them in order.
func TestStartStopStress(t *testing.T) {
	t.Parallel()
	tenants := []uuid.UUID{uuid.New(), uuid.New(), uuid.New()}
	for range 20 {
		store := newMemory(tenants...)
		s := newServed(Options{Streams: store}, 5*time.Millisecond)
		ctx, cancel := context.WithCancel(t.Context())
		var work sync.WaitGroup
		work.Go(func() { s.Run(ctx) })
		for i := range 12 {
			work.Go(func() {
				last := int64(0)
				for n := 0; ; n++ {
					stream, err := s.Open(t.Context(), tenants[i%len(tenants)], new(last))
					if errors.Is(err, domain.ErrUnavailable) {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
					r := &reader{stream: stream, last: last}
					for range 1 + n%3 {
						if err = r.step(t.Context()); err != nil {
							break
						}
					}
					if err != nil && domain.CodeOf(err) != "shutting_down" {
						t.Error(err)
					}
					last = r.last
					stream.Close()
				}
			})
		}
		for range 60 {
			id := tenants[rand.IntN(len(tenants))]
			store.add(id, 1+rand.IntN(50), 10)
			s.Committed([]uuid.UUID{id})
		}
		if rand.IntN(2) == 0 {
			s.Close()
		}
		cancel()
		work.Wait()
		require.Zero(t, s.Clients())
		require.Empty(t, s.feeds)
	}
}

package cache_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"lanekeeper/pkg/cache"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	errAway   = errors.New("away")
	errAbsent = errors.New("absent")
)

// source has values of keys, and counts the loads.
type source struct {
	mu     sync.Mutex
	values map[string]int
	err    error
	hang   bool
	gate   chan struct{}
	loads  int
}

func (s *source) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *source) load(ctx context.Context, key string) (int, error) {
	s.mu.Lock()
	s.loads++
	value, there := s.values[key]
	err, hang, gate := s.err, s.hang, s.gate
	s.mu.Unlock()
	if gate != nil {
		<-gate
	}
	if hang {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	if err == nil && !there {
		err = errAbsent
	}
	return value, err
}

func newCache(s *source) *cache.Cache[string, int] {
	return cache.New(cache.Options[string, int]{
		Load: s.load, LoadTimeout: time.Second, FreshFor: 5 * time.Second, Size: 10, AwayFor: 2 * time.Second,
		Absent: func(err error) bool { return errors.Is(err, errAbsent) }, AbsentFor: time.Second, AbsentSize: 3,
		Newer: func(known, put int) bool { return known > put },
	})
}

func pass(d time.Duration) { <-time.After(d) }

func want(t *testing.T, c *cache.Cache[string, int], key string, value int) {
	t.Helper()
	got, err := c.Get(t.Context(), key)
	require.NoError(t, err)
	require.Equal(t, value, got)
}

func TestAnswersAreFreshForAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{values: map[string]int{"a": 1}}
		c := newCache(s)
		for range 10 {
			want(t, c, "a", 1)
		}
		require.Equal(t, 1, s.loads)
		s.set(func() { s.values["a"] = 2 })
		pass(5*time.Second - 1)
		want(t, c, "a", 1)
		pass(1)
		want(t, c, "a", 2)
	})
}

func TestWhatIsAbsent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{values: map[string]int{"a": 1}}
		c := newCache(s)
		want(t, c, "a", 1)
		for range 10 {
			_, err := c.Get(t.Context(), "b")
			require.ErrorIs(t, err, errAbsent)
		}
		require.Equal(t, 2, s.loads)
		s.set(func() { s.values["b"] = 2 })
		pass(time.Second)
		want(t, c, "b", 2)

		require.True(t, c.Known("a"))
		require.False(t, c.Known("never asked for"))
		_, err := c.Get(t.Context(), "z")
		require.ErrorIs(t, err, errAbsent)
		require.True(t, c.Known("z"), "that there is none")
		pass(time.Second)
		require.False(t, c.Known("z"), "any more")

		for _, made := range []string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"} {
			_, err := c.Get(t.Context(), made)
			require.ErrorIs(t, err, errAbsent)
		}
		_, known, _ := c.Peek("a")
		require.True(t, known, "keys that somebody makes up displace nothing")

		_, err = c.Get(t.Context(), "c")
		require.ErrorIs(t, err, errAbsent)
		s.set(func() { s.values["c"] = 3 })
		c.Expire("c")
		want(t, c, "c", 3)
		s.set(func() { delete(s.values, "c") })
		c.Expire("c")
		_, err = c.Get(t.Context(), "c")
		require.ErrorIs(t, err, errAbsent)
		_, known, _ = c.Peek("c")
		require.False(t, known)
	})
}

func TestTheLastKnownStateWhileTheSourceIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{values: map[string]int{"a": 1, "b": 1}}
		c := newCache(s)
		want(t, c, "a", 1)
		want(t, c, "b", 1)
		s.set(func() { s.err = errAway })
		pass(time.Hour)
		for range 10 {
			want(t, c, "a", 1)
			want(t, c, "b", 1)
		}
		require.Equal(t, 3, s.loads, "it is left alone for a while, whatever key it is")
		_, err := c.Get(t.Context(), "c")
		require.ErrorIs(t, err, errAway, "nothing is known of it")

		s.set(func() { s.err, s.values["a"], s.values["b"] = nil, 2, 2 })
		want(t, c, "a", 1)
		pass(2 * time.Second)
		want(t, c, "a", 2)
		want(t, c, "b", 2)

		s.set(func() { s.err = errAway })
		c.Expire("a")
		want(t, c, "a", 2)
		s.set(func() { s.err, s.values["a"] = nil, 3 })
		c.Expire("a")
		want(t, c, "a", 3)
		s.set(func() { s.err = errAway })
		c.Drop("a")
		_, err = c.Get(t.Context(), "a")
		require.ErrorIs(t, err, errAway, "what was known is wrong")
	})
}

// A source that hangs delays one call, and no other.
func TestWhileTheSourceHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{values: map[string]int{"a": 1}}
		c := newCache(s)
		want(t, c, "a", 1)
		s.set(func() { s.hang = true })
		c.Expire("a")
		begun := time.Now()
		want(t, c, "a", 1)
		require.Equal(t, time.Second, time.Since(begun))
		pass(10 * time.Second)
		begun = time.Now()
		var delayed int
		var mu sync.Mutex
		var calls sync.WaitGroup
		for range 100 {
			calls.Go(func() {
				if _, err := c.Get(t.Context(), "a"); err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				if time.Since(begun) > 0 {
					delayed++
				}
			})
		}
		calls.Wait()
		require.Equal(t, 1, delayed)

		calls.Go(func() {
			if _, err := c.Get(t.Context(), "b"); err == nil {
				t.Error("it cannot be known")
			}
		})
		synctest.Wait()
		begun = time.Now()
		short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := c.Get(short, "b")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 100*time.Millisecond, time.Since(begun))
		calls.Wait()
	})
}

func TestCallsShareALoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{values: map[string]int{"a": 1}, gate: make(chan struct{})}
		c := newCache(s)
		var calls sync.WaitGroup
		gone, cancel := context.WithCancel(t.Context())
		for range 100 {
			calls.Go(func() { _, _ = c.Get(gone, "a") })
		}
		synctest.Wait()
		cancel() // also the one that loads
		for range 100 {
			calls.Go(func() {
				if value, err := c.Get(t.Context(), "a"); value != 1 || err != nil {
					t.Errorf("%v, %v", value, err)
				}
			})
		}
		synctest.Wait()
		close(s.gate)
		calls.Wait()
		require.Equal(t, 1, s.loads)
	})
}

// A load that read before a change brings back nothing after it.
func TestChangesDuringALoad(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*cache.Cache[string, int]){
		"Put":       func(c *cache.Cache[string, int]) { c.Put("a", 2) },
		"Expire":    func(c *cache.Cache[string, int]) { c.Expire("a") },
		"ExpireAll": func(c *cache.Cache[string, int]) { c.ExpireAll() },
		"Drop":      func(c *cache.Cache[string, int]) { c.Drop("a") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				gate := make(chan struct{})
				s := &source{values: map[string]int{"a": 1}, gate: gate}
				c := newCache(s)
				var calls sync.WaitGroup
				calls.Go(func() { _, _ = c.Get(t.Context(), "a") })
				synctest.Wait() // it has read
				s.set(func() { s.values["a"], s.gate = 2, nil })
				change(c)
				want(t, c, "a", 2)
				close(gate)
				calls.Wait()
				want(t, c, "a", 2)
			})
		})
	}
}

func TestPutAndPeek(t *testing.T) {
	t.Parallel()
	s := &source{err: errAway}
	c := newCache(s)
	_, known, _ := c.Peek("a")
	require.False(t, known)
	c.Put("a", 2)
	c.Put("a", 1)
	value, known, expired := c.Peek("a")
	require.Equal(t, 2, value, "the newer one")
	require.True(t, known)
	require.True(t, expired)
	want(t, c, "a", 2)
	_, _, expired = c.Peek("a")
	require.False(t, expired, "it was asked for since")
}

func TestGetAllocatesNothing(t *testing.T) {
	s := &source{values: map[string]int{"a": 1}}
	c := newCache(s)
	ctx := t.Context()
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if _, err := c.Get(ctx, "a"); err != nil {
			t.Error(err)
		}
	}))
}

package shares_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"lanekeeper/pkg/shares"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newShares() *shares.Shares {
	return shares.New(shares.Options{Total: 8, PerOwner: 4, PerUser: 2, Wait: time.Second, Queue: 50})
}

func TestNobodyTakesMoreThanItsShare(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShares()
		take := func(owner, name string, amount int64) (*shares.Part, error) {
			return s.Take(t.Context(), shares.User{Owner: owner, Name: name}, amount)
		}
		var parts []*shares.Part
		for _, name := range []string{"a", "a", "b", "b"} {
			p, err := take("one", name, 1)
			require.NoError(t, err)
			parts = append(parts, p)
		}
		_, err := take("one", "a", 1)
		require.ErrorIs(t, err, shares.ErrShare, "the user has its share")
		_, err = take("one", "c", 1)
		require.ErrorIs(t, err, shares.ErrShare, "the owner has its share")
		begun := time.Now()
		p, err := take("two", "a", 100)
		require.NoError(t, err)
		require.Zero(t, time.Since(begun), "others do not wait")
		require.EqualValues(t, 6, s.Used(), "more than the share is the share")
		p2, err := take("two", "b", 2)
		require.NoError(t, err)
		_, err = take("three", "a", 1)
		require.ErrorIs(t, err, shares.ErrAll)
		require.Nil(t, s.TryTake(shares.User{Owner: "three"}, 1))

		p.Grow(3)
		require.EqualValues(t, 11, s.Used())
		p.Grow(-4)
		require.NotNil(t, s.TryTake(shares.User{Owner: "three"}, 1))
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = s.Take(gone, shares.User{Owner: "one", Name: "a"}, 1)
		require.ErrorIs(t, err, context.Canceled)
		for _, p := range append(parts, p, p2) {
			p.GiveBack()
			p.GiveBack()
		}
		require.EqualValues(t, 1, s.Used())
	})
}

// What becomes free goes to the owners in turn, and to the users of an owner in
// turn, however many calls one of them has waiting.
func TestThoseWhoWaitTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := shares.New(shares.Options{Total: 1, PerOwner: 1, PerUser: 1, Wait: time.Minute, Queue: 50})
		held := s.TryTake(shares.User{}, 1)
		var mu sync.Mutex
		var order []string
		var calls sync.WaitGroup
		for _, by := range []shares.User{
			{"many", "a"}, {"many", "a"}, {"many", "a"}, {"many", "b"}, {"many", "c"}, {"few", "d"}, {"few", "d"}, {"one", "e"},
		} {
			calls.Go(func() {
				p, err := s.Take(t.Context(), by, 1)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				order = append(order, by.Name)
				mu.Unlock()
				p.GiveBack()
			})
			synctest.Wait()
		}
		held.GiveBack()
		calls.Wait()
		require.Equal(t, []string{"a", "d", "e", "b", "d", "c", "a", "a"}, order)
		require.Zero(t, s.Used())
	})
}

func TestQueuesAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShares()
		by := shares.User{Owner: "one", Name: "a"}
		held := s.TryTake(by, 2)
		var refused atomic.Int32
		var calls sync.WaitGroup
		begun := time.Now()
		for range 80 {
			calls.Go(func() {
				if _, err := s.Take(t.Context(), by, 1); err != nil && time.Since(begun) == 0 {
					refused.Add(1)
				}
			})
		}
		calls.Wait()
		require.EqualValues(t, 30, refused.Load(), "those beyond the queue do not wait")
		held.GiveBack()
		require.Zero(t, s.Used())
	})
}

func TestSharesUnderStress(t *testing.T) {
	t.Parallel()
	s := shares.New(shares.Options{Total: 10, PerOwner: 5, PerUser: 2, Wait: 50 * time.Millisecond, Queue: 10})
	var all [4]atomic.Int64
	var workers sync.WaitGroup
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	for i := range 40 {
		workers.Go(func() {
			owner := i % len(all)
			by := shares.User{Owner: fmt.Sprint(owner), Name: fmt.Sprint(i % 7)}
			for ctx.Err() == nil {
				n := rand.Int64N(3)
				p, err := s.Take(ctx, by, n)
				if err != nil {
					continue
				}
				if all[owner].Add(n) > 5 {
					t.Error("an owner has more than its share")
				}
				all[owner].Add(-n)
				p.GiveBack()
			}
		})
	}
	workers.Wait()
	require.Zero(t, s.Used())
}

func TestReserveInPieces(t *testing.T) {
	t.Parallel()
	s := newMemory(100, 30)
	require.True(t, s.Reserve("a", 30))
	require.False(t, s.Reserve("a", 1), "more than a share")
	require.True(t, s.Reserve("b", 30))
	require.True(t, s.Reserve("c", 30))
	require.False(t, s.Reserve("d", 11), "more than there is")
	require.True(t, s.Reserve("d", 10))
	require.EqualValues(t, 100, s.Used())
	require.False(t, s.Reserve("e", 1))
	s.Release("a", 29)
	require.True(t, s.Reserve("e", 29))
	require.False(t, s.Reserve("f", -1), "nobody can give what was not taken")
	for owner, n := range map[string]int64{"a": 1, "b": 30, "c": 30, "d": 10, "e": 29} {
		s.Release(owner, n)
	}
	require.Zero(t, s.Used())
	require.True(t, s.Reserve("b", 0))
	require.False(t, s.Reserve("b", math.MaxInt64))
}

func newMemory(total, share int64) *shares.Shares {
	return shares.New(shares.Options{Total: total, PerOwner: share, PerUser: share})
}

// Whoever waits gets what others give back in pieces.
func TestReleasedPiecesAreGranted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newMemory(10, 10)
		require.True(t, s.Reserve("a", 10))
		time.AfterFunc(time.Hour, func() { s.Release("a", 4) })
		begun := time.Now()
		p, err := s.Take(t.Context(), shares.User{Owner: "b"}, 4)
		require.NoError(t, err)
		require.Equal(t, time.Hour, time.Since(begun), "without a limit it waits for as long as it takes")
		s.Release("a", 6)
		p.GiveBack()
		require.Zero(t, s.Used())
	})
}

func TestManyOwnersReserve(t *testing.T) {
	t.Parallel()
	s := newMemory(1000, 100)
	var wg sync.WaitGroup
	for i := range 50 {
		owner := strconv.Itoa(i % 20)
		wg.Go(func() {
			for range 1000 {
				if s.Reserve(owner, 40) {
					s.Release(owner, 40)
				}
			}
		})
	}
	wg.Wait()
	require.Zero(t, s.Used())
}

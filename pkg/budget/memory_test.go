package budget_test

import (
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/budget"
)

func TestShares(t *testing.T) {
	t.Parallel()
	m := budget.NewMemory(100, 30)
	require.True(t, m.Reserve("a", 30))
	require.False(t, m.Reserve("a", 1), "more than a share")
	require.True(t, m.Reserve("b", 30))
	require.True(t, m.Reserve("c", 30))
	require.False(t, m.Reserve("d", 11), "more than there is")
	require.True(t, m.Reserve("d", 10))
	require.EqualValues(t, 100, m.Used())
	require.False(t, m.Reserve("e", 1))
	m.Release("a", 29)
	require.True(t, m.Reserve("e", 29))
	require.False(t, m.Reserve("f", -1), "nobody can give what was not taken")
	for owner, n := range map[string]int64{"a": 1, "b": 30, "c": 30, "d": 10, "e": 29} {
		m.Release(owner, n)
	}
	require.Zero(t, m.Used())
	require.True(t, m.Reserve("b", 0))
}

func TestManyOwners(t *testing.T) {
	t.Parallel()
	m := budget.NewMemory(1000, 100)
	var wg sync.WaitGroup
	for i := range 50 {
		owner := strconv.Itoa(i % 20)
		wg.Go(func() {
			for range 1000 {
				if m.Reserve(owner, 40) {
					m.Release(owner, 40)
				}
			}
		})
	}
	wg.Wait()
	require.Zero(t, m.Used())
}

package fault

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/tests/chaos/env"
)

func faultsOf(seed uint64) []Partition { return Partitions(rand.New(rand.NewPCG(seed, 7)), 20) }

// sees reports whether hosts reach each other in both directions.
func (f Partition) sees(a, b int) bool {
	return !slices.Contains(f.Drops, env.Link{From: a, To: b}) && !slices.Contains(f.Drops, env.Link{From: b, To: a})
}

func TestNetFaults(t *testing.T) {
	t.Parallel()
	first, again := faultsOf(1), faultsOf(1)
	require.Equal(t, first, again, "the seed decides")
	require.NotEqual(t, first, faultsOf(2))
	seen := make(map[string]bool)
	for seed := range uint64(50) {
		count := make(map[string]int)
		for _, f := range faultsOf(seed) {
			count[f.Family]++
			seen[f.String()] = true
			for _, l := range f.Drops {
				require.NotEqual(t, l.From, l.To, f)
			}
			reach := make([]int, env.ClusterSize+1) // how many others each host sees
			for a := range reach {
				for b := range reach {
					if a != b && f.sees(a, b) {
						reach[a]++
					}
				}
			}
			slices.Sort(reach)
			switch f.Family {
			case "halves":
				require.Equal(t, []int{1, 1, 1, 1}, reach, f)
			case "minority":
				require.Equal(t, []int{0, 2, 2, 2}, reach, f)
				require.Len(t, f.Drops, 6, f)
			case "one way":
				require.Len(t, f.Drops, 1, f)
			case "bridge":
				require.Equal(t, []int{2, 2, 3, 3}, reach, f)
				require.Len(t, f.Drops, 2, f)
			}
		}
		require.Equal(t, map[string]int{"halves": 5, "minority": 5, "one way": 5, "bridge": 5}, count)
	}
	// A host is cut off from the database at times, and at times not.
	require.True(t, seen["bridge: a | database, and both see b c"] || seen["bridge: a | database, and both see c b"])
	require.True(t, seen["minority: b | a c database"] || seen["minority: b | database a c"] || seen["minority: b | c a database"])
	require.True(t, seen["one way: a -/-> b"])
	require.True(t, seen["one way: database -/-> c"])
}

package rendezvous

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// fleetNames returns n names of the kind that the service gives itself.
func fleetNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = "lanekeeper-7d9f-" + uuid.NewString()[:8]
	}
	return names
}

// share counts the tenants of every member.
func share(m *Members, tenants []uuid.UUID) map[string]int {
	count := make(map[string]int)
	for _, id := range tenants {
		count[m.Owner(id)]++
	}
	return count
}

// Chance alone makes shares uneven: of n tenants, the share of one of k
// members has a standard deviation of sqrt(n(k-1))/k, for 1,000 tenants and 10
// members 9.5 of 100. No share is off by more than five of those, and with
// many tenants none by more than a tenth.
func TestSharesAreEven(t *testing.T) {
	t.Parallel()
	for _, tenants := range []int{1_000, 25_000} {
		ids := newIDs(t, tenants)
		for k := 2; k <= 10; k++ {
			for range 600_000 / tenants / k {
				names := fleetNames(k)
				count := share(New(names), ids)
				even := float64(tenants) / float64(k)
				sigma := math.Sqrt(float64(tenants)*float64(k-1)) / float64(k)
				for _, name := range names {
					require.InDelta(t, even, count[name], 5.5*sigma, "%d tenants, %d members", tenants, k)
					if tenants > 1_000 {
						require.InDelta(t, even, count[name], even/10)
					}
				}
			}
		}
	}
}

// Over many fleets the squares of the deviations are those of chance: neither
// names nor ids leave a pattern.
func TestSharesAreRandom(t *testing.T) {
	t.Parallel()
	const tenants, fleets, k = 1_000, 1_000, 5
	ids := newIDs(t, tenants)
	var sum float64
	for range fleets {
		names := fleetNames(k)
		count := share(New(names), ids)
		for _, name := range names {
			off := float64(count[name]) - float64(tenants)/k
			sum += off * off / (float64(tenants) / k)
		}
	}
	// Each fleet contributes a chi-square with k-1 degrees of freedom.
	require.InDelta(t, k-1, sum/fleets, 5*math.Sqrt(2*(k-1)/float64(fleets)))
}

// Names that differ in one character, and ids made by hand, are no worse.
func TestSimilarNamesAndIDs(t *testing.T) {
	t.Parallel()
	var ids []uuid.UUID
	for i := range 10_000 {
		ids = append(ids, uuid.MustParse(fmt.Sprintf("00000000-0000-0000-0000-%012d", i)))
	}
	count := share(New([]string{"replica-1", "replica-2", "replica-3", "replica-4"}), ids)
	for name, n := range count {
		require.InDelta(t, 2_500, n, 5*44, name)
	}
}

func TestOnlyTheTenantsOfWhoLeavesMove(t *testing.T) {
	t.Parallel()
	ids := newIDs(t, 5_000)
	for k := 2; k <= 10; k++ {
		names := fleetNames(k)
		before, after := New(names), New(names[1:])
		heirs := make(map[string]int)
		for _, id := range ids {
			if owner := before.Owner(id); owner != names[0] {
				require.Equal(t, owner, after.Owner(id))
			} else {
				heirs[after.Owner(id)]++
			}
		}
		require.Len(t, heirs, k-1, "the others share what is left")
	}
}

// Replicas of different versions must agree, so the result is for ever, and
// the order of the names does not matter.
func TestOwnersAreForEver(t *testing.T) {
	t.Parallel()
	m, reverse := New([]string{"a", "b", "c"}), New([]string{"c", "b", "a"})
	var owners string
	for i := range 24 {
		id := uuid.NewSHA1(uuid.NameSpaceURL, fmt.Appendf(nil, "tenant %d", i))
		require.Equal(t, m.Owner(id), reverse.Owner(id))
		owners += m.Owner(id)
	}
	require.Equal(t, "cbbbcbccacccbcaabbbccbbb", owners)
}

func TestNobodyOwnsWithoutMembers(t *testing.T) {
	t.Parallel()
	var none *Members
	require.Empty(t, none.Owner(uuid.New()))
	require.Empty(t, New(nil).Owner(uuid.New()))
}

// BenchmarkSurvey finds the owners of 10,000 tenants among 10 replicas.
func BenchmarkSurvey(b *testing.B) {
	ids := newIDs(b, 10_000)
	m := New(fleetNames(10))
	var owned int
	for b.Loop() {
		for _, id := range ids {
			if m.Owner(id) == m.names[0] {
				owned++
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(time.Millisecond), "ms/survey")
	require.NotZero(b, owned)
}

func newIDs(t testing.TB, n int) []uuid.UUID {
	t.Helper()
	ids := make([]uuid.UUID, n)
	for i := range ids {
		id, err := uuid.NewV7()
		require.NoError(t, err)
		ids[i] = id
	}
	return ids
}

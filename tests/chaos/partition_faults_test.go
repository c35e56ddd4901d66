package main

import (
	"errors"
	"io"
	"math/rand/v2"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func faultsOf(seed uint64) []netFault { return netFaults(rand.New(rand.NewPCG(seed, 7)), 20) }

// sees tells whether hosts reach each other in both directions.
func (f netFault) sees(a, b int) bool {
	return !slices.Contains(f.drops, link{a, b}) && !slices.Contains(f.drops, link{b, a})
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
			count[f.family]++
			seen[f.String()] = true
			for _, l := range f.drops {
				require.NotEqual(t, l.from, l.to, f)
			}
			reach := make([]int, clusterSize+1) // how many others each host sees
			for a := range reach {
				for b := range reach {
					if a != b && f.sees(a, b) {
						reach[a]++
					}
				}
			}
			slices.Sort(reach)
			switch f.family {
			case "halves":
				require.Equal(t, []int{1, 1, 1, 1}, reach, f)
			case "minority":
				require.Equal(t, []int{0, 2, 2, 2}, reach, f)
				require.Len(t, f.drops, 6, f)
			case "one way":
				require.Len(t, f.drops, 1, f)
			case "bridge":
				require.Equal(t, []int{2, 2, 3, 3}, reach, f)
				require.Len(t, f.drops, 2, f)
			}
		}
		require.Equal(t, map[string]int{"halves": 5, "minority": 5, "one way": 5, "bridge": 5}, count)
	}
	// Whoever is cut off from the database is so at times, and at times not.
	require.True(t, seen["bridge: a | database, and both see b c"] || seen["bridge: a | database, and both see c b"])
	require.True(t, seen["minority: b | a c database"] || seen["minority: b | database a c"] || seen["minority: b | c a database"])
	require.True(t, seen["one way: a -/-> b"])
	require.True(t, seen["one way: database -/-> c"])
}

func TestVersionOfBrokers(t *testing.T) {
	t.Parallel()
	for flag, ok := range map[string]bool{"": true, "4": true, "3": false, "4.0": false} {
		_, err := parse([]string{"-rabbitmq", flag}, io.Discard)
		if ok {
			require.NoError(t, err, flag)
		} else {
			require.ErrorIs(t, err, errUsage, flag)
		}
	}
}

// Without a network the scenario fails and says why: it is not left out.
func TestNoNetworkIsAFailure(t *testing.T) {
	t.Parallel()
	why := errors.New("only root may")
	sc := scenario{name: "cut"}
	st := &stage{result: &result{scenario: sc}, suite: &suite{options: options{noNetwork: why}}}
	_, err := st.network(t.Context(), "a")
	require.ErrorIs(t, err, errNoNetwork)
	require.ErrorIs(t, err, why)
	st.seal(err)
	require.Equal(t, "DOES NOT HOLD", st.verdict())
	page := (&report{options: options{only: regexp.MustCompile("")}, chosen: []scenario{sc}, results: []*result{st.result}}).page()
	require.Contains(t, page, "- does not hold: no network of its own: only root may")
}

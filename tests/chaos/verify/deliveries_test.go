package verify

import (
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/tests/chaos/receiver"
)

// Arrivals are written as seq and key, with ! for what was not taken.
func TestOrderOfDeliveries(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ordering, arrivals string
		found              map[string]int
		again              int
	}{
		"none, any order":        {"none", "1a 3a 2a", nil, 0},
		"fifo":                   {"fifo", "1 2 4", nil, 0},
		"fifo, wrong":            {"fifo", "1 3 2 4", map[string]int{outOfOrder: 1}, 0},
		"fifo, refused first":    {"fifo", "1 2! 2 3", nil, 0},
		"fifo, passed by others": {"fifo", "1 2! 3 2", map[string]int{outOfOrder: 1}, 0},
		"fifo, repeated":         {"fifo", "1 2 3 2 3 4", nil, 2},
		"fifo, whatever the key": {"fifo", "1a 3a 2b", map[string]int{outOfOrder: 1}, 0},
		"key":                    {"key", "1a 4b 3a 5b", nil, 0},
		"key, wrong":             {"key", "1a 4b 3a 2a", map[string]int{outOfOrder: 1}, 0},
		"key, without one":       {"key", "3 2 1", nil, 0},
		"another key later":      {"none", "1a 1b", map[string]int{changed: 1}, 1},
	} {
		var arrivals []receiver.Arrival
		for word := range strings.FieldsSeq(c.arrivals) {
			text, refused := strings.CutSuffix(word, "!")
			digits := strings.TrimRight(text, "ab")
			seq, err := strconv.ParseInt(digits, 10, 64)
			require.NoError(t, err)
			arrivals = append(arrivals, receiver.Arrival{Message: digits, Seq: seq, Key: text[len(digits):], Taken: !refused})
		}
		f, again := newFindings(), 0
		for _, g := range (&Subscription{Ordering: c.ordering}).gather(arrivals, f) {
			again += max(0, g.taken-1)
		}
		if c.found == nil {
			c.found = map[string]int{}
		}
		require.Equal(t, c.found, f.counts, name)
		require.Equal(t, c.again, again, name)
	}
}

package consumer

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A queue is left out of a sample only when asking could say nothing new, and never for
// long.
func TestSamplesOfIdleQueuesAreLeftOut(t *testing.T) {
	t.Parallel()
	idle := observation{tag: "a", idle: true, now: counters{taken: 5, expected: 7}}
	for name, c := range map[string]struct {
		o       observation
		ready   int64
		settled bool
		out     bool
	}{
		"nothing happens":                {idle, 0, true, true},
		"something waits":                {idle, 1, true, false},
		"the depth is not known":         {idle, -1, true, false},
		"the last check found something": {idle, 0, false, false},
		"another subscription":           {observation{tag: "b", idle: true, now: idle.now}, 0, true, false},
		"no subscription":                {observation{}, 0, true, false},
		"something was taken":            {observation{tag: "a", idle: true, now: counters{6, 7}}, 0, true, false},
		"something was published":        {observation{tag: "a", idle: true, now: counters{5, 8}}, 0, true, false},
		"something is in hand":           {observation{tag: "a", now: idle.now}, 0, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var s sampled
			require.False(t, s.leaveOut(idle, 0, true), "nothing is known yet")
			require.Equal(t, c.out, s.leaveOut(c.o, c.ready, c.settled))
		})
	}
	var s sampled
	asked := 0
	for range 60 {
		if !s.leaveOut(idle, 0, true) {
			asked++
		}
	}
	require.Equal(t, 10, asked, "every sixth time")
}

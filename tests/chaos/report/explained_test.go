package report

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A wrong cause is a failure, and the page has each sentence, and how far expected times
// were off.
func TestExplanationsOnThePage(t *testing.T) {
	t.Parallel()
	right, wrong := &Result{Subject: Subject{Name: "one"}}, &Result{Subject: Subject{Name: "two"}}
	right.Explained("frozen | cut", "broker_away", "broker_away", "It does not | answer.")
	right.Predicted("the backlog", 12*time.Second, 10*time.Second)
	wrong.Explained("locked", "partition_locked", "backlog", "Messages wait.")
	wrong.Predicted("the backlog", 5*time.Second, 10*time.Second)
	wrong.Predicted("another", 9*time.Second, 10*time.Second)
	require.True(t, right.Holds())
	miss, known := right.MedianMiss()
	require.True(t, known)
	require.InDelta(t, 0.2, miss, 1e-9)
	miss, known = (&Result{}).MedianMiss()
	require.False(t, known)
	require.Zero(t, miss)
	require.False(t, wrong.Holds())
	page := (&Report{chosen: []Subject{right.Subject, wrong.Subject}, Results: []*Result{right, wrong}}).Page()
	for _, line := range []string{
		"| one | frozen \\| cut | It does not \\| answer. | `broker_away`: right |\n",
		"| two | locked | Messages wait. | `partition_locked`: WRONG: backlog |\n",
		"1 of 2 are right.",
		"| one | the backlog | 12.0 s | 10.0 s | 20 % |\n",
		"The median is off by 20 %.",
	} {
		require.Contains(t, page, line)
	}
	require.NotContains(t, (&Report{chosen: []Subject{{}}, Results: []*Result{{}}}).Page(), "`explain`")
}

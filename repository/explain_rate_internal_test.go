package repository

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// samplesOf returns what is seen of a history in which so many messages were stored at
// each of these times ago, the newest first.
func samplesOf(each int64, ago ...time.Duration) []sample {
	var samples []sample
	for _, n := range ladder() {
		if batch := int(n / each); batch < len(ago) {
			samples = append(samples, sample{n, ago[batch]})
		}
	}
	return samples
}

// every returns times ago, from the first one on.
func every(first, d time.Duration, n int) (ago []time.Duration) {
	for i := range n {
		ago = append(ago, first+time.Duration(i)*d)
	}
	return ago
}

// How fast messages are stored does not depend on how large batches are, nor on when it is
// asked between two of them; but when none comes any more, it falls.
func TestMeasuringHowFastMessagesAreStored(t *testing.T) {
	t.Parallel()
	const second = time.Second
	for name, c := range map[string]struct {
		samples []sample
		rate    float64
	}{
		"nothing":                     {nil, 0},
		"one message":                 {samplesOf(1, second), 0},
		"long ago":                    {samplesOf(100, every(20*second, second, 10)...), 0},
		"one by one":                  {samplesOf(1, every(second/2, second, 100)...), 1},
		"many small batches":          {samplesOf(10, every(0, 10*time.Millisecond, 5000)...), 1000},
		"large batches, just stored":  {samplesOf(2000, every(2*second, 2*second, 10)...), 1000},
		"large batches, soon another": {samplesOf(2000, every(4*second-1, 2*second, 10)...), 1000},
		"two batches":                 {samplesOf(2000, every(3*second, 2*second, 2)...), 1000},
		"one batch":                   {samplesOf(2000, 2*second), 1000},
		"stopped five seconds ago":    {samplesOf(10, every(5*second, 10*time.Millisecond, 5000)...), 375},
		"busy for four seconds":       {samplesOf(10, append(every(0, 10*time.Millisecond, 400), every(4*second, second, 10)...)...), 1000},
	} {
		var p domain.StoreProgress
		measure(c.samples, &p)
		require.InEpsilon(t, 1+c.rate, 1+p.Rate, 0.25, "%s: %v", name, p.Rate)
	}
}

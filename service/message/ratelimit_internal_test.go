package message

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// Tenants that have been quiet are forgotten, so that not many more are kept
// than publish; one that owes time is kept.
func TestRateLimitersForgetQuietTenants(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newRateLimiters()
		by := func(id uuid.UUID) []payer { return []payer{{id: id, rate: 100}} }
		quiet := func(n int) {
			for range n {
				require.NoError(t, p.wait(t.Context(), by(uuid.New()), 1))
			}
		}
		for range 20 {
			quiet(bucketsKept)
			<-time.After(time.Second)
		}
		require.LessOrEqual(t, len(p.buckets), 3*bucketsKept)

		busy := uuid.New()
		waited := make(chan error, 3)
		for _, units := range []int{25, 25, 24} { // 0, 250 and 490 ms
			go func() { waited <- p.wait(t.Context(), by(busy), units) }()
			synctest.Wait()
		}
		before := len(p.buckets)
		for range 4 {
			quiet(bucketsKept)
			<-time.After(15 * time.Millisecond)
		}
		require.Less(t, len(p.buckets), before+4*bucketsKept, "some were forgotten")
		require.ErrorIs(t, p.wait(t.Context(), by(busy), 20), domain.ErrLimited)
		for range 3 {
			require.NoError(t, <-waited)
		}
	})
}

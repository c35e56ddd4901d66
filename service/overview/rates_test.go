package overview

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// What was counted in an interval is shown as a rate; what was not measured is nothing,
// and no zero.
func TestRates(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.totals = Totals{Accepted: 1000, Stored: 900}
		s := New(w.options)
		ctx, stop := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { s.Run(ctx) })
		defer run.Wait()
		defer stop()
		rates := func() []domain.Rate { t.Helper(); return overviewOf(t, s, admin()).Service.Rates }
		synctest.Wait()
		all := rates()
		require.Len(t, all, 180)
		for i, r := range all {
			require.Nil(t, r.Accepted)
			if i > 0 {
				require.Equal(t, domain.RateInterval, r.At.Sub(all[i-1].At))
			}
		}
		require.WithinDuration(t, time.Now(), all[179].At, domain.RateInterval)

		w.set(func() {
			w.totals.Accepted += 1000
			w.totals.Publish = Distribution{Bounds: []float64{0.01, 0.02}, Counts: []uint64{90, 100}, Count: 100}
		})
		pass(domain.RateInterval + time.Millisecond)
		last := func() domain.Rate { t.Helper(); all := rates(); return all[len(all)-1] }
		r := last()
		require.InDelta(t, 200, *r.Accepted, 0.5)
		require.InDelta(t, 0, *r.Stored, 0, "it was measured, and nothing was stored")
		require.InDelta(t, 0.00555, r.PublishMedian.Seconds(), 0.0001)
		require.InDelta(t, 0.019, r.PublishP99.Seconds(), 0.0001)
		require.Nil(t, r.EndToEndP99, "nothing came")
		pass(domain.RateInterval)
		r = last()
		require.InDelta(t, 0, *r.Accepted, 0)
		require.Nil(t, r.PublishP99)
		measured := 0
		for _, r := range rates() {
			if r.Accepted != nil {
				measured++
			}
		}
		require.Equal(t, 2, measured)

		w.set(func() { w.totals.Accepted = 5 }) // which cannot be
		pass(domain.RateInterval)
		require.Nil(t, last().Accepted)
		pass(domain.RateWindow)
		require.NotNil(t, rates()[0].Accepted, "the ring is full, and has no more")
		require.Len(t, rates(), 180)
	})
}

// A process that stood still leaves a gap, and what it counted meanwhile is spread over
// that time.
func TestRatesOverAGap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRates()
		r.sample(time.Now(), Totals{})
		pass(domain.RateInterval)
		r.sample(time.Now(), Totals{Stored: 50})
		pass(4 * domain.RateInterval)
		r.sample(time.Now(), Totals{Stored: 250})
		all := r.window(time.Now())
		var got []float64
		for _, rate := range all[len(all)-6:] {
			if rate.Stored == nil {
				got = append(got, -1)
			} else {
				got = append(got, *rate.Stored)
			}
		}
		require.Equal(t, []float64{-1, 10, -1, -1, -1, 10}, got)
	})
}

func TestQuantile(t *testing.T) {
	t.Parallel()
	bounds := []float64{1, 2, 4}
	before := &Distribution{Bounds: bounds, Counts: []uint64{10, 10, 10}, Count: 10}
	now := &Distribution{Bounds: bounds, Counts: []uint64{10, 20, 24}, Count: 30}
	for part, want := range map[float64]time.Duration{0.25: 1500 * time.Millisecond, 0.5: 2 * time.Second, 0.6: 3 * time.Second, 0.99: 4 * time.Second} {
		require.Equal(t, want, *quantile(part, before, now), part)
	}
	require.Nil(t, quantile(0.5, now, now))
	require.Nil(t, quantile(0.5, &Distribution{}, &Distribution{}))
	require.Equal(t, 500*time.Millisecond, *quantile(0.5, &Distribution{}, before), "all of it in the first bucket, and nothing was known before")
}

package delivery

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

func TestBreaker(t *testing.T) {
	t.Parallel()
	now := time.Now()
	b := newBreaker(domain.EndpointHealth{}, probeEvery, now)
	for range 50 { // one poisoned message opens nothing
		counts, _ := b.failure(1, now, now)
		require.True(t, counts)
	}
	for seq := int64(2); seq <= breakerOpensAfter; seq++ {
		require.False(t, b.open())
		counts, changed := b.failure(seq, now, now)
		require.True(t, counts, "the one that opens it counts")
		require.Equal(t, seq == breakerOpensAfter, changed)
	}
	require.True(t, b.open())
	require.Equal(t, now.Add(probeEvery), b.probeAt)
	counts, changed := b.failure(11, now, now)
	require.False(t, counts)
	require.False(t, changed)
	require.True(t, b.succeeded(), "the health has changed")
	require.False(t, b.open())
	require.False(t, b.succeeded())
	counts, _ = b.failure(1, now, now)
	require.True(t, counts)
}

// A success in between begins the count anew.
func TestBreakerCountsThoseInARow(t *testing.T) {
	t.Parallel()
	now := time.Now()
	b := newBreaker(domain.EndpointHealth{}, probeEvery, now)
	for seq := int64(1); seq < 100; seq++ {
		if seq%(breakerOpensAfter-1) == 0 {
			b.succeeded()
		}
		b.failure(seq, now, now)
		require.False(t, b.open(), "%d", seq)
	}
}

func TestBreakerThatWasOpen(t *testing.T) {
	t.Parallel()
	now := time.Now()
	b := newBreaker(domain.EndpointHealth{BreakerOpenedAt: now.Add(-time.Hour)}, probeEvery, now)
	require.True(t, b.open())
	require.Equal(t, now, b.probeAt)
	counts, _ := b.failure(1, now, now)
	require.False(t, counts, "a restart spends no attempt")
}

// An endpoint counts as failing after several failures within a day; one failure a
// day of an endpoint that has little to do does not.
func TestFailingSince(t *testing.T) {
	t.Parallel()
	now := time.Now()
	b := newBreaker(domain.EndpointHealth{}, probeEvery, now)
	for day := range 20 {
		at := now.Add(time.Duration(day) * 25 * time.Hour)
		b.failure(1, at, at)
		require.Zero(t, b.failingFor(at))
	}
	later := now.Add(1000 * time.Hour)
	for range failingAfter {
		b.failure(1, later, later)
	}
	require.Equal(t, 5*24*time.Hour, b.failingFor(later.Add(5*24*time.Hour)))
	b.failure(1, later.Add(100*time.Hour), later)
	require.Equal(t, 5*24*time.Hour, b.failingFor(later.Add(5*24*time.Hour)), "it is still the first that counts")
	b.succeeded()
	require.Zero(t, b.failingFor(later.Add(200*time.Hour)))
}

// A dispatcher that runs forgets failures where the repository does: at another URL,
// and when a disabled endpoint is resumed. Nothing of them is settled again then.
func TestStartsAfresh(t *testing.T) {
	t.Parallel()
	failing := domain.EndpointHealth{BreakerOpenedAt: time.Now(), FailingSince: time.Now()}
	at := func(url string) *domain.DeliveryTarget {
		return &domain.DeliveryTarget{Endpoint: domain.Endpoint{URL: url, Ordering: domain.OrderingNone}}
	}
	for name, c := range map[string]struct {
		url              string
		version          int64
		disabled, afresh bool
	}{
		"other types":      {url: "a", version: 2},
		"another URL":      {url: "b", version: 2, afresh: true},
		"resumed":          {url: "a", version: 2, disabled: true, afresh: true},
		"disabled, as was": {url: "a", version: 1, disabled: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDispatcher(&Service{o: Options{ProbeEvery: time.Hour}}, &lane{}, at("a"))
			d.begin(domain.DeliveryStart{Version: 1, Health: failing}, nil)
			require.Equal(t, failing, d.breaker.health)
			require.True(t, d.stats.breaker.Load())
			d.disabled = c.disabled
			d.use(at(c.url))
			d.begin(domain.DeliveryStart{Version: c.version}, []domain.Settlement{{Health: &failing, Disable: "gone"}})
			require.Equal(t, !c.afresh, d.breaker.open())
			require.Equal(t, !c.afresh, d.stats.breaker.Load())
			require.Equal(t, c.disabled && !c.afresh, d.disabled)
			if c.afresh {
				require.Equal(t, domain.Settlement{}, d.delta)
				return
			}
			require.Equal(t, domain.Settlement{Health: &failing, Disable: "gone"}, d.delta)
		})
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	policy := domain.RetryPolicy{Schedule: []time.Duration{time.Second, time.Minute}, Final: []int{400}}
	none := &domain.DeliveryTarget{Endpoint: domain.Endpoint{Ordering: domain.OrderingNone, Retry: policy}}
	blocks := &domain.DeliveryTarget{Endpoint: domain.Endpoint{Ordering: domain.OrderingFIFO, OnFailure: domain.FailureBlocks, Retry: policy}}
	skips := &domain.DeliveryTarget{Endpoint: domain.Endpoint{Ordering: domain.OrderingFIFO, OnFailure: domain.FailureSkips, Retry: policy}}
	for name, c := range map[string]struct {
		target     *domain.DeliveryTarget
		uncounted  bool
		attempts   int
		status     int
		retryAfter time.Duration
		verdict    verdict
		wait       time.Duration
	}{
		"first":                      {target: none, attempts: 1, status: 500, verdict: verdictRetry, wait: time.Second},
		"no answer":                  {target: none, attempts: 1, verdict: verdictRetry, wait: time.Second},
		"second":                     {target: none, attempts: 2, status: 500, verdict: verdictRetry, wait: time.Minute},
		"last":                       {target: none, attempts: 3, status: 500, verdict: verdictGiveUp},
		"final":                      {target: none, attempts: 1, status: 400, verdict: verdictGiveUp},
		"not final":                  {target: none, attempts: 1, status: 404, verdict: verdictRetry, wait: time.Second},
		"gone":                       {target: none, attempts: 1, status: 410, verdict: verdictGone},
		"gone, breaker open":         {target: none, uncounted: true, attempts: 1, status: 410, verdict: verdictGone},
		"breaker open":               {target: none, uncounted: true, attempts: 3, status: 500, verdict: verdictUncounted},
		"breaker open, final":        {target: none, uncounted: true, attempts: 3, status: 400, verdict: verdictUncounted},
		"retry after":                {target: none, attempts: 1, status: 429, retryAfter: time.Hour, verdict: verdictRetry, wait: time.Hour},
		"retry after, too early":     {target: none, attempts: 2, status: 429, retryAfter: time.Second, verdict: verdictRetry, wait: time.Minute},
		"retry after, too late":      {target: none, attempts: 2, status: 429, retryAfter: 99 * time.Hour, verdict: verdictRetry, wait: 2*time.Hour + time.Minute},
		"fifo blocks":                {target: blocks, attempts: 99, status: 500, verdict: verdictRetry, wait: time.Minute},
		"fifo blocks, final":         {target: blocks, attempts: 1, status: 400, verdict: verdictGiveUp},
		"fifo skips":                 {target: skips, attempts: 3, status: 500, verdict: verdictGiveUp},
		"fifo blocks at retry after": {target: blocks, attempts: 9, status: 503, retryAfter: time.Hour, verdict: verdictRetry, wait: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, wait := judge(c.target, !c.uncounted, c.attempts, c.status, c.retryAfter)
			require.Equal(t, c.verdict, v)
			require.Equal(t, c.wait, wait)
		})
	}
	for range 1000 {
		require.InDelta(t, time.Minute.Seconds(), jittered(time.Minute).Seconds(), 6.001)
	}
}

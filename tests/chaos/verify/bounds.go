package verify

import (
	"context"
	"fmt"
	"time"

	"lanekeeper/tests/chaos/env"
	"lanekeeper/tests/chaos/report"
)

const (
	// worthwhile: quantiles below this are due to the scheduler, and count as this.
	worthwhile = 20 * time.Millisecond
	// worthwhileLogin is the same for logins, which take a processor for longer.
	worthwhileLogin = 100 * time.Millisecond
	// MaxRatio is what is promised.
	MaxRatio = 2.0
	// fewSamples have no p99 but their maximum, which says more of the machine than of
	// anything else: of fewer it is fewQuantile that is compared.
	fewSamples  = 100
	fewQuantile = 0.95
)

// Bounds are what others may notice of a disturbance, and what the service may
// take meanwhile.
type Bounds struct {
	Stored float64 // ratio of the quantile of POST to stored, disturbed to alone
	Memory int64   // of the largest replica, in bytes; 0 for any
	// Quantile is which one is compared, of 100 samples and more, and Slack by how much
	// each ratio may be exceeded.
	Quantile, Slack float64
}

// Within measures the tenants alone and then during a disturbance, and fails
// the result when a bound is exceeded. One bad measurement is repeated: the
// machine may have had something else to do.
func Within(ctx context.Context, e *env.Env, r *report.Result, most Bounds, p *Probe, length time.Duration, disturb func(ctx context.Context, meanwhile func() error) error) error {
	const tries = 2
	for try := 1; ; try++ {
		alone, err := p.Measure(ctx, length)
		if err != nil {
			return err
		}
		if err := e.ForgetPeaks(); err != nil {
			return err
		}
		var disturbed Timings
		err = disturb(ctx, func() (err error) {
			disturbed, err = p.Measure(ctx, length)
			return err
		})
		if err != nil {
			return err
		}
		problems := disturbance(r, try, most, alone, disturbed)
		memory, err := e.PeakMemory()
		if err != nil {
			return err
		}
		r.Show(fmt.Sprintf("memory at most (%d)", try), "%d MiB", memory>>20)
		if most.Memory > 0 && memory > most.Memory {
			problems = append(problems, fmt.Sprintf("the service took %d MiB, not at most %d", memory>>20, most.Memory>>20))
		}
		if len(problems) == 0 {
			return nil
		}
		if try == tries {
			for _, problem := range problems {
				r.Fail("%s", problem)
			}
			return nil
		}
	}
}

// disturbance shows each kind of times and returns what is too long.
func disturbance(r *report.Result, try int, most Bounds, alone, disturbed Timings) (problems []string) {
	for _, kind := range []struct {
		name             string
		most             float64
		worthwhile       time.Duration
		alone, disturbed []time.Duration
	}{
		{"POST to stored", most.Stored, worthwhile, alone.stored, disturbed.stored},
		{"POST to 202", MaxRatio, worthwhile, alone.accepted, disturbed.accepted},
		{"GET /messages", MaxRatio, worthwhile, alone.read, disturbed.read},
		{"POST to arrival", MaxRatio, worthwhile, alone.arrived, disturbed.arrived},
		{"login", MaxRatio, worthwhileLogin, alone.login, disturbed.login},
	} {
		if len(kind.alone)+len(kind.disturbed) == 0 {
			continue
		}
		q := most.Quantile
		if min(len(kind.alone), len(kind.disturbed)) < fewSamples {
			q = min(q, fewQuantile)
		}
		a, d := Quantile(kind.alone, q), Quantile(kind.disturbed, q)
		ratio := float64(max(d, kind.worthwhile)) / float64(max(a, kind.worthwhile))
		r.Show(fmt.Sprintf("%s (%d)", kind.name, try), "p%.0f alone %s, disturbed %s: %.2fx of %d and %d (p50 %s, %s)", 100*q, Millis(a), Millis(d), ratio,
			len(kind.alone), len(kind.disturbed), Millis(Quantile(kind.alone, 0.5)), Millis(Quantile(kind.disturbed, 0.5)))
		if ratio > kind.most*most.Slack {
			problems = append(problems, fmt.Sprintf("the p%.0f of the others' %s is %.2fx", 100*q, kind.name, ratio))
		}
	}
	return problems
}

// Quantile returns the q-quantile of sorted samples.
func Quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// Millis formats a duration in milliseconds.
func Millis(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}

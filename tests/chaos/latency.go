package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// worthwhile: quantiles below this are the scheduler's, and count as this.
	worthwhile = 20 * time.Millisecond
	// maxRatio is what is promised.
	maxRatio = 2.0
)

// bounds are what others may notice of a disturbance, and what the service may
// take meanwhile.
type bounds struct {
	stored float64 // ratio of the quantile of POST to stored, disturbed to alone
	memory int64   // of the largest replica, in bytes; 0 for any
}

// undisturbed measures the tenants alone and then during a disturbance, and
// fails when the p99 of POST to 202, of POST to stored or of GET /messages is
// more than twice as long.
func (st *stage) undisturbed(ctx context.Context, p *probe, length time.Duration, disturb func(ctx context.Context, meanwhile func() error) error) error {
	return st.within(ctx, bounds{stored: maxRatio}, p, length, disturb)
}

// within is undisturbed with other bounds. One bad measurement is repeated:
// the machine may have had something else to do.
func (st *stage) within(ctx context.Context, most bounds, p *probe, length time.Duration, disturb func(ctx context.Context, meanwhile func() error) error) error {
	const tries = 2
	for try := 1; ; try++ {
		alone, err := p.measure(ctx, length)
		if err != nil {
			return err
		}
		if err := st.forgetPeaks(); err != nil {
			return err
		}
		var disturbed timings
		err = disturb(ctx, func() (err error) {
			disturbed, err = p.measure(ctx, length)
			return err
		})
		if err != nil {
			return err
		}
		problems := st.disturbance(try, most, alone, disturbed)
		memory, err := st.peakMemory()
		if err != nil {
			return err
		}
		st.show(fmt.Sprintf("memory at most (%d)", try), "%d MiB", memory>>20)
		if most.memory > 0 && memory > most.memory {
			problems = append(problems, fmt.Sprintf("the service took %d MiB, not at most %d", memory>>20, most.memory>>20))
		}
		if len(problems) == 0 {
			return nil
		}
		if try == tries {
			for _, problem := range problems {
				st.fail("%s", problem)
			}
			return nil
		}
	}
}

// disturbance shows each kind of times and returns what is too long.
func (st *stage) disturbance(try int, most bounds, alone, disturbed timings) (problems []string) {
	for _, kind := range []struct {
		name             string
		most             float64
		alone, disturbed []time.Duration
	}{
		{"POST to stored", most.stored, alone.stored, disturbed.stored},
		{"POST to 202", maxRatio, alone.accepted, disturbed.accepted},
		{"GET /messages", maxRatio, alone.read, disturbed.read},
	} {
		a, d := quantile(kind.alone, st.quantile), quantile(kind.disturbed, st.quantile)
		ratio := float64(max(d, worthwhile)) / float64(max(a, worthwhile))
		st.show(fmt.Sprintf("%s (%d)", kind.name, try), "p%.0f alone %s, disturbed %s: %.2fx of %d and %d (p50 %s, %s)", 100*st.quantile, millis(a), millis(d), ratio,
			len(kind.alone), len(kind.disturbed), millis(quantile(kind.alone, 0.5)), millis(quantile(kind.disturbed, 0.5)))
		if ratio > kind.most*st.slack {
			problems = append(problems, fmt.Sprintf("the p%.0f of the others' %s is %.2fx", 100*st.quantile, kind.name, ratio))
		}
	}
	return problems
}

// forgetPeaks begins anew to note how much memory each replica takes.
func (st *stage) forgetPeaks() error {
	var errs []error
	for _, s := range st.replicas() {
		errs = append(errs, s.forgetPeak())
	}
	return errors.Join(errs...)
}

// peakMemory returns the most that a replica took since then, in bytes.
func (st *stage) peakMemory() (int64, error) {
	var most int64
	for _, s := range st.replicas() {
		peak, err := s.peakMemory()
		if err != nil {
			return 0, err
		}
		most = max(most, peak)
	}
	return most, nil
}

// quantile returns the q-quantile of sorted samples.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

func millis(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}

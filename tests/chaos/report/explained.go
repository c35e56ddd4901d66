package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// explained is what the service said of a condition that a scenario made.
type explained struct{ condition, want, got, sentence string }

func (e *explained) verdict() string {
	if e.got == e.want {
		return "right"
	}
	return "WRONG: " + e.got
}

// predicted is when the service said that something would be through, and when it was.
type predicted struct {
	what           string
	expected, took time.Duration
}

// miss returns by which share of the real time it was wrong.
func (p *predicted) miss() float64 { return math.Abs(float64(p.expected-p.took)) / float64(p.took) }

// Explained notes what the service said of a condition, and fails where it names another
// cause. Safe for concurrent use.
func (r *Result) Explained(condition, want, got, sentence string) {
	e := explained{condition, want, got, sentence}
	r.mu.Lock()
	r.explained = append(r.explained, e)
	r.mu.Unlock()
	if got != want {
		r.Fail("%s is explained as %s, and not as %s: %s", condition, got, want, sentence)
	}
}

// Predicted notes when the service said that something would be through, and when it was.
// Safe for concurrent use.
func (r *Result) Predicted(what string, expected, took time.Duration) {
	r.mu.Lock()
	r.predicted = append(r.predicted, predicted{what, expected, took})
	r.mu.Unlock()
	r.Show(what+" expected", "in %.1f s, took %.1f s", expected.Seconds(), took.Seconds())
}

// MedianMiss returns by which share of the real times the expected ones were off, in the
// median; false where nothing was expected.
func (r *Result) MedianMiss() (miss float64, any bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	misses := make([]float64, 0, len(r.predicted))
	for _, p := range r.predicted {
		misses = append(misses, p.miss())
	}
	return median(misses), len(misses) > 0
}

// median returns the median of numbers, which it sorts; 0 of none.
func median(numbers []float64) float64 {
	if len(numbers) == 0 {
		return 0
	}
	slices.Sort(numbers)
	return numbers[len(numbers)/2]
}

// cell writes text into a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", "\\|") }

const pageExplained = `
## What ` + "`explain`" + ` said

Scenarios that leave something standing ask ` + "`GET /tenants/{id}/explain`" + `, or that of a message, until it names the cause, for 3 s at most.

| Scenario | Condition | Sentence | Cause |
|---|---|---|---|
`

// explanations is the part of the page about what the service said of what it was made
// to suffer; "" where nothing was asked.
func explanations(results []*Result) string {
	var rows, times strings.Builder
	right, all := 0, 0
	var misses []float64
	for _, r := range results {
		for _, e := range r.explained {
			if all++; e.got == e.want {
				right++
			}
			fmt.Fprintf(&rows, "| %s | %s | %s | `%s`: %s |\n", r.Subject.Name, cell(e.condition), cell(e.sentence), e.want, e.verdict())
		}
		for _, d := range r.predicted {
			misses = append(misses, d.miss())
			fmt.Fprintf(&times, "| %s | %s | %.1f s | %.1f s | %.0f %% |\n", r.Subject.Name, d.what, d.expected.Seconds(), d.took.Seconds(), 100*d.miss())
		}
	}
	var b strings.Builder
	if all > 0 {
		fmt.Fprintf(&b, "%s%s\n%d of %d are right.\n", pageExplained, rows.String(), right, all)
	}
	if len(misses) > 0 {
		fmt.Fprintf(&b, "\n| Scenario | Expected time of | Expected | Real | Off by |\n|---|---|--:|--:|--:|\n%s\nThe median is off by %.0f %%.\n", times.String(), 100*median(misses))
	}
	return b.String()
}

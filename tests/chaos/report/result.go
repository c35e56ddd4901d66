package report

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// Subject is the scenario that a result is of, in the words of the report.
type Subject struct {
	Name  string
	Fault string
	Must  string
	// Bug is what was planted into the service; then the checker has to find
	// something. Empty for none.
	Bug string
}

// Result is what a scenario showed.
type Result struct {
	Subject Subject
	Took    time.Duration
	// Interrupted: it was ended before its end, and says nothing.
	Interrupted bool

	mu       sync.Mutex
	shown    []figure
	problems []string
	// explained and predicted are what the service said of itself.
	explained []explained
	predicted []predicted
	// found is what the checker found where a bug was planted.
	found []string
}

// figure is one number of a scenario.
type figure struct{ name, value string }

// Fail notes that something does not hold. Safe for concurrent use.
func (r *Result) Fail(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.problems = append(r.problems, fmt.Sprintf(format, args...))
}

// Show notes a figure.
func (r *Result) Show(name, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shown = append(r.shown, figure{name, fmt.Sprintf(format, args...)})
}

// Seal ends the result with the error of running the scenario. Where a bug was
// planted it turns the result round: then finding nothing is the failure.
func (r *Result) Seal(err error) {
	if r.Subject.Bug != "" && !r.Interrupted {
		r.found, r.problems = r.problems, nil
		if len(r.found) == 0 {
			r.Fail("the checker did not notice the planted bug")
		}
	}
	if err != nil {
		r.Fail("%v", err)
	}
}

// Holds reports whether everything held, to the end.
func (r *Result) Holds() bool { return len(r.problems) == 0 && !r.Interrupted }

// print writes the figures of one scenario.
func (r *Result) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s: %s\n", r.Subject.Name, r.Verdict())
	fmt.Fprintf(w, "  %-28s %s\n", "fault", r.Subject.Fault)
	fmt.Fprintf(w, "  %-28s %s\n", "must hold", r.Subject.Must)
	for _, f := range r.shown {
		fmt.Fprintf(w, "  %-28s %s\n", f.name, f.value)
	}
	for _, e := range r.explained {
		fmt.Fprintf(w, "  %-28s %s, %s: %s\n", "explained", e.condition, e.verdict(), e.sentence)
	}
	fmt.Fprintf(w, "  %-28s %.0f s\n", "took", r.Took.Seconds())
	for _, p := range r.problems {
		fmt.Fprintf(w, "  ! %s\n", p)
	}
	for _, p := range r.found {
		fmt.Fprintf(w, "  noticed: %s\n", p)
	}
}

// Verdict is the outcome in a word or two.
func (r *Result) Verdict() string {
	switch {
	case r.Interrupted:
		return "interrupted"
	case !r.Holds():
		return "DOES NOT HOLD"
	case r.Subject.Bug != "":
		return "noticed"
	}
	return "holds"
}

// complaint is what its problems are.
func (r *Result) complaint() string {
	if r.Interrupted {
		return "interrupted"
	}
	return "does not hold"
}

// figure returns the value of a figure, or a dash.
func (r *Result) figure(name string) string {
	for _, f := range r.shown {
		if f.name == name {
			return f.value
		}
	}
	return "-"
}

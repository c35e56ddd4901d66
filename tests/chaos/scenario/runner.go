package scenario

import (
	"context"
	"errors"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"time"

	"lanekeeper/tests/chaos/env"
	"lanekeeper/tests/chaos/report"
)

// scenario is one fault and what must hold.
type scenario struct {
	name  string
	fault string
	must  string
	// run breaks things and has the result checked. An error means that it
	// could not be done, or that something did not come in time.
	run func(ctx context.Context, t *trial) error
	// bug is what is planted into the service; then the checker has to find
	// something. Empty for none.
	bug string
	// environment is more variables for the service.
	environment []string
	// exchanges has tenants have exchanges for clients of their own.
	exchanges bool
	// files is how many open files the service may have; 0 for as many as the suite.
	files int
	// extra is time beyond what all scenarios have, for servers of its own.
	extra time.Duration
	// network has the run start over in a network namespace of its own.
	network bool
	// long keeps it out of the short form, unless it is asked for: it takes
	// its time whatever the figures are, and others break much the same.
	long bool
}

// subject is the scenario as the report has it.
func (s scenario) subject() report.Subject {
	return report.Subject{Name: s.name, Fault: s.fault, Must: s.must, Bug: s.bug}
}

// Runner performs scenarios one after the other. One goroutine at a time uses it.
type Runner struct {
	figures   figures
	seed      uint64
	scenarios []scenario
	shared    *env.Shared
}

// Choose returns a runner of the scenarios whose names match, in their order. An
// empty expression matches all, but in the short form only those that are short.
// The random moments depend on the seed.
func Choose(only *regexp.Regexp, short bool, seed uint64) *Runner {
	r := &Runner{figures: figuresFor(short), seed: seed}
	for _, s := range scenarios(r.figures) {
		if only.String() == "" && short && s.long {
			continue
		}
		if only.MatchString(s.name) {
			r.scenarios = append(r.scenarios, s)
		}
	}
	return r
}

// Subjects are the scenarios, in the order in which to perform them.
func (r *Runner) Subjects() []report.Subject {
	subjects := make([]report.Subject, len(r.scenarios))
	for i, s := range r.scenarios {
		subjects[i] = s.subject()
	}
	return subjects
}

// NeedsNetwork reports whether a scenario is about hosts of its own.
func (r *Runner) NeedsNetwork() bool {
	return slices.ContainsFunc(r.scenarios, func(s scenario) bool { return s.network })
}

// Use has the scenarios run on these servers.
func (r *Runner) Use(s *env.Shared) { r.shared = s }

// Perform runs one of the scenarios on a database and a virtual host of its own.
func (r *Runner) Perform(ctx context.Context, what report.Subject) *report.Result {
	sc := r.scenarios[slices.IndexFunc(r.scenarios, func(s scenario) bool { return s.name == what.Name })]
	r.shared.Say("%s: %s", sc.name, sc.fault)
	begun := time.Now()
	res := &report.Result{Subject: what}
	limited, cancel := context.WithTimeout(ctx, r.figures.limit+sc.extra)
	defer cancel()
	t, err := r.newTrial(limited, sc, res)
	ready := err == nil
	if ready {
		err = sc.run(limited, t)
	}
	res.Interrupted = ctx.Err() != nil
	if ready {
		err = errors.Join(err, t.close(context.WithoutCancel(ctx)))
	}
	res.Took = time.Since(begun)
	res.Seal(err)
	if !res.Holds() {
		r.shared.Keep()
		r.shared.Say("%s: %s; its ledger and logs are in %s", sc.name, strings.ToUpper(res.Verdict()), r.shared.Directory(sc.name))
	}
	return res
}

// random returns numbers that depend on the seed and the scenario alone.
func (r *Runner) random(name string) *rand.Rand {
	var n uint64
	for _, b := range []byte(name) {
		n = n*131 + uint64(b)
	}
	return rand.New(rand.NewPCG(r.seed, n))
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// print writes the figures of one scenario.
func (r *result) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s: %s\n", r.scenario.name, r.verdict())
	fmt.Fprintf(w, "  %-28s %s\n", "fault", r.scenario.fault)
	fmt.Fprintf(w, "  %-28s %s\n", "must hold", r.scenario.must)
	for _, f := range r.shown {
		fmt.Fprintf(w, "  %-28s %s\n", f.name, f.value)
	}
	fmt.Fprintf(w, "  %-28s %.0f s\n", "took", r.took.Seconds())
	for _, p := range r.problems {
		fmt.Fprintf(w, "  ! %s\n", p)
	}
	for _, p := range r.found {
		fmt.Fprintf(w, "  noticed: %s\n", p)
	}
}

func (r *result) verdict() string {
	switch {
	case r.interrupted:
		return "interrupted"
	case !r.holds():
		return "DOES NOT HOLD"
	case r.scenario.planted != "":
		return "noticed"
	}
	return "holds"
}

// complaint is what its problems are.
func (r *result) complaint() string {
	if r.interrupted {
		return "interrupted"
	}
	return "does not hold"
}

// figure returns the value of a figure, or a dash.
func (r *result) figure(name string) string {
	for _, f := range r.shown {
		if f.name == name {
			return f.value
		}
	}
	return "-"
}

// report is the outcome of a run, as far as it has come.
type report struct {
	options options
	facts   facts
	chosen  []scenario
	results []*result // of the first of them
	begun   time.Time
	took    time.Duration
	ended   error // why, if too early
}

// fill performs one scenario after the other until ctx ends, and tells stdout
// of each. The page is written again after each, so that it is there whatever
// happens to the run.
func (p *report) fill(ctx context.Context, stdout io.Writer, perform func(context.Context, scenario) *result) error {
	var err error
	for _, sc := range p.chosen {
		if ctx.Err() != nil {
			break
		}
		r := perform(ctx, sc)
		r.print(stdout)
		p.results = append(p.results, r)
		p.took = time.Since(p.begun)
		err = p.write()
	}
	if len(p.left()) == 0 && !p.cut() {
		return err
	}
	p.ended = context.Cause(ctx)
	return errors.Join(p.write(), fmt.Errorf("%w: %w", errInterrupted, p.ended))
}

// left returns the names of the scenarios that have not begun.
func (p *report) left() []string {
	var names []string
	for _, sc := range p.chosen[len(p.results):] {
		names = append(names, sc.name)
	}
	return names
}

// cut tells whether the last scenario did not come to its end.
func (p *report) cut() bool {
	return len(p.results) > 0 && p.results[len(p.results)-1].interrupted
}

// incomplete says what is missing from the report; nothing, if it is complete.
func (p *report) incomplete() string {
	left := p.left()
	var text string
	switch {
	case p.ended == nil && len(left) == 0:
		return ""
	case p.ended == nil:
		text = "This run had not ended when this was written."
	case p.cut():
		text = fmt.Sprintf("This run was interrupted (%v), in `%s`.", p.ended, p.results[len(p.results)-1].scenario.name)
	default:
		text = fmt.Sprintf("This run was interrupted (%v).", p.ended)
	}
	if len(left) > 0 {
		text += fmt.Sprintf(" Not run: `%s`.", strings.Join(left, "`, `"))
	}
	return text
}

// write writes the page, if one is asked for and anything was run.
func (p *report) write() error {
	if p.options.out == "" || len(p.results) == 0 {
		return nil
	}
	if err := os.WriteFile(p.options.out, []byte(p.page()), 0o644); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// err returns which scenarios do not hold.
func (p *report) err() error {
	var broken []string
	for _, r := range p.results {
		if !r.holds() && !r.interrupted {
			broken = append(broken, r.scenario.name)
		}
	}
	if len(broken) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", errBroken, strings.Join(broken, ", "))
}

// columns are the figures that every scenario has.
func columns() []string {
	return []string{"accepted", "unknown", "stored", lost, twice, "dead letters"}
}

// print writes the summary table.
func (p *report) print(w io.Writer) {
	fmt.Fprintf(w, "\n%-28s", "scenario")
	for _, c := range columns() {
		fmt.Fprintf(w, " %12s", c)
	}
	fmt.Fprintf(w, " %6s  %s\n", "took", "verdict")
	for _, r := range p.results {
		fmt.Fprintf(w, "%-28s", r.scenario.name)
		for _, c := range columns() {
			fmt.Fprintf(w, " %12s", r.figure(c))
		}
		fmt.Fprintf(w, " %4.0f s  %s\n", r.took.Seconds(), r.verdict())
	}
	fmt.Fprintf(w, "%d scenarios in %.0f s, seed %d\n", len(p.results), p.took.Seconds(), p.options.seed)
	if missing := p.incomplete(); missing != "" {
		fmt.Fprintln(w, missing)
	}
}

// page returns the report in Markdown.
func (p *report) page() string {
	var b strings.Builder
	b.WriteString(pageTitle)
	if missing := p.incomplete(); missing != "" {
		fmt.Fprintf(&b, "**%s**\n\n", missing)
	}
	b.WriteString(pageHead)
	command := "make chaos"
	if p.options.short {
		command = "go run ./tests/chaos -short"
	}
	if only := p.options.only.String(); only != "" {
		command = "go run ./tests/chaos -run '" + only + "'"
		if p.options.short {
			command += " -short"
		}
	}
	if p.options.rabbitmq != "" {
		command += " -rabbitmq " + p.options.rabbitmq
	}
	fmt.Fprintf(&b, "\nThese figures come from one run of `%s -seed %d` on %d CPUs (%s/%s, %s) with PostgreSQL %s and RabbitMQ %s, which took %d minutes.\n\n",
		command, p.options.seed, runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(),
		p.facts.postgres, p.facts.rabbitmq, int(p.took.Minutes()+0.5))
	b.WriteString("| Scenario | Fault | Must hold | Accepted | Unknown | Stored | Lost | Twice | Dead letters | Verdict |\n|---|---|---|--:|--:|--:|--:|--:|--:|---|\n")
	for _, r := range p.results {
		if r.scenario.planted != "" {
			continue
		}
		fmt.Fprintf(&b, "| %s | %s | %s |", r.scenario.name, r.scenario.fault, r.scenario.must)
		for _, c := range columns() {
			fmt.Fprintf(&b, " %s |", r.figure(c))
		}
		fmt.Fprintf(&b, " %s |\n", r.verdict())
	}
	b.WriteString("\n## What each scenario measured\n\n")
	for _, r := range p.results {
		if r.scenario.planted != "" {
			continue
		}
		fmt.Fprintf(&b, "**%s**:", r.scenario.name)
		if len(r.shown) == 0 {
			b.WriteString(" nothing")
		}
		for i, f := range r.shown {
			if i > 0 {
				b.WriteString(",")
			}
			fmt.Fprintf(&b, " %s %s", f.name, f.value)
		}
		b.WriteString(".\n\n")
		for _, problem := range r.problems {
			fmt.Fprintf(&b, "- %s: %s\n", r.complaint(), problem)
		}
		if len(r.problems) > 0 {
			b.WriteString("\n")
		}
	}
	if p.planted() {
		b.WriteString(pagePlanted)
	}
	for _, r := range p.results {
		if r.scenario.planted == "" {
			continue
		}
		noticed := "nothing"
		if len(r.found) > 0 {
			noticed = r.found[0]
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", r.scenario.planted, r.scenario.fault, noticed, r.verdict())
	}
	return b.String()
}

// planted tells whether any scenario has a bug planted.
func (p *report) planted() bool {
	return slices.ContainsFunc(p.results, func(r *result) bool { return r.scenario.planted != "" })
}

const pageTitle = "# Reliability, measured\n\n"

const pageHead = "`make chaos`" + ` breaks things under load and compares afterwards what was promised with what is stored. It starts private PostgreSQL and RabbitMQ servers, which it kills, freezes and starts again on the same data, and runs the service as a process of its own.

How it is measured:

- Clients write every attempt into a ledger on disk before they send it, and its outcome after: accepted (202), refused (4xx), or unknown (no answer, or 5xx). Half of the publications are batches; half carry an ` + "`Idempotency-Key`" + ` and are sent again until their outcome is known, the others are sent once.
- Afterwards a checker reads PostgreSQL and RabbitMQ directly, past the service, when that has ended. It holds that: accepted, minus stored, minus dead-lettered is nothing; stored, minus attempted is nothing; no attempt is stored twice or has two dead letters; every payload is what was sent; ` + "`seq`" + ` is 1, 2, 3, ... for every tenant; all queues are empty; no request took longer than 6 s; the log has no panic, no data race and no "unknown delivery tag".
- Times to "stored" are from the moment a request was due to the moment the committed row is visible to another connection.
`

const pagePlanted = `
## The checker is checked

The same scenarios run against the service with a bug planted into it (tests/chaos/planted); the checker has to notice.

| Bug | Fault | What the checker said first | Verdict |
|---|---|---|---|
`

package report

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

var (
	errBroken      = errors.New("does not hold")
	errInterrupted = errors.New("interrupted")
)

// Figures that every scenario has, by their names in the tables.
const (
	Lost  = "lost"
	Twice = "stored twice"
)

// Head is what was asked for, and what it was measured with.
type Head struct {
	Short   bool
	Only    string // -run
	Seed    uint64
	Cluster string // -rabbitmq
	Out     string // the file of the page; "" for none
	// Postgres and RabbitMQ are the versions of the shared servers.
	Postgres, RabbitMQ string
}

// Report is the outcome of a run, as far as it has come.
type Report struct {
	Head

	chosen  []Subject
	Results []*Result // of the first of them
	begun   time.Time
	took    time.Duration
	ended   error // why, if too early
}

// New returns the report of a run that begins now.
func New(h Head, chosen []Subject) *Report {
	return &Report{Head: h, chosen: chosen, begun: time.Now()}
}

// Fill performs one scenario after the other until ctx ends, and prints each to
// stdout. The page is written again after each, so that it is there whatever
// happens to the run.
func (p *Report) Fill(ctx context.Context, stdout io.Writer, perform func(context.Context, Subject) *Result) error {
	var err error
	for _, sc := range p.chosen {
		if ctx.Err() != nil {
			break
		}
		r := perform(ctx, sc)
		r.print(stdout)
		p.Results = append(p.Results, r)
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
func (p *Report) left() []string {
	var names []string
	for _, sc := range p.chosen[len(p.Results):] {
		names = append(names, sc.Name)
	}
	return names
}

// cut reports whether the last scenario did not come to its end.
func (p *Report) cut() bool {
	return len(p.Results) > 0 && p.Results[len(p.Results)-1].Interrupted
}

// incomplete says what is missing from the report; nothing, if it is complete.
func (p *Report) incomplete() string {
	left := p.left()
	var text string
	switch {
	case p.ended == nil && len(left) == 0:
		return ""
	case p.ended == nil:
		text = "This run had not ended when this was written."
	case p.cut():
		text = fmt.Sprintf("This run was interrupted (%v), in `%s`.", p.ended, p.Results[len(p.Results)-1].Subject.Name)
	default:
		text = fmt.Sprintf("This run was interrupted (%v).", p.ended)
	}
	if len(left) > 0 {
		text += fmt.Sprintf(" Not run: `%s`.", strings.Join(left, "`, `"))
	}
	return text
}

// write writes the page, if one is asked for and anything was run.
func (p *Report) write() error {
	if p.Out == "" || len(p.Results) == 0 {
		return nil
	}
	if err := os.WriteFile(p.Out, []byte(p.Page()), 0o644); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// Err returns which scenarios do not hold.
func (p *Report) Err() error {
	var broken []string
	for _, r := range p.Results {
		if !r.Holds() && !r.Interrupted {
			broken = append(broken, r.Subject.Name)
		}
	}
	if len(broken) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", errBroken, strings.Join(broken, ", "))
}

// columns are the figures that every scenario has.
func columns() []string {
	return []string{"accepted", "unknown", "stored", Lost, Twice, "dead letters"}
}

// Print writes the summary table.
func (p *Report) Print(w io.Writer) {
	fmt.Fprintf(w, "\n%-28s", "scenario")
	for _, c := range columns() {
		fmt.Fprintf(w, " %12s", c)
	}
	fmt.Fprintf(w, " %6s  %s\n", "took", "verdict")
	for _, r := range p.Results {
		fmt.Fprintf(w, "%-28s", r.Subject.Name)
		for _, c := range columns() {
			fmt.Fprintf(w, " %12s", r.figure(c))
		}
		fmt.Fprintf(w, " %4.0f s  %s\n", r.Took.Seconds(), r.Verdict())
	}
	fmt.Fprintf(w, "%d scenarios in %.0f s, seed %d\n", len(p.Results), p.took.Seconds(), p.Seed)
	if missing := p.incomplete(); missing != "" {
		fmt.Fprintln(w, missing)
	}
}

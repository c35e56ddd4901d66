package report

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
)

// Page returns the report in Markdown.
func (p *Report) Page() string {
	var b strings.Builder
	b.WriteString(pageTitle)
	if missing := p.incomplete(); missing != "" {
		fmt.Fprintf(&b, "**%s**\n\n", missing)
	}
	b.WriteString(pageHead)
	command := "make chaos"
	if p.Short {
		command = "go run ./tests/chaos -short"
	}
	if only := p.Only; only != "" {
		command = "go run ./tests/chaos -run '" + only + "'"
		if p.Short {
			command += " -short"
		}
	}
	if p.Cluster != "" {
		command += " -rabbitmq " + p.Cluster
	}
	fmt.Fprintf(&b, "\nThese figures come from one run of `%s -seed %d` on %d CPUs (%s/%s, %s) with PostgreSQL %s and RabbitMQ %s, which took %d minutes.\n\n",
		command, p.Seed, runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(),
		p.Postgres, p.RabbitMQ, int(p.took.Minutes()+0.5))
	b.WriteString("| Scenario | Fault | Must hold | Accepted | Unknown | Stored | Lost | Twice | Dead letters | Verdict |\n|---|---|---|--:|--:|--:|--:|--:|--:|---|\n")
	for _, r := range p.Results {
		if r.Subject.Bug != "" {
			continue
		}
		fmt.Fprintf(&b, "| %s | %s | %s |", r.Subject.Name, r.Subject.Fault, r.Subject.Must)
		for _, c := range columns() {
			fmt.Fprintf(&b, " %s |", r.figure(c))
		}
		fmt.Fprintf(&b, " %s |\n", r.Verdict())
	}
	b.WriteString("\n## What each scenario measured\n\n")
	for _, r := range p.Results {
		if r.Subject.Bug != "" {
			continue
		}
		fmt.Fprintf(&b, "**%s**:", r.Subject.Name)
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
	b.WriteString(explanations(p.Results))
	if p.planted() {
		b.WriteString(pagePlanted)
	}
	for _, r := range p.Results {
		if r.Subject.Bug == "" {
			continue
		}
		noticed := "nothing"
		if len(r.found) > 0 {
			noticed = r.found[0]
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", r.Subject.Bug, r.Subject.Fault, noticed, r.Verdict())
	}
	return b.String()
}

// planted reports whether any scenario has a bug planted.
func (p *Report) planted() bool {
	return slices.ContainsFunc(p.Results, func(r *Result) bool { return r.Subject.Bug != "" })
}

const pageTitle = "# Reliability, measured\n\n"

const pageHead = "`make chaos`" + ` breaks things under load and compares afterwards what was promised with what is stored. It starts private PostgreSQL and RabbitMQ servers, which it kills, freezes and starts again on the same data, and runs the service as a process of its own.

How it is measured:

- Clients write every attempt into a ledger on disk before they send it, and its outcome after: accepted (202), refused (4xx), or unknown (no answer, or 5xx). Half of the publications are batches; half carry an ` + "`Idempotency-Key`" + ` and are sent again until their outcome is known, the others are sent once.
- Afterwards a checker reads PostgreSQL and RabbitMQ directly, past the service, when that has ended. It holds that: accepted, minus stored, minus dead-lettered is nothing; stored, minus attempted is nothing; no attempt is stored twice or has two dead letters; every payload is what was sent; ` + "`seq`" + ` is 1, 2, 3, ... for every tenant; all queues are empty; no request took longer than 6 s; the log has no panic, no data race and no "unknown delivery tag".
- Endpoints are in the process of the suite, and note each request, its body, and whether its sender was still there for the answer. Every stored message has to have been taken by each endpoint of its tenant that wanted it, with the same payload, ` + "`seq`" + ` and key; ` + "`fifo`" + ` and ` + "`key`" + ` endpoints have to have taken them in order, repetitions aside; and these are counted.
- Times to "stored" are from the moment a request was due to the moment the committed row is visible to another connection.
`

const pagePlanted = `
## The checker is checked

The same scenarios run against the service with a bug planted into it (tests/chaos/bugs); the checker has to notice.

| Bug | Fault | What the checker said first | Verdict |
|---|---|---|---|
`

package main

import (
	"fmt"
	"strings"
	"time"
)

// report turns results into text.
type report struct {
	options options
	facts   facts
	results results
}

func newReport(o options, f facts, r results) report { return report{o, f, r} }

// tables returns what was measured.
func (r report) tables() string {
	var b strings.Builder
	b.WriteString(r.throughput())
	if costs := r.costs(); costs != "" {
		b.WriteString("\nProcessor time for one message, in microseconds:\n\n" + costs)
	}
	if r.options.idle > 0 {
		b.WriteString("\nIdle tenants:\n\n" + idleTable(r.results.idle))
		if r.results.restart.tenants > 0 {
			b.WriteString("\n" + r.results.restart.sentence())
		}
	}
	if len(r.results.latency) > 0 {
		b.WriteString("\n" + r.latency())
	}
	if len(r.results.streams) > 0 {
		b.WriteString("\n" + r.streams())
	}
	if len(r.results.deliveries) > 0 {
		b.WriteString("\n" + r.deliveries())
	}
	fmt.Fprintf(&b, "\n%s rows checked: none missing, none twice, `seq` without holes.\n", grouped(float64(r.results.stored)))
	return b.String()
}

func (r report) throughput() string {
	t := newTable("Tenants", "Broker's ceiling", "Batch, stored", "of the ceiling", "in a call", "Broker's ceiling, single", "Single, stored", "of that")
	for _, s := range r.results.scales {
		ceiling := func(x round) float64 { return x.ceiling.rate }
		batch := func(x round) float64 { return x.batch.rate }
		single := func(x round) float64 { return x.single.rate }
		narrow := func(x round) float64 { return x.narrow.rate }
		row := []string{
			grouped(float64(s.tenants)), grouped(median(s.rounds, ceiling)) + "/s",
			grouped(median(s.rounds, batch)) + "/s", ratioOf(s.rounds, batch, ceiling), grouped(float64(s.perBatch)), "-", "-", "-",
		}
		if r.options.singles > 0 {
			row[5], row[6] = grouped(median(s.rounds, narrow))+"/s", grouped(median(s.rounds, single))+"/s"
			row[7] = ratioOf(s.rounds, single, narrow)
		}
		t.add(row...)
	}
	return t.String()
}

// ratioOf returns the median ratio of f to g in the same round, and between which
// two it was.
func ratioOf(rounds []round, f, g func(round) float64) string {
	ratio := func(x round) float64 { return f(x) / g(x) }
	low, high := ratio(rounds[0]), ratio(rounds[0])
	for _, x := range rounds {
		low, high = min(low, ratio(x)), max(high, ratio(x))
	}
	if len(rounds) == 1 {
		return fmt.Sprintf("%.2f", low)
	}
	return fmt.Sprintf("**%.2f** (%.2f to %.2f)", median(rounds, ratio), low, high)
}

// costs returns what spends how much processor time, or "" when that is not
// known here.
func (r report) costs() string {
	t := newTable("Tenants", "What", "Lanekeeper", "Postgres", "RabbitMQ", "Load generator", "All", "Processors busy", "Rows in a commit", "Time of a commit")
	known := false
	for _, s := range r.results.scales {
		for _, kind := range []struct {
			name string
			of   func(round) sample
		}{
			{"ceiling", func(x round) sample { return x.ceiling }},
			{"batch", func(x round) sample { return x.batch }},
			{"single ceiling", func(x round) sample { return x.narrow }},
			{"single", func(x round) sample { return x.single }},
			{"bare handler", func(x round) sample { return x.bare }},
		} {
			if kind.of(s.rounds[0]).messages == 0 {
				continue
			}
			each := func(of func(cpuTimes) time.Duration) float64 {
				return median(s.rounds, func(x round) float64 {
					sample := kind.of(x)
					return float64(of(sample.cpu).Microseconds()) / float64(sample.messages)
				})
			}
			service := each(func(c cpuTimes) time.Duration { return c.service })
			generator := each(func(c cpuTimes) time.Duration { return c.generator })
			postgres := each(func(c cpuTimes) time.Duration { return c.postgres })
			rabbitmq := each(func(c cpuTimes) time.Duration { return c.rabbitmq })
			all := service + generator + postgres + rabbitmq
			known = known || all > 0
			rate := median(s.rounds, func(x round) float64 { return kind.of(x).rate })
			ours := fmt.Sprintf("%.0f", service)
			if r.options.inProcess && kind.name != "bare handler" {
				ours = "(with the generator)"
			}
			rows, took := "-", "-"
			if n := median(s.rounds, func(x round) float64 { return kind.of(x).commits.number }); n > 0 {
				rows = fmt.Sprintf("%.0f", median(s.rounds, func(x round) float64 { return kind.of(x).commits.rows })/n)
				took = millis(median(s.rounds, func(x round) float64 { return kind.of(x).commits.seconds }) / n * 1e9)
			}
			t.add(grouped(float64(s.tenants)), kind.name, ours, fmt.Sprintf("%.0f", postgres), fmt.Sprintf("%.0f", rabbitmq),
				fmt.Sprintf("%.0f", generator), fmt.Sprintf("%.0f", all), fmt.Sprintf("%.1f of %d", all*rate/1e6, r.facts.cpus), rows, took)
		}
	}
	if !known {
		return ""
	}
	return t.String()
}

func (r report) latency() string {
	rounds := r.results.latency
	t := newTable(fmt.Sprintf("At %s a second", grouped(float64(r.options.rate))), "p50", "p99", "p99 to that of the bare confirm")
	line := func(name string, of func(latencyRound) latencies, ratio string) {
		t.add(name,
			millis(median(rounds, func(x latencyRound) float64 { return float64(of(x).p50) })),
			millis(median(rounds, func(x latencyRound) float64 { return float64(of(x).p99) })), ratio)
	}
	line("Bare confirm", func(x latencyRound) latencies { return x.confirm }, "1")
	line("POST /api/messages", func(x latencyRound) latencies { return x.post }, fmt.Sprintf("**%.2f**", median(rounds, latencyRound.ratio)))
	t.add("Publication to committed row", "-", millis(median(rounds, func(x latencyRound) float64 { return float64(x.storedP99) })), "-")
	return t.String()
}

// streams returns what was measured of realtime streams.
func (r report) streams() string {
	rounds := r.results.streams
	of := func(f func(streamRound) float64) float64 { return median(rounds, f) }
	t := newTable(fmt.Sprintf("At %s a second", grouped(float64(r.options.streamRate))), "p50", "p99", "p50 to that of the chain")
	t.add("Bare chain to the commit", millis(of(func(x streamRound) float64 { return float64(x.chain.p50) })),
		millis(of(func(x streamRound) float64 { return float64(x.chain.p99) })), "1")
	t.add("POST to the event", millis(of(func(x streamRound) float64 { return float64(x.event.p50) })),
		millis(of(func(x streamRound) float64 { return float64(x.event.p99) })), fmt.Sprintf("**%.2f**", of(streamRound.ratio)))
	crowd := newTable(fmt.Sprintf("At %s a second to one tenant", grouped(crowdRate)), "Publication to commit, p99", "to that without clients")
	crowd.add("Nobody streams", millis(of(func(x streamRound) float64 { return float64(x.alone) })), "1")
	crowd.add(grouped(float64(r.options.crowd))+" clients stream", millis(of(func(x streamRound) float64 { return float64(x.crowded) })),
		fmt.Sprintf("**%.2f**", of(streamRound.crowdRatio)))
	return t.String() + "\n" + crowd.String()
}

// deliveries returns what was measured of deliveries.
func (r report) deliveries() string {
	t := newTable("Tenants", "Bare POSTs", "Backlog, delivered", "of the POSTs", "Batches, delivered", "of the POSTs",
		"Batches, stored", "of those without endpoint", "Single, delivered", "of those stored", "POST to arrival, p50", "to the bare chain")
	cost := newTable("Tenants", "What", "Lanekeeper", "Postgres", "RabbitMQ", "Load generator")
	for _, n := range tenantsOf(r.results.deliveries) {
		var rounds []deliverRound
		for _, x := range r.results.deliveries {
			if x.tenants == n {
				rounds = append(rounds, x)
			}
		}
		of := func(f func(deliverRound) float64) float64 { return median(rounds, f) }
		ratio := func(f func(deliverRound) float64) string { return fmt.Sprintf("**%.2f**", of(f)) }
		t.add(grouped(float64(n)), grouped(of(func(x deliverRound) float64 { return x.bare.rate }))+"/s",
			grouped(of(func(x deliverRound) float64 { return x.drained.rate }))+"/s",
			ratio(func(x deliverRound) float64 { return x.drained.rate / x.bare.rate }),
			grouped(of(func(x deliverRound) float64 { return x.batch.rate }))+"/s",
			ratio(func(x deliverRound) float64 { return x.batch.rate / x.bare.rate }),
			grouped(of(func(x deliverRound) float64 { return x.stored.rate }))+"/s",
			ratio(func(x deliverRound) float64 { return x.stored.rate / x.alone.rate }),
			grouped(of(func(x deliverRound) float64 { return x.single.rate }))+"/s",
			ratio(deliverRound.singleRatio),
			millis(of(func(x deliverRound) float64 { return float64(x.arrival.p50) })), ratio(deliverRound.arrivalRatio))
		for _, kind := range []struct {
			name string
			of   func(deliverRound) sample
		}{
			{"bare POSTs", func(x deliverRound) sample { return x.bare }},
			{"backlog", func(x deliverRound) sample { return x.drained }},
			{"batches", func(x deliverRound) sample { return x.batch }},
			{"single", func(x deliverRound) sample { return x.single }},
		} {
			each := func(f func(cpuTimes) time.Duration) string {
				return fmt.Sprintf("%.0f", of(func(x deliverRound) float64 {
					return float64(f(kind.of(x).cpu).Microseconds()) / float64(max(1, kind.of(x).messages))
				}))
			}
			cost.add(grouped(float64(n)), kind.name, each(func(c cpuTimes) time.Duration { return c.service }),
				each(func(c cpuTimes) time.Duration { return c.postgres }), each(func(c cpuTimes) time.Duration { return c.rabbitmq }),
				each(func(c cpuTimes) time.Duration { return c.generator }))
		}
	}
	return t.String() + "\nProcessor time for one delivery, in microseconds (the receiver is in the load generator):\n\n" + cost.String()
}

func millis(nanoseconds float64) string {
	return fmt.Sprintf("%.1f ms", nanoseconds/float64(time.Millisecond))
}

// grouped writes a number with commas between thousands.
func grouped(n float64) string {
	digits := fmt.Sprintf("%.0f", n)
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

// table is a table in Markdown that can be read as it is.
type table struct{ rows [][]string }

func newTable(head ...string) *table { return &table{rows: [][]string{head}} }

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// String returns the table, the first column to the left, the others to the
// right.
func (t *table) String() string {
	widths := make([]int, len(t.rows[0]))
	for _, row := range t.rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len(cell), 3)
		}
	}
	var b strings.Builder
	for n, row := range t.rows {
		for i, cell := range row {
			if i == 0 {
				fmt.Fprintf(&b, "| %-*s |", widths[i], cell)
			} else {
				fmt.Fprintf(&b, " %*s |", widths[i], cell)
			}
		}
		b.WriteByte('\n')
		if n > 0 {
			continue
		}
		for i, width := range widths {
			if i == 0 {
				b.WriteString("|:" + strings.Repeat("-", width) + "-|")
			} else {
				b.WriteString("-" + strings.Repeat("-", width) + ":|")
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

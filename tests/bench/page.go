package main

import (
	"fmt"
	"strings"
)

// page returns the report in Markdown.
func (r report) page() string {
	o, f := r.options, r.facts
	var b strings.Builder
	fmt.Fprintf(&b, `# Performance

Written by %[1]smake bench%[1]s. The figures are those of one run on a machine with %[2]d processors (%[3]s): everything runs
on it at once, the load generator, Lanekeeper, RabbitMQ and Postgres. Another machine gives other figures; the ratios
are what to compare.

| | |
|---|---|
| Go | %[4]s |
| RabbitMQ | %[5]s, quorum queues, one node |
| Postgres | %[6]s, fsync %[7]s, synchronous_commit %[8]s, shared_buffers %[9]s |
| Messages | JSON of %[10]d bytes, persistent |
| Lanekeeper | %[11]s, default settings but for %[1]spublish_rate: 0%[1]s, log level %[12]s |

## Throughput

Messages a second, until the last one is committed. Rounds: %[13]d; the median is given, and how far they lay apart.

`, "`", f.cpus, f.platform, strings.TrimPrefix(f.golang, "go"), f.rabbitmq, f.postgres, f.fsync, f.synchronous, f.sharedBuffers,
		payloadSize, r.where(), o.logLevel, o.repeat)
	b.WriteString(r.throughput())
	fmt.Fprintf(&b, `
- **Broker's ceiling**: what RabbitMQ does alone. As many queues as tenants, with the arguments of a tenant's queue;
  %d publishing connections with %d unconfirmed messages each, persistent and mandatory; at the same time a consumer on
  each queue, prefetch %d, that acknowledges a hundred at a time. It ends when all of %s messages are acknowledged.
- **Batch**: %sPOST /api/messages/batch%s over %d connections to all tenants in turn, from the first request until as many
  rows are committed as were accepted.
- **Broker's ceiling, single**: what RabbitMQ does alone when only as many messages are unconfirmed at a time as there are
  connections for single publications; the rest as above.
- **Single**: the same with %sPOST /api/messages%s over %d connections, %s messages.
- A ratio is to the ceiling of the same round, measured just before. The ceiling's publishers write one message to each
  queue in turn, as independent callers would; a batch goes to one tenant, and messages that follow each other into one
  queue are easier for the broker. So a ratio near 1 does not mean that nothing is lost on the way.
`, publishConnections, inFlight, prefetch, grouped(float64(o.messages)), "`", "`", o.clients, "`", "`", o.connections, grouped(float64(o.singles)))
	if costs := r.costs(); costs != "" {
		fmt.Fprintf(&b, `
## What limits what

Processor time for one message, in microseconds, by who spent it:

%s
Where nearly all processors are busy they are the limit, and the largest column is where a gain would be found. Where
they are not, something is waited for: the disk, on which RabbitMQ and Postgres each write every message before they
answer, or an answer on the way. The bare handler is a process that reads the same bodies with Gin and answers 202: what is
left of a publication when nothing is done about it. A single publication costs a request and a confirm of its own; a batch shares the
request among its messages. More tenants mean more queues to write to in the broker, and more partitions with indexes
of their own in each transaction.
`, costs)
	}
	if o.idle > 0 {
		fmt.Fprintf(&b, `
## Idle tenants

What tenants cost to whom nothing happens: what one adds to the memory and the goroutines of the service, and how much of
one processor each program uses meanwhile, over %s. They are made four at a time.

%s`, o.idle, idleTable(r.results.idle))
		if r.results.restart.tenants > 0 {
			b.WriteString("\n" + r.results.restart.sentence())
		}
	}
	if len(r.results.latency) > 0 {
		fmt.Fprintf(&b, `
## Latency

An open loop: %s publications a second for %s at fixed moments, whether or not the ones before have been answered, to
%d tenants; the time counts from the scheduled moment, so waiting behind a slow answer counts too. A bare confirm is the
time until RabbitMQ confirms a publication to a queue with the same arguments. Rounds: %d; the
median of each figure is given.

%s
The last line is from the service's metric %slanekeeper_end_to_end_seconds%s, interpolated within its buckets.
`, grouped(float64(o.rate)), o.open, min(openTenants, o.tenants[len(o.tenants)-1]), o.repeat, r.latency(), "`", "`")
	}
	if len(r.results.streams) > 0 {
		fmt.Fprintf(&b, `
## Streams

The same open loop, %s publications a second for %s to %d tenants, each of which one client follows: from the scheduled
moment until the client has the event. The bare chain is the least that a message has to go through to be stored:
published to a queue with the same arguments, confirmed, consumed, inserted into a plain table, committed, one message
at a time, with as many queues and connections as tenants. Below, a crowd follows one tenant, and every client gets
every message; the time is from the metric %slanekeeper_end_to_end_seconds%s.

%s`, grouped(float64(o.streamRate)), o.open, min(openTenants, o.tenants[len(o.tenants)-1]), "`", "`", r.streams())
	}
	fmt.Fprintf(&b, `
## Checked

After the measurements the rows of every tenant were compared with what had been answered with 202: %s rows, none
missing, none twice, %[2]sseq%[2]s from 1 without holes.

## Reproduce it

%[2]s%[2]s%[2]s
%[3]s
%[2]s%[2]s%[2]s

It starts a Postgres and a RabbitMQ of its own that write to the disk what they commit, or uses those that
%[2]sDATABASE_URL%[2]s and %[2]sRABBITMQ_URL%[2]s name. %[2]sgo run ./tests/bench -h%[2]s lists the flags; %[2]s-profile DIR%[2]s writes CPU profiles in which
%[2]sgo tool pprof -tagignore load=generator%[2]s leaves out the load generator. Other work on the machine makes every figure
smaller, so look at how far the rounds lie apart.
`, grouped(float64(r.results.stored)), "`", r.command())
	return b.String()
}

func (r report) where() string {
	if r.options.inProcess {
		return "in the process of the load generator"
	}
	return "a process of its own"
}

// command returns what gives this report, flags with other than their usual
// values included.
func (r report) command() string {
	return strings.Join(append([]string{"go run ./tests/bench"}, r.options.changed...), " ")
}

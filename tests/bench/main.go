package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"lanekeeper/tests/command"
)

// options are the flags.
type options struct {
	tenants     []int
	messages    int
	singles     int
	batch       int
	clients     int
	connections int
	repeat      int
	open        time.Duration
	rate        int
	streamRate  int
	crowd       int
	deliveries  bool
	idle        time.Duration
	logLevel    string
	inProcess   bool
	profile     string
	dir         string
	out         string
	changed     []string // the flags that were given, to reproduce a run
}

func main() { command.Main("bench", run) }

// run measures, prints the tables to stdout, and reports its progress to stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	if len(args) == 1 && args[0] == bareCommand {
		return serveBare(ctx, stdout)
	}
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	b, err := newBench(ctx, o, stderr)
	if err != nil {
		return err
	}
	results, err := b.measure(ctx)
	if err = errors.Join(err, b.close(context.WithoutCancel(ctx), err == nil)); err != nil {
		return err
	}
	report := newReport(o, b.facts, results)
	fmt.Fprint(stdout, report.tables())
	if o.out == "" {
		return nil
	}
	if err := os.WriteFile(o.out, []byte(report.page()), 0o644); err != nil { //nolint:gosec // a page for everyone
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	tenants := flags.String("tenants", "1,10,100,1000", "`numbers` of tenants, ascending")
	flags.IntVar(&o.messages, "messages", 100_000, "messages of one measurement: of the ceiling and of batch publication")
	flags.IntVar(&o.singles, "singles", 40_000, "messages of one measurement of single publication; 0 leaves it out")
	flags.IntVar(&o.batch, "batch", 500, "messages in one batch, fewer where each tenant would not get one")
	flags.IntVar(&o.clients, "clients", 4, "connections for batch publication")
	flags.IntVar(&o.connections, "connections", 32, "connections for single publication")
	flags.IntVar(&o.repeat, "repeat", 3, "rounds; the median is reported")
	flags.DurationVar(&o.open, "open", 15*time.Second, "length of each open-loop measurement; 0 leaves it out")
	flags.IntVar(&o.rate, "rate", 1000, "publications a second in the open loop")
	flags.IntVar(&o.streamRate, "stream-rate", 500, "publications a second while streams are measured")
	flags.IntVar(&o.crowd, "crowd", 1000, "clients that stream the messages of one tenant; 0 leaves streams out")
	flags.BoolVar(&o.deliveries, "deliveries", true, "measure deliveries to endpoints")
	flags.DurationVar(&o.idle, "idle", 10*time.Second, "length of each measurement of what idle tenants cost; 0 leaves it out")
	flags.StringVar(&o.logLevel, "log", "error", "the service's log `level`; its log goes to a file")
	flags.BoolVar(&o.inProcess, "in-process", false, "run the service inside of this process")
	flags.StringVar(&o.profile, "profile", "", "write profiles of the processor and of the heap to this `directory`; implies -in-process")
	flags.StringVar(&o.dir, "dir", "", "`directory` below which the servers keep their data for the time, on a real disk; the system's for temporary files unless given")
	flags.StringVar(&o.out, "out", "", "write the report to this `file` in Markdown")
	if err := flags.Parse(args); err != nil {
		return o, err //nolint:wrapcheck // says what is wrong
	}
	o.inProcess = o.inProcess || o.profile != ""
	flags.Visit(func(f *flag.Flag) {
		if f.Name != "dir" && f.Name != "profile" && f.Name != "out" { // places on one machine
			o.changed = append(o.changed, "-"+f.Name+"="+f.Value.String())
		}
	})
	for text := range strings.SplitSeq(*tenants, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || n < 1 || n > 5000 || len(o.tenants) > 0 && n <= o.tenants[len(o.tenants)-1] {
			return o, fmt.Errorf("%w: -tenants must be ascending numbers from 1 to 5000", errUsage)
		}
		o.tenants = append(o.tenants, n)
	}
	most := o.tenants[len(o.tenants)-1]
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("%w: unexpected %q", errUsage, flags.Arg(0))
	case o.messages < most || o.messages > 10_000_000:
		return o, fmt.Errorf("%w: -messages must be from the number of tenants to 10,000,000", errUsage)
	case o.singles != 0 && o.singles < most || o.singles > 10_000_000:
		return o, fmt.Errorf("%w: -singles must be 0, or from the number of tenants to 10,000,000", errUsage)
	case o.batch < 1 || o.batch > 1000:
		return o, fmt.Errorf("%w: -batch must be from 1 to 1000", errUsage)
	case o.clients < 1 || o.clients > 256 || o.connections < 1 || o.connections > 256:
		return o, fmt.Errorf("%w: -clients and -connections must be from 1 to 256", errUsage)
	case o.repeat < 1 || o.repeat > 100:
		return o, fmt.Errorf("%w: -repeat must be from 1 to 100", errUsage)
	case o.streamRate < 1 || o.streamRate > 100_000 || o.crowd < 0 || o.crowd > 10_000:
		return o, fmt.Errorf("%w: -stream-rate must be from 1 to 100,000, and -crowd from 0 to 10,000", errUsage)
	case o.rate < 1 || o.rate > 100_000 || o.idle < 0 || o.idle > 10*time.Minute || o.open < 0 || o.open > 10*time.Minute:
		return o, fmt.Errorf("%w: -rate must be from 1 to 100,000, and -open and -idle at most 10m", errUsage)
	}
	return o, nil
}

var errUsage = errors.New("wrong use")

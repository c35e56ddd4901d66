// Command chaos breaks things under load and proves that nothing is lost. It
// starts private servers which it may kill, builds the service, and runs it as
// a process of its own.
//
// In every scenario clients write each of their attempts into a ledger on
// disk before it is sent, and the outcome after it: accepted, refused or
// unknown. Afterwards a checker reads Postgres and RabbitMQ directly and
// compares. It exits with 1 when anything does not hold.
//
//	go run ./tests/chaos [-short] [-run NAMES] [-seed N] [-keep] [-out FILE]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"regexp"
	"slices"
	"time"

	"lanekeeper/tests/command"
)

// options are the flags.
type options struct {
	short bool
	only  *regexp.Regexp
	seed  uint64
	keep  bool
	race  bool
	list  bool
	out   string
	// rabbitmq is which version clusters of brokers run; "" for the installed
	// one.
	rabbitmq string
	// noNetwork is why there is no network of the run's own; nil when there is,
	// or when nothing asks for it.
	noNetwork error
}

var (
	errUsage       = errors.New("wrong use")
	errBroken      = errors.New("does not hold")
	errInterrupted = errors.New("interrupted")
)

func main() { command.Main("chaos", run) }

// run runs the scenarios, prints their figures to stdout as they come and the
// table at the end, and tells stderr what goes on. The report is complete as
// far as it goes whenever the run ends.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	chosen := choose(o)
	if len(chosen) == 0 {
		return fmt.Errorf("%w: -run matches no scenario", errUsage)
	}
	if o.list {
		for _, sc := range chosen {
			fmt.Fprintf(stdout, "%-28s %s\n", sc.name, sc.fault)
		}
		return nil
	}
	if slices.ContainsFunc(chosen, func(sc scenario) bool { return sc.network }) {
		if o.noNetwork = enterNetwork(ctx); o.noNetwork != nil {
			fmt.Fprintf(stderr, "chaos: no network of its own: %v\n", o.noNetwork)
		}
	}
	rep := &report{options: o, chosen: chosen, begun: time.Now()}
	s, err := newSuite(ctx, o, stderr)
	if err != nil {
		return err
	}
	rep.facts = s.facts
	err = errors.Join(rep.fill(ctx, stdout, s.perform), s.close())
	rep.print(stdout)
	return errors.Join(err, rep.err())
}

func parse(args []string, stderr io.Writer) (options, error) {
	o := options{seed: uint64(time.Now().UnixNano())}
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.BoolVar(&o.short, "short", false, "small figures: everything in some minutes")
	only := flags.String("run", "", "only scenarios whose names match this regular `expression`")
	flags.Uint64Var(&o.seed, "seed", o.seed, "`number` that the random moments are made of; chance of the machine remains")
	flags.BoolVar(&o.keep, "keep", false, "keep ledgers and logs, also of scenarios that hold")
	flags.BoolVar(&o.race, "race", false, "build the service with the race detector")
	flags.BoolVar(&o.list, "list", false, "list the scenarios and do nothing")
	flags.StringVar(&o.rabbitmq, "rabbitmq", "", "run clusters with `4`, out of the image "+brokerImage+" of a Docker engine, instead of the RabbitMQ that is installed")
	flags.StringVar(&o.out, "out", "", "write the report to this `file` in Markdown, again after each scenario")
	if err := flags.Parse(args); err != nil {
		return o, err //nolint:wrapcheck // says what is wrong
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("%w: unexpected %q", errUsage, flags.Arg(0))
	}
	if o.rabbitmq != "" && o.rabbitmq != "4" {
		return o, fmt.Errorf("%w: -rabbitmq: %q is not 4", errUsage, o.rabbitmq)
	}
	var err error
	if o.only, err = regexp.Compile(*only); err != nil {
		return o, fmt.Errorf("%w: -run: %w", errUsage, err)
	}
	return o, nil
}

// choose returns the scenarios that -run asks for, in their order; without it
// all, or in the short form those that are short.
func choose(o options) []scenario {
	var chosen []scenario
	for _, sc := range scenarios(figuresFor(o.short)) {
		if o.only.String() == "" && o.short && sc.long {
			continue
		}
		if o.only.MatchString(sc.name) {
			chosen = append(chosen, sc)
		}
	}
	return chosen
}

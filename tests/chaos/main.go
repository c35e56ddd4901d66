package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"regexp"
	"time"

	"lanekeeper/tests/chaos/env"
	"lanekeeper/tests/chaos/report"
	"lanekeeper/tests/chaos/scenario"
	"lanekeeper/tests/command"
)

// commandLine is the flags.
type commandLine struct {
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
}

var errUsage = errors.New("wrong use")

func main() { command.Main("chaos", run) }

// run runs the scenarios, prints their figures to stdout as they come and the
// table at the end, and reports its progress to stderr. The report is complete
// as far as it goes whenever the run ends.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	c, err := parse(args, stderr)
	if err != nil {
		return err
	}
	scenarios := scenario.Choose(c.only, c.short, c.seed)
	subjects := scenarios.Subjects()
	if len(subjects) == 0 {
		return fmt.Errorf("%w: -run matches no scenario", errUsage)
	}
	if c.list {
		for _, s := range subjects {
			fmt.Fprintf(stdout, "%-28s %s\n", s.Name, s.Fault)
		}
		return nil
	}
	o := env.Options{Race: c.race, Keep: c.keep, RabbitMQ: c.rabbitmq}
	if scenarios.NeedsNetwork() {
		if o.NoNetwork = env.StartOver(ctx); o.NoNetwork != nil {
			fmt.Fprintf(stderr, "chaos: no network of its own: %v\n", o.NoNetwork)
		}
	}
	h := report.Head{Short: c.short, Only: c.only.String(), Seed: c.seed, Cluster: c.rabbitmq, Out: c.out}
	rep := report.New(h, subjects)
	fmt.Fprintf(stderr, "chaos: seed %d\n", c.seed)
	s, err := env.Start(ctx, o, stderr)
	if err != nil {
		return err
	}
	scenarios.Use(s)
	rep.Postgres, rep.RabbitMQ = s.Facts.Postgres, s.Facts.RabbitMQ
	err = errors.Join(rep.Fill(ctx, stdout, scenarios.Perform), s.Close())
	rep.Print(stdout)
	return errors.Join(err, rep.Err())
}

func parse(args []string, stderr io.Writer) (commandLine, error) {
	o := commandLine{seed: uint64(time.Now().UnixNano())}
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.BoolVar(&o.short, "short", false, "small figures: everything in some minutes")
	only := flags.String("run", "", "only scenarios whose names match this regular `expression`")
	flags.Uint64Var(&o.seed, "seed", o.seed, "`number` that the random moments are made of; chance of the machine remains")
	flags.BoolVar(&o.keep, "keep", false, "keep ledgers and logs, also of scenarios that hold")
	flags.BoolVar(&o.race, "race", false, "build the service with the race detector")
	flags.BoolVar(&o.list, "list", false, "list the scenarios and do nothing")
	flags.StringVar(&o.rabbitmq, "rabbitmq", "", "run clusters with `4`, out of the image "+env.BrokerImage+" of a Docker engine, instead of the RabbitMQ that is installed")
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

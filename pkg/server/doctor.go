package server

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"lanekeeper/config"
	"lanekeeper/pkg/rabbitmq"
	"lanekeeper/service/broker"
	"lanekeeper/service/tenant"
)

// doctorPatience is how long the doctor waits for the broker.
const doctorPatience = 15 * time.Second

// errFindings makes the doctor's exit status say that there are findings.
var errFindings = errors.New("there are findings")

// doctor runs "doctor [-fix]": it prints what differs between the database
// and the broker, and an error when something does and was not repaired.
func doctor(ctx context.Context, c config.Config, log *slog.Logger, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("lanekeeper doctor", flag.ContinueOnError)
	fix := flags.Bool("fix", false, "repair what can be repaired without losing messages")
	if err := flags.Parse(args); err != nil {
		return err //nolint:wrapcheck // says what is wrong
	}
	if c.Database.URL == "" || c.RabbitMQ.URL == "" {
		return errors.New("database.url (DATABASE_URL) and rabbitmq.url (RABBITMQ_URL) must be set for this command; the private servers print theirs when they start")
	}
	store, err := openStore(ctx, c, nil)
	if err != nil {
		return err
	}
	defer store.Close()
	o := brokerOptions(c)
	if o.URLs, err = rabbitmq.SplitURLs(c.RabbitMQ.URL); err != nil {
		return fmt.Errorf("rabbitmq.url: %w", err)
	}
	o.Replica, o.Log, o.PublishChannels = "doctor", log, 1
	b := broker.New(o)
	stop := background(ctx, b.Run)
	defer stop()
	patient, cancel := context.WithTimeout(ctx, doctorPatience)
	defer cancel()
	if err := b.AwaitReady(patient); err != nil {
		return err //nolint:wrapcheck // says what is wrong
	}
	shortened, err := shortenedQueues(c)
	if err != nil {
		return err
	}
	return printFindings(ctx, tenant.NewDoctor(tenant.DoctorOptions{
		Tenants: store, Partitions: store, Topology: b, Capacity: newCapacity(c, store.CountTenants, nil, nil),
		Shortened: shortened, Deaths: store.ListBrokerDeaths,
	}), *fix, out)
}

func printFindings(ctx context.Context, d *tenant.Doctor, fix bool, out io.Writer) error {
	open, repaired := 0, 0
	err := d.Examine(ctx, fix, func(f tenant.Finding) {
		state := "found"
		switch {
		case f.Repaired:
			state = "repaired"
			repaired++
		case f.Err != nil:
			state = fmt.Sprintf("not repaired (%v)", f.Err)
		}
		if !f.Repaired {
			open++
		}
		about := "broker"
		if f.TenantID != uuid.Nil {
			about = fmt.Sprintf("%s  %-12s", f.TenantID, f.Status)
		}
		fmt.Fprintf(out, "%s  %s: %s\n", about, f.Problem, state)
	})
	switch {
	case err != nil:
		return fmt.Errorf("examine: %w", err)
	case open > 0:
		return fmt.Errorf("%w: %d", errFindings, open)
	case repaired > 0:
		fmt.Fprintln(out, "everything that was found is repaired")
		return nil
	}
	fmt.Fprintln(out, "nothing is amiss")
	return nil
}

package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"lanekeeper/config"
	"lanekeeper/pkg/rabbitmq"
	"lanekeeper/repository"
	"lanekeeper/service/broker"
	"lanekeeper/service/tenant"
)

// doctorPatience is how long the doctor waits for the broker.
const doctorPatience = 15 * time.Second

// errFindings makes the doctor's exit status say that there are findings.
var errFindings = errors.New("there are findings")

// Doctor prints to out what differs between the database and the broker, and with
// fix repairs what can be repaired without losing messages. It returns an error when
// something differs and was not repaired.
func Doctor(ctx context.Context, c config.Config, log *slog.Logger, fix bool, out io.Writer) error {
	if c.Database.URL == "" || c.RabbitMQ.URL == "" {
		return errors.New("database.url (DATABASE_URL) and rabbitmq.url (RABBITMQ_URL) must be set for this command; servers.env in data_dir sets those of the private servers")
	}
	secured, err := rowSecurity(ctx, c, !fix)
	if err != nil {
		return fmt.Errorf("row-level security: %w", err)
	}
	store, err := openStore(ctx, c, repository.Options{Roles: secured.Roles})
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
	credentials, err := newCredentials(c, store, store, b, log)
	if err != nil {
		return err
	}
	return printFindings(ctx, secured, tenant.NewDoctor(tenant.DoctorOptions{
		Tenants: store, Partitions: store, Topology: b, Capacity: newCapacity(c, store.CountTenants, nil, nil),
		Shortened: shortened, Deaths: store.ListBrokerDeaths, Credentials: credentials.Examine,
	}), fix, out)
}

func printFindings(ctx context.Context, secured repository.RowSecurity, d *tenant.Doctor, fix bool, out io.Writer) error {
	open, repaired := 0, 0
	if secured.Problem != "" {
		open++
		fmt.Fprint(out, describe(secured))
	}
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

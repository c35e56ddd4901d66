package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/redis/go-redis/v9"

	"lanekeeper/config"
	"lanekeeper/domain"
	"lanekeeper/pkg/postgres"
	"lanekeeper/pkg/sealing"
	"lanekeeper/repository"
	"lanekeeper/service/auth"
	"lanekeeper/service/fleet"
	"lanekeeper/service/tenant"
)

// healthTimeout bounds the health check.
const healthTimeout = 3 * time.Second

// errNoDatabase is returned by commands that need a database where none is
// configured.
var errNoDatabase = errors.New("database.url (DATABASE_URL) must be set for this command; servers.env in data_dir sets that of the private servers")

// Serve runs the service until ctx is done. A person who starts it by hand reads on
// notes how to reach it.
func Serve(ctx context.Context, c config.Config, log *slog.Logger, notes io.Writer) error {
	redis.SetLogger(redisLog{log})
	s, err := New(c, log, notes) //nolint:contextcheck // listening does not wait
	if err != nil {
		return err
	}
	return s.Run(ctx)
}

// Migrate runs up, down or status on the configured database and reports to
// out.
func Migrate(ctx context.Context, c config.Config, direction string, out io.Writer) (err error) {
	if c.Database.URL == "" {
		return errNoDatabase
	}
	if err := connectError(checkDatabase(ctx, c)); err != nil {
		return err
	}
	m, err := repository.NewMigrator(adminURL(c))
	if err != nil {
		return fmt.Errorf("open migrations: %w", err)
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	var steps []repository.Migration
	switch direction {
	case "up":
		steps, err = m.Up(ctx)
	case "down":
		steps, err = m.Down(ctx)
	case "status":
		steps, err = m.Status(ctx)
	default:
		return fmt.Errorf("unknown direction %q: up, down or status", direction)
	}
	if err != nil {
		return fmt.Errorf("migrate %s: %w", direction, err)
	}
	for _, step := range steps {
		state := "done"
		if direction == "status" {
			state = "pending"
			if !step.AppliedAt.IsZero() {
				state = step.AppliedAt.UTC().Format(time.RFC3339)
			}
		}
		fmt.Fprintf(out, "%-40s %s\n", step.Name, state)
	}
	if len(steps) == 0 {
		fmt.Fprintln(out, "nothing to do")
	}
	if direction != "up" {
		return nil
	}
	secured, err := rowSecurity(ctx, c, false)
	if err != nil {
		return fmt.Errorf("row-level security: %w", err)
	}
	if secured.Problem != "" {
		fmt.Fprint(out, describe(secured))
	}
	return nil
}

// IssueToken returns a token for the user with the given address.
func IssueToken(ctx context.Context, c config.Config, log *slog.Logger, email string) (string, error) {
	var token string
	err := withAuth(ctx, c, log, func(service *auth.Service, _ *repository.Store) error {
		grant, err := service.IssueFor(ctx, email)
		if err != nil {
			return fmt.Errorf("issue token: %w", err)
		}
		token = grant.Token
		return nil
	})
	return token, err
}

// checkDatabase connects to the database, with both URLs where they differ.
func checkDatabase(ctx context.Context, c config.Config) error {
	urls := []string{c.Database.URL}
	if admin := adminURL(c); admin != c.Database.URL {
		urls = append(urls, admin)
	}
	return repository.CheckConnection(ctx, urls...) //nolint:wrapcheck // says that it connected
}

// connectError says why a command that does not wait failed, in words for the
// person who can put it right.
func connectError(err error) error {
	if reason := postgres.Explain(err); reason != "" {
		return errors.New(reason)
	}
	return err
}

// EncryptEndpoints encrypts the secrets and headers of all endpoints with the first of
// encryption_keys, so that the others are not needed any longer.
func EncryptEndpoints(ctx context.Context, c config.Config, out io.Writer) error {
	if len(c.EncryptionKeys) == 0 {
		return errors.New("encryption_keys (ENCRYPTION_KEYS) must be set for this command")
	}
	sealer, err := newSealer(c)
	if err != nil {
		return err
	}
	return withStore(ctx, c, sealer, func(store *repository.Store) error {
		encrypted, unreadable, err := store.ResealEndpoints(ctx)
		if err != nil {
			return err //nolint:wrapcheck // says what is wrong
		}
		fmt.Fprintf(out, "%d endpoints encrypted\n", encrypted)
		if unreadable > 0 {
			return fmt.Errorf("%w: %d endpoints are encrypted with a key that is not among encryption_keys", errFindings, unreadable)
		}
		return nil
	})
}

// byCommand has what is changed recorded as done by a command.
func byCommand(ctx context.Context) context.Context {
	return domain.WithActor(ctx, domain.Actor{Kind: domain.ActorCommand})
}

// withAuth runs work with what manages users, once the schema is up to date.
func withAuth(ctx context.Context, c config.Config, log *slog.Logger, work func(*auth.Service, *repository.Store) error) error {
	return withStore(ctx, c, nil, func(store *repository.Store) error {
		clock := fleet.NewClock(store, log)
		clock.Ask(ctx)
		return work(newAuth(c, store, tenant.NewDirectory(store), nil, clock, nil, log), store)
	})
}

// withStore runs work with the configured database, once its schema is up to date.
func withStore(ctx context.Context, c config.Config, sealer *sealing.Sealer, work func(*repository.Store) error) error {
	if c.Database.URL == "" {
		return errNoDatabase
	}
	if err := connectError(checkDatabase(ctx, c)); err != nil {
		return err
	}
	if c.Database.Migrate {
		if err := repository.Migrate(ctx, adminURL(c)); err != nil {
			return fmt.Errorf("migrate: %w", err)
		}
	}
	secured, err := rowSecurity(ctx, c, !c.Database.Migrate)
	if err != nil {
		return fmt.Errorf("row-level security: %w", err)
	}
	store, err := openStore(ctx, c, repository.Options{Sealer: sealer, Roles: secured.Roles})
	if err != nil {
		return err
	}
	defer store.Close()
	return work(store)
}

// CheckHealth returns nil when the service on this machine is ready.
func CheckHealth(ctx context.Context, c config.Config) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	location := url.URL{Scheme: "http", Host: reachable(c.ListenAddress()), Path: "/readyz"}
	transport := &http.Transport{DisableKeepAlives: true} // no proxy is asked for an address of this machine
	if c.TLS.Enabled() {
		location.Scheme = "https"
		// Its certificate is for the name that others call it by. What it is believed
		// is no more than that it is ready.
		transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12} //nolint:gosec // see above
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, location.String(), nil)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	client := http.Client{Transport: transport}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("ask for readiness: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", location.String(), response.Status)
	}
	return nil
}

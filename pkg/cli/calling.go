package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"lanekeeper/config"
	"lanekeeper/pkg/cli/terminal"
	"lanekeeper/pkg/client"
	"lanekeeper/pkg/version"
)

const (
	defaultURL = "http://127.0.0.1:8080"

	urlVariable    = "LANEKEEPER_URL"
	keyVariable    = "LANEKEEPER_API_KEY"
	tokenVariable  = "LANEKEEPER_TOKEN"
	tenantVariable = "LANEKEEPER_TENANT"
)

// connection is how the service is called.
type connection struct {
	url, key, token, tenant string

	// asUser: of two credentials in the environment the token counts, and not the key.
	asUser bool
	// retryFor is for how long a call is tried again; not at all unless set.
	retryFor time.Duration
	// keyless: publications without a key are given none.
	keyless   bool
	onAttempt func(client.Attempted)
}

// connect defines the flags of commands that call the API, all below c included.
// Secrets are no defaults of flags, which help would print.
func connect(c *cobra.Command) *connection {
	conn := &connection{}
	flags := c.PersistentFlags()
	flags.StringVar(&conn.url, "url", environmentOr(urlVariable, defaultURL), "where the service is; "+urlVariable)
	flags.StringVar(&conn.key, "key", "", "API key; better in "+keyVariable)
	flags.StringVar(&conn.token, "token", "", "token, instead of a key; better in "+tokenVariable)
	return conn
}

// ofTenant defines the flag that says which tenant. Note says who does without it.
func (conn *connection) ofTenant(c *cobra.Command, note string) {
	c.PersistentFlags().StringVarP(&conn.tenant, "tenant", "t", os.Getenv(tenantVariable), "`id` of the tenant; "+tenantVariable+note)
}

// ofKey is the note of calls that a key of a tenant can make without naming it.
const ofKey = "; a key of a tenant needs none"

// client returns a client that calls so.
func (conn *connection) client(c *cobra.Command) (*client.Client, error) {
	credential := conn.key
	switch {
	case conn.key != "" && conn.token != "":
		return nil, wrongUse(c, "--key and --token exclude each other")
	case conn.token != "":
		credential = conn.token
	case conn.key == "" && conn.asUser:
		credential = environmentOr(tokenVariable, os.Getenv(keyVariable))
	case conn.key == "":
		credential = environmentOr(keyVariable, os.Getenv(tokenVariable))
	}
	options := []client.Option{
		client.WithToken(credential), client.WithTenant(conn.tenant), client.WithRetryFor(conn.retryFor),
		client.WithUserAgent("lanekeeper-cli/" + version.Read().Version),
	}
	if conn.onAttempt != nil {
		options = append(options, client.WithAttempts(conn.onAttempt))
	}
	if conn.keyless {
		options = append(options, client.WithoutGeneratedKeys())
	}
	cl, err := client.New(conn.url, options...)
	if err != nil {
		return nil, wrongUse(c, "--url: %w", err)
	}
	return cl, nil
}

// calling makes the command call the API.
func calling(c *cobra.Command, conn *connection, work func(ctx context.Context, cl *client.Client, args []string) error) *cobra.Command {
	c.RunE = func(c *cobra.Command, args []string) error {
		if f := c.Flag(configFlag); f != nil && f.Changed {
			return wrongUse(c, "--%s: this command reads no configuration", configFlag)
		}
		cl, err := conn.client(c)
		if err != nil {
			return err
		}
		defer cl.Close()
		return explain(cl, work(c.Context(), cl, args))
	}
	return c
}

// either makes the command call the API or, with --database, work on the database, for
// which it reads these sections of the configuration.
func either(
	a *app, c *cobra.Command, conn *connection, sections string,
	onDatabase func(ctx context.Context, c config.Config, log *slog.Logger) error, byAPI func(ctx context.Context, cl *client.Client) error,
) *cobra.Command {
	database := c.Flags().Bool("database", false, "work on the database of the configuration, and call no service")
	configured(a, c, sections, func(ctx context.Context, settings config.Config, log *slog.Logger, _ []string) error {
		return onDatabase(ctx, settings, log)
	})
	onServers := c.RunE
	calling(c, conn, func(ctx context.Context, cl *client.Client, _ []string) error { return byAPI(ctx, cl) })
	calls := c.RunE
	c.RunE = func(c *cobra.Command, args []string) error {
		excluded, by := []string{configFlag, "owner"}, "is for --database"
		if *database {
			excluded, by = []string{"url", "key", "token"}, "is not for --database"
		}
		for _, name := range excluded {
			if f := c.Flag(name); f != nil && f.Changed {
				return wrongUse(c, "--%s %s", name, by)
			}
		}
		if *database {
			return onServers(c, args)
		}
		err := calls(c, args)
		if errors.Is(err, client.CodeTokenMissing) {
			err = fmt.Errorf("%w; on the database, --database needs none", err)
		}
		return err
	}
	return c
}

// explain says which service does not answer, where that is what went wrong.
func explain(cl *client.Client, err error) error {
	if errors.Is(err, client.ErrNoTenant) {
		return errors.New("say which tenant with --tenant, or " + tenantVariable)
	}
	if failed, ok := errors.AsType[*url.Error](err); ok {
		cause := failed.Err
		if op, ok := errors.AsType[*net.OpError](cause); ok && op.Err != nil {
			cause = op.Err
		}
		return fmt.Errorf("%s cannot be reached: %w", cl.URL(), cause)
	}
	return err
}

// tellAttempts has attempts that failed noted, when nothing was noted for a while: that
// the service has the publisher slow down, which it does all the time, once.
func (conn *connection) tellAttempts(note func(format string, args ...any)) {
	const quiet = 5 * time.Second
	var mu sync.Mutex
	var last time.Time
	slowed := false
	conn.onAttempt = func(at client.Attempted) {
		mu.Lock()
		defer mu.Unlock()
		now := time.Now()
		limited := errors.Is(at.Err, client.CodeRateExceeded) || errors.Is(at.Err, client.CodeQuotaExceeded)
		if now.Sub(last) < quiet || limited && slowed {
			return
		}
		last, slowed = now, slowed || limited
		note("%v; trying again", reason(at.Err))
	}
}

// reason is an error in few words.
func reason(err error) error {
	if failed, ok := errors.AsType[*url.Error](err); ok {
		return failed.Err
	}
	return err
}

// note writes a line for people, beside what is printed.
func note(a *app) func(format string, args ...any) {
	return func(format string, args ...any) {
		fmt.Fprintln(a.Err, "lanekeeper: "+terminal.Clean(fmt.Sprintf(format, args...)))
	}
}

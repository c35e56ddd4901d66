package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"lanekeeper/pkg/cli/terminal"
	"lanekeeper/pkg/client"
	"lanekeeper/pkg/digits"
)

const (
	// maxApplied is how many tenants a file may have, and maxAppliedLine how long one of
	// its lines may be, in bytes.
	maxApplied     = 10_000
	maxAppliedLine = 1 << 20
	// appliedAtOnce is how many are made or changed at a time.
	appliedAtOnce = 4
	// applyRetry is for how long a call is tried again: of a member the service makes so
	// many tenants a minute and no more.
	applyRetry = 5 * time.Minute
)

// wantedTenant is a line of the file. What is left out stays as it is.
type wantedTenant struct {
	client.PutTenant

	ExternalID string `json:"external_id"`
}

// planned is what is to be done about a line.
type planned struct {
	wantedTenant

	made    bool
	changes []string // the fields that differ
}

func tenantApply(a *app, conn *connection) *cobra.Command {
	c := &cobra.Command{
		Use: "apply FILE", Short: "Make and change tenants until they are as a file says",
		Long: "The file has a tenant a line, as JSON: external_id and name, and description, status,\n" +
			"workers, retention_days and metadata where they matter. Tenants are found by their\n" +
			"external id. What differs is printed; --yes carries it out. What a line leaves out stays\n" +
			"as it is, tenants that are not in the file are left alone, and it may be repeated.",
		Example: "lanekeeper tenants apply tenants.ndjson\nlanekeeper tenants apply tenants.ndjson --yes\nprintf '{\"external_id\":\"42\",\"name\":\"Acme\"}\\n' | lanekeeper tenants apply - --yes",
	}
	var format string
	outputFlag(c, &format)
	yes := c.Flags().Bool("yes", false, "carry out what is printed")
	return calling(c, conn, func(ctx context.Context, cl *client.Client, args []string) error {
		wanted, err := readWanted(a, args[0])
		if err != nil {
			return err
		}
		plan, same, err := planTenants(ctx, cl, wanted)
		if err != nil {
			return err
		}
		if err := printPlan(a, format, plan); err != nil {
			return err
		}
		tell := note(a)
		made := 0
		for _, p := range plan {
			if p.made {
				made++
			}
		}
		tell("%d to be made, %d to be changed, %d as they are to be", made, len(plan)-made, same)
		switch {
		case len(plan) == 0:
			return nil
		case !*yes:
			tell("nothing was done; --yes carries it out")
			return nil
		}
		patient := *conn
		patient.retryFor = applyRetry
		patientClient, err := patient.client(c)
		if err != nil {
			return err
		}
		defer patientClient.Close()
		return carryOut(ctx, a, patientClient, plan)
	})
}

// readWanted reads the file, or standard input for "-".
func readWanted(a *app, name string) ([]wantedTenant, error) {
	source := a.In
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("read tenants: %w", err)
		}
		defer file.Close()
		source = file
	}
	var wanted []wantedTenant
	known := make(map[string]int)
	lines := bufio.NewScanner(source)
	lines.Buffer(nil, maxAppliedLine)
	for n := 1; lines.Scan(); n++ {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		w, err := readWantedLine(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if before, twice := known[w.ExternalID]; twice {
			return nil, fmt.Errorf("line %d: external_id %q is in line %d, too", n, w.ExternalID, before) //nolint:err113 // says what is wrong
		}
		known[w.ExternalID] = n
		if wanted = append(wanted, w); len(wanted) > maxApplied {
			return nil, fmt.Errorf("more than %d tenants: take several files", maxApplied) //nolint:err113 // says what is wrong
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read tenants: %w", err)
	}
	return wanted, nil
}

func readWantedLine(line []byte) (w wantedTenant, err error) {
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&w); err != nil {
		return w, fmt.Errorf("not a tenant: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return w, errors.New("more than one JSON document")
	}
	switch {
	case w.ExternalID == "":
		return w, errors.New("external_id is missing")
	case w.Name == "":
		return w, errors.New("name is missing")
	}
	return w, nil
}

// planTenants compares what is wanted with the tenants that the caller has, and returns
// what differs, and how many do not.
func planTenants(ctx context.Context, cl *client.Client, wanted []wantedTenant) (plan []planned, same int, err error) {
	mine, err := ownTenants(ctx, cl)
	if err != nil {
		return nil, 0, err
	}
	there := make(map[string]client.Tenant)
	for t, err := range cl.Tenants.List(ctx, client.ListTenants{PageSize: maxPage}) {
		if err != nil {
			return nil, 0, err //nolint:wrapcheck // says what is wrong
		}
		if t.ExternalID != nil && mine(&t) && t.Status != client.TenantDeleting {
			there[*t.ExternalID] = t
		}
	}
	for _, w := range wanted {
		t, found := there[w.ExternalID]
		changes := w.differs(&t)
		switch {
		case !found:
			plan = append(plan, planned{wantedTenant: w, made: true})
		case len(changes) > 0:
			plan = append(plan, planned{wantedTenant: w, changes: changes})
		default:
			same++
		}
	}
	return plan, same, nil
}

// maxPage is how many tenants are asked for at a time.
const maxPage = 1000

// ownTenants returns what tells the caller's own tenants from those that an admin sees
// besides.
func ownTenants(ctx context.Context, cl *client.Client) (func(*client.Tenant) bool, error) {
	me, err := cl.Me(ctx)
	switch {
	case errors.Is(err, client.CodeKeyNotAccepted): // an API key sees those of its owner
		return func(*client.Tenant) bool { return true }, nil
	case err != nil:
		return nil, err //nolint:wrapcheck // says what is wrong
	case me.User == nil:
		return func(t *client.Tenant) bool { return t.UserID == nil }, nil
	}
	return func(t *client.Tenant) bool { return t.UserID != nil && *t.UserID == me.User.ID }, nil
}

// differs returns the fields that are wanted otherwise than they are.
func (w *wantedTenant) differs(t *client.Tenant) (fields []string) {
	note := func(field string, differs bool) {
		if differs {
			fields = append(fields, field)
		}
	}
	note("name", w.Name != t.Name)
	note("description", w.Description != nil && *w.Description != t.Description)
	note("status", w.Status != nil && *w.Status != t.Status)
	note("workers", w.Workers != nil && *w.Workers != t.Workers)
	note("retention_days", w.RetentionDays != nil && *w.RetentionDays != t.RetentionDays)
	note("metadata", w.Metadata != nil && !maps.Equal(w.Metadata, t.Metadata))
	return fields
}

// printPlan prints what is to be done, a tenant a line.
func printPlan(a *app, format string, plan []planned) error {
	action := func(p *planned) string {
		if p.made {
			return "make"
		}
		return "change"
	}
	if format == formatJSON {
		return printLines(a.Out, plan, func(p *planned) any {
			return struct {
				Action     string   `json:"action"`
				ExternalID string   `json:"external_id"`
				Name       string   `json:"name"`
				Changes    []string `json:"changes,omitempty"`
			}{action(p), p.ExternalID, p.Name, p.changes}
		})
	}
	if len(plan) == 0 {
		return nil
	}
	table := terminal.NewTable(terminal.NewScreen(a.Out), terminal.Column{Name: "ACTION"}, terminal.Column{Name: "EXTERNAL ID"}, terminal.Column{Name: "CHANGES"}, terminal.Column{Name: "NAME", Cut: true})
	for i := range plan {
		table.Add(action(&plan[i]), plan[i].ExternalID, strings.Join(plan[i].changes, " "), plan[i].Name)
	}
	return table.Flush() //nolint:wrapcheck // of the output
}

// carryOut does what is planned, several at a time, and ends at the first that is
// refused.
func carryOut(ctx context.Context, a *app, cl *client.Client, plan []planned) error {
	progress := terminal.NewProgress(a.Err, "tenants")
	var done atomic.Int64
	group, running := errgroup.WithContext(ctx)
	group.SetLimit(appliedAtOnce)
	for i := range plan {
		if running.Err() != nil {
			break
		}
		group.Go(func() error {
			p := &plan[i]
			if _, _, err := cl.Tenants.PutByExternalID(running, p.ExternalID, p.PutTenant); err != nil {
				return fmt.Errorf("tenant %q: %w", p.ExternalID, err)
			}
			n := done.Add(1)
			progress.Set(n, float64(n)/float64(len(plan)))
			return nil
		})
	}
	err := group.Wait()
	progress.End()
	if err == nil {
		err = ctx.Err()
	}
	note(a)("%s of %s done", digits.Grouped(done.Load()), digits.Grouped(int64(len(plan))))
	return err //nolint:wrapcheck // one of ours
}

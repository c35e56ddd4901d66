package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"lanekeeper/tests/chaos/env"
	"lanekeeper/tests/chaos/load"
	"lanekeeper/tests/chaos/verify"
	"lanekeeper/tests/chaos/wait"
)

const (
	replicas = 3
	// moveLimit is how long after the end of a replica its tenants may be
	// without a consumer.
	moveLimit    = 15 * time.Second
	balanceLimit = 30 * time.Second
	// outage is longer than a replica without a sign of life counts as alive.
	outage = 15 * time.Second
)

// fleet is several replicas on the same servers.
type fleet struct {
	t        *trial
	replicas []*env.Service
	record   string           // beginning of the names of the records
	killed   map[string]int64 // when each killed process ended, by its id
}

// newFleet returns three replicas on the servers of the trial, with more
// environment variables. They are not started.
func newFleet(t *trial, environment ...string) (*fleet, error) {
	f := emptyFleet(t)
	for i := range replicas {
		if err := f.add(i, t.DatabaseURL, t.BrokerURL, environment...); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// emptyFleet returns one without replicas.
func emptyFleet(t *trial) *fleet {
	return &fleet{t: t, record: filepath.Join(t.Dir, "record"), killed: make(map[string]int64)}
}

// add adds a replica that records when it stores, with more environment
// variables. It is not started.
func (f *fleet) add(number int, databaseURL, brokerURL string, environment ...string) error {
	s, err := env.NewService(f.t.Shared.Bugs, filepath.Join(f.t.Dir, fmt.Sprintf("service-%d.log", number+1)), databaseURL, brokerURL,
		slices.Concat(environment, []string{"CHAOS_RECORD=" + f.record})...)
	if err == nil {
		f.replicas = append(f.replicas, s)
	}
	return err
}

// boot starts the replicas and makes tenants. Without a token they are in open
// mode.
func (f *fleet) boot(ctx context.Context, token string, tenants int) (err error) {
	t := f.t
	var bases []string
	for _, s := range f.replicas {
		bases = append(bases, s.URL())
	}
	t.Service, t.Siblings = f.replicas[0], f.replicas[1:]
	t.client = load.NewClient(bases...)
	t.client.Token = token
	for _, s := range f.replicas {
		if err := s.Start(ctx); err != nil {
			return err
		}
	}
	t.tenants, err = t.client.CreateTenants(ctx, "tenant", tenants)
	return err
}

// bootFleet starts three replicas with more environment variables, which are in
// open mode, and makes tenants.
func bootFleet(ctx context.Context, t *trial, tenants int, environment ...string) (*fleet, error) {
	f, err := newFleet(t, environment...)
	if err != nil {
		return nil, err
	}
	return f, f.boot(ctx, "", tenants)
}

// consumer is what GET /consumers says of one tenant.
type consumer struct {
	TenantID    string `json:"tenant_id"`
	State       string
	Replica     string
	ConsumerTag string `json:"consumer_tag"`
}

// consumers asks one replica for the consumers of all.
func (f *fleet) consumers(ctx context.Context, s *env.Service) (map[string]consumer, error) {
	r := f.t.client.At(s.URL()).Call(ctx, http.MethodGet, "/api/consumers?limit=1000", "", "", nil)
	if r.Err != nil || r.Status != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("%w: list consumers: %s", load.ErrUnexpected, r.Text()), r.Err)
	}
	var page struct{ Data []consumer }
	if err := json.Unmarshal(r.Body, &page); err != nil {
		return nil, fmt.Errorf("read consumers: %w", err)
	}
	all := make(map[string]consumer, len(page.Data))
	for _, c := range page.Data {
		all[c.TenantID] = c
	}
	return all, nil
}

// awaitBalance waits until every tenant has a running consumer, and every
// replica has some, and returns the consumers by their tenants.
func (f *fleet) awaitBalance(ctx context.Context, s *env.Service) (owned map[string]consumer, err error) {
	err = wait.Until(ctx, balanceLimit, "every tenant is consumed, by all replicas", func() error {
		if owned, err = f.consumers(ctx, s); err != nil {
			return err
		}
		share := make(map[string]int)
		for _, tenant := range f.t.tenants {
			c := owned[tenant]
			if c.State != "running" || c.Replica == "" {
				return fmt.Errorf("%w: tenant %s is %q at %q", wait.ErrNotReady, tenant, c.State, c.Replica)
			}
			share[c.Replica]++
		}
		if len(share) != replicas {
			return fmt.Errorf("%w: shares %v", wait.ErrNotReady, share)
		}
		return nil
	})
	return owned, err
}

// kill ends a replica with SIGKILL and notes when.
func (f *fleet) kill(s *env.Service) {
	process := strconv.Itoa(s.ID())
	s.Kill()
	f.killed[process] = time.Now().UnixNano()
}

// awaitMoved waits until messages of all these tenants are stored that were
// published after the given moment, and returns how long after it.
func (f *fleet) awaitMoved(ctx context.Context, tenants []string, since time.Time) (time.Duration, error) {
	limit := 2 * moveLimit // to see how late, and not only that it is late
	err := wait.Until(ctx, limit, "the tenants of the dead replica are consumed again", func() error {
		return f.t.InDatabase(ctx, func(conn *pgx.Conn) error {
			const query = `SELECT count(DISTINCT tenant_id) FROM messages WHERE tenant_id = ANY($1) AND created_at > $2`
			var n int
			// What was in the hands of the dead one when it died may still be
			// committed within a moment.
			if err := conn.QueryRow(ctx, query, tenants, since.Add(500*time.Millisecond)).Scan(&n); err != nil {
				return fmt.Errorf("look for messages: %w", err)
			}
			if n < len(tenants) {
				return fmt.Errorf("%w: %d of %d", wait.ErrNotReady, n, len(tenants))
			}
			return nil
		})
	})
	return time.Since(since), err
}

// nameOf returns what a replica calls itself.
func (f *fleet) nameOf(ctx context.Context, s *env.Service) (string, error) {
	var name string
	err := f.t.InDatabase(ctx, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT name FROM replicas WHERE address LIKE '%:' || $1 ORDER BY seen_at DESC LIMIT 1`, strconv.Itoa(s.Port)).Scan(&name)
	})
	if err != nil {
		return "", fmt.Errorf("look for the name of a replica: %w", err)
	}
	return name, nil
}

// consumedBy returns the tenants that a replica consumes, in order.
func (f *fleet) consumedBy(ctx context.Context, s *env.Service) (tenants []string, err error) {
	name, err := f.nameOf(ctx, s)
	if err != nil {
		return nil, err
	}
	all, err := f.consumers(ctx, s)
	for tenant, c := range all {
		if c.Replica == name {
			tenants = append(tenants, tenant)
		}
	}
	slices.Sort(tenants)
	return tenants, err
}

// moved fails the trial for each tenant that has another consumer than before,
// and returns how many these are.
func (f *fleet) moved(ctx context.Context, before map[string]consumer) (int, error) {
	n := 0
	for _, s := range f.replicas {
		after, err := f.awaitBalance(ctx, s)
		if err != nil {
			return n, err
		}
		for tenant, c := range before {
			if after[tenant].ConsumerTag != c.ConsumerTag {
				n++
				f.t.Fail("tenant %s was consumed as %s, now as %s", tenant, c.ConsumerTag, after[tenant].ConsumerTag)
			}
		}
	}
	return n, nil
}

// checkOverlaps fails the trial when two replicas worked for one tenant at a
// time.
func (f *fleet) checkOverlaps() error {
	return verify.CheckOverlaps(f.t.Result, f.record, f.killed)
}

// checkStoring is the same of what was stored, after replicas were cut off so many
// times.
func (f *fleet) checkStoring(cutOff int) error {
	return verify.CheckStoring(f.t.Result, f.record, f.killed, cutOff)
}

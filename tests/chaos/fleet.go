package main

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
	st       *stage
	replicas []*service
	record   string           // beginning of the names of the records
	killed   map[string]int64 // when each killed process ended, by its id
}

// newFleet returns one without replicas.
func (st *stage) newFleet() *fleet {
	return &fleet{st: st, record: filepath.Join(st.dir, "record"), killed: make(map[string]int64)}
}

// add adds a replica that records when it stores, with more environment
// variables. It is not started.
func (f *fleet) add(number int, databaseURL, brokerURL string, environment ...string) error {
	s, err := newService(f.st.suite.bugs, filepath.Join(f.st.dir, fmt.Sprintf("service-%d.log", number+1)), databaseURL, brokerURL,
		slices.Concat(environment, []string{"CHAOS_RECORD=" + f.record})...)
	if err == nil {
		f.replicas = append(f.replicas, s)
	}
	return err
}

// boot starts the replicas and makes tenants. Without a token they are in open
// mode.
func (f *fleet) boot(ctx context.Context, token string, tenants int) (err error) {
	st := f.st
	var bases []string
	for _, s := range f.replicas {
		bases = append(bases, s.url())
	}
	st.service, st.siblings = f.replicas[0], f.replicas[1:]
	st.client = newClient(bases...)
	st.client.token = token
	for _, s := range f.replicas {
		if err := s.start(ctx); err != nil {
			return err
		}
	}
	st.tenants, err = st.createTenants(ctx, "tenant", tenants)
	return err
}

// bootFleet starts replicas that record when they store, with more environment
// variables, and makes tenants.
func (st *stage) bootFleet(ctx context.Context, tenants int, environment ...string) (*fleet, error) {
	f := st.newFleet()
	for i := range replicas {
		if err := f.add(i, st.databaseURL, st.brokerURL, environment...); err != nil {
			return nil, err
		}
	}
	return f, f.boot(ctx, "", tenants)
}

// consumer is what GET /consumers tells of one tenant.
type consumer struct {
	TenantID    string `json:"tenant_id"`
	State       string
	Replica     string
	ConsumerTag string `json:"consumer_tag"`
}

// consumers asks one replica for the consumers of all.
func (f *fleet) consumers(ctx context.Context, s *service) (map[string]consumer, error) {
	r := f.st.client.at(s.url()).call(ctx, http.MethodGet, "/api/consumers?limit=1000", "", "", nil)
	if r.err != nil || r.status != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("%w: list consumers: %s", errUnexpected, r.text()), r.err)
	}
	var page struct{ Data []consumer }
	if err := json.Unmarshal(r.body, &page); err != nil {
		return nil, fmt.Errorf("read consumers: %w", err)
	}
	all := make(map[string]consumer, len(page.Data))
	for _, c := range page.Data {
		all[c.TenantID] = c
	}
	return all, nil
}

// awaitBalance waits until every tenant has a running consumer, and every
// replica has some, and returns who has which.
func (f *fleet) awaitBalance(ctx context.Context, s *service) (owned map[string]consumer, err error) {
	err = await(ctx, balanceLimit, "every tenant is consumed, by all replicas", func() error {
		if owned, err = f.consumers(ctx, s); err != nil {
			return err
		}
		share := make(map[string]int)
		for _, tenant := range f.st.tenants {
			c := owned[tenant]
			if c.State != "running" || c.Replica == "" {
				return fmt.Errorf("%w: tenant %s is %q at %q", errNotReady, tenant, c.State, c.Replica)
			}
			share[c.Replica]++
		}
		if len(share) != replicas {
			return fmt.Errorf("%w: shares %v", errNotReady, share)
		}
		return nil
	})
	return owned, err
}

// kill ends a replica with SIGKILL and notes when.
func (f *fleet) kill(s *service) {
	process := strconv.Itoa(s.cmd.Process.Pid)
	s.kill()
	f.killed[process] = time.Now().UnixNano()
}

// awaitMoved waits until messages of all these tenants are stored that were
// published after the given moment, and returns how long after it.
func (f *fleet) awaitMoved(ctx context.Context, tenants []string, since time.Time) (time.Duration, error) {
	limit := 2 * moveLimit // to tell how late, and not only that it is late
	err := await(ctx, limit, "the tenants of the dead replica are consumed again", func() error {
		return f.st.inDatabase(ctx, func(conn *pgx.Conn) error {
			const query = `SELECT count(DISTINCT tenant_id) FROM messages WHERE tenant_id = ANY($1) AND created_at > $2`
			var n int
			// What was in the hands of the dead one when it died may still be
			// committed within a moment.
			if err := conn.QueryRow(ctx, query, tenants, since.Add(500*time.Millisecond)).Scan(&n); err != nil {
				return fmt.Errorf("look for messages: %w", err)
			}
			if n < len(tenants) {
				return fmt.Errorf("%w: %d of %d", errNotReady, n, len(tenants))
			}
			return nil
		})
	})
	return time.Since(since), err
}

// fleetKill kills one replica after the other and starts it again.
func fleetKill(ctx context.Context, st *stage) error {
	f, err := st.bootFleet(ctx, st.fleetTenants)
	if err != nil {
		return err
	}
	if _, err := f.awaitBalance(ctx, st.service); err != nil {
		return err
	}
	var slowest time.Duration
	kills := 0
	loadCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	l := st.startLoad(loadCtx, backgroundPause)
	defer func() { cancel(); l.stop() }()
	for i := range st.fleetKills {
		victim, survivor := f.replicas[i%replicas], f.replicas[(i+1)%replicas]
		owned, err := f.awaitBalance(ctx, survivor)
		if err != nil {
			return fmt.Errorf("before kill %d: %w", i+1, err)
		}
		var orphans []string
		name, err := f.nameOf(ctx, victim)
		if err != nil {
			return err
		}
		for tenant, c := range owned {
			if c.Replica == name {
				orphans = append(orphans, tenant)
			}
		}
		if len(orphans) == 0 {
			return fmt.Errorf("%w: replica %s owns nothing", errUnexpected, name)
		}
		died := time.Now()
		f.kill(victim)
		took, err := f.awaitMoved(ctx, orphans, died)
		if err != nil {
			return fmt.Errorf("kill %d: %w", i+1, err)
		}
		slowest = max(slowest, took)
		kills++
		if err := victim.start(ctx); err != nil {
			return err
		}
	}
	if err := l.awaitAccepted(ctx, st.background); err != nil {
		return err
	}
	l.stop()
	st.show("kills", "%d, of %d replicas with %d tenants", kills, replicas, len(st.tenants))
	st.show("consumed again after", "%.1f s at most", slowest.Seconds())
	if float64(slowest) > st.slack*float64(moveLimit) {
		st.fail("tenants of a dead replica were without a consumer for %v, %v are promised", slowest, moveLimit)
	}
	if err := st.check(ctx); err != nil {
		return err
	}
	return f.checkOverlaps()
}

// nameOf returns what a replica calls itself.
func (f *fleet) nameOf(ctx context.Context, s *service) (string, error) {
	var name string
	err := f.st.inDatabase(ctx, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT name FROM replicas WHERE address LIKE '%:' || $1 ORDER BY seen_at DESC LIMIT 1`, strconv.Itoa(s.port)).Scan(&name)
	})
	if err != nil {
		return "", fmt.Errorf("look for the name of a replica: %w", err)
	}
	return name, nil
}

// fleetDatabaseRestart takes the database away for longer than a replica may
// be silent: that must move no tenant.
func fleetDatabaseRestart(ctx context.Context, st *stage) error {
	f, err := st.bootFleet(ctx, st.fleetTenants)
	if err != nil {
		return err
	}
	before, err := f.awaitBalance(ctx, st.service)
	if err != nil {
		return err
	}
	loadCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	l := st.startLoad(loadCtx, backgroundPause)
	defer func() { cancel(); l.stop() }()
	if err := l.awaitAccepted(ctx, st.background/2); err != nil {
		return err
	}
	st.servers.postgres.Kill()
	if !rest(ctx, outage) {
		return ctx.Err()
	}
	if err := st.servers.postgres.Start(ctx); err != nil {
		return fmt.Errorf("start the database again: %w", err)
	}
	took, err := st.awaitStoring(ctx)
	if err != nil {
		return err
	}
	st.show("storing again after", "%.1f s of the database's return", took.Seconds())
	if err := l.awaitAccepted(ctx, st.background); err != nil {
		return err
	}
	if !rest(ctx, outage) { // whoever would move it has moved it by now
		return ctx.Err()
	}
	l.stop()
	moved := 0
	for _, s := range f.replicas {
		after, err := f.awaitBalance(ctx, s)
		if err != nil {
			return err
		}
		for tenant, c := range before {
			if after[tenant].ConsumerTag != c.ConsumerTag {
				moved++
				st.fail("tenant %s was consumed as %s, now as %s", tenant, c.ConsumerTag, after[tenant].ConsumerTag)
			}
		}
	}
	st.show("tenants moved", "%d of %d", moved, len(before))
	if err := st.check(ctx); err != nil {
		return err
	}
	return f.checkOverlaps()
}

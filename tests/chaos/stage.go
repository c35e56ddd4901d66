package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"lanekeeper/tests/proxy"
)

// stage is what one scenario has for itself: a database, a virtual host, a
// service, clients and their ledger.
type stage struct {
	*result
	figures

	suite   *suite
	servers *servers
	random  *rand.Rand
	name    string // of database and virtual host
	dir     string

	databaseURL, brokerURL string
	service                *service
	siblings               []*service // other replicas
	client                 *client
	ledger                 *ledger
	tenants                []string
	// forgives tells which kinds of findings the fault itself is known to cost.
	// Whoever sets it accounts for each of them. Nil forgives none.
	forgives func(kind string) bool

	proxies []*proxy.Proxy
}

func (s *suite) newStage(ctx context.Context, sc scenario, r *result) (*stage, error) {
	st := &stage{
		result: r, figures: s.figures, suite: s, servers: s.servers, random: s.random(sc.name),
		name: "chaos_" + strings.ReplaceAll(sc.name, "-", "_"), dir: filepath.Join(s.work, sc.name),
	}
	if err := os.MkdirAll(st.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	if err := s.servers.revive(ctx); err != nil {
		return nil, err
	}
	var err error
	if st.databaseURL, err = s.servers.database(ctx, st.name); err != nil {
		return nil, err
	}
	if st.brokerURL, err = s.servers.virtualHost(ctx, st.name); err != nil {
		return nil, err
	}
	st.ledger, err = newLedger(filepath.Join(st.dir, "ledger"))
	return st, err
}

// boot starts the service on these addresses, which may be those of proxies,
// and makes tenants.
func (st *stage) boot(ctx context.Context, databaseURL, brokerURL string, tenants int) error {
	program, more := st.suite.program, st.scenario.environment
	if st.scenario.planted != "" {
		program, more = st.suite.bugs, append([]string{"CHAOS_BUG=" + st.scenario.planted}, more...)
	}
	var err error
	if st.service, err = newService(program, filepath.Join(st.dir, "service.log"), databaseURL, brokerURL, more...); err != nil {
		return err
	}
	st.client = newClient(st.service.url())
	if err := st.service.start(ctx); err != nil {
		return err
	}
	st.tenants, err = st.createTenants(ctx, "tenant", tenants)
	return err
}

// bootDirect starts the service without a proxy.
func (st *stage) bootDirect(ctx context.Context, tenants int) error {
	return st.boot(ctx, st.databaseURL, st.brokerURL, tenants)
}

// createTenants makes n tenants, which are active when it returns.
func (st *stage) createTenants(ctx context.Context, name string, n int) ([]string, error) {
	ids := make([]string, n)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for i := range ids {
		group.Go(func() error {
			id, r := st.client.createTenant(ctx, fmt.Sprintf("%s %d", name, i), "")
			if r.err != nil || r.status != http.StatusCreated {
				return errors.Join(fmt.Errorf("%w: create a tenant: %s", errUnexpected, r.text()), r.err)
			}
			ids[i] = id
			return nil
		})
	}
	return ids, group.Wait()
}

var errUnexpected = errors.New("unexpected answer")

// close ends everything that belongs to the stage.
func (st *stage) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for _, s := range st.replicas() {
		s.kill()
	}
	if st.client != nil {
		st.client.http.CloseIdleConnections()
	}
	var errs []error
	for _, p := range st.proxies {
		errs = append(errs, p.Close())
	}
	errs = append(errs, st.ledger.finish(), st.servers.revive(ctx),
		st.servers.dropDatabase(ctx, st.name), st.servers.dropVirtualHost(ctx, st.name))
	return errors.Join(errs...)
}

// replicas returns every service of the stage.
func (st *stage) replicas() []*service {
	if st.service == nil {
		return nil
	}
	return append([]*service{st.service}, st.siblings...)
}

// inDatabase runs work on a connection of its own to the stage's database,
// past any proxy.
func (st *stage) inDatabase(ctx context.Context, work func(*pgx.Conn) error) error {
	return withDatabase(ctx, st.databaseURL, work)
}

// result is what a scenario showed.
type result struct {
	scenario scenario
	took     time.Duration
	// interrupted: it was ended before its end, and says nothing.
	interrupted bool

	mu       sync.Mutex
	shown    []figure
	problems []string
	// found is what the checker found where a bug was planted.
	found []string
}

// figure is one number of a scenario.
type figure struct{ name, value string }

// fail notes that something does not hold. Safe for concurrent use.
func (r *result) fail(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.problems = append(r.problems, fmt.Sprintf(format, args...))
}

// show notes a figure.
func (r *result) show(name, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shown = append(r.shown, figure{name, fmt.Sprintf(format, args...)})
}

// seal ends the result with the error of running the scenario. Where a bug was
// planted it turns the result round: then finding nothing is the failure.
func (r *result) seal(err error) {
	if r.scenario.planted != "" && !r.interrupted {
		r.found, r.problems = r.problems, nil
		if len(r.found) == 0 {
			r.fail("the checker did not notice the planted bug")
		}
	}
	if err != nil {
		r.fail("%v", err)
	}
}

func (r *result) holds() bool { return len(r.problems) == 0 && !r.interrupted }

package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// partitionExtra is for three brokers on as many hosts, and for what they
	// take to find each other again.
	partitionExtra = 40 * time.Minute
	// healLimit is how long after the end of a partition everything may take to
	// be as it was: every tenant accepts and stores, all queues are on all
	// nodes, and every replica has its share. Brokers that had paused start
	// again in this time, and a replica counts as dead for some of it.
	healLimit = 60 * time.Second
	// createEvery is how often a tenant is created while the network is cut.
	createEvery = 3 * time.Second
	// runSecret has the service ask for tokens: open mode is for the loopback
	// address.
	runSecret = "the secret of a run that ends with it"
)

// site is a fleet on a network: hosts with a broker and a replica each, and one
// with the database.
type site struct {
	st      *stage
	net     *network
	cluster *cluster
	fleet   *fleet
}

// onSite makes the network and starts everything on it. Call leave at the end.
func (st *stage) onSite(ctx context.Context, environment ...string) (s *site, leave func(), err error) {
	s = &site{st: st}
	var closers []func()
	shared, databaseURL, brokerURL := st.servers, st.databaseURL, st.brokerURL
	leave = func() {
		for _, r := range st.replicas() {
			r.kill()
		}
		for _, closer := range slices.Backward(closers) {
			closer()
		}
		st.servers, st.databaseURL, st.brokerURL = shared, databaseURL, brokerURL
	}
	if err := s.start(ctx, environment, func(f func()) { closers = append(closers, f) }); err != nil {
		leave()
		return nil, nil, err
	}
	return s, leave, nil
}

func (s *site) start(ctx context.Context, environment []string, atEnd func(func())) (err error) {
	st, begun := s.st, time.Now()
	if s.net, err = st.network(ctx, partitionHosts()...); err != nil {
		return err
	}
	atEnd(s.net.remove)
	root, err := st.suite.brokerRoot(ctx)
	if err != nil {
		return err
	}
	db, err := st.newDatabaseNode("database", s.net.hosts[databaseHost])
	if err != nil {
		return err
	}
	atEnd(db.kill)
	if err := errors.Join(db.initialise(ctx), db.start(ctx)); err != nil {
		return err
	}
	if err := db.database(ctx, st.name); err != nil {
		return err
	}
	s.cluster, err = startCluster(ctx, clusterSite{
		dir: filepath.Join(st.dir, "cluster"), vhost: st.name, hosts: s.net.hosts[:clusterSize], root: root,
	})
	if err != nil {
		return fmt.Errorf("start three brokers: %w", err)
	}
	atEnd(s.cluster.stop)
	own := *st.servers
	own.cluster = s.cluster
	st.servers, st.brokerURL, st.databaseURL = &own, s.cluster.nodes[0].url(), db.url(st.name)
	if err := st.showBrokers(s.cluster, begun); err != nil {
		return err
	}
	return s.boot(ctx, environment)
}

// boot starts a replica on each host, which uses the broker beside it as long
// as it can, and makes tenants.
func (s *site) boot(ctx context.Context, environment []string) error {
	st := s.st
	environment = append(append(clusterEnvironment(), "JWT_SECRET="+runSecret), environment...)
	f := st.newFleet()
	for i, h := range s.net.hosts[:clusterSize] {
		if err := f.add(i, st.databaseURL, s.cluster.urls(i), environment...); err != nil {
			return err
		}
		f.replicas[i].on(h)
	}
	s.fleet = f
	token, err := st.adminToken(ctx, runSecret)
	if err != nil {
		return err
	}
	if err := f.boot(ctx, token, st.fleetTenants); err != nil {
		return err
	}
	return st.awaitReplicated(ctx)
}

// adminToken makes an admin and a token of it.
func (st *stage) adminToken(ctx context.Context, secret string) (string, error) {
	command := func(arguments ...string) (string, error) {
		cmd := exec.CommandContext(ctx, st.suite.program, arguments...)
		cmd.Env = append(plainEnvironment(st.dir), "DATABASE_URL="+st.databaseURL, "RABBITMQ_URL="+st.brokerURL,
			"JWT_SECRET="+secret, "LANEKEEPER_PASSWORD="+chaosPassword)
		cmd.Dir = st.dir
		var complaint strings.Builder
		cmd.Stderr = &complaint
		out, err := cmd.Output()
		if err != nil {
			return "", fmt.Errorf("%s: %w: %s", strings.Join(arguments, " "), err, complaint.String())
		}
		return strings.TrimSpace(string(out)), nil
	}
	if _, err := command("user", "add", "-email", chaosEmail, "-role", "admin"); err != nil {
		return "", err
	}
	return command("token", "-email", chaosEmail)
}

// clusterPartition cuts the network between hosts, again and again.
func clusterPartition(ctx context.Context, st *stage) error {
	s, leave, err := st.onSite(ctx)
	if err != nil {
		return err
	}
	defer leave()
	return s.cutAll(ctx)
}

// plantedPartition has the service acknowledge before it commits, on the host
// that is about to lose the database.
func plantedPartition(ctx context.Context, st *stage) error {
	s, leave, err := st.onSite(ctx, "CHAOS_BUG="+st.scenario.planted)
	if err != nil {
		return err
	}
	defer leave()
	var all []int
	for i := range clusterSize {
		all = append(all, i)
	}
	return s.underLoad(ctx, []netFault{{
		family: "planted", words: group(all) + " | database", drops: between(all, []int{databaseHost}),
	}})
}

func (s *site) cutAll(ctx context.Context) error {
	return s.underLoad(ctx, netFaults(s.st.random, s.st.cuts))
}

// underLoad has one fault after the other while clients publish, waits after
// each until all is well again, and has everything checked.
func (s *site) underLoad(ctx context.Context, faults []netFault) error {
	st := s.st
	if _, err := s.fleet.awaitBalance(ctx, st.service); err != nil {
		return err
	}
	loadCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	l := st.startLoad(loadCtx, backgroundPause)
	defer func() { cancel(); l.stop() }()
	w := &watch{st: st}
	count := make(map[string]int)
	var slowest time.Duration
	var worst string
	for i, f := range faults {
		st.suite.say("%s: %d of %d, %s", st.scenario.name, i+1, len(faults), f)
		took, err := s.cut(ctx, w, f)
		if err != nil {
			return fmt.Errorf("partition %d of %d, %s: %w", i+1, len(faults), f, err)
		}
		count[f.family]++
		if took > slowest {
			slowest, worst = took, f.String()
		}
	}
	l.stop()
	st.show("partitions", "%s", families(count))
	st.show("load", "%d accepted", l.accepted.Load())
	w.report()
	st.show("all as it was", "%.1f s after the end of a partition at most (%s)", slowest.Seconds(), worst)
	if limit := time.Duration(float64(healLimit) * st.slack); slowest > limit {
		st.fail("it took %v after the end of a partition until all was as it was, %v are promised", slowest, limit)
	}
	if err := st.check(ctx); err != nil {
		return err
	}
	return s.fleet.checkStoring()
}

// families tells how many there were of each.
func families(count map[string]int) string {
	var parts []string
	for _, f := range netFamilies() {
		parts = append(parts, fmt.Sprintf("%d %s", count[f.name], f.name))
	}
	return strings.Join(parts, ", ")
}

// cut has one fault for a while, ends it, and returns how long it took until
// all was as before. Meanwhile tenants are created, which has to end, too.
func (s *site) cut(ctx context.Context, w *watch, f netFault) (time.Duration, error) {
	st := s.st
	length := st.cutFor/2 + time.Duration(st.random.Int64N(int64(st.cutFor)))
	if err := s.net.drop(ctx, f.drops); err != nil {
		return 0, err
	}
	var work sync.WaitGroup
	during, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	work.Go(func() {
		for i := 0; during.Err() == nil; i++ {
			name := fmt.Sprintf("%s %d", f.family, i)
			_, r := st.client.createTenant(during, name, "")
			if r.err == nil && r.status >= 400 && (r.status != 503 || r.header.Get("Retry-After") == "") {
				st.fail("creating a tenant during %s: %s, Retry-After %q", f, r.text(), r.header.Get("Retry-After"))
			}
			rest(during, createEvery)
		}
	})
	w.during(during, length)
	work.Wait()
	if err := s.net.heal(ctx); err != nil {
		return 0, err
	}
	healed := time.Now()
	err := s.recovered(ctx, w, healed)
	return time.Since(healed), err
}

// recovered waits until all is as it was before a partition.
func (s *site) recovered(ctx context.Context, w *watch, healed time.Time) error {
	st := s.st
	ctx, cancel := context.WithTimeout(ctx, 2*healLimit) // to tell how late, and not only that it is late
	defer cancel()
	if err := w.acceptedWithin(ctx, 2*healLimit); err != nil {
		return err
	}
	err := await(ctx, 2*healLimit, "messages of every tenant are stored", func() error {
		return st.inDatabase(ctx, func(conn *pgx.Conn) error {
			var n int
			const query = `SELECT count(DISTINCT tenant_id) FROM messages WHERE created_at > $1 AND tenant_id = ANY($2)`
			if err := conn.QueryRow(ctx, query, healed, st.tenants).Scan(&n); err != nil {
				return fmt.Errorf("look for messages: %w", err)
			}
			if n < len(st.tenants) {
				return fmt.Errorf("%w: %d of %d", errNotReady, n, len(st.tenants))
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	if err := st.awaitReplicated(ctx); err != nil {
		return err
	}
	for _, r := range s.fleet.replicas {
		if _, err := s.fleet.awaitBalance(ctx, r); err != nil {
			return err
		}
	}
	return await(ctx, 2*healLimit, "every tenant is fully there or fully gone", func() error {
		rest(ctx, 4*lookEvery)
		return st.settled(ctx)
	})
}

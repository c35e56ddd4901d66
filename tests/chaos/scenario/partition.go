package scenario

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"lanekeeper/tests/chaos/env"
	"lanekeeper/tests/chaos/fault"
	"lanekeeper/tests/chaos/load"
	"lanekeeper/tests/chaos/verify"
	"lanekeeper/tests/chaos/wait"
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
	t       *trial
	net     *env.Network
	cluster *env.Cluster
	fleet   *fleet
	// faults are of the brokers, and restarts is how often they were started again
	// for those.
	faults   *verify.BrokerFaults
	restarts int
}

// startSite makes the network and starts everything on it. Call stop at the end.
func startSite(ctx context.Context, t *trial, environment ...string) (s *site, stop func(), err error) {
	s = &site{t: t}
	var closers []func()
	address := t.DatabaseURL
	stop = func() {
		for _, r := range t.Replicas() {
			r.Kill()
		}
		for _, closer := range slices.Backward(closers) {
			closer()
		}
		t.DatabaseURL = address
	}
	if err := s.start(ctx, environment, func(f func()) { closers = append(closers, f) }); err != nil {
		stop()
		return nil, nil, err
	}
	return s, stop, nil
}

func (s *site) start(ctx context.Context, environment []string, atEnd func(func())) (err error) {
	t, begun := s.t, time.Now()
	if s.net, err = t.Shared.Network(ctx, fault.Hosts()...); err != nil {
		return err
	}
	atEnd(s.net.Remove)
	db, err := env.NewDatabaseNode(t.Env, "database", s.net.Hosts[fault.DatabaseHost])
	if err != nil {
		return err
	}
	atEnd(db.Kill)
	if err := errors.Join(db.Initialise(ctx), db.Start(ctx)); err != nil {
		return err
	}
	if err := db.Database(ctx, t.Name); err != nil {
		return err
	}
	c, stop, err := t.StartCluster(ctx, s.net.Hosts[:env.ClusterSize]...)
	if err != nil {
		return err
	}
	atEnd(stop)
	s.cluster, t.DatabaseURL = c, db.URL(t.Name)
	if err := showBrokers(t, c, begun); err != nil {
		return err
	}
	return s.boot(ctx, environment)
}

// boot starts a replica on each host, which uses the broker beside it as long
// as it can, and makes tenants.
func (s *site) boot(ctx context.Context, environment []string) error {
	t := s.t
	environment = append(append(env.ClusterEnvironment(), "JWT_SECRET="+runSecret), environment...)
	f := emptyFleet(t)
	for i, h := range s.net.Hosts[:env.ClusterSize] {
		if err := f.add(i, t.DatabaseURL, s.cluster.URLs(i), environment...); err != nil {
			return err
		}
		f.replicas[i].On(h)
	}
	s.fleet = f
	token, err := adminToken(ctx, t, runSecret)
	if err != nil {
		return err
	}
	if err := f.boot(ctx, token, t.fleetTenants); err != nil {
		return err
	}
	return s.cluster.AwaitReplicated(ctx, t.tenants)
}

// adminToken makes an admin and a token of it.
func adminToken(ctx context.Context, t *trial, secret string) (string, error) {
	command := func(arguments ...string) (string, error) {
		cmd := exec.CommandContext(ctx, t.Shared.Program, arguments...)
		cmd.Env = append(env.PlainEnvironment(t.Dir), "DATABASE_URL="+t.DatabaseURL, "RABBITMQ_URL="+t.BrokerURL,
			"JWT_SECRET="+secret, "LANEKEEPER_PASSWORD="+chaosPassword)
		cmd.Dir = t.Dir
		var complaint strings.Builder
		cmd.Stderr = &complaint
		out, err := cmd.Output()
		if err != nil {
			return "", fmt.Errorf("%s: %w: %s", strings.Join(arguments, " "), err, complaint.String())
		}
		return strings.TrimSpace(string(out)), nil
	}
	if _, err := command("user", "add", "--email", chaosEmail, "--role", "admin"); err != nil {
		return "", err
	}
	return command("token", "--email", chaosEmail)
}

// clusterPartition cuts the network between hosts, again and again.
func clusterPartition(ctx context.Context, t *trial) error {
	s, stop, err := startSite(ctx, t)
	if err != nil {
		return err
	}
	defer stop()
	return s.cutAll(ctx)
}

// plantedPartition has the service acknowledge before it commits, on the host
// that is about to lose the database.
func plantedPartition(ctx context.Context, t *trial) error {
	s, stop, err := startSite(ctx, t, "CHAOS_BUG="+t.scenario.bug)
	if err != nil {
		return err
	}
	defer stop()
	var all []int
	for i := range env.ClusterSize {
		all = append(all, i)
	}
	return s.underLoad(ctx, []fault.Partition{{
		Family: "planted", Words: fault.HostNames(all) + " | database", Drops: fault.Between(all, []int{fault.DatabaseHost}),
	}})
}

func (s *site) cutAll(ctx context.Context) error {
	return s.underLoad(ctx, fault.Partitions(s.t.random, s.t.cuts))
}

// underLoad has one fault after the other while clients publish, waits after
// each until all is well again, and has everything checked.
func (s *site) underLoad(ctx context.Context, faults []fault.Partition) error {
	t := s.t
	if _, err := s.fleet.awaitBalance(ctx, t.Service); err != nil {
		return err
	}
	l, end := t.startLoad(ctx, load.BackgroundPause)
	defer end()
	w := t.newAvailability()
	count := make(map[string]int)
	var slowest time.Duration
	var worst string
	var err error
	if s.faults, err = verify.NewBrokerFaults(s.cluster); err != nil {
		return err
	}
	for i, f := range faults {
		t.say("%d of %d, %s", i+1, len(faults), f)
		took, err := s.cut(ctx, w, f)
		if err != nil {
			return fmt.Errorf("partition %d of %d, %s: %w", i+1, len(faults), f, err)
		}
		count[f.Family]++
		if took > slowest {
			slowest, worst = took, f.String()
		}
	}
	l.Stop()
	t.Show("partitions", "%s", families(count))
	t.Show("load", "%d accepted", l.Accepted.Load())
	w.Report()
	t.Show("brokers started again", "%d times, after partitions that they did not recover from by themselves", s.restarts)
	t.Show("all as it was", "%.1f s after the end of a partition at most (%s)", slowest.Seconds(), worst)
	if limit := time.Duration(float64(healLimit) * t.slack); slowest > limit {
		t.Fail("it took %v after the end of a partition until all was as it was, %v are promised", slowest, limit)
	}
	if err := t.check(ctx); err != nil {
		return err
	}
	return s.fleet.checkStoring(len(faults) * (env.ClusterSize - 1))
}

// families shows how many there were of each.
func families(count map[string]int) string {
	var parts []string
	for _, f := range fault.Families() {
		parts = append(parts, fmt.Sprintf("%d %s", count[f.Name], f.Name))
	}
	return strings.Join(parts, ", ")
}

// cut has one fault for a while, ends it, and returns how long it took until
// all was as before. Meanwhile tenants are created, which has to end, too.
func (s *site) cut(ctx context.Context, w *verify.Availability, f fault.Partition) (time.Duration, error) {
	t := s.t
	length := t.cutFor/2 + time.Duration(t.random.Int64N(int64(t.cutFor)))
	ask, err := s.asksCut(ctx, f)
	if err != nil {
		return 0, err
	}
	if err := s.net.Drop(ctx, f.Drops); err != nil {
		return 0, err
	}
	var work sync.WaitGroup
	during, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	work.Go(func() {
		for i := 0; during.Err() == nil; i++ {
			name := fmt.Sprintf("%s %d", f.Family, i)
			_, r := t.client.CreateTenant(during, name, "")
			if r.Err == nil && r.Status >= 400 && (r.Status != 503 || r.Header.Get("Retry-After") == "") {
				t.Fail("creating a tenant during %s: %s, Retry-After %q", f, r.Text(), r.Header.Get("Retry-After"))
			}
			wait.For(during, createEvery)
		}
	})
	work.Go(func() { ask(during) })
	w.During(during, length)
	work.Wait()
	if err := s.net.Heal(ctx); err != nil {
		return 0, err
	}
	healed := time.Now()
	if err := s.recovered(ctx, w, healed); err != nil {
		return 0, err
	}
	took := time.Since(healed)
	if err := s.faults.ForgetRefused(); err != nil {
		return 0, err
	}
	unsettled := s.awaitSettled(ctx)
	if unsettled == nil {
		return time.Since(healed), nil
	}
	wrong, err := s.faults.Find()
	if err != nil || wrong == "" {
		return 0, errors.Join(unsettled, err)
	}
	if err := s.restartBrokers(ctx, wrong); err != nil {
		return 0, err
	}
	return took, s.awaitSettled(ctx)
}

// asksCut returns what asks a replica that is about to be cut off from the database why
// nothing is stored, as far as it knows; it knows the tenant by then. Where there is none
// it depends on more than the fault what stands, and nothing is asked.
func (s *site) asksCut(ctx context.Context, f fault.Partition) (ask func(context.Context), err error) {
	tenant := s.t.tenants[0]
	for i, r := range s.fleet.replicas {
		if !slices.Contains(f.Drops, env.Link{From: i, To: fault.DatabaseHost}) || !slices.Contains(f.Drops, env.Link{From: fault.DatabaseHost, To: i}) {
			continue
		}
		c := s.t.client.At(r.URL())
		_, err := explain(ctx, c, "/api/tenants/"+tenant+"/explain", tenant)
		return func(ctx context.Context) {
			explainsBy(ctx, s.t, c, "a replica is cut off from the database ("+f.String()+")", tenant, "database_away")
		}, err
	}
	return func(context.Context) {}, nil
}

// awaitSettled waits until every tenant is fully there or fully gone.
func (s *site) awaitSettled(ctx context.Context) error {
	return wait.Until(ctx, healLimit, "every tenant is fully there or fully gone", func() error {
		wait.For(ctx, 4*wait.Interval)
		return verify.Settled(ctx, s.t.Env)
	})
}

// restartBrokers starts one broker after the other again, which is what their
// operator has to do.
func (s *site) restartBrokers(ctx context.Context, wrong string) error {
	s.restarts++
	s.t.say("one broker after the other is started again: %s", wrong)
	for _, n := range s.cluster.Nodes {
		n.Kill()
		if err := s.cluster.Start(ctx); err != nil {
			return err
		}
		if err := s.cluster.AwaitReplicated(ctx, s.t.tenants); err != nil {
			return err
		}
	}
	return s.faults.Forget()
}

// recovered waits until all is as it was before a partition.
func (s *site) recovered(ctx context.Context, w *verify.Availability, healed time.Time) error {
	t := s.t
	ctx, cancel := context.WithTimeout(ctx, 2*healLimit) // to see how late, and not only that it is late
	defer cancel()
	if err := w.AcceptedWithin(ctx, 2*healLimit); err != nil {
		return err
	}
	err := wait.Until(ctx, 2*healLimit, "messages of every tenant are stored", func() error {
		return t.InDatabase(ctx, func(conn *pgx.Conn) error {
			var n int
			const query = `SELECT count(DISTINCT tenant_id) FROM messages WHERE created_at > $1 AND tenant_id = ANY($2)`
			if err := conn.QueryRow(ctx, query, healed, t.tenants).Scan(&n); err != nil {
				return fmt.Errorf("look for messages: %w", err)
			}
			if n < len(t.tenants) {
				return fmt.Errorf("%w: %d of %d", wait.ErrNotReady, n, len(t.tenants))
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	if err := s.cluster.AwaitReplicated(ctx, t.tenants); err != nil {
		return err
	}
	for _, r := range s.fleet.replicas {
		if _, err := s.fleet.awaitBalance(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

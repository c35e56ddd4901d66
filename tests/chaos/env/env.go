package env

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"lanekeeper/tests/proxy"
)

// Env is what one scenario has for itself: a database and a virtual host on the
// shared servers, or servers of its own in their place, and the processes of
// the service. One goroutine at a time changes it.
type Env struct {
	Shared  *Shared
	Servers *Servers
	Name    string // of database and virtual host
	Dir     string // of ledger and logs

	// DatabaseURL and BrokerURL are the servers themselves, past any proxy.
	DatabaseURL, BrokerURL string
	Service                *Service
	Siblings               []*Service // other replicas

	// Exchanges says that the service gives each tenant an exchange.
	Exchanges bool

	proxies []*proxy.Proxy
}

// NewEnv returns the environment of a scenario, with an empty database and an
// empty virtual host. The service is not started. Call Close at the end.
func (s *Shared) NewEnv(ctx context.Context, scenario string) (*Env, error) {
	e := &Env{
		Shared: s, Servers: s.servers,
		Name: "chaos_" + strings.ReplaceAll(scenario, "-", "_"), Dir: s.Directory(scenario),
	}
	if err := os.MkdirAll(e.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	if err := s.servers.revive(ctx); err != nil {
		return nil, err
	}
	var err error
	if e.DatabaseURL, err = s.servers.database(ctx, e.Name); err != nil {
		return nil, err
	}
	e.BrokerURL, err = s.servers.VirtualHost(ctx, e.Name)
	return e, err
}

// Close ends everything that belongs to the environment, and has the shared
// servers run again.
func (e *Env) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for _, s := range e.Replicas() {
		s.Kill()
	}
	var errs []error
	for _, p := range e.proxies {
		errs = append(errs, p.Close())
	}
	errs = append(errs, e.Servers.revive(ctx), e.Servers.dropDatabase(ctx, e.Name), e.Servers.DropVirtualHost(ctx, e.Name))
	return errors.Join(errs...)
}

// Replicas returns every process of the service.
func (e *Env) Replicas() []*Service {
	if e.Service == nil {
		return nil
	}
	return append([]*Service{e.Service}, e.Siblings...)
}

// InDatabase runs work on a connection of its own to the scenario's database,
// past any proxy.
func (e *Env) InDatabase(ctx context.Context, work func(*pgx.Conn) error) error {
	return withDatabase(ctx, e.DatabaseURL, work)
}

// NewProxy returns a proxy in front of the server at address, which ends with
// the environment.
func (e *Env) NewProxy(ctx context.Context, address string, p proxy.Protocol, judge proxy.Judge) (*proxy.Proxy, error) {
	x, err := proxy.New(ctx, address, p, judge)
	if err == nil {
		e.proxies = append(e.proxies, x)
	}
	return x, err //nolint:wrapcheck // says what is wrong
}

// StartCluster starts three brokers, on these hosts if there are any, and uses
// them instead of the one that all scenarios share, until stop is called.
func (e *Env) StartCluster(ctx context.Context, hosts ...*Host) (c *Cluster, stop func(), err error) {
	root, err := brokerRoot(ctx, e.Shared)
	if err != nil {
		return nil, nil, err
	}
	c, err = newCluster(ctx, clusterSite{dir: filepath.Join(e.Dir, "cluster"), vhost: e.Name, hosts: hosts, root: root})
	if err != nil {
		return nil, nil, fmt.Errorf("start three brokers: %w", err)
	}
	servers, address := e.Servers, e.BrokerURL
	own := *servers
	own.cluster = c
	e.Servers, e.BrokerURL = &own, c.Nodes[0].URL()
	return c, func() {
		c.stop()
		e.Servers, e.BrokerURL = servers, address
	}, nil
}

// StartPair starts a primary and a standby that streams from it, and uses both
// instead of the database server that all scenarios share, until stop is called.
func (e *Env) StartPair(ctx context.Context, synchronous bool) (p *Pair, stop func(), err error) {
	p = &Pair{Name: e.Name, Synchronous: synchronous}
	if p.Primary, err = NewDatabaseNode(e, "primary", nil); err != nil {
		return nil, nil, err
	}
	if p.Standby, err = NewDatabaseNode(e, "standby", nil); err != nil {
		return nil, nil, err
	}
	address := e.DatabaseURL
	stop = func() {
		p.Primary.Kill()
		p.Standby.Kill()
		e.DatabaseURL = address
	}
	if err := p.start(ctx); err != nil {
		stop()
		return nil, nil, err
	}
	e.DatabaseURL = databaseURL(e.Name, p.Primary, p.Standby)
	return p, stop, nil
}

// ForgetPeaks begins anew to note how much memory each replica takes.
func (e *Env) ForgetPeaks() error {
	var errs []error
	for _, s := range e.Replicas() {
		errs = append(errs, s.forgetPeak())
	}
	return errors.Join(errs...)
}

// PeakMemory returns the most that a replica took since then, in bytes.
func (e *Env) PeakMemory() (int64, error) {
	var most int64
	for _, s := range e.Replicas() {
		peak, err := s.PeakMemory()
		if err != nil {
			return 0, err
		}
		most = max(most, peak)
	}
	return most, nil
}

package tenant_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	replicas "lanekeeper/service/fleet"
	"lanekeeper/service/tenant"
)

var errCrashed = errors.New("the process is dead")

// world is the database and the broker in memory: what survives a process. It
// checks on the way that the steps are taken in an order that is safe.
type world struct {
	mu         sync.Mutex
	rows       map[uuid.UUID]domain.Tenant
	partitions map[uuid.UUID]bool
	queues     map[uuid.UUID]int64 // the messages in it
	keys       map[string]domain.IdempotencyClaim
	confirmed  map[string]bool
	locks      map[uuid.UUID]chan struct{}
	locked     map[uuid.UUID]bool
	violations []string

	brokerAway, databaseAway, partitionsBlocked bool

	// processes are those that hear of changes, also of their own.
	processes []*process
	deaf      bool // whether nobody hears of them
	alone     bool // whether processes think that they are
	// owner tells which of them owns a tenant; nil for all of them.
	owner func(id uuid.UUID) *process
	// held is how many messages a tenant's consumer has not acknowledged: they
	// go back to the queue when it stops.
	held map[uuid.UUID]int64
	// draining is how long a tenant's consumer takes to stop, and starting how
	// long every consumer takes to start.
	draining map[uuid.UUID]time.Duration
	starting time.Duration
}

func newWorld() *world {
	return &world{
		rows: map[uuid.UUID]domain.Tenant{}, partitions: map[uuid.UUID]bool{}, queues: map[uuid.UUID]int64{},
		keys: map[string]domain.IdempotencyClaim{}, confirmed: map[string]bool{},
		locks: map[uuid.UUID]chan struct{}{}, locked: map[uuid.UUID]bool{},
		held: map[uuid.UUID]int64{}, draining: map[uuid.UUID]time.Duration{},
	}
}

// announce needs mu. It tells every process of a change.
func (w *world) announce(c domain.Change) {
	for _, p := range w.processes {
		if !p.crashed && !w.deaf {
			p.follower.Follow(c)
		}
	}
}

// consumed needs mu. It tells how many processes consume the tenant's queue.
func (w *world) consumed(id uuid.UUID) (n int) {
	for _, p := range w.processes {
		if _, consumes := p.consumers[id]; consumes && !p.crashed {
			n++
		}
	}
	return n
}

func (w *world) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

func (w *world) row(id uuid.UUID) domain.Tenant {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rows[id]
}

// process is one run of the service: the ports to the world, its consumers,
// and what is to be tested. Each call to a port is a step at which the
// process can crash.
type process struct {
	*world
	*tenant.Service
	*tenant.ConsumerService
	provisioner *tenant.Provisioner
	reconciler  *tenant.Reconciler
	directory   *tenant.Directory
	follower    *tenant.Follower
	log         *recorder

	name      string
	consumers map[uuid.UUID]domain.Assignment // guarded by world.mu
	starts    int                             // guarded by world.mu
	lists     int                             // guarded by world.mu
	// reportsAway tells that the reports cannot be read; guarded by world.mu.
	reportsAway bool
	deleted     []uuid.UUID // guarded by world.mu
	// crashAt is the step to crash at, or 0; half reports whether the step
	// takes effect before. Guarded by world.mu.
	steps, crashAt int
	checks         int // of queues
	half, crashed  bool
	// before, when set, is called before some steps, with their names.
	before func(call string)
}

func newProcess(w *world) *process {
	p := &process{world: w, consumers: map[uuid.UUID]domain.Assignment{}, log: &recorder{}}
	w.set(func() { p.name = fmt.Sprint("r", len(w.processes)+1) })
	log := slog.New(p.log)
	p.directory = tenant.NewDirectory(p)
	p.provisioner = tenant.NewProvisioner(tenant.ProvisionerOptions{
		Tenants: p, Partitions: p, Topology: p, Consumers: p, Directory: p.directory, Log: log,
		Owner: p, Peers: func() bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			return !w.alone
		},
		Deleted: func(id uuid.UUID) { w.set(func() { p.deleted = append(p.deleted, id) }) },
	})
	p.reconciler = tenant.NewReconciler(tenant.ReconcilerOptions{Tenants: p, Provisioner: p.provisioner, Consumers: p, Log: log})
	others := replicas.New(replicas.Options{Replica: domain.Replica{Name: p.name}, Reports: reports{reader: p}})
	p.Service = tenant.NewService(tenant.ServiceOptions{
		Tenants: p, Keys: p, Provisioner: p.provisioner, Reconciler: p.reconciler, Directory: p.directory,
		DefaultWorkers: 3, DefaultRetentionDays: 9, Log: log,
	})
	p.ConsumerService = tenant.NewConsumerService(tenant.ConsumerOptions{Tenants: p.Service, Running: p.statuses, Reports: others.Reported})
	p.follower = tenant.NewFollower(p.directory, p.reconciler)
	w.set(func() { w.processes = append(w.processes, p) })
	return p
}

// run starts the reconciler; it is stopped and waited for by the returned
// function.
func (p *process) run(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.reconciler.Run(ctx) }()
	return func() {
		cancel()
		require.NoError(t, <-ended)
	}
}

// hook calls before.
func (p *process) hook(call string) {
	p.mu.Lock()
	before := p.before
	p.mu.Unlock()
	if before != nil {
		before(call)
	}
}

// once runs f before the first step with the name.
func (p *process) once(call string, f func()) {
	var done bool
	p.before = func(c string) {
		if c == call && !done {
			done = true
			f()
		}
	}
}

// step does the effect of a call unless the process crashes before. Away is
// read under the lock.
func (p *process) step(ctx context.Context, away *bool, effect func() error) error {
	if ctx.Err() != nil {
		return domain.Wrap(ctx.Err(), domain.ErrUnavailable, "cancelled", "Cancelled.")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.steps++
	crashes := p.steps == p.crashAt
	if p.crashed || crashes && !p.half {
		p.crashed = true
		return errCrashed
	}
	if *away {
		return domain.New(domain.ErrUnavailable, "away", "Away.")
	}
	err := effect()
	if crashes {
		p.crashed = true
		return errCrashed
	}
	return err
}

// must notes a violation of the safe order of steps.
func (p *process) must(ok bool, violation string) {
	if !ok {
		p.violations = append(p.violations, violation)
	}
}

// there tells what is missing of a tenant that should be fully there, or "".
func (p *process) there(id uuid.UUID) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	t, row := p.rows[id]
	_, queue := p.queues[id]
	assigned, consumed := p.consumers[id]
	switch {
	case !row || t.Status != domain.TenantActive && t.Status != domain.TenantInactive:
		return "its row is " + string(t.Status)
	case !p.partitions[id]:
		return "no partition"
	case !queue:
		return "no queue"
	case consumed != t.Consuming():
		return fmt.Sprintf("consumer: %v", consumed)
	case consumed && assigned != t.Assignment():
		return fmt.Sprintf("assigned %+v", assigned)
	}
	return ""
}

// gone tells what is left of a tenant that should be fully gone, or "".
func (p *process) gone(id uuid.UUID) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	t, row := p.rows[id]
	_, queue := p.queues[id]
	_, consumed := p.consumers[id]
	switch {
	case row && t.Status != domain.TenantDeleted:
		return "its row is " + string(t.Status)
	case p.partitions[id]:
		return "its partition"
	case queue:
		return "its queue"
	case consumed:
		return "its consumer"
	}
	return ""
}

// recorder is a slog.Handler that counts records by message.
type recorder struct {
	mu     sync.Mutex
	counts map[string]int
}

func (r *recorder) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

func (r *recorder) Handle(_ context.Context, record slog.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counts == nil {
		r.counts = map[string]int{}
	}
	r.counts[record.Message]++
	return nil
}

func (r *recorder) WithAttrs([]slog.Attr) slog.Handler { return r }
func (r *recorder) WithGroup(string) slog.Handler      { return r }

func (r *recorder) count(message string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counts[message]
}

// The callers of the tests.
func admin() domain.Principal { return domain.Principal{UserID: uuid.New(), Role: domain.RoleAdmin} }

func member() domain.Principal { return domain.Principal{UserID: uuid.New(), Role: domain.RoleMember} }

// pass lets the clock of the test's bubble go on.
func pass(d time.Duration) { <-time.After(d) }

// named returns the tenant of an owner with an external id. The lock must be held.
func (p *process) named(owner uuid.UUID, externalID string) (domain.Tenant, bool) {
	for _, t := range p.rows {
		if t.OwnerID == owner && t.ExternalID == externalID && !t.Gone() {
			return t, true
		}
	}
	return domain.Tenant{}, false
}

func (p *process) FindTenantByExternalID(ctx context.Context, owner uuid.UUID, externalID string) (t domain.Tenant, err error) {
	p.hook("find by external id")
	err = p.step(ctx, &p.databaseAway, func() error {
		var there bool
		if t, there = p.named(owner, externalID); !there {
			return domain.TenantNotFound()
		}
		return nil
	})
	return t, err
}

func (p *process) ResolveTenant(ctx context.Context, who domain.Principal, externalID string) (id uuid.UUID, err error) {
	err = p.step(ctx, &p.databaseAway, func() error {
		for _, t := range p.rows {
			if t.ExternalID == externalID && !t.Gone() && who.MayAccess(&t) {
				id = t.ID
				return nil
			}
		}
		return domain.TenantNotFound()
	})
	return id, err
}

package scenario

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
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
	"lanekeeper/tests/proxy"
)

const (
	bystanders = 4
	// arriveLimit is how long a tenant may take to its step.
	arriveLimit = 10 * time.Second
	// blockedFor is how long a detachment has to wait after the next start.
	blockedFor = 2 * time.Second
)

// stepScenario is the trial of createDeleteSteps.
type stepScenario struct {
	*trial

	normal           *env.Service
	program          string // that stops at steps
	arrivals         string // its file
	database, broker fault.Interceptor
	done             []*victim
}

// createDeleteSteps kills the service at every named step of creating and
// deleting tenants, while others are published to.
func createDeleteSteps(ctx context.Context, t *trial) error {
	s := &stepScenario{trial: t, arrivals: filepath.Join(t.Dir, "arrivals")}
	var err error
	if s.program, err = t.Shared.Build(ctx, "steps", "lanekeeper/tests/chaos/steps"); err != nil {
		return err
	}
	defer os.Remove(s.program)
	database, err := t.NewProxy(ctx, t.DatabaseURL, proxy.Postgres{}, s.database.Judge)
	if err != nil {
		return err
	}
	broker, err := t.NewProxy(ctx, t.BrokerURL, proxy.AMQP{}, s.broker.Judge)
	if err != nil {
		return err
	}
	if err := t.boot(ctx, database.URL(), broker.URL(), bystanders); err != nil {
		return err
	}
	s.normal = t.Service
	if err := s.crashAll(ctx); err != nil {
		return err
	}
	s.report()
	if err := wait.Until(ctx, t.converging(), "every tenant is fully there or fully gone", func() error { return verify.Settled(ctx, t.Env) }); err != nil {
		t.Fail("%v", err)
	}
	return t.check(ctx)
}

func (s *stepScenario) crashAll(ctx context.Context) error {
	l, end := s.startLoad(ctx, load.BackgroundPause)
	defer end()
	all := crashesAt(s.random, steps(), s.stepsAtOnce)
	if s.stepCrashes > 0 {
		all = all[:min(len(all), s.stepCrashes)]
	}
	for i, crash := range all {
		if err := s.crash(ctx, i+1, crash); err != nil {
			return fmt.Errorf("crash %d: %w", i+1, err)
		}
	}
	s.Show("crashes", "%d, at %d of %d steps", len(all), len(s.done), len(steps()))
	l.Stop()
	return nil
}

// report shows how long each took.
func (s *stepScenario) report() {
	slices.SortFunc(s.done, func(a, b *victim) int { return a.number - b.number })
	var longest time.Duration
	for _, d := range s.done {
		end := "gone"
		switch {
		case d.late:
			end = "not right"
		case d.there():
			end = "there"
		}
		s.Show(d.name(), "%s in %.1f s", end, d.took.Seconds())
		longest = max(longest, d.took)
	}
	s.Show("converged", "%.1f s after the start at most", longest.Seconds())
}

// crash brings a tenant to each of the steps, kills the service there, starts
// it again and waits until it has put things right.
func (s *stepScenario) crash(ctx context.Context, number int, at []step) error {
	tenants := make([]*victim, len(at))
	for i, step := range at {
		d := &victim{step: step, called: fmt.Sprintf("victim %d in crash %d", step.number, number), reply: make(chan load.Reply, 1)}
		if err := s.prepare(ctx, d); err != nil {
			return fmt.Errorf("%s: prepare: %w", d.name(), err)
		}
		tenants[i] = d
	}
	if err := s.startStopping(ctx, tenants); err != nil {
		return err
	}
	blocker, err := s.block(ctx, tenants)
	if err != nil {
		return err
	}
	defer blocker()
	defer s.release()
	for _, d := range tenants {
		if err := s.interrupt(ctx, d); err != nil {
			return fmt.Errorf("%s: %w", d.name(), err)
		}
	}
	s.Service.Kill()
	s.release()
	if err := s.examine(ctx, tenants); err != nil {
		return err
	}
	s.Service = s.normal
	begun := time.Now()
	if err := s.Service.Launch(); err != nil {
		return err
	}
	time.AfterFunc(blockedFor, blocker)
	s.awaitConverged(ctx, tenants, begun)
	if err := wait.Until(ctx, env.StartLimit, "the service is ready", func() error { return s.Service.Ready(ctx) }); err != nil {
		return err
	}
	for _, d := range tenants {
		if err := s.prove(ctx, d); err != nil {
			s.Fail("%s: %v", d.name(), err)
		}
	}
	s.done = append(s.done, tenants...)
	return nil
}

// release lets go of the connections that are held. It may be repeated.
func (s *stepScenario) release() {
	s.database.Release()
	s.broker.Release()
}

// startStopping puts the program that stops at the steps in the place of the
// service.
func (s *stepScenario) startStopping(ctx context.Context, tenants []*victim) error {
	wanted := make(map[string]string)
	queues := env.QueuesOf(s.tenants)
	for _, d := range tenants {
		if d.at != "" {
			wanted[d.called] = d.at
		}
		if d.deletes && !d.waiting {
			queues = append(queues, env.QueueOf(d.id))
		}
	}
	text, err := json.Marshal(wanted)
	if err != nil {
		return fmt.Errorf("write the steps: %w", err)
	}
	if err := os.WriteFile(s.arrivals, nil, 0o600); err != nil {
		return fmt.Errorf("make a file: %w", err)
	}
	if _, err := s.normal.Terminate(ctx); err != nil {
		return err
	}
	stopping := *s.normal
	stopping.Program = s.program
	stopping.Environment = append(slices.Clone(stopping.Environment), "CHAOS_STEPS="+string(text), "CHAOS_ARRIVALS="+s.arrivals)
	s.Service = &stopping
	if err := s.Service.Start(ctx); err != nil {
		return err
	}
	return wait.Until(ctx, s.converging(), "the others are consumed", func() error { return verify.Consumed(s.Env, queues) })
}

// block opens a transaction that keeps partitions from being detached, if that
// is wanted, and returns what ends it.
func (s *stepScenario) block(ctx context.Context, tenants []*victim) (end func(), err error) {
	if !slices.ContainsFunc(tenants, func(d *victim) bool { return d.detaching }) {
		return func() {}, nil
	}
	conn, err := pgx.Connect(ctx, s.DatabaseURL)
	if err != nil {
		return nil, fmt.Errorf("connect to the database: %w", err)
	}
	end = func() { _ = conn.PgConn().Conn().Close() } // may be closed already
	if _, err = conn.Exec(ctx, `BEGIN; SELECT count(*) FROM messages`); err != nil {
		end()
		return nil, fmt.Errorf("read messages: %w", err)
	}
	return end, nil
}

// interrupt sends the request and waits until the tenant is at its step.
func (s *stepScenario) interrupt(ctx context.Context, d *victim) error {
	var caught <-chan struct{}
	switch {
	case d.frame != nil && d.broker:
		caught = s.broker.Arm(d.frame)
	case d.frame != nil:
		caught = s.database.Arm(d.frame)
	}
	go func() {
		if d.deletes {
			d.reply <- s.client.DeleteTenant(ctx, d.id)
			return
		}
		_, r := s.client.CreateTenant(ctx, d.called, d.called)
		d.reply <- r
	}()
	return wait.Until(ctx, arriveLimit, "it is interrupted", func() error {
		arrived, err := s.arrived(ctx, d, caught)
		if err != nil || arrived {
			return err
		}
		select {
		case r := <-d.reply:
			d.reply <- r
			return fmt.Errorf("%w: it was answered before: %s", wait.ErrNotReady, r.Text())
		default:
			return wait.ErrNotReady
		}
	})
}

// arrived reports whether the tenant is at its step.
func (s *stepScenario) arrived(ctx context.Context, d *victim, caught <-chan struct{}) (bool, error) {
	switch {
	case d.detaching:
		parts, err := verify.Tenants(ctx, s.Env)
		return err == nil && parts[d.id].Partition == "detaching", err
	case d.at == "":
		select {
		case <-caught:
			return true, nil
		default:
			return false, nil
		}
	}
	text, err := os.ReadFile(s.arrivals)
	if err != nil {
		return false, fmt.Errorf("read arrivals: %w", err)
	}
	return slices.Contains(strings.Split(string(text), "\n"), d.called), nil
}

// examine makes sure that the tenants were left as their steps say.
func (s *stepScenario) examine(ctx context.Context, tenants []*victim) error {
	parts, err := verify.Tenants(ctx, s.Env)
	if err != nil {
		return err
	}
	return s.InDatabase(ctx, func(conn *pgx.Conn) error {
		for _, d := range tenants {
			<-d.reply
			if !d.deletes {
				err := conn.QueryRow(ctx, `SELECT resource_id::text FROM idempotency WHERE key = $1`, d.called).Scan(&d.id)
				if err != nil {
					return fmt.Errorf("%s: look for the tenant's id: %w", d.name(), err)
				}
			}
			row := ""
			if l := parts[d.id]; l != nil {
				row = l.Status
			}
			if row != d.row {
				s.Fail("%s: the row was %q at the crash, not %q", d.name(), row, d.row)
			}
		}
		return nil
	})
}

// awaitConverged notes for each tenant how long after begun it was fully gone,
// or fully there and a message to it was stored: that a queue is consumed says
// little, because the service also does that to try it out.
func (s *stepScenario) awaitConverged(ctx context.Context, tenants []*victim, begun time.Time) {
	var work sync.WaitGroup
	for _, d := range tenants {
		work.Go(func() {
			err := wait.Until(ctx, s.converging(), "fully there or fully gone", func() error {
				parts, err := verify.Tenants(ctx, s.Env)
				if err != nil {
					return err
				}
				return d.converged(parts[d.id])
			})
			if err == nil && d.there() {
				err = s.use(ctx, d, s.converging()-time.Since(begun))
			}
			d.took = time.Since(begun)
			if d.late = err != nil; d.late {
				s.Fail("%s: %v", d.name(), err)
			}
		})
	}
	work.Wait()
}

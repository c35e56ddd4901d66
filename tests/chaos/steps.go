package main

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

	"lanekeeper/tests/proxy"
)

const (
	bystanders = 4
	// arriveLimit is how long a tenant may take to its step.
	arriveLimit = 10 * time.Second
	// blockedFor is how long a detachment has to wait after the next start.
	blockedFor = 2 * time.Second
)

// stepping is the stage of createDeleteSteps.
type stepping struct {
	*stage

	normal           *service
	program          string // that stops at steps
	arrivals         string // its file
	database, broker snare
	done             []*doomed
}

// createDeleteSteps kills the service at every named step of creating and
// deleting tenants, while others are published to.
func createDeleteSteps(ctx context.Context, st *stage) error {
	s := &stepping{stage: st, arrivals: filepath.Join(st.dir, "arrivals")}
	var err error
	if s.program, err = st.suite.build(ctx, "stepped", "lanekeeper/tests/chaos/stepped"); err != nil {
		return err
	}
	defer os.Remove(s.program)
	database, err := st.newProxy(ctx, st.databaseURL, proxy.Postgres{}, s.database.judge)
	if err != nil {
		return err
	}
	broker, err := st.newProxy(ctx, st.brokerURL, proxy.AMQP{}, s.broker.judge)
	if err != nil {
		return err
	}
	if err := st.boot(ctx, database.URL(), broker.URL(), bystanders); err != nil {
		return err
	}
	s.normal = st.service
	if err := s.crashAll(ctx); err != nil {
		return err
	}
	s.report()
	if err := await(ctx, st.converging(), "every tenant is fully there or fully gone", func() error { return st.settled(ctx) }); err != nil {
		st.fail("%v", err)
	}
	return st.check(ctx)
}

func (s *stepping) crashAll(ctx context.Context) error {
	loadCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	l := s.startLoad(loadCtx, backgroundPause)
	defer func() { cancel(); l.stop() }()
	all := s.crashesAt(steps(), s.stepsAtOnce)
	if s.stepCrashes > 0 {
		all = all[:min(len(all), s.stepCrashes)]
	}
	for i, crash := range all {
		if err := s.crash(ctx, i+1, crash); err != nil {
			return fmt.Errorf("crash %d: %w", i+1, err)
		}
	}
	s.show("crashes", "%d, at %d of %d steps", len(all), len(s.done), len(steps()))
	l.stop()
	return nil
}

// report tells how long each took.
func (s *stepping) report() {
	slices.SortFunc(s.done, func(a, b *doomed) int { return a.number - b.number })
	var longest time.Duration
	for _, d := range s.done {
		end := "gone"
		switch {
		case d.late:
			end = "not right"
		case d.there():
			end = "there"
		}
		s.show(d.name(), "%s in %.1f s", end, d.took.Seconds())
		longest = max(longest, d.took)
	}
	s.show("converged", "%.1f s after the start at most", longest.Seconds())
}

// crash brings a tenant to each of the steps, kills the service there, starts
// it again and waits until it has put things right.
func (s *stepping) crash(ctx context.Context, number int, at []step) error {
	tenants := make([]*doomed, len(at))
	for i, step := range at {
		d := &doomed{step: step, called: fmt.Sprintf("doomed %d in crash %d", step.number, number), reply: make(chan reply, 1)}
		if err := s.prepare(ctx, d); err != nil {
			return fmt.Errorf("%s: prepare: %w", d.name(), err)
		}
		tenants[i] = d
	}
	if err := s.startStepped(ctx, tenants); err != nil {
		return err
	}
	blocker, err := s.block(ctx, tenants)
	if err != nil {
		return err
	}
	defer blocker()
	defer s.spring()
	for _, d := range tenants {
		if err := s.interrupt(ctx, d); err != nil {
			return fmt.Errorf("%s: %w", d.name(), err)
		}
	}
	s.service.kill()
	s.spring()
	if err := s.examine(ctx, tenants); err != nil {
		return err
	}
	s.service = s.normal
	begun := time.Now()
	if err := s.service.launch(); err != nil {
		return err
	}
	time.AfterFunc(blockedFor, blocker)
	s.awaitConverged(ctx, tenants, begun)
	if err := await(ctx, startLimit, "the service is ready", func() error { return s.service.ready(ctx) }); err != nil {
		return err
	}
	for _, d := range tenants {
		if err := s.prove(ctx, d); err != nil {
			s.fail("%s: %v", d.name(), err)
		}
	}
	s.done = append(s.done, tenants...)
	return nil
}

// spring lets go of the connections that are held. It may be repeated.
func (s *stepping) spring() {
	s.database.spring()
	s.broker.spring()
}

// startStepped puts the program that stops at the steps in the place of the
// service.
func (s *stepping) startStepped(ctx context.Context, tenants []*doomed) error {
	wanted := make(map[string]string)
	queues := queuesOf(s.tenants)
	for _, d := range tenants {
		if d.at != "" {
			wanted[d.called] = d.at
		}
		if d.deletes && !d.waiting {
			queues = append(queues, queueOf(d.id))
		}
	}
	text, err := json.Marshal(wanted)
	if err != nil {
		return fmt.Errorf("write the steps: %w", err)
	}
	if err := os.WriteFile(s.arrivals, nil, 0o600); err != nil {
		return fmt.Errorf("make a file: %w", err)
	}
	if _, err := s.normal.terminate(ctx); err != nil {
		return err
	}
	stepped := *s.normal
	stepped.program = s.program
	stepped.environment = append(slices.Clone(stepped.environment), "CHAOS_STEPS="+string(text), "CHAOS_ARRIVALS="+s.arrivals)
	s.service = &stepped
	if err := s.service.start(ctx); err != nil {
		return err
	}
	return await(ctx, s.converging(), "the others are consumed", func() error { return s.consumed(queues) })
}

// block opens a transaction that keeps partitions from being detached, if that
// is wanted, and returns what ends it.
func (s *stepping) block(ctx context.Context, tenants []*doomed) (end func(), err error) {
	if !slices.ContainsFunc(tenants, func(d *doomed) bool { return d.detaching }) {
		return func() {}, nil
	}
	conn, err := pgx.Connect(ctx, s.databaseURL)
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
func (s *stepping) interrupt(ctx context.Context, d *doomed) error {
	var caught <-chan struct{}
	switch {
	case d.frame != nil && d.broker:
		caught = s.broker.set(d.frame)
	case d.frame != nil:
		caught = s.database.set(d.frame)
	}
	go func() {
		if d.deletes {
			d.reply <- s.client.deleteTenant(ctx, d.id)
			return
		}
		_, r := s.client.createTenant(ctx, d.called, d.called)
		d.reply <- r
	}()
	return await(ctx, arriveLimit, "it is interrupted", func() error {
		arrived, err := s.arrived(ctx, d, caught)
		if err != nil || arrived {
			return err
		}
		select {
		case r := <-d.reply:
			d.reply <- r
			return fmt.Errorf("%w: it was answered before: %s", errNotReady, r.text())
		default:
			return errNotReady
		}
	})
}

// arrived tells whether the tenant is at its step.
func (s *stepping) arrived(ctx context.Context, d *doomed, caught <-chan struct{}) (bool, error) {
	switch {
	case d.detaching:
		lanes, err := s.lanes(ctx)
		return err == nil && lanes[d.id].partition == "detaching", err
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
func (s *stepping) examine(ctx context.Context, tenants []*doomed) error {
	lanes, err := s.lanes(ctx)
	if err != nil {
		return err
	}
	return s.inDatabase(ctx, func(conn *pgx.Conn) error {
		for _, d := range tenants {
			<-d.reply
			if !d.deletes {
				err := conn.QueryRow(ctx, `SELECT resource_id::text FROM idempotency WHERE key = $1`, d.called).Scan(&d.id)
				if err != nil {
					return fmt.Errorf("%s: look for the tenant's id: %w", d.name(), err)
				}
			}
			row := ""
			if l := lanes[d.id]; l != nil {
				row = l.status
			}
			if row != d.row {
				s.fail("%s: the row was %q at the crash, not %q", d.name(), row, d.row)
			}
		}
		return nil
	})
}

// awaitConverged notes for each tenant how long after begun it was fully gone,
// or fully there and a message to it was stored: that a queue is consumed says
// little, because the service also does that to try it out.
func (s *stepping) awaitConverged(ctx context.Context, tenants []*doomed, begun time.Time) {
	var work sync.WaitGroup
	for _, d := range tenants {
		work.Go(func() {
			err := await(ctx, s.converging(), "fully there or fully gone", func() error {
				lanes, err := s.lanes(ctx)
				if err != nil {
					return err
				}
				return d.converged(lanes[d.id])
			})
			if err == nil && d.there() {
				err = s.use(ctx, d, s.converging()-time.Since(begun))
			}
			d.took = time.Since(begun)
			if d.late = err != nil; d.late {
				s.fail("%s: %v", d.name(), err)
			}
		})
	}
	work.Wait()
}

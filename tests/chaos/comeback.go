package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	// brokerOutage is how long the broker is away, besides the time it takes to
	// start.
	brokerOutage = 10 * time.Second
	// maxIdleCPU is how much of one core the service may use meanwhile.
	maxIdleCPU = 0.2
	// callPause is how long each of the clients that see whether requests hang
	// waits between two of them.
	callPause = 250 * time.Millisecond
	// settleLimit is how long it may take until nothing is left of the outage.
	settleLimit = 30 * time.Second
)

// brokerRestart takes the broker away from many consumers at once: first in
// good order, then by a kill.
func brokerRestart(ctx context.Context, st *stage) error {
	if err := st.bootDirect(ctx, 0); err != nil {
		return err
	}
	begun := time.Now()
	var err error
	if st.tenants, err = st.createTenants(ctx, "tenant", st.crowd); err != nil {
		return err
	}
	st.show("created", "%d tenants in %.0f s", st.crowd, time.Since(begun).Seconds())
	if err := await(ctx, settleLimit, "all consumers run", func() error { return st.allConsumed(ctx) }); err != nil {
		return err
	}
	err = errors.Join(
		st.outage(ctx, "stopped", st.servers.rabbitmq.Stop),
		st.outage(ctx, "killed", func(context.Context) error { st.servers.rabbitmq.Kill(); return nil }),
	)
	return errors.Join(err, st.check(ctx))
}

// outage ends the broker, starts it again, and holds the service to what is
// promised for the time from then on.
func (st *stage) outage(ctx context.Context, how string, end func(context.Context) error) error {
	before, err := st.metrics(ctx)
	if err != nil {
		return err
	}
	calls := st.startCalls(ctx)
	defer calls()
	if err := end(ctx); err != nil {
		return fmt.Errorf("end the broker: %w", err)
	}
	down, err := st.metrics(ctx)
	if err != nil {
		return err
	}
	ended := time.Now()
	rest(ctx, brokerOutage)
	restarted := make(chan error, 1)
	go func() { restarted <- st.servers.rabbitmq.Start(ctx) }()
	open, err := st.awaitPort(ctx)
	if err != nil {
		return errors.Join(err, <-restarted)
	}
	up, err := st.metrics(ctx)
	if err != nil {
		return errors.Join(err, <-restarted)
	}
	cpu := (up["process_cpu_seconds_total"] - down["process_cpu_seconds_total"]) / time.Since(ended).Seconds()
	answered := make(chan error, 1)
	go func() { answered <- st.awaitAnswers(ctx, how, open) }()
	err = await(ctx, 4*st.crowdLimit, "all consumers are back", func() error { return st.allConsumed(ctx) })
	back := time.Since(open)
	if err := errors.Join(err, <-restarted, <-answered); err != nil {
		return err
	}
	st.show(how+": consumers back", "%.1f s after the port was open", back.Seconds())
	st.show(how+": CPU meanwhile", "%.1f %% of one core in %.0f s", 100*cpu, open.Sub(ended).Seconds())
	if float64(back) > st.slack*float64(st.crowdLimit) {
		st.fail("%s: consumers took %v to be back", how, back)
	}
	if cpu > maxIdleCPU {
		st.fail("%s: the service used %.0f %% of a core while the broker was away", how, 100*cpu)
	}
	calls()
	return st.awaitCalm(ctx, how, before["go_goroutines"])
}

// startCalls calls the service all the time as its users do, until the
// returned function is called. How long that takes is noted by the client.
func (st *stage) startCalls(ctx context.Context) (stop func()) {
	callCtx, cancel := context.WithCancel(ctx)
	l := &load{st: st}
	var work sync.WaitGroup
	work.Go(func() {
		for i := 0; callCtx.Err() == nil; i++ {
			l.send(ctx, st.tenants[i%len(st.tenants)], 1, false)
			rest(callCtx, callPause)
		}
	})
	work.Go(func() {
		for callCtx.Err() == nil {
			if r := st.client.call(ctx, http.MethodGet, "/api/tenants?limit=100", "", "", nil); r.status != http.StatusOK {
				st.fail("list tenants while the broker is away: %s", r.text())
			}
			rest(callCtx, callPause)
		}
	})
	return func() { cancel(); work.Wait() }
}

// awaitPort waits until the broker's port is open and returns when that was.
func (st *stage) awaitPort(ctx context.Context) (time.Time, error) {
	u, err := url.Parse(st.brokerURL)
	if err != nil {
		return time.Time{}, fmt.Errorf("read an address: %w", err)
	}
	dialer := net.Dialer{Timeout: time.Second}
	err = await(ctx, 5*time.Minute, "the broker's port is open", func() error {
		conn, err := dialer.DialContext(ctx, "tcp", u.Host)
		if err != nil {
			return fmt.Errorf("connect to the broker: %w", err)
		}
		return conn.Close()
	})
	return time.Now(), err
}

// awaitAnswers shows when the broker itself had something to say on every
// queue: no consumer can be back before.
func (st *stage) awaitAnswers(ctx context.Context, how string, since time.Time) error {
	for i := 0; i < len(st.tenants); {
		err := st.eachQueue(queuesOf(st.tenants[i:]), func(amqp.Queue) error { i++; return nil })
		if err != nil && !rest(ctx, lookEvery) {
			return err
		}
	}
	st.show(how+": queues answer", "%.1f s after the port was open", time.Since(since).Seconds())
	return nil
}

// allConsumed returns nil when every tenant has exactly one consumer, which
// runs.
func (st *stage) allConsumed(ctx context.Context) error {
	if !rest(ctx, lookEvery) {
		return ctx.Err()
	}
	if err := st.allRun(ctx); err != nil {
		return err
	}
	return st.eachConsumed(st.tenants)
}

// allRun returns nil when the service says that as many consumers run as there
// are tenants.
func (st *stage) allRun(ctx context.Context) error {
	running, cursor := 0, ""
	for more := true; more; more = cursor != "" {
		path := "/api/consumers?limit=1000"
		if cursor != "" {
			path += "&cursor=" + url.QueryEscape(cursor)
		}
		r := st.client.call(ctx, http.MethodGet, path, "", "", nil)
		if r.err != nil || r.status != http.StatusOK {
			return errors.Join(fmt.Errorf("%w: list consumers: %s", errUnexpected, r.text()), r.err)
		}
		var page struct {
			Data       []struct{ State string }
			NextCursor string `json:"next_cursor"`
		}
		if err := json.Unmarshal(r.body, &page); err != nil {
			return fmt.Errorf("read consumers: %w", err)
		}
		for _, c := range page.Data {
			if c.State == "running" {
				running++
			}
		}
		cursor = page.NextCursor
	}
	if running != len(st.tenants) {
		return fmt.Errorf("%w: %d of %d consumers run", errNotReady, running, len(st.tenants))
	}
	return nil
}

// eachConsumed returns nil when the broker says that the queue of each tenant
// has one consumer.
func (st *stage) eachConsumed(tenants []string) error {
	return st.eachQueue(queuesOf(tenants), func(q amqp.Queue) error {
		if q.Consumers != 1 {
			return fmt.Errorf("%w: %d consumers of %s", errNotReady, q.Consumers, q.Name)
		}
		return nil
	})
}

// awaitCalm waits until there are no more goroutines than before, within what
// connections of others make of it: less than one for each consumer.
func (st *stage) awaitCalm(ctx context.Context, how string, before float64) error {
	now := 0.0
	err := await(ctx, settleLimit, "nothing is left of the outage", func() error {
		m, err := st.metrics(ctx)
		if err != nil {
			return err
		}
		if now = m["go_goroutines"]; now > before+float64(len(st.tenants))/2 {
			return fmt.Errorf("%w: %.0f goroutines, %.0f before", errNotReady, now, before)
		}
		return nil
	})
	st.show(how+": goroutines", "%.0f before, %.0f after", before, now)
	if err != nil {
		st.fail("%s: %v", how, err)
	}
	return nil
}

// metrics returns the service's metrics without labels.
func (st *stage) metrics(ctx context.Context) (map[string]float64, error) {
	r := st.client.call(ctx, http.MethodGet, "/metrics", "", "", nil)
	if r.err != nil || r.status != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("%w: read metrics: %s", errUnexpected, r.text()), r.err)
	}
	values := make(map[string]float64)
	lines := bufio.NewScanner(bytes.NewReader(r.body))
	for lines.Scan() {
		name, text, found := strings.Cut(lines.Text(), " ")
		if !found || strings.HasPrefix(name, "#") {
			continue
		}
		if value, err := strconv.ParseFloat(text, 64); err == nil {
			values[name] = value
		}
	}
	for _, name := range []string{"go_goroutines", "process_cpu_seconds_total"} {
		if _, ok := values[name]; !ok {
			return nil, fmt.Errorf("%w: no metric %s", errUnexpected, name)
		}
	}
	return values, lines.Err()
}

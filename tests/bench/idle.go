package main

import (
	"context"
	"fmt"
	"time"
)

// settleFor is how long tenants that were just made are left alone before it is
// measured what they cost.
const settleFor = 5 * time.Second

// footprint is what the service takes at a moment.
type footprint struct{ bytes, goroutines float64 }

func (m metrics) footprint() footprint {
	return footprint{bytes: m.value("process_resident_memory_bytes"), goroutines: m.value("go_goroutines")}
}

// idleness is what tenants cost to whom nothing happens.
type idleness struct {
	tenants int
	// made is how many tenants were made for it, in this time.
	made int
	took time.Duration
	// each is what one tenant adds to the service.
	each footprint
	// spent is processor time in the time of measurement.
	spent cpuTimes
	over  time.Duration
}

// measureIdle makes tenants until there are n, and measures what they cost while
// nothing is published. Without a time for it, it only makes them.
func measureIdle(ctx context.Context, b *bench, n int) (i idleness, err error) {
	i = idleness{tenants: n, made: n - len(b.tenants.ids), over: b.options.idle}
	begun := time.Now()
	if err := b.tenants.grow(ctx, n); err != nil {
		return i, err
	}
	i.took = time.Since(begun)
	if i.over <= 0 {
		return i, nil
	}
	if err := pause(ctx, settleFor); err != nil {
		return i, err
	}
	before := readPrograms()
	err = profiled(b, fmt.Sprintf("idle-%d", n), func() error { return pause(ctx, i.over) })
	if err != nil {
		return i, err
	}
	i.spent = readPrograms().since(before, b.service.pid(), b.servers.private())
	m, err := b.tenants.readMetrics(ctx)
	if err != nil {
		return i, err
	}
	now := m.footprint()
	i.each = footprint{(now.bytes - b.empty.bytes) / float64(n), (now.goroutines - b.empty.goroutines) / float64(n)}
	return i, nil
}

// restarted is how long a restart with so many tenants took.
type restarted struct {
	tenants int
	// stopped is until the process had ended, ready until the next one was, and
	// consuming until all tenants had their consumers, both from its start.
	stopped, ready, consuming time.Duration
}

// measureRestart restarts the service, with the tenants that there are.
func measureRestart(ctx context.Context, b *bench) (r restarted, err error) {
	r.tenants = len(b.tenants.ids)
	if r.stopped, r.ready, err = b.service.restart(ctx); err != nil {
		return r, err
	}
	begun := time.Now().Add(-r.ready)
	for {
		m, err := b.tenants.readMetrics(ctx)
		if err != nil {
			return r, err
		}
		if m.value(`lanekeeper_consumers{state="running"}`) >= float64(r.tenants) {
			r.consuming = time.Since(begun)
			return r, nil
		}
		if time.Since(begun) > startTimeout {
			return r, fmt.Errorf("%w: not all tenants have a consumer after the restart", errAnswer)
		}
		if err := pause(ctx, readyEvery); err != nil {
			return r, err
		}
	}
}

// sentence says how long it took.
func (r restarted) sentence() string {
	return fmt.Sprintf("A restart with %s tenants: stopped in order in %.1f s; the next process was ready after %.1f s, and all tenants had their consumers after %.1f s.\n",
		grouped(float64(r.tenants)), r.stopped.Seconds(), r.ready.Seconds(), r.consuming.Seconds())
}

// pause returns after d.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err() //nolint:wrapcheck // nothing to add
	}
}

// idleTable returns what idle tenants cost.
func idleTable(idle []idleness) string {
	t := newTable("Tenants", "Made", "Memory of one", "Goroutines of one", "Lanekeeper", "Postgres", "RabbitMQ")
	for _, i := range idle {
		share := func(d time.Duration) string { return fmt.Sprintf("%.1f %%", 100*d.Seconds()/i.over.Seconds()) }
		t.add(grouped(float64(i.tenants)), fmt.Sprintf("%.0f/s", float64(i.made)/i.took.Seconds()), fmt.Sprintf("%.0f KiB", i.each.bytes/1024),
			fmt.Sprintf("%.1f", i.each.goroutines), share(i.spent.service), share(i.spent.postgres), share(i.spent.rabbitmq))
	}
	return t.String()
}

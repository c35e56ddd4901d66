package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// closeTimeout bounds the clearing up.
const closeTimeout = 5 * time.Minute

// round is what one round measured. A speed is in messages a second.
type round struct {
	ceiling, batch, single sample
	// narrow is the broker's ceiling with as many publications in flight as there are
	// connections for single ones, bare an HTTP handler that does nothing.
	narrow, bare sample
}

// sample is one measurement of throughput.
type sample struct {
	messages int
	rate     float64
	cpu      cpuTimes // spent while it was measured
	commits  commits  // made by the service meanwhile
}

// scale is what was measured with a number of tenants.
type scale struct {
	tenants, perBatch int
	rounds            []round
}

// results is all that was measured.
type results struct {
	scales []scale
	idle   []idleness
	// restart is zero where it was not measured.
	restart restarted
	latency []latencyRound
	streams []streamRound
	// deliveries are those of one tenant and then those of many.
	deliveries []deliverRound
	stored     int64 // rows that were checked
}

// bench is everything that takes part.
type bench struct {
	options  options
	progress io.Writer
	facts    facts

	dir     string
	servers *servers
	service service
	tenants *tenants
	queues  *queues
	empty   footprint // of the service without tenants
}

// newBench starts the servers and the service.
func newBench(ctx context.Context, o options, progress io.Writer) (b *bench, err error) {
	b = &bench{options: o, progress: progress}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close(context.WithoutCancel(ctx), false))
		}
	}()
	if b.dir, err = os.MkdirTemp(o.dir, "lanekeeper-bench-"); err != nil {
		return b, fmt.Errorf("make a directory: %w", err)
	}
	if b.servers, err = startServers(ctx, b.dir, progress); err != nil {
		return b, err
	}
	if b.facts, err = collectFacts(ctx, b.servers); err != nil {
		return b, err
	}
	b.say("starting the service")
	if b.service, err = startService(ctx, b.dir, b.servers, o); err != nil {
		return b, err
	}
	if b.tenants, err = newTenants(ctx, b.service.address(), b.servers.databaseURL); err != nil {
		return b, err
	}
	b.queues, err = newQueues(ctx, b.servers.rabbitmqURL)
	return b, err
}

// measure does all measurements and checks what was stored.
func (b *bench) measure(ctx context.Context) (results, error) {
	var r results
	m, err := b.tenants.readMetrics(ctx)
	if err != nil {
		return r, err
	}
	b.empty = m.footprint()
	for _, n := range b.options.tenants {
		b.say("making %d tenants and %d queues", n, n)
		idle, err := measureIdle(ctx, b, n)
		if err != nil {
			return r, fmt.Errorf("with %d tenants: %w", n, err)
		}
		r.idle = append(r.idle, idle)
		s, err := b.scale(ctx, n)
		if err != nil {
			return r, fmt.Errorf("with %d tenants: %w", n, err)
		}
		r.scales = append(r.scales, s)
	}
	if b.options.open > 0 {
		if r.latency, err = measureLatencies(ctx, b); err != nil {
			return r, fmt.Errorf("open loop: %w", err)
		}
	}
	if b.options.open > 0 && b.options.crowd > 0 {
		if r.streams, err = measureStreams(ctx, b); err != nil {
			return r, fmt.Errorf("streams: %w", err)
		}
	}
	if b.options.deliveries {
		if r.deliveries, err = measureDeliveries(ctx, b); err != nil {
			return r, err
		}
	}
	if b.options.idle > 0 && !b.options.inProcess {
		b.say("restarting the service")
		if r.restart, err = measureRestart(ctx, b); err != nil {
			return r, fmt.Errorf("restart: %w", err)
		}
	}
	b.say("checking what was stored")
	r.stored, err = b.tenants.verify(ctx)
	return r, err
}

// scale measures with n tenants: in every round first the broker's ceiling
// on n queues of its own, then the service.
func (b *bench) scale(ctx context.Context, n int) (s scale, err error) {
	o := b.options
	s = scale{tenants: n, perBatch: max(1, min(o.batch, o.messages/n))}
	if err := b.queues.open(ctx, n); err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, b.queues.close(context.WithoutCancel(ctx))) }()
	for i := range o.repeat {
		var r round
		if r.ceiling, err = b.sample(ctx, o.messages, func() error { return b.queues.flow(ctx, o.messages, publishConnections*inFlight) }); err != nil {
			return s, fmt.Errorf("measure the ceiling: %w", err)
		}
		batches := publication{tenants: n, messages: o.messages / s.perBatch * s.perBatch, perCall: s.perBatch, connections: o.clients}
		if r.batch, err = b.published(ctx, fmt.Sprintf("batch-%d-round-%d", n, i+1), batches); err != nil {
			return s, fmt.Errorf("measure batch publication: %w", err)
		}
		if o.singles > 0 {
			if err := b.singleCeilings(ctx, &r); err != nil {
				return s, err
			}
			singles := publication{tenants: n, messages: o.singles, perCall: 1, connections: o.connections}
			if r.single, err = b.published(ctx, fmt.Sprintf("single-%d-round-%d", n, i+1), singles); err != nil {
				return s, fmt.Errorf("measure single publication: %w", err)
			}
		}
		s.rounds = append(s.rounds, r)
		b.say("%d tenants, round %d of %d: ceiling %.0f/s, batch %.0f/s (%.2f), ceiling of singles %.0f/s, single %.0f/s (%.2f)", n, i+1, o.repeat,
			r.ceiling.rate, r.batch.rate, r.batch.rate/r.ceiling.rate, r.narrow.rate, r.single.rate, r.single.rate/r.narrow.rate)
	}
	return s, nil
}

// singleCeilings measures what bounds single publications.
func (b *bench) singleCeilings(ctx context.Context, r *round) (err error) {
	o := b.options
	if r.narrow, err = b.sample(ctx, o.singles, func() error { return b.queues.flow(ctx, o.singles, o.connections) }); err != nil {
		return fmt.Errorf("measure the ceiling of single publication: %w", err)
	}
	if r.bare, err = measureBare(ctx, b); err != nil {
		return fmt.Errorf("measure the bare handler: %w", err)
	}
	return nil
}

// published measures a publication, with a profile of this name.
func (b *bench) published(ctx context.Context, profile string, p publication) (s sample, err error) {
	err = profiled(b, profile, func() error {
		s, err = b.sample(ctx, p.messages, func() error { return b.tenants.publish(ctx, p) })
		return err
	})
	return s, err
}

// sample measures work that is done with so many messages.
func (b *bench) sample(ctx context.Context, messages int, work func() error) (sample, error) {
	metricsBefore, err := b.tenants.readMetrics(ctx)
	if err != nil {
		return sample{}, err
	}
	before := readPrograms()
	start := time.Now()
	if err := work(); err != nil {
		return sample{}, err
	}
	elapsed := time.Since(start)
	spent := readPrograms().since(before, b.service.pid(), b.servers.private())
	metricsAfter, err := b.tenants.readMetrics(ctx)
	if err != nil {
		return sample{}, err
	}
	return sample{
		messages: messages, rate: float64(messages) / elapsed.Seconds(), cpu: spent,
		commits: metricsAfter.commits().since(metricsBefore.commits()),
	}, nil
}

// close ends everything, in order. What was made on servers of others is
// removed; orderly reports whether the service can be asked to.
func (b *bench) close(ctx context.Context, orderly bool) error {
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	var errs []error
	if b.queues != nil {
		errs = append(errs, b.queues.end(ctx))
	}
	if b.tenants != nil {
		if b.servers.private() || !orderly {
			b.tenants.end()
		} else {
			b.say("removing the tenants")
			errs = append(errs, b.tenants.remove(ctx))
		}
	}
	if b.service != nil {
		errs = append(errs, b.service.stop(ctx))
	}
	if b.servers != nil {
		errs = append(errs, b.servers.stop(ctx))
	}
	return errors.Join(append(errs, os.RemoveAll(b.dir))...)
}

func (b *bench) say(format string, arguments ...any) {
	fmt.Fprintf(b.progress, "bench: "+format+"\n", arguments...)
}

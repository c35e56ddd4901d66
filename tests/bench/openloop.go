package main

import (
	"context"
	"fmt"
	"runtime/pprof"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// openTenants is how many tenants, or queues, the open loop publishes to.
	openTenants = 10
	// openWorkers is how many publications may be under way in the open loop.
	openWorkers = 64
)

// latencyRound is what one round of the open loop measured.
type latencyRound struct {
	confirm, post latencies
	// storedP99 is from publication to commit, from the service's metrics.
	storedP99 time.Duration
}

// measureLatencies are quantiles of the time from the scheduled moment to the answer.
type latencies struct{ p50, p99, worst time.Duration }

// measureLatencies measures, in every round, a bare publisher with confirms and the
// service, both at a fixed rate.
func measureLatencies(ctx context.Context, b *bench) (rounds []latencyRound, err error) {
	n := min(openTenants, max(len(b.tenants.ids), 1))
	b.say("open loop: %d a second for %s each", b.options.rate, b.options.open)
	for i := range b.options.repeat {
		var r latencyRound
		if r.confirm, err = bareConfirms(ctx, b, n); err != nil {
			return nil, fmt.Errorf("measure confirms: %w", err)
		}
		err := profiled(b, fmt.Sprintf("open-round-%d", i+1), func() error { return measurePosts(ctx, b, n, &r) })
		if err != nil {
			return nil, fmt.Errorf("measure publication: %w", err)
		}
		rounds = append(rounds, r)
		b.say("round %d of %d: confirm p50 %s, p99 %s; POST p50 %s, p99 %s (%.2f)", i+1, b.options.repeat,
			millis(float64(r.confirm.p50)), millis(float64(r.confirm.p99)), millis(float64(r.post.p50)), millis(float64(r.post.p99)), r.ratio())
	}
	return rounds, nil
}

func (r latencyRound) ratio() float64 { return float64(r.post.p99) / float64(r.confirm.p99) }

// bareConfirms publishes to n queues of its own, which are consumed.
func bareConfirms(ctx context.Context, b *bench, n int) (latencies, error) {
	if err := b.queues.open(ctx, n); err != nil {
		return latencies{}, err
	}
	consumed, consumeCtx := errgroup.WithContext(ctx)
	total := openTotal(b)
	for i, c := range b.queues.consumers {
		consumed.Go(func() error { return c.take(consumeCtx, share(total, n, i)) })
	}
	l, err := openLoop(ctx, b.options.rate, total, func(ctx context.Context, jobs <-chan job) error {
		for j := range jobs {
			p := b.queues.publishers[j.number%len(b.queues.publishers)]
			confirm, err := p.publish(b.queues.names[j.number%n])
			if err != nil {
				return err
			}
			if err := p.confirmed(ctx, confirm); err != nil {
				return err
			}
			j.done()
		}
		return nil
	})
	if err != nil {
		return l, err
	}
	if err := consumed.Wait(); err != nil {
		return l, err //nolint:wrapcheck // one of ours
	}
	return l, b.queues.close(ctx)
}

// measurePosts publishes to the first n tenants, one message a call.
func measurePosts(ctx context.Context, b *bench, n int, r *latencyRound) (err error) {
	before, err := b.tenants.readMetrics(ctx)
	if err != nil {
		return err
	}
	r.post, err = openLoop(ctx, b.options.rate, openTotal(b), poster(b, n))
	if err != nil {
		return err
	}
	if err := b.tenants.awaitStored(ctx); err != nil {
		return err
	}
	after, err := b.tenants.readMetrics(ctx)
	if err != nil {
		return err
	}
	r.storedP99 = after.endToEnd().since(before.endToEnd()).quantile(0.99)
	return nil
}

// poster returns what a worker does that publishes to the first n tenants, one
// message a call, over a connection of its own.
func poster(b *bench, n int) func(ctx context.Context, jobs <-chan job) error {
	return func(ctx context.Context, jobs <-chan job) error {
		c, err := dial(ctx, b.service.address())
		if err != nil {
			return err
		}
		defer c.close()
		request := newCall(b.service.address(), 1)
		for j := range jobs {
			at := j.number % n
			if err := c.post(request, b.tenants.ids[at]); err != nil {
				return err
			}
			j.done()
			b.tenants.accepted[at].Add(1)
		}
		return nil
	}
}

func openTotal(b *bench) int {
	return max(1, int(b.options.open.Seconds()*float64(b.options.rate)))
}

// job is one publication of the open loop.
type job struct {
	number int
	due    time.Time
	took   *time.Duration
}

// done notes the time since the job was due.
func (j job) done() { *j.took = time.Since(j.due) }

// openLoop hands out jobs at a fixed rate, however long they take. Work is
// what a worker does; it returns when jobs is closed.
func openLoop(ctx context.Context, rate, total int, work func(ctx context.Context, jobs <-chan job) error) (latencies, error) {
	took := make([]time.Duration, total)
	jobs := make(chan job, total)
	group, ctx := errgroup.WithContext(ctx)
	for range openWorkers {
		group.Go(func() (err error) {
			pprof.Do(ctx, generatorLabel(), func(ctx context.Context) { err = work(ctx, jobs) })
			return err
		})
	}
	group.Go(func() error {
		defer close(jobs)
		// A moment for the workers to connect.
		start := time.Now().Add(200 * time.Millisecond)
		for i := range total {
			due := start.Add(time.Duration(i) * time.Second / time.Duration(rate))
			sleepUntil(due)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			jobs <- job{i, due, &took[i]}
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		return latencies{}, err //nolint:wrapcheck // one of ours
	}
	slices.Sort(took)
	return latencies{p50: quantile(took, 0.5), p99: quantile(took, 0.99), worst: took[total-1]}, nil
}

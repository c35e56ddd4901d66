package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"lanekeeper/pkg/client"
)

const (
	// drainConcurrency is how many deliveries are under way at a time while a
	// backlog is drained, and so many bare POSTs.
	drainConcurrency = 32
	drainTimeout     = 5 * time.Minute
)

// deliverRound is what one round measured of deliveries to a receiver in this
// process. Speeds are in messages a second.
type deliverRound struct {
	tenants int
	// bare are POSTs of Go's client to the receiver, as many at a time as there are
	// deliveries when the backlog is drained.
	bare, drained sample
	// batch is from the first batch to the last delivery, single from the first single
	// publication; stored is the same up to the last row, with an endpoint, and alone
	// without one.
	batch, stored, alone, single sample
	// singleStored is as single up to the last row.
	singleStored sample
	// chain is a bare chain to the commit, and posted a bare POST after it; arrival is
	// from the scheduled moment of a publication to its arrival.
	chain, arrival latencies
	posted         time.Duration
}

// receiver counts what arrives at the endpoints.
type receiver struct {
	server  *http.Server
	url     string
	count   atomic.Int64
	arrived atomic.Pointer[arrivals] // notes messages by their numbers; nil counts only
}

func newReceiver(ctx context.Context) (*receiver, error) {
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	r := &receiver{url: "http://" + listener.Addr().String()}
	r.server = &http.Server{Handler: http.HandlerFunc(r.receive), ReadHeaderTimeout: callTimeout}
	go func() { _ = r.server.Serve(listener) }() // ends with close
	return r, nil
}

func (r *receiver) receive(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return
	}
	if a := r.arrived.Load(); a != nil {
		_ = a.note(numberIn(body)) // those of before have none
	}
	r.count.Add(1)
	w.WriteHeader(http.StatusNoContent)
}

// await waits until so many have arrived, altogether.
func (r *receiver) await(ctx context.Context, n int64) error {
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	tick := time.NewTicker(storedEvery)
	defer tick.Stop()
	for r.count.Load() < n {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: %d of %d delivered", errStalled, r.count.Load(), n)
		}
	}
	return nil
}

// measureDeliveries measures deliveries to endpoints of one tenant, and of a hundred.
func measureDeliveries(ctx context.Context, b *bench) (rounds []deliverRound, err error) {
	r, err := newReceiver(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.server.Close()) }()
	for _, n := range []int{1, min(100, len(b.tenants.ids))} {
		for i := range b.options.repeat {
			round, err := measureDelivery(ctx, b, r, n)
			if err != nil {
				return nil, fmt.Errorf("deliveries of %d tenants: %w", n, err)
			}
			rounds = append(rounds, round)
			b.say("deliveries of %d tenants, round %d of %d: bare %.0f/s, drained %.0f/s (%.2f), from batches %.0f/s (%.2f), stored %.0f/s with, %.0f/s without (%.2f), single %.0f/s (%.2f of those stored), arrival p50 %s, chain %s + %s (%.2f)",
				n, i+1, b.options.repeat, round.bare.rate, round.drained.rate, round.drained.rate/round.bare.rate,
				round.batch.rate, round.batch.rate/round.bare.rate, round.stored.rate, round.alone.rate, round.stored.rate/round.alone.rate,
				round.single.rate, round.singleRatio(), millis(float64(round.arrival.p50)), millis(float64(round.chain.p50)), millis(float64(round.posted)), round.arrivalRatio())
		}
	}
	return rounds, nil
}

// singleRatio is 0 where no single publications were measured.
func (r deliverRound) singleRatio() float64 {
	if r.singleStored.rate == 0 {
		return 0
	}
	return r.single.rate / r.singleStored.rate
}

func (r deliverRound) arrivalRatio() float64 {
	return float64(r.arrival.p50) / float64(r.chain.p50+r.posted)
}

func measureDelivery(ctx context.Context, b *bench, r *receiver, n int) (round deliverRound, err error) {
	round.tenants = n
	total := b.options.messages
	perBatch := max(1, min(b.options.batch, total/n))
	batches := publication{tenants: n, messages: total / perBatch * perBatch, perCall: perBatch, connections: b.options.clients}
	if round.alone, err = b.sample(ctx, batches.messages, func() error { return b.tenants.publish(ctx, batches) }); err != nil {
		return round, err
	}
	if round.bare, err = b.sample(ctx, total, func() error { return posts(ctx, r, total) }); err != nil {
		return round, err
	}
	endpoints, err := makeEndpoints(ctx, b, r, n)
	if err != nil {
		return round, err
	}
	defer func() { err = errors.Join(err, removeEndpoints(context.WithoutCancel(ctx), b, endpoints)) }()
	if err = tellEndpoints(ctx, b, endpoints, (*client.Endpoints).Hold); err != nil {
		return round, err
	}
	if err = b.tenants.publish(ctx, batches); err != nil {
		return round, err
	}
	before := r.count.Load()
	round.drained, err = b.sample(ctx, batches.messages, func() error {
		return errors.Join(tellEndpoints(ctx, b, endpoints, (*client.Endpoints).Resume), r.await(ctx, before+int64(batches.messages)))
	})
	if err != nil {
		return round, err
	}
	before = r.count.Load()
	round.batch, err = b.sample(ctx, batches.messages, func() (err error) {
		round.stored, err = b.sample(ctx, batches.messages, func() error { return b.tenants.publish(ctx, batches) })
		return errors.Join(err, r.await(ctx, before+int64(batches.messages)))
	})
	if err != nil {
		return round, err
	}
	if b.options.singles > 0 {
		singles := publication{tenants: n, messages: b.options.singles, perCall: 1, connections: b.options.connections}
		before = r.count.Load()
		round.single, err = b.sample(ctx, singles.messages, func() (err error) {
			round.singleStored, err = b.sample(ctx, singles.messages, func() error { return b.tenants.publish(ctx, singles) })
			return errors.Join(err, r.await(ctx, before+int64(singles.messages)))
		})
		if err != nil {
			return round, err
		}
	}
	if b.options.open > 0 {
		err = round.measureArrival(ctx, b, r, n)
	}
	return round, err
}

// measureArrival measures the way of single messages at a fixed rate.
func (r *deliverRound) measureArrival(ctx context.Context, b *bench, at *receiver, n int) (err error) {
	if r.chain, err = bareChain(ctx, b, min(n, openTenants)); err != nil {
		return fmt.Errorf("measure the chain: %w", err)
	}
	begun := time.Now()
	const few = 500
	if err = postsOf(ctx, at, few, 1); err != nil {
		return err
	}
	r.posted = time.Since(begun) / few
	total := streamTotal(b)
	arrived := newArrivals(total)
	at.arrived.Store(arrived)
	defer at.arrived.Store(nil)
	r.arrival, err = openLoop(ctx, b.options.streamRate, total, func(ctx context.Context, jobs <-chan job) error {
		c, err := dial(ctx, b.service.address())
		if err != nil {
			return err
		}
		defer c.close()
		for j := range jobs {
			tenant := j.number % n
			if err := c.post(newNumbered(b.service.address(), j.number), b.tenants.ids[tenant]); err != nil {
				return err
			}
			b.tenants.accepted[tenant].Add(1)
			if err := arrived.await(ctx, j); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}

// posts makes so many POSTs of Go's client.
func posts(ctx context.Context, r *receiver, n int) error {
	return postsOf(ctx, r, n, drainConcurrency)
}

func postsOf(ctx context.Context, r *receiver, n, connections int) error {
	poster := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections}, Timeout: callTimeout}
	defer poster.CloseIdleConnections()
	body := payload()
	group, ctx := errgroup.WithContext(ctx)
	for i := range connections {
		group.Go(func() error {
			for range share(n, connections, i) {
				request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url, bytes.NewReader(body))
				if err != nil {
					return fmt.Errorf("make request: %w", err)
				}
				request.Header.Set("Content-Type", "application/json")
				response, err := poster.Do(request)
				if err != nil {
					return fmt.Errorf("send request: %w", err)
				}
				_, err = io.Copy(io.Discard, response.Body)
				if err = errors.Join(err, response.Body.Close()); err != nil {
					return fmt.Errorf("read answer: %w", err)
				}
			}
			return nil
		})
	}
	return group.Wait() //nolint:wrapcheck // one of ours
}

// endpoint is one of a tenant's.
type endpoint struct{ tenant, id string }

// makeEndpoints makes an endpoint for each of the first n tenants, which together
// have as many deliveries at a time as there are bare POSTs, or one each.
func makeEndpoints(ctx context.Context, b *bench, r *receiver, n int) ([]endpoint, error) {
	made := make([]endpoint, n)
	for i := range made {
		tenant := b.tenants.ids[i]
		e, err := b.tenants.api.ForTenant(tenant).Endpoints.Create(ctx, client.CreateEndpoint{
			URL: r.url, Concurrency: max(1, drainConcurrency/n),
			Retry: &client.Retry{Schedule: []string{"1s", "1s", "1s", "1s", "1s"}}, // what fails on a busy machine is not waited for for long
		})
		if err != nil {
			return nil, fmt.Errorf("make an endpoint: %w", err)
		}
		made[i] = endpoint{tenant, e.ID}
	}
	return made, nil
}

// tellEndpoints makes a call about each.
func tellEndpoints(ctx context.Context, b *bench, made []endpoint, call func(e *client.Endpoints, ctx context.Context, id string) (*client.Endpoint, error)) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(administrators)
	for _, e := range made {
		group.Go(func() error {
			_, err := call(b.tenants.api.ForTenant(e.tenant).Endpoints, ctx, e.id)
			return err
		})
	}
	return group.Wait() //nolint:wrapcheck // one of ours
}

func removeEndpoints(ctx context.Context, b *bench, made []endpoint) error {
	var errs []error
	for _, e := range made {
		errs = append(errs, b.tenants.api.ForTenant(e.tenant).Endpoints.Delete(ctx, e.id))
	}
	return errors.Join(errs...)
}

func tenantsOf(rounds []deliverRound) (list []int) {
	for _, r := range rounds {
		if len(list) == 0 || list[len(list)-1] != r.tenants {
			list = append(list, r.tenants)
		}
	}
	return list
}

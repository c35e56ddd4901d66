package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"golang.org/x/sync/errgroup"
)

const (
	// crowdStarts is how often the service with many tenants is started again,
	// and crowdStartLimit how long it may take until all of them are consumed.
	crowdStarts     = 3
	crowdStartLimit = 30 * time.Second
	// crowdLook is the time between two looks at the consumers: they are not to
	// be what the service is busy with.
	crowdLook = 250 * time.Millisecond
	// crowdSettle is how long it is seen to after that whether a connection is
	// lost.
	crowdSettle = 10 * time.Second

	// loadConnections, loadWindow and loadSize are of the load that slows the
	// broker: connections, messages on each that are not confirmed, bytes of one.
	loadConnections = 2
	loadWindow      = 512
	loadSize        = 2 << 10
)

// crowd starts the service again and again with very many tenants: first on a
// broker that does nothing else, then on one that others keep busy.
func crowd(ctx context.Context, st *stage) error {
	if err := st.bootDirect(ctx, 0); err != nil {
		return err
	}
	if err := st.gather(ctx); err != nil {
		return err
	}
	lost := &lostConnections{st: st}
	for i := range crowdStarts {
		if err := st.startBusy(ctx, lost, fmt.Sprintf("start %d", i+1), i > 0); err != nil {
			return err
		}
	}
	if err := st.sendToAll(ctx); err != nil {
		return err
	}
	if err := lost.count(); err != nil {
		return err
	}
	st.show("connections lost", "%d", lost.n)
	if lost.n > 0 {
		st.fail("the service lost %d connections to the broker", lost.n)
	}
	return st.check(ctx)
}

// gather makes the tenants and waits until all are consumed.
func (st *stage) gather(ctx context.Context) error {
	begun := time.Now()
	st.tenants = make([]string, st.many)
	var late atomic.Int64
	var group errgroup.Group
	group.SetLimit(loadClients)
	for i := range st.tenants {
		group.Go(func() error {
			id, r := st.client.createTenant(ctx, fmt.Sprintf("tenant %d", i), "")
			if id == "" {
				return errors.Join(fmt.Errorf("%w: create a tenant: %s", errUnexpected, r.text()), r.err)
			}
			if r.status == http.StatusAccepted { // it is there, and not yet ready
				late.Add(1)
			}
			st.tenants[i] = id
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	st.show("created", "%d tenants in %.0f s, %d of them not ready when that was answered", st.many, time.Since(begun).Seconds(), late.Load())
	return await(ctx, settleLimit, "all consumers run", func() error { return st.allConsumed(ctx) })
}

// startBusy is startAgain, where busy says so on a broker that others keep busy.
func (st *stage) startBusy(ctx context.Context, lost *lostConnections, what string, busy bool) error {
	if !busy {
		return st.startAgain(ctx, lost, what)
	}
	l, err := st.startBrokerLoad(ctx)
	if err != nil {
		return err
	}
	rest(ctx, 2*time.Second) // until it is at its rate
	err = st.startAgain(ctx, lost, what+", broker busy")
	rate, stopErr := l.stop(ctx)
	st.show(what+": load", "%.0f messages a second confirmed to others", rate)
	return errors.Join(err, stopErr)
}

// startAgain ends the service in good order, starts it, and waits until all
// tenants are consumed and a while longer.
func (st *stage) startAgain(ctx context.Context, lost *lostConnections, what string) error {
	if err := lost.count(); err != nil {
		return err
	}
	took, err := st.service.terminate(ctx)
	if err != nil {
		return err
	}
	if err := lost.skip(); err != nil { // those that it ended itself
		return err
	}
	begun := time.Now()
	if err := st.service.start(ctx); err != nil {
		return err
	}
	ready := time.Since(begun)
	calls := st.startCrowdCalls(ctx)
	defer calls()
	err = await(ctx, 4*crowdStartLimit, "all consumers run", func() error {
		err := st.allRun(ctx)
		if err != nil {
			rest(ctx, crowdLook)
		}
		return err
	})
	all := time.Since(begun)
	if err != nil {
		return err
	}
	// The broker has to agree; asking it takes a while.
	if err := await(ctx, settleLimit, "all queues have their consumer", func() error { return st.eachConsumed(st.tenants) }); err != nil {
		return err
	}
	rest(ctx, crowdSettle)
	calls()
	memory, err := st.service.peakMemory()
	if err != nil {
		return err
	}
	st.show(what, "stopped in %.1f s, ready after %.1f s, all %d consumers run after %.1f s, at most %d MiB",
		took.Seconds(), ready.Seconds(), len(st.tenants), all.Seconds(), memory>>20)
	if float64(all) > st.slack*float64(crowdStartLimit) {
		st.fail("%s: it took %v until all consumers ran", what, all)
	}
	return lost.count()
}

// startCrowdCalls calls the service as its users do while it starts, until the
// returned function is called, which may be done twice. How long the calls take
// is noted by the client.
func (st *stage) startCrowdCalls(ctx context.Context) (stop func()) {
	callCtx, cancel := context.WithCancel(ctx)
	l := &load{st: st}
	var work sync.WaitGroup
	work.Go(func() {
		for i := 0; callCtx.Err() == nil; i++ {
			l.send(ctx, st.tenants[(i*61)%len(st.tenants)], 1, true)
			rest(callCtx, callPause)
		}
	})
	work.Go(func() {
		for callCtx.Err() == nil {
			if r := st.client.call(ctx, http.MethodGet, "/api/tenants?limit=100", "", "", nil); r.status != http.StatusOK {
				st.fail("list tenants while the service starts: %s", r.text())
			}
			rest(callCtx, callPause)
		}
	})
	return func() { cancel(); work.Wait() }
}

// sendToAll publishes a message to every tenant, which has to be accepted.
func (st *stage) sendToAll(ctx context.Context) error {
	l := &load{st: st}
	var group errgroup.Group
	group.SetLimit(loadClients)
	for _, tenant := range st.tenants {
		group.Go(func() error { l.send(ctx, tenant, 1, true); return nil })
	}
	err := group.Wait()
	if n := l.accepted.Load(); n != int64(len(st.tenants)) {
		st.fail("%d of %d messages were accepted at the end, one for each tenant", n, len(st.tenants))
	}
	return err
}

// lostConnections counts the connections to the broker that the service lost
// according to its log.
type lostConnections struct {
	st   *stage
	from int64 // what of the log is through
	n    int
}

// count counts what was logged since the last call.
func (l *lostConnections) count() error {
	text, err := l.rest()
	l.n += strings.Count(text, "broker connection lost")
	return err
}

// skip leaves out what was logged since then.
func (l *lostConnections) skip() error {
	_, err := l.rest()
	return err
}

func (l *lostConnections) rest() (string, error) {
	text, err := os.ReadFile(l.st.service.logFile)
	if err != nil {
		return "", fmt.Errorf("read the service's log: %w", err)
	}
	text, l.from = text[l.from:], int64(len(text))
	return string(text), nil
}

// brokerLoad keeps the broker busy with queues that are not the service's, in a
// virtual host of their own on the same node.
type brokerLoad struct {
	st    *stage
	vhost string
	begun time.Time
	end   context.CancelFunc
	work  errgroup.Group
	sent  atomic.Int64
}

func (st *stage) startBrokerLoad(ctx context.Context) (*brokerLoad, error) {
	l := &brokerLoad{st: st, vhost: st.name + "_load"}
	address, err := st.servers.virtualHost(ctx, l.vhost)
	if err != nil {
		return nil, err
	}
	ctx, l.end = context.WithCancel(ctx)
	l.begun = time.Now()
	for i := range loadConnections {
		l.work.Go(func() error { return l.publish(ctx, address, fmt.Sprintf("load_%d", i)) })
	}
	return l, nil
}

// publish publishes to a quorum queue that keeps only the newest messages, until
// ctx ends.
func (l *brokerLoad) publish(ctx context.Context, address, queue string) error {
	conn, err := amqp.Dial(address)
	if err != nil {
		return fmt.Errorf("connect to the broker: %w", err)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		return fmt.Errorf("open a channel: %w", err)
	}
	arguments := amqp.Table{amqp.QueueTypeArg: amqp.QueueTypeQuorum, amqp.QueueMaxLenArg: 2 * loadWindow}
	if _, err := ch.QueueDeclare(queue, true, false, false, false, arguments); err != nil {
		return fmt.Errorf("declare a queue: %w", err)
	}
	if err := ch.Confirm(false); err != nil {
		return fmt.Errorf("ask for confirms: %w", err)
	}
	confirms := make(chan *amqp.DeferredConfirmation, loadWindow)
	var wait errgroup.Group
	wait.Go(func() error {
		for c := range confirms {
			if c.Wait() {
				l.sent.Add(1)
			}
		}
		return nil
	})
	body := make([]byte, loadSize)
	for ctx.Err() == nil && err == nil {
		var c *amqp.DeferredConfirmation
		c, err = ch.PublishWithDeferredConfirmWithContext(ctx, "", queue, false, false, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: body})
		if err == nil {
			confirms <- c
		}
	}
	close(confirms)
	waitErr := wait.Wait()
	if ctx.Err() != nil {
		return waitErr
	}
	return errors.Join(err, waitErr)
}

// stop ends the load and returns how many messages a second were confirmed.
func (l *brokerLoad) stop(ctx context.Context) (rate float64, err error) {
	rate = float64(l.sent.Load()) / time.Since(l.begun).Seconds()
	l.end()
	return rate, errors.Join(l.work.Wait(), l.st.servers.dropVirtualHost(ctx, l.vhost))
}

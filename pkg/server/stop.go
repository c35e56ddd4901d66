package server

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

const (
	// leaveTimeout bounds telling the other replicas of the end.
	leaveTimeout = 2 * time.Second
	// closeShare is the part of the time that is kept for closing when the
	// consumers do not end, and closeMost the most it may be.
	closeShare = 5
	closeMost  = 3 * time.Second
)

// stop ends everything in order: no new work, the tenants left to other
// replicas while the consumers drain, then the rest, then the connections. No
// step may take more time than ctx has left, whatever the servers do; what does
// not end by then is left behind.
//
// Others try to consume before this replica has drained. It is the queue that
// hands over, when the consumer here has finished what it began and closes its
// channel; so a tenant waits for its own consumer, and not for the slowest.
func (p *parts) stop(ctx context.Context) error {
	drain, finish, hangUp, cancel := stages(ctx)
	defer cancel()
	var err error
	together(
		func() { p.stopReconciler(drain) },
		func() { p.leaveFleet(drain) },
		func() { err = p.manager.Close(drain) },
	)
	p.stopWriter(finish) // before others may consume what it has not stored
	together(
		func() { p.stopStreams(finish) },
		func() { p.stopBroker(finish) },
	)
	p.transmit.Close()
	p.store.Shutdown(hangUp)
	return errors.Join(err, p.closeRedis())
}

// stages divides the time that ctx has left.
func stages(ctx context.Context) (drain, finish, hangUp context.Context, cancel func()) {
	end, limited := ctx.Deadline()
	if !limited {
		return ctx, ctx, ctx, func() {}
	}
	kept := max(0, min(time.Until(end)/closeShare, closeMost))
	drain, cancelDrain := context.WithDeadline(ctx, end.Add(-kept))
	finish, cancelFinish := context.WithDeadline(ctx, end.Add(-kept/2))
	hangUp, cancelHangUp := context.WithDeadline(ctx, end.Add(-kept/4))
	return drain, finish, hangUp, func() { cancelDrain(); cancelFinish(); cancelHangUp() }
}

// together runs the steps at the same time and waits for them.
func together(steps ...func()) {
	var wg sync.WaitGroup
	for _, step := range steps {
		wg.Go(step)
	}
	wg.Wait()
}

// leaveFleet lets other replicas have the tenants at once. Without a database
// they have to find out by themselves.
func (p *parts) leaveFleet(ctx context.Context) {
	defer p.stopFleet(ctx)
	select {
	case <-p.migrated:
	default:
		return
	}
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	if err := p.fleet.Deregister(ctx); err != nil {
		p.log.WarnContext(ctx, "other replicas will notice only later that this one has ended", slog.Any("error", err))
	}
}

// background runs work in a goroutine and returns what ends it and waits, until
// the context it is given ends.
func (p *parts) background(ctx context.Context, name string, work func(context.Context)) (stop func(context.Context)) {
	cancel, done := spawn(ctx, work)
	return func(limit context.Context) {
		cancel()
		select {
		case <-done:
			return
		case <-limit.Done():
		}
		select {
		case <-done: // in the same moment
		default:
			p.log.WarnContext(limit, "not waited for any longer", slog.String("part", name))
		}
	}
}

// background is the same without a limit.
func background(ctx context.Context, work func(context.Context)) (stop func()) {
	cancel, done := spawn(ctx, work)
	return func() {
		cancel()
		<-done
	}
}

func spawn(ctx context.Context, work func(context.Context)) (cancel func(), done <-chan struct{}) {
	ctx, cancel = context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		work(ctx)
	}()
	return cancel, ended
}

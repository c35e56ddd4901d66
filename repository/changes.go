package repository

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"lanekeeper/domain"
	"lanekeeper/pkg/backoff"
)

const (
	// A connection on which nothing came for listenQuiet is asked whether it
	// still leads anywhere, and given up without an answer in listenAnswer.
	listenQuiet  = 5 * time.Second
	listenAnswer = 3 * time.Second
	// listenClose is how long a connection may take to close in good order.
	listenClose = time.Second

	listenRetryFirst = 200 * time.Millisecond
	listenRetryMax   = 5 * time.Second
)

// listenSQL names the channel of the triggers that migration 00011 makes.
const listenSQL = `LISTEN lanekeeper_changes`

// WatchChanges implements domain.ChangeWatcher. It keeps a connection of its
// own to the AdminURL, because behind a pooler nobody can listen. Between two
// notifications the connection is in no transaction, so it holds no snapshot
// for which others would have to wait.
func (s *Store) WatchChanges(ctx context.Context, handle func(domain.Change)) {
	// The locks' pool leads to the same place, and its connections wait, too.
	config := s.locks.Config().ConnConfig
	config.RuntimeParams["application_name"] = "lanekeeper-listen"
	l := &listener{config: config, handle: handle, quiet: listenQuiet, answer: listenAnswer}
	l.run(ctx)
}

// listener listens for changes. Run is the goroutine that owns it.
type listener struct {
	config *pgx.ConnConfig
	handle func(domain.Change)
	// quiet and answer are listenQuiet and listenAnswer, but for tests.
	quiet, answer time.Duration
	// closing counts connections that are being closed.
	closing sync.WaitGroup
}

// run listens until ctx ends, and connects again after each loss.
func (l *listener) run(ctx context.Context) {
	defer l.closing.Wait()
	retry := backoff.New(listenRetryFirst, listenRetryMax)
	for ctx.Err() == nil {
		began := time.Now()
		// Why the connection was lost matters to nobody: those who hear of
		// changes are told to look at everything, and meet the same trouble.
		_ = l.listen(ctx)
		if time.Since(began) > listenRetryMax {
			retry.Reset()
		}
		_ = retry.Wait(ctx) // the loop ends with ctx
	}
}

// listen handles what it hears on one connection until that is lost.
func (l *listener) listen(ctx context.Context) error {
	conn, err := l.connect(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() {
		goodbye, cancel := context.WithTimeout(context.WithoutCancel(ctx), listenClose)
		defer cancel()
		_ = conn.Close(goodbye) // it is given up either way
	}()
	if err := l.within(ctx, func(ctx context.Context) error {
		_, err := conn.Exec(ctx, listenSQL)
		return err
	}); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	l.handle(domain.Change{Kind: domain.AnythingChanged})
	for {
		quiet, cancel := context.WithTimeout(ctx, l.quiet)
		n, err := conn.WaitForNotification(quiet)
		silence := quiet.Err() != nil && ctx.Err() == nil
		cancel()
		switch {
		case n != nil:
			if change, ok := parseChange(n.Payload); ok {
				l.handle(change)
			}
		case err != nil && !silence:
			return fmt.Errorf("wait for a change: %w", err)
		case silence:
			if err := l.within(ctx, conn.Ping); err != nil {
				return fmt.Errorf("ping: %w", err)
			}
		}
	}
}

// within calls do with the time an answer may take.
func (l *listener) within(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, l.answer)
	defer cancel()
	return do(ctx)
}

// connect opens a connection. The driver takes up to 15 s to close one whose
// server does not answer, and is not waited for while others can be tried; but
// when ctx has ended, what is left is cut.
func (l *listener) connect(ctx context.Context) (*pgx.Conn, error) {
	used, release := context.WithCancel(context.WithoutCancel(ctx))
	config := l.config.Copy()
	dial := config.DialFunc
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err == nil {
			context.AfterFunc(used, func() { _ = conn.Close() }) // it is closed already, or given up
		}
		return conn, err
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		release()
		return nil, err
	}
	closed := conn.PgConn().CleanupDone()
	l.closing.Go(func() {
		defer release()
		select {
		case <-closed:
			return
		case <-ctx.Done():
		}
		select {
		case <-closed:
		case <-time.After(2 * listenClose):
			release()
			<-closed
		}
	})
	return conn, nil
}

// parseChange understands what the triggers say; others may say anything.
func parseChange(payload string) (domain.Change, bool) {
	kind, id, named := strings.Cut(payload, ":")
	c := domain.Change{Kind: domain.ChangeKind(kind)}
	switch c.Kind {
	case domain.TenantsChanged, domain.ReplicasChanged, domain.AnythingChanged:
		return c, !named
	case domain.TenantChanged, domain.DeliveriesChanged, domain.UserChanged, domain.APIKeyChanged:
		var err error
		c.ID, err = uuid.Parse(id)
		return c, err == nil && c.ID != uuid.Nil
	}
	return domain.Change{}, false
}

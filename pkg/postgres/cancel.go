package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// cancelSettle is how long after its answer a request may still hit: the server
// answers when it has sent the signal, not when that has arrived. The next
// statement must not be there by then. The driver's own waits as long.
const cancelSettle = 100 * time.Millisecond

// canceller asks the server to end a statement whose context has ended, and cuts
// the connection when that takes longer than cancelDeadline. Unlike the driver's
// own it stays until its request is answered: a request that is given up when the
// statement has ended meanwhile takes PgBouncer 1.18 down with all its clients
// (pgbouncer/pgbouncer#801).
type canceller struct {
	conn     *pgconn.PgConn
	deadline time.Time      // of the statement that was cancelled
	answered chan time.Time // when the request under way was, or was given up
}

// HandleCancel implements ctxwatch.Handler.
func (c *canceller) HandleCancel(ended context.Context) {
	c.deadline = time.Now().Add(cancelDeadline)
	_ = c.conn.Conn().SetDeadline(c.deadline) // a connection that has none is closed
	answered := make(chan time.Time, 1)
	c.answered = answered
	go func() {
		ctx, cancel := context.WithDeadline(context.WithoutCancel(ended), c.deadline)
		defer cancel()
		_ = c.conn.CancelRequest(ctx) // the deadline of the connection is left
		answered <- time.Now()
	}()
}

// HandleUnwatchAfterCancel implements ctxwatch.Handler.
func (c *canceller) HandleUnwatchAfterCancel() {
	inTime := time.Now().Before(c.deadline) // else the connection was cut, and no statement follows
	answered := <-c.answered                // soon after the deadline at the latest
	if inTime {
		<-time.After(cancelSettle - time.Since(answered))
	}
	_ = c.conn.Conn().SetDeadline(time.Time{})
}

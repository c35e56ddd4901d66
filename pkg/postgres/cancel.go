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
	conn *pgconn.PgConn
	done chan struct{} // of the request under way
}

// HandleCancel implements ctxwatch.Handler.
func (c *canceller) HandleCancel(ended context.Context) {
	deadline := time.Now().Add(cancelDeadline)
	_ = c.conn.Conn().SetDeadline(deadline) // a connection that has none is closed
	done := make(chan struct{})
	c.done = done
	go func() {
		defer close(done)
		ctx, cancel := context.WithDeadline(context.WithoutCancel(ended), deadline)
		defer cancel()
		_ = c.conn.CancelRequest(ctx) // the deadline of the connection is left
		<-time.After(cancelSettle)
	}()
}

// HandleUnwatchAfterCancel implements ctxwatch.Handler.
func (c *canceller) HandleUnwatchAfterCancel() {
	<-c.done // soon after its deadline at the latest
	_ = c.conn.Conn().SetDeadline(time.Time{})
}

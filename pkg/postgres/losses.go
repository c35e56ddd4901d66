package postgres

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// pingAfter is how long a connection has been idle when it is tried before it is
// used; the driver's own default.
const pingAfter = time.Second

// Losses knows when a connection was last lost, for the pools of one server: what
// ended that one may have ended the others, so each is tried once before it is used
// again. It is safe for concurrent use, and its zero value has seen none.
type Losses struct {
	last atomic.Int64 // Unix time in nanoseconds
}

// watch has the pool of config tell of its losses, and heed everybody's. It comes
// after what else judges errors of the server.
func (l *Losses) watch(config *pgxpool.Config) {
	config.BeforeClose = func(*pgx.Conn) { l.note() }
	config.ShouldPing = func(_ context.Context, p pgxpool.ShouldPingParams) bool { return l.suspects(p.IdleDuration) }
	keep := config.ConnConfig.OnPgError
	config.ConnConfig.OnPgError = func(conn *pgconn.PgConn, err *pgconn.PgError) bool {
		kept := keep(conn, err)
		if !kept {
			l.note() // before anybody hears of it; it is closed a moment later
		}
		return kept
	}
}

func (l *Losses) note() { l.last.Store(time.Now().UnixNano()) }

// suspects reports whether a connection that was idle for so long may be lost.
func (l *Losses) suspects(idle time.Duration) bool {
	return idle > pingAfter || time.Now().Add(-idle).UnixNano() <= l.last.Load()
}

package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// poolingTimeout bounds CheckPooling, poolingStep each of its steps.
	poolingTimeout = 10 * time.Second
	poolingStep    = 2 * time.Second
	// poolingRivals is how many others take connections of the pooler's from the
	// one that is watched.
	poolingRivals = 5
	// poolingChecks is how often it is checked after each of them: others may use
	// the pooler, too, and give the process back in between.
	poolingChecks = 10
)

// ErrPooled is what CheckPooling returns for a pooler that does not give each
// client a session of its own.
var ErrPooled = errors.New("the database URL leads to a connection pooler in transaction or statement mode, in which LISTEN, advisory locks, " +
	"prepared statements and settings get lost: use pool_mode = session for this database, or connect to the server itself")

// CheckPooling returns ErrPooled when the URL leads to a pooler that gives
// successive statements of a connection to different sessions of the server
// (PgBouncer's pool_mode transaction and statement). Other errors are those of
// connecting.
//
// Without a pooler, the server's process is the one that it named when the
// connection began. With one, a connection is watched: in session mode it keeps
// its process, and no other gets it. In the other modes the process is free after each
// statement: one of the rivals gets it, or the watched connection another.
func CheckPooling(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, poolingTimeout)
	defer cancel()
	config, err := ParseConfig(url, PoolOptions{Name: "lanekeeper-check", Unprepared: true})
	if err != nil {
		return err
	}
	watched, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer closeSoon(ctx, watched)
	process, err := processOf(ctx, watched)
	if err != nil || process == watched.PgConn().PID() {
		return err
	}
	for range poolingRivals {
		rival, err := takeProcess(ctx, config)
		if rival != nil {
			defer closeSoon(ctx, rival.conn)
		}
		switch {
		case Code(err) == codeProtocolViolation:
			return ErrPooled // no transactions: statement mode
		case err != nil:
			return nil // a pooler that has no room for rivals proves nothing
		case rival.process == process:
			return ErrPooled
		}
		for range poolingChecks {
			now, err := processOf(ctx, watched)
			switch {
			case err == nil && now != process:
				return ErrPooled
			case err != nil:
				return nil // it waits for its turn, or the server is away again
			}
		}
	}
	return nil
}

type rival struct {
	conn    *pgx.Conn
	process uint32
}

// takeProcess connects and begins a transaction, which holds a process of the
// server in every mode that has transactions.
func takeProcess(ctx context.Context, config *pgx.ConnConfig) (*rival, error) {
	step, cancel := context.WithTimeout(ctx, poolingStep)
	defer cancel()
	conn, err := pgx.ConnectConfig(step, config.Copy())
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	r := &rival{conn: conn}
	if _, err := conn.Exec(step, "BEGIN"); err != nil {
		return r, fmt.Errorf("begin: %w", err)
	}
	r.process, err = processOf(ctx, conn)
	return r, err
}

// processOf returns the server's process that runs a statement.
func processOf(ctx context.Context, conn *pgx.Conn) (uint32, error) {
	step, cancel := context.WithTimeout(ctx, poolingStep)
	defer cancel()
	var process uint32
	if err := conn.QueryRow(step, "SELECT pg_backend_pid()").Scan(&process); err != nil {
		return 0, fmt.Errorf("ask for the server's process: %w", err)
	}
	return process, nil
}

func closeSoon(ctx context.Context, conn *pgx.Conn) {
	goodbye, cancel := context.WithTimeout(context.WithoutCancel(ctx), poolingStep)
	defer cancel()
	_ = conn.Close(goodbye) // it is given up either way
}

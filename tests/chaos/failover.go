package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// lagBehind is by how much the standby is behind when the primary fails.
	lagBehind = time.Second
	// unnoticed is how long nobody does anything about the failure.
	unnoticed = 2 * time.Second
	// failoverLimit is how long after the promotion storing may take to begin
	// again: the same as after any return of the database.
	failoverLimit = recoverLimit
)

// pair is a primary and its standby.
type pair struct {
	st               *stage
	primary, standby *databaseNode
	synchronous      bool
}

// onPair starts a primary and a standby that streams from it, and has the stage
// use both instead of the server that all scenarios share. Call leave at the
// end.
func (st *stage) onPair(ctx context.Context, synchronous bool) (p *pair, leave func(), err error) {
	p = &pair{st: st, synchronous: synchronous}
	if p.primary, err = st.newDatabaseNode("primary", nil); err != nil {
		return nil, nil, err
	}
	if p.standby, err = st.newDatabaseNode("standby", nil); err != nil {
		return nil, nil, err
	}
	shared := st.databaseURL
	leave = func() {
		p.primary.kill()
		p.standby.kill()
		st.databaseURL = shared
	}
	if err := p.start(ctx); err != nil {
		leave()
		return nil, nil, err
	}
	st.databaseURL = databaseURL(st.name, p.primary, p.standby)
	return p, leave, nil
}

func (p *pair) start(ctx context.Context) error {
	if err := p.primary.initialise(ctx); err != nil {
		return err
	}
	if err := p.primary.start(ctx); err != nil {
		return err
	}
	if err := p.primary.database(ctx, p.st.name); err != nil {
		return err
	}
	if err := p.standby.follow(ctx, p.primary); err != nil {
		return err
	}
	if err := p.standby.start(ctx); err != nil {
		return err
	}
	if p.synchronous {
		// Not replicated, so the standby will wait for nobody once it is primary.
		for _, statement := range []string{"ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"} {
			if err := p.primary.exec(ctx, statement); err != nil {
				return fmt.Errorf("replicate synchronously: %w", err)
			}
		}
	}
	state := "async"
	if p.synchronous {
		state = "sync"
	}
	return await(ctx, databaseLimit, "the standby streams", func() error {
		var found string
		err := p.primary.do(ctx, "postgres", func(conn *pgx.Conn) error {
			return conn.QueryRow(ctx, `SELECT sync_state FROM pg_stat_replication WHERE state = 'streaming'`).Scan(&found)
		})
		if err != nil || found != state {
			return errors.Join(fmt.Errorf("%w: %q", errNotReady, found), err)
		}
		return nil
	})
}

// fail ends the primary, after the standby has been cut off for a moment, and
// promotes the standby. One that freezes is a machine that does not answer any
// more: connections to it stay open, and new ones get no answer; it is ended
// after the promotion, as something has to see to in earnest.
func (p *pair) fail(ctx context.Context, freeze bool) error {
	var receivers []int
	err := p.standby.do(ctx, "postgres", func(conn *pgx.Conn) error {
		rows, _ := conn.Query(ctx, `SELECT pid FROM pg_stat_wal_receiver`)
		var err error
		receivers, err = pgx.CollectRows(rows, pgx.RowTo[int])
		return err
	})
	if err != nil || len(receivers) == 0 {
		return errors.Join(fmt.Errorf("%w: the standby receives nothing", errUnexpected), err)
	}
	for _, process := range receivers {
		_ = syscall.Kill(process, syscall.SIGSTOP)
		defer func() { _ = syscall.Kill(process, syscall.SIGCONT) }()
	}
	if !rest(ctx, lagBehind) {
		return ctx.Err()
	}
	if freeze {
		p.primary.signal(syscall.SIGSTOP)
	} else {
		p.primary.kill()
	}
	for _, process := range receivers {
		// It would still read what has arrived at its machine.
		_ = syscall.Kill(process, syscall.SIGKILL)
	}
	if !rest(ctx, unnoticed) {
		return ctx.Err()
	}
	// A killed process makes the standby restart its own.
	err = await(ctx, databaseLimit, "the standby is promoted", func() error {
		return p.standby.exec(ctx, "SELECT pg_promote(true, 30)")
	})
	if err != nil {
		return err
	}
	return await(ctx, databaseLimit, "the standby takes writes", func() error {
		return p.standby.do(ctx, p.st.name, func(conn *pgx.Conn) error {
			var standby bool
			if err := conn.QueryRow(ctx, `SELECT pg_is_in_recovery()`).Scan(&standby); err != nil || standby {
				return errors.Join(errNotReady, err)
			}
			return nil
		})
	})
}

// storedIDs reads the ids of all messages of a server.
func (p *pair) storedIDs(ctx context.Context, n *databaseNode) (map[string]bool, error) {
	found := make(map[string]bool)
	err := n.do(ctx, p.st.name, func(conn *pgx.Conn) error {
		rows, _ := conn.Query(ctx, `SELECT id::text FROM messages`)
		var id string
		_, err := pgx.ForEachRow(rows, []any{&id}, func() error { found[id] = true; return nil })
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read messages: %w", err)
	}
	return found, nil
}

// gone returns the messages that the old primary had committed and the new one
// does not have. It starts the old one.
func (p *pair) gone(ctx context.Context) (map[string]bool, error) {
	p.primary.kill()
	// Alone, it would wait for its standby for ever.
	p.primary.arguments = append(p.primary.arguments, "-c", "synchronous_standby_names=")
	if err := p.primary.start(ctx); err != nil {
		return nil, fmt.Errorf("start the old primary: %w", err)
	}
	old, err := p.storedIDs(ctx, p.primary)
	if err != nil {
		return nil, err
	}
	there, err := p.storedIDs(ctx, p.standby)
	if err != nil {
		return nil, err
	}
	for id := range there {
		delete(old, id)
	}
	return old, nil
}

func failoverSynchronous(ctx context.Context, st *stage) error {
	return databaseFailover(ctx, st, true, false)
}

func failoverAsynchronous(ctx context.Context, st *stage) error {
	return databaseFailover(ctx, st, false, false)
}

func failoverSilent(ctx context.Context, st *stage) error {
	return databaseFailover(ctx, st, true, true)
}

// plantedFailover expects of asynchronous replication what only synchronous
// replication keeps.
func plantedFailover(ctx context.Context, st *stage) error {
	p, leave, err := st.onPair(ctx, false)
	if err != nil {
		return err
	}
	defer leave()
	return p.run(ctx, false)
}

func databaseFailover(ctx context.Context, st *stage, synchronous, freeze bool) error {
	p, leave, err := st.onPair(ctx, synchronous)
	if err != nil {
		return err
	}
	defer leave()
	if !synchronous {
		st.forgives = func(kind string) bool { return slices.Contains([]string{lost, twice}, kind) }
	}
	if err := p.run(ctx, freeze); err != nil {
		return err
	}
	return p.account(ctx)
}

// run has the primary fail under load and has everything checked.
func (p *pair) run(ctx context.Context, freeze bool) error {
	st := p.st
	f, err := st.bootFleet(ctx, st.fleetTenants)
	if err != nil {
		return err
	}
	if _, err := f.awaitBalance(ctx, st.service); err != nil {
		return err
	}
	loadCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	l := st.startLoad(loadCtx, backgroundPause)
	defer func() { cancel(); l.stop() }()
	if err := l.awaitAccepted(ctx, st.background/2); err != nil {
		return err
	}
	w := &watch{st: st}
	watching, ended := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); w.during(watching, time.Hour) }()
	last, err := st.lastCursors(ctx)
	if err == nil {
		err = p.fail(ctx, freeze)
	}
	var took time.Duration
	if err == nil {
		took, err = p.awaitAllStoring(ctx)
	}
	ended()
	<-done
	if err != nil {
		return err
	}
	st.show("every tenant stores again", "%.1f s after the promotion", took.Seconds())
	p.primary.kill() // somebody has to, before it wakes up
	w.report()
	if err := st.checkCursors(ctx, last); err != nil {
		return err
	}
	if err := l.awaitAccepted(ctx, st.background); err != nil {
		return err
	}
	l.stop()
	if err := st.check(ctx); err != nil {
		return err
	}
	return f.checkOverlaps()
}

// awaitAllStoring waits until a message that was published from now on is
// stored for every tenant.
func (p *pair) awaitAllStoring(ctx context.Context) (time.Duration, error) {
	begun := time.Now()
	err := await(ctx, failoverLimit, "messages of every tenant are stored", func() error {
		return p.standby.do(ctx, p.st.name, func(conn *pgx.Conn) error {
			var n int
			const query = `SELECT count(DISTINCT tenant_id) FROM messages WHERE created_at > $1`
			if err := conn.QueryRow(ctx, query, begun).Scan(&n); err != nil {
				return fmt.Errorf("look for messages: %w", err)
			}
			if n < len(p.st.tenants) {
				return fmt.Errorf("%w: %d of %d", errNotReady, n, len(p.st.tenants))
			}
			return nil
		})
	})
	return time.Since(begun), err
}

// account tells what the failover has cost: of what was accepted, only what the
// old primary alone had committed may be missing.
func (p *pair) account(ctx context.Context) error {
	gone, err := p.gone(ctx)
	if err != nil {
		return err
	}
	p.st.show("committed on the old primary alone", "%d", len(gone))
	if p.synchronous {
		return nil // the comparison has found nothing missing
	}
	if len(gone) == 0 {
		p.st.fail("the failover cost nothing, so nothing was shown")
	}
	attempts, err := readLedger(p.st.ledger.path)
	if err != nil {
		return err
	}
	there, err := p.storedIDs(ctx, p.standby)
	if err != nil {
		return err
	}
	missing := 0
	for _, a := range attempts {
		if a.state != accepted202 || there[a.id] {
			continue
		}
		missing++
		if !gone[a.id] {
			p.st.fail("attempt %d (%s) of tenant %s is lost, and was not committed on the old primary either", a.number, a.id, a.tenant)
		}
	}
	p.st.show("accepted and lost", "%d, which is what asynchronous replication costs with the standby %v behind", missing, lagBehind)
	return nil
}

// lastCursors returns where the history of each tenant ends now.
func (st *stage) lastCursors(ctx context.Context) (map[string]int64, error) {
	last := make(map[string]int64)
	for _, tenant := range st.tenants {
		_, cursor, err := st.page(ctx, tenant, "order=desc&limit=1")
		if err != nil {
			return nil, err
		}
		last[tenant] = cursor
	}
	return last, nil
}

// page returns how many messages a page has, and its last_cursor.
func (st *stage) page(ctx context.Context, tenant, query string) (n int, cursor int64, err error) {
	r := st.client.call(ctx, http.MethodGet, "/api/messages?"+query, tenant, "", nil)
	if r.err != nil || r.status != http.StatusOK {
		return 0, 0, errors.Join(fmt.Errorf("%w: read a page: %s", errUnexpected, r.text()), r.err)
	}
	var answer struct {
		Data []struct{ Seq int64 }
		Last string `json:"last_cursor"`
	}
	if err := json.Unmarshal(r.body, &answer); err != nil {
		return 0, 0, fmt.Errorf("read a page: %w", err)
	}
	if len(answer.Data) > 0 {
		return len(answer.Data), answer.Data[0].Seq, nil
	}
	if cursor, err = strconv.ParseInt(answer.Last, 10, 64); err != nil {
		return 0, 0, fmt.Errorf("read a cursor: %w", err)
	}
	return 0, cursor, nil
}

// checkCursors makes sure that a cursor from before, as far ahead as it may be
// after messages were lost, is answered with where the history really ends, and
// that a stream from there is refused.
func (st *stage) checkCursors(ctx context.Context, last map[string]int64) error {
	for tenant, before := range last {
		ahead := before + 1_000_000
		n, cursor, err := st.page(ctx, tenant, "cursor="+strconv.FormatInt(ahead, 10))
		if err != nil {
			return err
		}
		if n > 0 || cursor >= ahead {
			st.fail("tenant %s: a cursor ahead of the history got %d messages and last_cursor %d", tenant, n, cursor)
		}
		r := st.client.call(ctx, http.MethodGet, "/api/messages/stream?cursor="+strconv.FormatInt(ahead, 10), tenant, "", nil)
		if r.status != http.StatusConflict || r.problem().Code != "cursor_ahead" {
			st.fail("tenant %s: a stream from a cursor ahead of the history was answered %s", tenant, r.text())
		}
		break // one is like the other
	}
	return nil
}

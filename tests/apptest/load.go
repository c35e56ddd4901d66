package apptest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Load is a number of clients that publish without pause and remember what was
// accepted. Each payload is sent once in a run.
type Load struct {
	t      testing.TB
	stop   func()
	work   sync.WaitGroup
	enough int
	full   chan struct{} // closed when enough messages were accepted

	mu       sync.Mutex
	accepted map[string][]string // by tenant
	total    int
	refused  map[int]int // how many answers had which status
	broken   int         // how many calls had no answer
}

// StartLoad starts as many clients as there are entries in tenants, each for
// its tenant. Half of the calls are batches of 20. They go on after refusals
// and broken connections until Stop.
func StartLoad(t testing.TB, c *Client, tenants []string, enough int) *Load {
	stopped, stop := context.WithCancel(t.Context())
	l := &Load{
		t: t, stop: stop, enough: enough, full: make(chan struct{}),
		accepted: make(map[string][]string), refused: make(map[int]int),
	}
	for i, tenant := range tenants {
		l.work.Go(func() { l.publish(stopped, c, i, tenant) })
	}
	t.Cleanup(l.Stop)
	return l
}

func (l *Load) publish(stopped context.Context, c *Client, client int, tenant string) {
	const batch = 20
	ctx := context.WithoutCancel(stopped) // what was begun gets its answer
	for n := 0; stopped.Err() == nil; n++ {
		var ids []string
		var err error
		if n%2 == 0 {
			var id string
			if id, err = c.TryPublish(ctx, tenant, payload(client, n, 0)); err == nil {
				ids = []string{id}
			}
		} else {
			payloads := make([]string, batch)
			for i := range payloads {
				payloads[i] = payload(client, n, i)
			}
			ids, err = c.TryPublishAll(ctx, tenant, payloads)
		}
		l.note(tenant, ids, err)
		if err != nil {
			select { // there may be no one to call
			case <-time.After(pollInterval):
			case <-stopped.Done():
			}
		}
	}
}

func payload(client, n, i int) string {
	return fmt.Sprintf(`{"client":%d,"n":%d,"i":%d}`, client, n, i)
}

func (l *Load) note(tenant string, ids []string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var refused *RefusedError
	switch {
	case errors.As(err, &refused):
		l.refused[refused.Status]++
	case err != nil:
		l.broken++
	}
	l.accepted[tenant] = append(l.accepted[tenant], ids...)
	before := l.total
	l.total += len(ids)
	if before < l.enough && l.total >= l.enough {
		close(l.full)
	}
}

// AwaitEnough waits until as many messages were accepted as StartLoad was told.
func (l *Load) AwaitEnough() {
	l.t.Helper()
	Await(l.t, Long, func() error {
		select {
		case <-l.full:
			return nil
		default:
			return NotYet("%d of %d accepted", l.Accepted(), l.enough)
		}
	})
}

// Accepted returns how many messages were accepted so far.
func (l *Load) Accepted() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total
}

// AcceptedFor returns how many messages of a tenant were accepted so far.
func (l *Load) AcceptedFor(tenant string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.accepted[tenant])
}

// Stop ends the clients, each after the answer to its last call.
func (l *Load) Stop() {
	l.stop()
	l.work.Wait()
}

// RequireNoRefusals ends the test if any call was refused with another status
// than those allowed.
func (l *Load) RequireNoRefusals(allowed ...int) {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, status := range allowed {
		delete(l.refused, status)
	}
	require.Empty(l.t, l.refused)
}

// RequireStored waits until everything that was accepted is stored, and then
// ends the test if a payload is stored twice or seq has a hole. What was sent
// without an answer may be stored or not, but at most once.
func (l *Load) RequireStored(p *Probes) {
	l.t.Helper()
	l.RequireAllStored(p)
	for tenant := range l.accepted {
		p.Settled(QueueName(tenant))
		p.RequireDense(tenant)
		const query = `SELECT count(*) - count(DISTINCT payload) FROM messages WHERE tenant_id = $1`
		require.Zero(l.t, QueryRow[int](p, query, tenant), "payloads that are stored twice")
		p.RequireNoDeadLetters(tenant)
	}
}

// RequireAllStored waits until everything that was accepted is stored.
func (l *Load) RequireAllStored(p *Probes) {
	l.t.Helper()
	l.Stop()
	for tenant, ids := range l.accepted {
		Await(l.t, Long, func() error {
			const query = `SELECT count(*) FROM messages WHERE tenant_id = $1 AND id = ANY($2::uuid[])`
			if n := QueryRow[int](p, query, tenant, ids); n != len(ids) {
				return NotYet("%d accepted messages stored, %d are", len(ids), n)
			}
			return nil
		})
	}
}

// RequireDense ends the test unless the seq of a tenant's messages are 1, 2, 3
// and so on without holes.
func (p *Probes) RequireDense(tenant string) (rows int) {
	p.t.Helper()
	var least, most, last int
	const query = `
SELECT count(*), coalesce(min(seq), 1), coalesce(max(seq), 0), (SELECT last_seq FROM tenant_streams WHERE tenant_id = $1)
FROM messages WHERE tenant_id = $1`
	require.NoError(p.t, p.Database().QueryRow(p.t.Context(), query, tenant).Scan(&rows, &least, &most, &last))
	require.Equal(p.t, 1, least)
	require.Equal(p.t, rows, most, "seq is dense")
	require.Equal(p.t, rows, last, "the stream knows its last seq")
	return rows
}

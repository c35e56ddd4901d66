package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// heavyReaders is how many read pages at a time, and heavyOwner how many
	// tenants the owner has who does.
	heavyReaders = 24
	heavyOwner   = 6
	// heavyMemory is what the service may take at most meanwhile.
	heavyMemory = 400 << 20
	// loginLimit: a login that takes less is quick, whatever it took before.
	loginLimit = 500 * time.Millisecond

	readerEmail, readerPassword = "reader@example.com", "correct horse battery"
)

// heavyPages has one tenant read large pages without a pause.
func heavyPages(ctx context.Context, st *stage) error { return st.heavyPages(ctx, 1) }

// heavyOwnerPages has the tenants of one owner do the same.
func heavyOwnerPages(ctx context.Context, st *stage) error { return st.heavyPages(ctx, heavyOwner) }

func (st *stage) heavyPages(ctx context.Context, tenants int) error {
	heavy, p, err := st.quietAndOthers(ctx, tenants)
	if err != nil {
		return err
	}
	r := st.client.call(ctx, http.MethodPost, "/api/users", "", "",
		fmt.Appendf(nil, `{"name":"Reader","email":%q,"password":%q,"role":"viewer"}`, readerEmail, readerPassword))
	if r.err != nil || r.status != http.StatusCreated {
		return errors.Join(fmt.Errorf("%w: create a user: %s", errUnexpected, r.text()), r.err)
	}
	if err := st.fillHeavy(ctx, heavy); err != nil {
		return err
	}
	var whole, refused, turn atomic.Int64
	alone, disturbed := &logins{}, &logins{}
	if err := alone.during(ctx, st, func() error { _, err := p.measure(ctx, st.measure/2); return err }); err != nil {
		return err
	}
	err = st.within(ctx, bounds{stored: maxRatio, memory: heavyMemory}, p, st.measure, func(ctx context.Context, meanwhile func() error) error {
		return disturbed.during(ctx, st, func() error {
			return st.while(ctx, heavyReaders, meanwhile, func(ctx context.Context) {
				tenant := heavy[int(turn.Add(1))%len(heavy)]
				switch r := st.client.call(ctx, http.MethodGet, "/api/messages?limit=1000", tenant, "", nil); {
				case ctx.Err() != nil:
				case r.err == nil && r.status == http.StatusOK:
					whole.Add(1)
				case r.err == nil && r.status == http.StatusServiceUnavailable && strings.HasSuffix(r.problem().Code, "_busy"):
					refused.Add(1)
					rest(ctx, 100*time.Millisecond)
				default:
					st.fail("a large page: %s", r.text())
				}
			})
		})
	})
	st.show("large pages", "%d, and %d refused", whole.Load(), refused.Load())
	st.compareLogins(alone, disturbed)
	return errors.Join(err, st.emptyHeavy(ctx, heavy), st.check(ctx))
}

// fillHeavy stores messages of a MiB that take next to nothing in the store, and
// gives their tenants an owner.
func (st *stage) fillHeavy(ctx context.Context, tenants []string) error {
	const fill = `
INSERT INTO messages (id, tenant_id, payload, seq, bytes)
SELECT gen_random_uuid(), $1, p, n, octet_length(p::text)
FROM generate_series(1, $2) AS n, to_jsonb(repeat('a', (1 << 20) - 2)) AS p`
	return st.inDatabase(ctx, func(conn *pgx.Conn) error {
		for _, tenant := range tenants {
			if _, err := conn.Exec(ctx, fill, tenant, st.heavyRows/len(tenants)); err != nil {
				return fmt.Errorf("store messages: %w", err)
			}
			if _, err := conn.Exec(ctx, `UPDATE tenant_streams SET last_seq = $2 WHERE tenant_id = $1`, tenant, st.heavyRows/len(tenants)); err != nil {
				return fmt.Errorf("raise a stream: %w", err)
			}
		}
		_, err := conn.Exec(ctx, `UPDATE tenants SET user_id = (SELECT user_id FROM users WHERE email = $2) WHERE id = ANY($1::uuid[])`, tenants, readerEmail)
		return err //nolint:wrapcheck // of a test
	})
}

// emptyHeavy takes them out again: nobody published them.
func (st *stage) emptyHeavy(ctx context.Context, tenants []string) error {
	return st.inDatabase(ctx, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `DELETE FROM messages WHERE tenant_id = ANY($1::uuid[])`, tenants)
		if err == nil {
			_, err = conn.Exec(ctx, `UPDATE tenant_streams SET last_seq = 0 WHERE tenant_id = ANY($1::uuid[])`, tenants)
		}
		return err //nolint:wrapcheck // of a test
	})
}

// logins measures how long a login takes.
type logins struct {
	mu    sync.Mutex
	times []time.Duration
}

// during logs in again and again while something goes on.
func (l *logins) during(ctx context.Context, st *stage, work func() error) error {
	ctx, stop := context.WithCancel(ctx)
	var logging sync.WaitGroup
	logging.Go(func() {
		for ctx.Err() == nil {
			r := st.client.call(ctx, http.MethodPost, "/api/login", "", "", fmt.Appendf(nil, `{"email":%q,"password":%q}`, readerEmail, readerPassword))
			if ctx.Err() != nil {
				return
			}
			if r.err != nil || r.status != http.StatusOK {
				st.fail("a login: %s", r.text())
			}
			l.mu.Lock()
			l.times = append(l.times, r.took)
			l.mu.Unlock()
			rest(ctx, probePeriod/2)
		}
	})
	err := work()
	stop()
	logging.Wait()
	return err
}

func (st *stage) compareLogins(alone, disturbed *logins) {
	slices.Sort(alone.times)
	slices.Sort(disturbed.times)
	a, d := quantile(alone.times, 0.95), quantile(disturbed.times, 0.95)
	ratio := float64(max(d, loginLimit)) / float64(max(a, loginLimit))
	st.show("login", "p95 alone %s, disturbed %s: %.2fx of %d and %d", millis(a), millis(d), ratio, len(alone.times), len(disturbed.times))
	if ratio > maxRatio*st.slack {
		st.fail("the p95 of a login is %.2fx", ratio)
	}
}

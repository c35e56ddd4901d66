package scenario

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"lanekeeper/tests/chaos/fault"
	"lanekeeper/tests/chaos/load"
	"lanekeeper/tests/chaos/verify"
	"lanekeeper/tests/chaos/wait"
)

const (
	// heavyReaders is how many read pages at a time, and heavyOwner how many
	// tenants of one owner they read.
	heavyReaders = 24
	heavyOwner   = 6
	// heavyMemory is what the service may take at most meanwhile.
	heavyMemory = 400 << 20
)

// heavyPages has one tenant read large pages without a pause.
func heavyPages(ctx context.Context, t *trial) error { return readHeavyPages(ctx, t, 1) }

// heavyOwnerPages has the tenants of one owner do the same.
func heavyOwnerPages(ctx context.Context, t *trial) error { return readHeavyPages(ctx, t, heavyOwner) }

// readHeavyPages measures other tenants while these many tenants read
// large pages.
func readHeavyPages(ctx context.Context, t *trial, tenants int) error {
	heavy, p, err := t.quietAndOthers(ctx, tenants)
	if err != nil {
		return err
	}
	if err := own(ctx, t, heavy); err != nil {
		return err
	}
	if err := fillHeavy(ctx, t, heavy); err != nil {
		return err
	}
	var whole, refused, turn atomic.Int64
	err = t.within(ctx, verify.Bounds{Stored: verify.MaxRatio, Memory: heavyMemory}, p, t.measure, func(ctx context.Context, meanwhile func() error) error {
		return fault.While(ctx, heavyReaders, meanwhile, func(ctx context.Context) {
			tenant := heavy[int(turn.Add(1))%len(heavy)]
			switch r := t.client.Call(ctx, http.MethodGet, "/api/messages?limit=1000", tenant, "", nil); {
			case ctx.Err() != nil:
			case r.Err == nil && r.Status == http.StatusOK:
				whole.Add(1)
			case r.Err == nil && r.Status == http.StatusServiceUnavailable && strings.HasSuffix(r.Problem().Code, "_busy"):
				refused.Add(1)
				wait.For(ctx, 100*time.Millisecond)
			default:
				t.Fail("a large page: %s", r.Text())
			}
		})
	})
	t.Show("large pages", "%d, and %d refused", whole.Load(), refused.Load())
	return errors.Join(err, emptyHeavy(ctx, t, heavy), t.check(ctx))
}

// own makes a user whose tenants these are from now on.
func own(ctx context.Context, t *trial, tenants []string) error {
	owner := load.Account{Email: "owner@example.com", Password: "correct horse battery"}
	if err := t.client.AddUser(ctx, owner, "viewer"); err != nil {
		return err
	}
	return t.InDatabase(ctx, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `UPDATE tenants SET user_id = (SELECT user_id FROM users WHERE email = $2) WHERE id = ANY($1::uuid[])`, tenants, owner.Email)
		return err //nolint:wrapcheck // of a test
	})
}

// fillHeavy stores messages of a MiB that take next to nothing in the store.
func fillHeavy(ctx context.Context, t *trial, tenants []string) error {
	const fill = `
INSERT INTO messages (id, tenant_id, payload, seq, bytes)
SELECT gen_random_uuid(), $1, p, n, octet_length(p::text)
FROM generate_series(1, $2) AS n, to_jsonb(repeat('a', (1 << 20) - 2)) AS p`
	return t.InDatabase(ctx, func(conn *pgx.Conn) error {
		for _, tenant := range tenants {
			if _, err := conn.Exec(ctx, fill, tenant, t.heavyRows/len(tenants)); err != nil {
				return fmt.Errorf("store messages: %w", err)
			}
			if _, err := conn.Exec(ctx, `UPDATE tenant_streams SET last_seq = $2 WHERE tenant_id = $1`, tenant, t.heavyRows/len(tenants)); err != nil {
				return fmt.Errorf("raise a stream: %w", err)
			}
		}
		return nil
	})
}

// emptyHeavy takes them out again: they are in no ledger.
func emptyHeavy(ctx context.Context, t *trial, tenants []string) error {
	return t.InDatabase(ctx, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `DELETE FROM messages WHERE tenant_id = ANY($1::uuid[])`, tenants)
		if err == nil {
			_, err = conn.Exec(ctx, `UPDATE tenant_streams SET last_seq = 0 WHERE tenant_id = ANY($1::uuid[])`, tenants)
		}
		return err //nolint:wrapcheck // of a test
	})
}

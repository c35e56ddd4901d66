package scenario

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"lanekeeper/tests/chaos/fault"
	"lanekeeper/tests/chaos/load"
	"lanekeeper/tests/chaos/wait"
)

// manyTenants has one member make as many tenants as it may, and flood all of them.
func manyTenants(ctx context.Context, t *trial) error {
	_, p, err := t.quietAndOthers(ctx, 0)
	if err != nil {
		return err
	}
	m, err := newMember(ctx, t, "greedy")
	if err != nil {
		return err
	}
	defer m.CloseIdle()
	g := &greedy{member: m, most: t.greedyTenants}
	l := load.New(m.Client, t.ledger)
	begun := time.Now()
	err = t.undisturbed(ctx, p, t.measure, func(ctx context.Context, meanwhile func() error) error {
		return fault.While(ctx, floodClients, meanwhile, func(ctx context.Context) {
			if tenant := g.next(ctx); tenant != "" {
				l.Send(ctx, tenant, 4*load.BatchSize, false)
			} else {
				wait.For(ctx, load.RetryPause)
			}
		})
	})
	t.Show("flood", "%d messages to %d tenants of one member within %.0f s", l.Accepted.Load(), g.made(), time.Since(begun).Seconds())
	return errors.Join(err, g.atLimit(ctx, t), t.check(ctx))
}

// greedy is a member that makes tenants.
type greedy struct {
	*member

	most int

	mu      sync.Mutex // guards the rest
	begun   int        // how many were asked for that were not refused
	tenants []string
	turn    int
}

// next makes one more tenant, until there are as many as there may be, and then
// returns each in turn. It is "" when one could not be made.
func (g *greedy) next(ctx context.Context) string {
	g.mu.Lock()
	if g.begun >= g.most {
		defer g.mu.Unlock()
		if len(g.tenants) == 0 {
			return ""
		}
		g.turn++
		return g.tenants[g.turn%len(g.tenants)]
	}
	g.begun++
	n := g.begun
	g.mu.Unlock()
	id, _ := g.CreateTenant(ctx, fmt.Sprintf("greedy %d", n), "")
	g.mu.Lock()
	defer g.mu.Unlock()
	if id == "" {
		g.begun--
	} else {
		g.tenants = append(g.tenants, id)
	}
	return id
}

func (g *greedy) made() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.tenants)
}

// atLimit makes the tenants that are missing, and one too many.
func (g *greedy) atLimit(ctx context.Context, t *trial) error {
	err := wait.Until(ctx, settleLimit, "the member has its tenants", func() error {
		if g.made() < g.most && g.next(ctx) == "" || g.made() < g.most {
			return fmt.Errorf("%w: %d", wait.ErrNotReady, g.made())
		}
		return nil
	})
	if err != nil {
		return err
	}
	_, r := g.CreateTenant(ctx, "one too many", "")
	t.Show("one tenant more", "%s", r.Text())
	if !overQuota(r) {
		t.Fail("a member with %d tenants asked for one more: %s, Retry-After %q", g.most, r.Text(), r.Header.Get("Retry-After"))
	}
	return nil
}

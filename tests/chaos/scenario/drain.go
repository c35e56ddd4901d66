package scenario

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"lanekeeper/tests/chaos/load"
	"lanekeeper/tests/chaos/receiver"
	"lanekeeper/tests/chaos/verify"
)

const (
	// drainTogether is how many tenants drain at a time in one of the rounds.
	drainTogether = 3
	// drainAnswer is how long an endpoint takes for each message.
	drainAnswer = 3 * time.Millisecond
	// drainMiss is by which share of the real time the expected one may be off, in the
	// median.
	drainMiss = 0.3
)

// ponderSQL makes storing take about a millisecond for each message of a partition, and not
// for all the same.
const ponderSQL = `
CREATE OR REPLACE FUNCTION ponder() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(random() * 0.001); RETURN NULL; END $$;
CREATE TRIGGER ponder AFTER INSERT ON messages_%s FOR EACH ROW EXECUTE FUNCTION ponder()`

// backlogDrains has backlogs be stored by a slow database, and compares when the service
// expects that to be over with when it is: of one tenant, of several at a time, of one
// that is being published to, and that of a slow endpoint.
func backlogDrains(ctx context.Context, t *trial) (err error) {
	d, err := newDeliveries(ctx, t)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	if err := t.bootDirect(ctx, drainTogether+2); err != nil {
		return err
	}
	err = t.InDatabase(ctx, func(conn *pgx.Conn) error {
		for _, tenant := range t.tenants {
			if _, err := conn.Exec(ctx, fmt.Sprintf(ponderSQL, strings.ReplaceAll(tenant, "-", "_"))); err != nil {
				return fmt.Errorf("slow a partition down: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := drain(ctx, t, "the backlog of a tenant", t.tenants[:1]); err != nil {
		return err
	}
	if err := drainEndpoint(ctx, d, t.tenants[0]); err != nil {
		return err
	}
	if err := drain(ctx, t, "one of several backlogs", t.tenants[1:1+drainTogether]); err != nil {
		return err
	}
	last := t.tenants[1+drainTogether:]
	all := t.tenants
	t.tenants = last
	_, end := t.startLoad(ctx, load.BackgroundPause)
	err = drain(ctx, t, "a backlog behind which others come", last)
	end()
	t.tenants = all
	if miss, any := t.MedianMiss(); !any || miss > drainMiss*t.slack {
		t.Fail("the expected time is off by %.0f %% in the median, %.0f %% are allowed", 100*miss, 100*drainMiss*t.slack)
	}
	return errors.Join(err, d.check(ctx))
}

// drain has these tenants become active at the same time, each with a backlog, and notes
// when the service expects the backlog to be stored, and when it is.
func drain(ctx context.Context, t *trial, what string, tenants []string) error {
	for _, tenant := range tenants {
		if err := fillQueue(ctx, t, tenant, t.drains); err != nil {
			return err
		}
	}
	var work sync.WaitGroup
	errs := make([]error, len(tenants))
	for i, tenant := range tenants {
		work.Go(func() {
			if r := t.client.SetStatus(ctx, tenant, "active"); r.Status != http.StatusOK {
				errs[i] = errors.Join(fmt.Errorf("%w: activate a tenant: %s", load.ErrUnexpected, r.Text()), r.Err)
				return
			}
			explains(ctx, t, what, tenant, "backlog")
			p, ok := predict(ctx, t, tenant, "backlog")
			if errs[i] = verify.AwaitStored(ctx, t.Env, tenant, int64(t.drains), 2*time.Minute); ok && errs[i] == nil {
				t.Predicted(what, p.expected, time.Since(p.at))
			}
		})
	}
	work.Wait()
	return errors.Join(errs...)
}

// drainEndpoint has a slow endpoint of a tenant get what is in its history, and notes when
// the service expects all of it to have arrived, and when it has.
func drainEndpoint(ctx context.Context, d *deliveries, tenant string) error {
	s, err := d.subscribe(ctx, d.t.client, tenant, receiver.Takes(drainAnswer), map[string]any{"from_seq": 1})
	if err != nil {
		return err
	}
	p, ok := predict(ctx, d.t, tenant, "endpoint_behind")
	if err := verify.AwaitDelivered(ctx, d.t.Env, d.receiver, d.subscriptions, deliveredLimit); err != nil {
		return err //nolint:wrapcheck // says what has not arrived
	}
	if _, last := s.Taken(); ok {
		d.t.Predicted("the history at an endpoint", p.expected, last.Sub(p.at))
	}
	return nil
}

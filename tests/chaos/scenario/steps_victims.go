package scenario

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"

	"lanekeeper/tests/chaos/env"
	"lanekeeper/tests/chaos/load"
	"lanekeeper/tests/chaos/verify"
	"lanekeeper/tests/chaos/wait"
)

// A tenant that is deleted has so many messages in its history, and perhaps so
// many in its queue.
const inHistory, inQueue = 3, 7

// victim is a tenant and the step at which it is interrupted.
type victim struct {
	step

	called string
	id     string
	reply  chan load.Reply // of the interrupted request
	took   time.Duration   // until it was there or gone
	late   bool            // it was not in time
}

// prepare makes the tenant if it is one that is deleted, with some messages.
func (s *stepScenario) prepare(ctx context.Context, d *victim) error {
	if !d.deletes {
		return nil
	}
	var err error
	if d.id, err = s.create(ctx, d.called); err != nil {
		return err
	}
	if err := s.send(ctx, d.id, inHistory); err != nil {
		return err
	}
	if err := verify.AwaitStored(ctx, s.Env, d.id, inHistory, load.RecoverLimit); err != nil || !d.waiting {
		return err
	}
	if r := s.client.Call(ctx, http.MethodDelete, "/api/consumers/"+d.id, "", "", nil); r.Status != http.StatusAccepted {
		return errors.Join(fmt.Errorf("%w: stop a consumer: %s", load.ErrUnexpected, r.Text()), r.Err)
	}
	queue := env.QueueOf(d.id)
	err = wait.Until(ctx, load.RecoverLimit, "a consumer has stopped", func() error {
		if err := verify.Consumed(s.Env, []string{queue}); !errors.Is(err, wait.ErrNotReady) {
			return cmp.Or(err, wait.ErrNotReady)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := s.send(ctx, d.id, inQueue); err != nil {
		return err
	}
	return wait.Until(ctx, load.RecoverLimit, "messages are waiting", func() error {
		depths, err := s.Depths(ctx)
		if err == nil && depths[queue] != inQueue {
			err = fmt.Errorf("%w: %d", wait.ErrNotReady, depths[queue])
		}
		return err
	})
}

// create makes a tenant, with its name as the key, and waits until it is
// active.
func (s *stepScenario) create(ctx context.Context, name string) (id string, err error) {
	err = wait.Until(ctx, load.RecoverLimit, "a tenant is created", func() error {
		var r load.Reply
		if id, r = s.client.CreateTenant(ctx, name, name); r.Status != http.StatusCreated {
			return errors.Join(fmt.Errorf("%w: %s", load.ErrUnexpected, r.Text()), r.Err)
		}
		return nil
	})
	return id, err
}

// send publishes messages that are not in the ledger, because they go with
// their tenant.
func (s *stepScenario) send(ctx context.Context, tenant string, n int) error {
	for i := range n {
		if r := s.client.Call(ctx, http.MethodPost, "/api/messages", tenant, "", fmt.Appendf(nil, `{"payload":%d}`, i)); r.Status != http.StatusAccepted {
			return errors.Join(fmt.Errorf("%w: publish: %s", load.ErrUnexpected, r.Text()), r.Err)
		}
	}
	return nil
}

// converged returns nil when the tenant is as it has to be in the end.
func (d *victim) converged(l *verify.Parts) error {
	switch {
	case l == nil && d.row == "":
		return nil
	case l == nil:
		return fmt.Errorf("%w: there is no row", load.ErrUnexpected)
	case d.row == "":
		return fmt.Errorf("%w: there is something", errors.Join(wait.ErrNotReady, l.Unsettled()))
	case d.there() != (l.Status == "active"):
		return fmt.Errorf("%w: the row is %s", wait.ErrNotReady, l.Status)
	}
	return l.Unsettled()
}

// prove makes sure that callers see the same.
func (s *stepScenario) prove(ctx context.Context, d *victim) error {
	switch {
	case !d.deletes:
		return s.proveCreated(ctx, d)
	case d.there():
		return s.proveKept(ctx, d)
	}
	if r := s.client.Call(ctx, http.MethodGet, "/api/tenants/"+d.id, "", "", nil); r.Status != http.StatusNotFound {
		return fmt.Errorf("%w: asked for after it was deleted: %s", load.ErrUnexpected, r.Text())
	}
	if r := s.client.DeleteTenant(ctx, d.id); r.Status != http.StatusNotFound {
		return fmt.Errorf("%w: deleted again: %s", load.ErrUnexpected, r.Text())
	}
	parts, err := verify.Tenants(ctx, s.Env)
	if err != nil {
		return err
	}
	discarded := int64(0)
	if d.waiting {
		discarded = inQueue
	}
	if l := parts[d.id]; l == nil || l.Discarded != discarded {
		return fmt.Errorf("%w: the tombstone is %+v, %d messages were discarded", load.ErrUnexpected, l, discarded)
	}
	return nil
}

// proveCreated repeats the interrupted request, which has to lead to the same
// tenant.
func (s *stepScenario) proveCreated(ctx context.Context, d *victim) error {
	id, err := s.create(ctx, d.called)
	if err != nil {
		return err
	}
	if id != d.id {
		return fmt.Errorf("%w: the same key gave %s, and %s before", load.ErrUnexpected, id, d.id)
	}
	return s.InDatabase(ctx, func(conn *pgx.Conn) error {
		var rows int
		if err := conn.QueryRow(ctx, `SELECT count(*) FROM tenants WHERE name = $1`, d.called).Scan(&rows); err != nil {
			return fmt.Errorf("count tenants: %w", err)
		}
		if rows != 1 {
			return fmt.Errorf("%w: %d tenants of this name", load.ErrUnexpected, rows)
		}
		return nil
	})
}

// use sends a message to a tenant that is there, and waits until it is stored.
func (s *stepScenario) use(ctx context.Context, d *victim, limit time.Duration) error {
	if !d.deletes {
		return acceptAndStore(ctx, s.trial, []string{d.id}, limit)
	}
	limit = max(limit, time.Second)
	err := wait.Until(ctx, limit, "a message is accepted", func() error { return s.send(ctx, d.id, 1) })
	if err != nil {
		return err
	}
	return verify.AwaitStored(ctx, s.Env, d.id, inHistory+1, limit)
}

// proveKept deletes a tenant after all whose deletion had not begun.
func (s *stepScenario) proveKept(ctx context.Context, d *victim) error {
	// One that takes long is waited for in the end.
	if r := s.client.DeleteTenant(ctx, d.id); r.Status != http.StatusNoContent && r.Status != http.StatusAccepted {
		return errors.Join(fmt.Errorf("%w: deleted after all: %s", load.ErrUnexpected, r.Text()), r.Err)
	}
	return nil
}

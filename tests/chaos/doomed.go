package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
)

// A tenant that is deleted has so many messages in its history, and perhaps so
// many in its queue.
const inHistory, inQueue = 3, 7

// doomed is a tenant and the step at which it is interrupted.
type doomed struct {
	step

	called string
	id     string
	reply  chan reply    // of the interrupted request
	took   time.Duration // until it was there or gone
	late   bool          // it was not in time
}

// prepare makes the tenant if it is one that is deleted, with some messages.
func (s *stepping) prepare(ctx context.Context, d *doomed) error {
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
	if err := s.awaitStored(ctx, d.id, inHistory, recoverLimit); err != nil || !d.waiting {
		return err
	}
	if r := s.client.call(ctx, http.MethodDelete, "/api/consumers/"+d.id, "", "", nil); r.status != http.StatusAccepted {
		return errors.Join(fmt.Errorf("%w: stop a consumer: %s", errUnexpected, r.text()), r.err)
	}
	queue := queueOf(d.id)
	err = await(ctx, recoverLimit, "a consumer has stopped", func() error {
		if err := s.consumed([]string{queue}); !errors.Is(err, errNotReady) {
			return cmp.Or(err, errNotReady)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := s.send(ctx, d.id, inQueue); err != nil {
		return err
	}
	return await(ctx, recoverLimit, "messages are waiting", func() error {
		depths, err := s.depths(ctx)
		if err == nil && depths[queue] != inQueue {
			err = fmt.Errorf("%w: %d", errNotReady, depths[queue])
		}
		return err
	})
}

// create makes a tenant, with its name as the key, and waits until it is
// active.
func (s *stepping) create(ctx context.Context, name string) (id string, err error) {
	err = await(ctx, recoverLimit, "a tenant is created", func() error {
		var r reply
		if id, r = s.client.createTenant(ctx, name, name); r.status != http.StatusCreated {
			return errors.Join(fmt.Errorf("%w: %s", errUnexpected, r.text()), r.err)
		}
		return nil
	})
	return id, err
}

// send publishes messages that are not in the ledger, because they go with
// their tenant.
func (s *stepping) send(ctx context.Context, tenant string, n int) error {
	for i := range n {
		if r := s.client.call(ctx, http.MethodPost, "/api/messages", tenant, "", fmt.Appendf(nil, `{"payload":%d}`, i)); r.status != http.StatusAccepted {
			return errors.Join(fmt.Errorf("%w: publish: %s", errUnexpected, r.text()), r.err)
		}
	}
	return nil
}

// converged returns nil when the tenant is as it has to be in the end.
func (d *doomed) converged(l *lane) error {
	switch {
	case l == nil && d.row == "":
		return nil
	case l == nil:
		return fmt.Errorf("%w: there is no row", errUnexpected)
	case d.row == "":
		return fmt.Errorf("%w: there is something", errors.Join(errNotReady, l.unsettled()))
	case d.there() != (l.status == "active"):
		return fmt.Errorf("%w: the row is %s", errNotReady, l.status)
	}
	return l.unsettled()
}

// prove makes sure that callers, too, see what there is.
func (s *stepping) prove(ctx context.Context, d *doomed) error {
	switch {
	case !d.deletes:
		return s.proveCreated(ctx, d)
	case d.there():
		return s.proveKept(ctx, d)
	}
	if r := s.client.call(ctx, http.MethodGet, "/api/tenants/"+d.id, "", "", nil); r.status != http.StatusNotFound {
		return fmt.Errorf("%w: asked for after it was deleted: %s", errUnexpected, r.text())
	}
	if r := s.client.deleteTenant(ctx, d.id); r.status != http.StatusNotFound {
		return fmt.Errorf("%w: deleted again: %s", errUnexpected, r.text())
	}
	lanes, err := s.lanes(ctx)
	if err != nil {
		return err
	}
	discarded := int64(0)
	if d.waiting {
		discarded = inQueue
	}
	if l := lanes[d.id]; l == nil || l.discarded != discarded {
		return fmt.Errorf("%w: the tombstone is %+v, %d messages were discarded", errUnexpected, l, discarded)
	}
	return nil
}

// proveCreated repeats the interrupted request, which has to lead to the same
// tenant.
func (s *stepping) proveCreated(ctx context.Context, d *doomed) error {
	id, err := s.create(ctx, d.called)
	if err != nil {
		return err
	}
	if id != d.id {
		return fmt.Errorf("%w: the same key gave %s, and %s before", errUnexpected, id, d.id)
	}
	return s.inDatabase(ctx, func(conn *pgx.Conn) error {
		var rows int
		if err := conn.QueryRow(ctx, `SELECT count(*) FROM tenants WHERE name = $1`, d.called).Scan(&rows); err != nil {
			return fmt.Errorf("count tenants: %w", err)
		}
		if rows != 1 {
			return fmt.Errorf("%w: %d tenants of this name", errUnexpected, rows)
		}
		return nil
	})
}

// use sends a message to a tenant that is there, and waits until it is stored.
func (s *stepping) use(ctx context.Context, d *doomed, limit time.Duration) error {
	if !d.deletes {
		return s.acceptAndStore(ctx, []string{d.id}, limit)
	}
	limit = max(limit, time.Second)
	err := await(ctx, limit, "a message is accepted", func() error { return s.send(ctx, d.id, 1) })
	if err != nil {
		return err
	}
	return s.awaitStored(ctx, d.id, inHistory+1, limit)
}

// proveKept deletes a tenant after all whose deletion had not begun.
func (s *stepping) proveKept(ctx context.Context, d *doomed) error {
	// One that takes long is waited for in the end.
	if r := s.client.deleteTenant(ctx, d.id); r.status != http.StatusNoContent && r.status != http.StatusAccepted {
		return errors.Join(fmt.Errorf("%w: deleted after all: %s", errUnexpected, r.text()), r.err)
	}
	return nil
}

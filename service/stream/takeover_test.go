package stream

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"lanekeeper/domain"
	"lanekeeper/pkg/backoff"
)

// held is a stream that has a ticket, as the controller keeps it: it gives the
// ticket back when it has ended.
type held struct {
	ticket domain.Ticket
	claim  uuid.UUID
	ended  chan error // why
	hangUp context.CancelFunc
}

// open redeems the ticket for a stream.
func (o *office) open(t *testing.T, text string, resume bool) *held {
	t.Helper()
	ticket, claim, err := o.Redeem(t.Context(), text, uuid.Nil, resume)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	h := &held{ticket, claim, make(chan error, 1), cancel}
	go func() {
		err := o.Keep(ctx, ticket, claim)
		o.Release(ctx, ticket, claim)
		h.ended <- err
	}()
	t.Cleanup(cancel)
	return h
}

func (h *held) requireEnded(t *testing.T, code string) {
	t.Helper()
	select {
	case err := <-h.ended:
		require.ErrorIs(t, err, domain.ErrConflict)
		require.Equal(t, code, domain.CodeOf(err))
	case <-time.After(ticketPatience):
		require.Fail(t, "the stream goes on")
	}
}

// A client that comes back gets its ticket while its stream is still open, which
// ends before: in the same process and on another replica, and again and again.
func TestTakeover(t *testing.T) {
	t.Parallel()
	fast := func(o *TicketOptions) { o.Lease, o.Wait, o.Tenure = time.Hour, time.Hour, time.Millisecond }
	o := newOffice(t, fast)
	other := openOffice(t, o.url, fast)
	text := o.issue(t)
	open := o.open(t, text, false)
	for i, next := range []*office{o, other, other, o, o} {
		after := next.open(t, text, true)
		require.Len(t, open.ended, 1, "it has ended before the next one begins")
		open.requireEnded(t, "ticket_taken_over")
		require.Empty(t, after.ended, i)
		open = after
	}
	o.refused(t, text, false, domain.ErrUnauthenticated, "ticket_invalid") // not without a place
	require.Empty(t, open.ended)
	open.hangUp()
	require.NoError(t, <-open.ended)
	for _, each := range []*office{o, other} {
		require.Empty(t, each.handovers.holders)
		require.Empty(t, each.handovers.waiters)
	}
}

// Nothing of a ticket that cannot be used any more is taken over.
func TestNoTakeoverOfExpired(t *testing.T) {
	t.Parallel()
	o := newOffice(t, func(o *TicketOptions) { o.Lease, o.Renewal, o.Wait = time.Hour, time.Hour, time.Hour })
	text := o.issue(t)
	open := o.open(t, text, false)
	o.exec(t, `UPDATE stream_tickets SET expires_at = now(), usable_until = now()`)
	o.refused(t, text, true, domain.ErrUnauthenticated, "ticket_invalid")
	require.Empty(t, open.ended)
}

// A holder that does not hear that somebody wants its ticket (one of an older
// version, or whose replica is frozen or cut off from the database) loses it,
// and learns that as soon as it can.
func TestTakeoverFromTheDeaf(t *testing.T) {
	t.Parallel()
	const patience = 500 * time.Millisecond
	o := newOffice(t, func(o *TicketOptions) { o.Lease, o.Renewal = time.Hour, 10*time.Millisecond })
	other := openOffice(t, o.url, func(o *TicketOptions) { o.Lease, o.Wait = time.Hour, patience })
	text := o.issue(t)
	deaf := o.open(t, text, false)
	o.repo.away.Store(true)
	begun := time.Now()
	next := other.open(t, text, true)
	require.GreaterOrEqual(t, time.Since(begun), patience)
	require.Empty(t, deaf.ended, "an outage ends nothing")
	o.repo.away.Store(false)
	deaf.requireEnded(t, "ticket_lost")
	require.Empty(t, next.ended, "who lost it does not give it back")
}

// Clients that take one ticket from each other do so no faster than its tenure
// allows, and however many there are, one of them has it, and one of a replica
// asks for it.
func TestFightForTicket(t *testing.T) {
	t.Parallel()
	const tenure, fighters, rounds = 100 * time.Millisecond, 8, 12
	o := newOffice(t, func(o *TicketOptions) {
		o.Lease, o.Renewal, o.Wait, o.Tenure = time.Hour, 10*time.Millisecond, time.Hour, tenure
	})
	text := o.issue(t)
	ticket, claim, err := o.Redeem(t.Context(), text, uuid.Nil, false)
	require.NoError(t, err)
	o.Release(t.Context(), ticket, claim)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var having, changes, superseded atomic.Int64
	begun := time.Now()
	var fight errgroup.Group
	for range fighters {
		fight.Go(func() error {
			for ctx.Err() == nil {
				ticket, claim, err := o.Redeem(ctx, text, uuid.Nil, true)
				if err != nil {
					superseded.Add(1)
					continue
				}
				if having.Add(1) != 1 {
					return fmt.Errorf("two have it")
				}
				if changes.Add(1) == rounds {
					cancel()
				}
				_ = o.Keep(ctx, ticket, claim)
				having.Add(-1)
				o.Release(ctx, ticket, claim)
			}
			return nil
		})
	}
	require.NoError(t, fight.Wait())
	require.GreaterOrEqual(t, time.Since(begun), (rounds-1)*tenure)
	require.Positive(t, superseded.Load())
	require.Empty(t, o.handovers.holders)
	require.Empty(t, o.handovers.waiters)
}

// However many streams have tickets, prolonging their claims takes few database
// connections from others.
func TestRenewalsTakeFewConnections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const streams = 200
		repo := &slowRenewals{took: 5 * time.Millisecond}
		tickets := NewTickets(TicketOptions{Tickets: repo, Log: slog.New(slog.DiscardHandler)})
		ctx, cancel := context.WithCancel(t.Context())
		var kept errgroup.Group
		for i := range streams {
			kept.Go(func() error { return tickets.Keep(ctx, domain.Ticket{Hash: []byte{byte(i)}}, uuid.New()) })
		}
		_ = backoff.Sleep(ctx, 10*ticketRenewal)
		cancel()
		require.NoError(t, kept.Wait())
		require.LessOrEqual(t, repo.most.Load(), int64(parallelRenewals))
		require.GreaterOrEqual(t, repo.calls.Load(), int64(9*streams), "each as often as it should be")
	})
}

// slowRenewals is a store that takes its time for renewals.
type slowRenewals struct {
	domain.TicketRepository

	took                 time.Duration
	running, most, calls atomic.Int64
}

func (r *slowRenewals) RenewTicket(ctx context.Context, _ []byte, _ uuid.UUID, _ time.Duration) (bool, error) {
	r.calls.Add(1)
	running := r.running.Add(1)
	defer r.running.Add(-1)
	for most := r.most.Load(); running > most && !r.most.CompareAndSwap(most, running); most = r.most.Load() {
	}
	_ = backoff.Sleep(ctx, r.took)
	return false, ctx.Err()
}

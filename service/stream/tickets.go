package stream

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/backoff"
	"lanekeeper/pkg/janitor"
)

const (
	// ticketFirstUse is how long a ticket waits for its first use.
	ticketFirstUse = 30 * time.Second
	// ticketLifetime is that of tickets of callers without a token, unless
	// TicketOptions says otherwise.
	ticketLifetime = time.Hour
	// ticketBytes is how many random bytes a ticket is, and ticketLength how
	// long it is as text.
	ticketBytes  = 32
	ticketLength = 43

	// A stream holds its ticket for ticketLease, and prolongs that every
	// ticketRenewal, when it learns that another stream wants the ticket. A request that
	// comes while the ticket is held tries every ticketRetry, or earlier by up to
	// ticketJitter of it. After ticketWait, in which a stream that can be reached
	// has learned it and ended, it takes the ticket; there must be time left to
	// open the stream within the request's.
	ticketLease   = 5 * time.Second
	ticketRenewal = 1500 * time.Millisecond
	ticketWait    = ticketRenewal + renewTimeout + ticketTenure
	ticketRetry   = 200 * time.Millisecond
	ticketJitter  = 0.25
	// renewTimeout and releaseTimeout bound one attempt.
	renewTimeout   = time.Second
	releaseTimeout = 2 * time.Second
	// parallelRenewals is how many claims are prolonged at a time, so that many
	// streams take few of the connections that everybody uses. A claim that has
	// to wait for its turn may outlast its lease, which by itself loses nothing.
	parallelRenewals = 2

	ticketJanitorEvery = time.Minute
	ticketJanitorChunk = 5000
)

// TicketOptions is what NewTickets needs; zero durations mean the defaults.
type TicketOptions struct {
	Tickets domain.TicketRepository
	// Lifetime is that of tickets of callers without a token: those of open mode, and
	// at most that of tickets of callers with an API key.
	Lifetime time.Duration
	// Lease is how long a stream holds its ticket, Renewal after which time
	// that is prolonged, Wait how long Redeem waits for a ticket that another
	// stream holds, and Tenure how long that keeps it in any case.
	Lease, Renewal, Wait, Tenure time.Duration
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	Log *slog.Logger
}

// Tickets issues the tickets with which browsers open streams, because their
// EventSource cannot send headers, and sees to it that each is used by one
// stream at a time. A ticket is a secret: the database has only its hash. Its
// methods are safe for concurrent use.
//
// While a stream is open it holds its ticket by a lease. A client that comes back
// and says where it was gets the ticket, whatever became of its stream:
// EventSource comes back by itself after a lost connection, but never after a
// refusal, and a server may learn late or never that a network fell silent.
//
//	held --another wants it, after Tenure--> released --> held by the other
//	  |                                                     ^
//	  '-- replica killed, frozen or cut off: after Wait ----'
//
// So two streams have one ticket only in the last case, until the old one's
// replica reaches the database again, without which it has nothing to send.
type Tickets struct {
	options   TicketOptions
	handovers *handovers
	renewals  chan struct{} // has a token for each renewal that runs
}

// NewTickets returns Tickets.
func NewTickets(o TicketOptions) *Tickets {
	o.Lifetime = cmp.Or(o.Lifetime, ticketLifetime)
	o.Lease = cmp.Or(o.Lease, ticketLease)
	o.Renewal = cmp.Or(o.Renewal, ticketRenewal)
	o.Wait = cmp.Or(o.Wait, ticketWait)
	o.Tenure = cmp.Or(o.Tenure, ticketTenure)
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Tickets{options: o, handovers: newHandovers(), renewals: make(chan struct{}, parallelRenewals)}
}

// Issue returns a ticket for p's streams of the tenant, and until when it may
// be used: as long as the token that p came with, or where it came with an API key as
// long as a fresh token, and no longer than the key. Errors are ErrUnauthenticated when
// that has ended, and ErrUnavailable.
func (t *Tickets) Issue(ctx context.Context, p domain.Principal, tenantID uuid.UUID) (ticket string, expiresAt time.Time, err error) {
	lifetime := t.options.Lifetime
	if !p.ExpiresAt.IsZero() {
		left := p.ExpiresAt.Sub(t.options.Now())
		switch {
		case left <= 0 && p.ByKey():
			return "", time.Time{}, domain.New(domain.ErrUnauthenticated, "key_invalid", "The API key is not valid.")
		case left <= 0:
			return "", time.Time{}, domain.New(domain.ErrUnauthenticated, "token_expired", "The token has expired; log in again.")
		case p.ByKey(): // which may be valid for years, and a ticket stands in URLs
			lifetime = min(lifetime, left)
		default:
			lifetime = left
		}
	}
	secret := make([]byte, ticketBytes)
	_, _ = rand.Read(secret) // never fails, see its documentation
	ticket = base64.RawURLEncoding.EncodeToString(secret)
	stored, err := t.options.Tickets.InsertTicket(ctx, domain.Ticket{Hash: ticketHash(ticket), TenantID: tenantID, Holder: p}, ticketFirstUse, lifetime)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("insert ticket: %w", err)
	}
	return ticket, stored.ExpiresAt, nil
}

// Redeem takes a ticket for one stream; resume means that its client says where
// it was. Of the holder it knows the identity, not what it may do now. TenantID
// is what the client says the ticket is for, or zero. The caller that got a
// ticket must call Keep while the stream is open and Release at its end, with the
// claim, or Return when none was opened.
//
// While another stream is open with the ticket it asks that to end and waits for
// it, until ctx ends, and then takes the ticket; only where resume is false, and
// the other request has not opened its stream yet, it waits in vain. Errors are
// ErrConflict for that, and for a request that another one of this process
// waits after; ErrUnauthenticated for a ticket that is unknown, expired, or used
// and not resumed; ErrNotFound for one of another tenant; ErrUnavailable.
func (t *Tickets) Redeem(ctx context.Context, ticket string, tenantID uuid.UUID, resume bool) (domain.Ticket, uuid.UUID, error) {
	if len(ticket) != ticketLength {
		return domain.Ticket{}, uuid.Nil, ticketInvalid()
	}
	hash := ticketHash(ticket)
	if tenantID != uuid.Nil {
		// First, so that a mistake does not use the ticket up.
		found, err := t.options.Tickets.FindTicket(ctx, hash)
		if err != nil {
			return domain.Ticket{}, uuid.Nil, redeemError(err)
		}
		if found.TenantID != tenantID {
			return domain.Ticket{}, uuid.Nil, domain.TenantNotFound()
		}
	}
	claim, err := uuid.NewRandom()
	if err != nil {
		return domain.Ticket{}, uuid.Nil, fmt.Errorf("make claim: %w", err)
	}
	claimed, err := t.claim(ctx, hash, claim, resume)
	if err != nil {
		return domain.Ticket{}, uuid.Nil, redeemError(err)
	}
	return claimed, claim, nil
}

// claim tries until the ticket is free, or to be taken.
func (t *Tickets) claim(ctx context.Context, hash []byte, claim uuid.UUID, resume bool) (domain.Ticket, error) {
	use := domain.TicketFirst
	if resume {
		use = domain.TicketResumed
	}
	claimed, err := t.options.Tickets.ClaimTicket(ctx, hash, claim, use, t.options.Lease)
	if !errors.Is(err, domain.ErrConflict) {
		return claimed, err
	}
	superseded, done := t.handovers.wait(hash)
	defer done()
	waited := time.NewTimer(t.options.Wait)
	defer waited.Stop()
	t.handovers.recheck(hash)
	for last := false; !last && errors.Is(err, domain.ErrConflict); {
		select {
		case <-time.After(backoff.Jitter(min(ticketRetry, t.options.Wait), ticketJitter)):
		case <-waited.C:
			if last = true; resume {
				use = domain.TicketTakeover
			}
		case <-superseded:
			return domain.Ticket{}, err
		case <-ctx.Done():
			return domain.Ticket{}, err
		}
		claimed, err = t.options.Tickets.ClaimTicket(ctx, hash, claim, use, t.options.Lease)
	}
	return claimed, err
}

// Keep prolongs a claim until ctx ends, and then returns nil; else it returns
// an ErrConflict once another stream has the ticket or wants it, or it has
// expired.
//
// While the database is away the stream keeps its ticket, also past the end of
// the lease: no other could claim it meanwhile, and a stream that ended could not
// be opened again. When the database is back it turns out whether a client that
// reached it earlier has the ticket now.
func (t *Tickets) Keep(ctx context.Context, ticket domain.Ticket, claim uuid.UUID) error {
	begun := time.Now()
	check, done := t.handovers.hold(ticket.Hash)
	defer done()
	tick := time.NewTicker(t.options.Renewal)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-check:
		case <-ctx.Done():
			return nil
		}
		wanted, err := t.renew(ctx, ticket.Hash, claim)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, domain.ErrNotFound):
			return domain.Wrap(err, domain.ErrConflict, "ticket_lost", "The ticket has expired, or another stream has taken it over.")
		case err != nil:
			t.options.Log.DebugContext(ctx, "claim on ticket not renewed, trying again", slog.Any("error", err))
		case wanted:
			if backoff.Sleep(ctx, t.options.Tenure-time.Since(begun)) != nil {
				return nil
			}
			return domain.New(domain.ErrConflict, "ticket_taken_over", "Another stream takes the ticket over.")
		}
	}
}

func (t *Tickets) renew(ctx context.Context, hash []byte, claim uuid.UUID) (wanted bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	select {
	case t.renewals <- struct{}{}:
	case <-ctx.Done():
		return false, fmt.Errorf("wait for other renewals: %w", ctx.Err())
	}
	defer func() { <-t.renewals }()
	return t.options.Tickets.RenewTicket(ctx, hash, claim, t.options.Lease)
}

// Release ends a claim, so that the ticket can be used again at once. When the
// database is away the lease ends by itself.
func (t *Tickets) Release(ctx context.Context, ticket domain.Ticket, claim uuid.UUID) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	if err := t.options.Tickets.ReleaseTicket(ctx, ticket.Hash, claim); err != nil {
		t.options.Log.DebugContext(ctx, "ticket not released, its lease will end", slog.Any("error", err))
	}
}

// Return ends a claim with which no stream was opened: the ticket can be used as
// if it had not been taken. When the database is away it is used up.
func (t *Tickets) Return(ctx context.Context, ticket domain.Ticket, claim uuid.UUID) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	if err := t.options.Tickets.ReturnTicket(ctx, ticket, claim); err != nil {
		t.options.Log.DebugContext(ctx, "ticket not returned, it counts as used", slog.Any("error", err))
	}
}

// RunJanitor deletes tickets that cannot be used any more, in chunks, until ctx
// ends. Any number of replicas may run one.
func (t *Tickets) RunJanitor(ctx context.Context) {
	janitor.Run(ctx, ticketJanitorEvery, t.deleteExpired)
}

func (t *Tickets) deleteExpired(ctx context.Context) {
	if err := janitor.Sweep(ctx, ticketJanitorChunk, t.options.Tickets.DeleteExpiredTickets); err != nil {
		t.options.Log.DebugContext(ctx, "expired tickets not deleted, trying again later", slog.Any("error", err))
	}
}

// ticketHash is over the text, so that a ticket has one spelling.
func ticketHash(ticket string) []byte {
	hash := sha256.Sum256([]byte(ticket))
	return hash[:]
}

// redeemError returns what callers of Redeem see: whether they must not use the
// ticket, or may try again.
func redeemError(err error) error {
	switch {
	case errors.Is(err, domain.ErrNotFound):
		return ticketInvalid()
	case errors.Is(err, domain.ErrConflict):
		return domain.Wrap(err, domain.ErrConflict, "ticket_in_use", "Another stream is open with this ticket; a ticket is for one at a time.")
	}
	return fmt.Errorf("redeem ticket: %w", err)
}

func ticketInvalid() error {
	return domain.New(domain.ErrUnauthenticated, "ticket_invalid", "The ticket is unknown, has expired, or was used before; used ones can only be resumed, with Last-Event-ID.")
}

package stream

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

func TestTicketsAreSecrets(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	seen := map[string]bool{}
	for range 20 {
		ticket := o.issue(t)
		require.Regexp(t, `^[A-Za-z0-9_-]{43}$`, ticket)
		require.False(t, seen[ticket])
		seen[ticket] = true
	}
	conn, err := pgx.Connect(t.Context(), o.url)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(context.WithoutCancel(t.Context()))) }()
	for ticket := range seen {
		var kept, told int
		require.NoError(t, conn.QueryRow(t.Context(),
			`SELECT count(*) FILTER (WHERE hash = sha256($1::bytea)), count(*) FILTER (WHERE strpos(t::text, $2) > 0) FROM stream_tickets t`,
			[]byte(ticket), ticket).Scan(&kept, &told))
		require.Equal(t, 1, kept)
		require.Zero(t, told)
	}
}

func TestTicketsEndWithTheToken(t *testing.T) {
	t.Parallel()
	o := newOffice(t, func(o *TicketOptions) { o.Lifetime = 2 * time.Hour })
	p := holder()
	_, expires, err := o.Issue(t.Context(), p, ticketTenant)
	require.NoError(t, err)
	require.WithinDuration(t, p.ExpiresAt, expires, time.Minute)

	_, expires, err = o.Issue(t.Context(), domain.Principal{Role: domain.RoleAdmin}, ticketTenant)
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(2*time.Hour), expires, time.Minute)

	p.ExpiresAt = time.Now().Add(-time.Second) // within the leeway of tokens
	_, _, err = o.Issue(t.Context(), p, ticketTenant)
	require.ErrorIs(t, err, domain.ErrUnauthenticated)
}

func TestRedeem(t *testing.T) {
	t.Parallel()
	o := newOffice(t, short(200*time.Millisecond))
	other := openOffice(t, o.url, short(200*time.Millisecond)) // any replica takes it
	ticket := o.issue(t)
	got, claim, err := other.Redeem(t.Context(), ticket, uuid.Nil, false)
	require.NoError(t, err)
	require.Equal(t, ticketTenant, got.TenantID)
	want := holder()
	require.WithinDuration(t, want.ExpiresAt, got.Holder.ExpiresAt, time.Minute)
	got.Holder.ExpiresAt = want.ExpiresAt
	want.Role, want.TenantID = "", uuid.Nil // are looked up when it is used
	require.Equal(t, want, got.Holder)

	o.refused(t, ticket, false, domain.ErrUnauthenticated, "ticket_invalid") // used twice
	other.Release(t.Context(), got, claim)
	o.refused(t, ticket, false, domain.ErrUnauthenticated, "ticket_invalid")
	got, claim, err = o.Redeem(t.Context(), ticket, uuid.Nil, true)
	require.NoError(t, err, "released, and resumed")
	o.Release(t.Context(), got, claim)
	o.exec(t, `UPDATE stream_tickets SET usable_until = now(), expires_at = now()`)
	o.refused(t, ticket, true, domain.ErrUnauthenticated, "ticket_invalid") // expired

	unused := o.issue(t)
	o.exec(t, `UPDATE stream_tickets SET usable_until = usable_until - interval '30 seconds'`)
	o.refused(t, unused, false, domain.ErrUnauthenticated, "ticket_invalid") // too late

	before := o.repo.claims.Load()
	for _, made := range []string{"", "x", ticket + "x", ticket[:42], strings.Repeat("x", 1<<20)} {
		_, _, err := o.Redeem(t.Context(), made, uuid.Nil, true)
		require.Equal(t, "ticket_invalid", domain.CodeOf(err))
	}
	require.Equal(t, before, o.repo.claims.Load(), "the database is not asked for what cannot be one")
	o.refused(t, strings.Repeat("x", 43), true, domain.ErrUnauthenticated, "ticket_invalid")
	// The last letter of a ticket has bits that base64 does not look at.
	fresh := o.issue(t)
	for _, last := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" {
		if spelling := fresh[:42] + string(last); spelling != fresh {
			o.refused(t, spelling, false, domain.ErrUnauthenticated, "ticket_invalid")
		}
	}
}

func TestRedeemForAnotherTenant(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	ticket := o.issue(t)
	for range 2 {
		_, _, err := o.Redeem(t.Context(), ticket, ticketUser, false)
		require.ErrorIs(t, err, domain.ErrNotFound)
		require.Equal(t, "tenant_not_found", domain.CodeOf(err))
	}
	_, _, err := o.Redeem(t.Context(), strings.Repeat("x", 43), ticketTenant, false)
	require.Equal(t, "ticket_invalid", domain.CodeOf(err))
	_, _, err = o.Redeem(t.Context(), ticket, ticketTenant, false)
	require.NoError(t, err, "mistakes do not use it up")
}

// EventSource never comes back after a refusal, so who comes right after a
// replica was killed must wait and get the ticket.
func TestRedeemWaitsForTheLeaseOfTheDead(t *testing.T) {
	t.Parallel()
	const lease = time.Second
	o := newOffice(t, short(lease))
	text := o.issue(t)
	begun := time.Now()
	_, _, err := o.Redeem(t.Context(), text, uuid.Nil, false)
	require.NoError(t, err)
	_, _, err = openOffice(t, o.url, short(lease), func(o *TicketOptions) { o.Wait = ticketPatience }).Redeem(t.Context(), text, uuid.Nil, true)
	require.NoError(t, err)
	require.GreaterOrEqual(t, time.Since(begun), lease)
}

func TestRedeemEndsWithItsContext(t *testing.T) {
	t.Parallel()
	o := newOffice(t, func(o *TicketOptions) { o.Lease, o.Wait = time.Hour, time.Hour })
	text := o.issue(t)
	_, _, err := o.Redeem(t.Context(), text, uuid.Nil, false)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	before := o.repo.claims.Load()
	go func() {
		_, _, err := o.Redeem(ctx, text, uuid.Nil, true)
		done <- err
	}()
	require.Eventually(t, func() bool { return o.repo.claims.Load() > before }, ticketPatience, time.Millisecond)
	cancel()
	select {
	case err := <-done:
		require.Error(t, err)
	case <-time.After(ticketPatience):
		require.Fail(t, "it waits on")
	}
	require.Empty(t, o.handovers.waiters)
}

func TestLostTicket(t *testing.T) {
	t.Parallel()
	for name, loss := range map[string]string{
		"taken over": `UPDATE stream_tickets SET claim = gen_random_uuid()`,
		"expired":    `UPDATE stream_tickets SET expires_at = now(), usable_until = now()`,
		"deleted":    `DELETE FROM stream_tickets`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t, short(100*time.Millisecond))
			ticket, claim, err := o.Redeem(t.Context(), o.issue(t), uuid.Nil, false)
			require.NoError(t, err)
			kept := make(chan error, 1)
			go func() { kept <- o.Keep(t.Context(), ticket, claim) }()
			require.Eventually(t, func() bool { return o.repo.renewals.Load() > 2 }, ticketPatience, time.Millisecond)
			require.Empty(t, kept)
			o.exec(t, loss)
			select {
			case err := <-kept:
				require.ErrorIs(t, err, domain.ErrConflict)
				require.Equal(t, "ticket_lost", domain.CodeOf(err))
			case <-time.After(ticketPatience):
				require.Fail(t, "the loss was not noticed")
			}
		})
	}
}

// An outage ends no stream; afterwards it shows who has the ticket.
func TestTicketsWhileTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	for _, takenOver := range []bool{false, true} {
		o := newOffice(t, short(100*time.Millisecond))
		other := openOffice(t, o.url, short(100*time.Millisecond), func(o *TicketOptions) { o.Wait = ticketPatience })
		text := o.issue(t)
		ticket, claim, err := o.Redeem(t.Context(), text, uuid.Nil, false)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		kept := make(chan error, 1)
		go func() { kept <- o.Keep(ctx, ticket, claim) }()

		o.repo.away.Store(true)
		o.refused(t, text, true, domain.ErrUnavailable, "database_unavailable")
		begun := o.repo.renewals.Load()
		more := func(n int64) func() bool { return func() bool { return o.repo.renewals.Load() > begun+n } }
		require.Eventually(t, more(10), ticketPatience, time.Millisecond) // longer than the lease
		require.Empty(t, kept)
		if takenOver {
			_, _, err := other.Redeem(t.Context(), text, uuid.Nil, true)
			require.NoError(t, err)
		}
		o.repo.away.Store(false)
		if takenOver {
			require.ErrorIs(t, <-kept, domain.ErrConflict)
		} else {
			begun = o.repo.renewals.Load()
			require.Eventually(t, more(3), ticketPatience, time.Millisecond)
			require.Empty(t, kept)
			cancel()
			require.NoError(t, <-kept)
		}
		cancel()
		o.repo.away.Store(true)
		o.Release(t.Context(), ticket, claim) // logs, and the lease ends by itself
	}
}

func TestReleaseDoesNotNeedItsContext(t *testing.T) {
	t.Parallel()
	o := newOffice(t, func(o *TicketOptions) { o.Lease, o.Wait = time.Hour, time.Millisecond })
	text := o.issue(t)
	ticket, claim, err := o.Redeem(t.Context(), text, uuid.Nil, false)
	require.NoError(t, err)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	o.Release(gone, ticket, claim)
	_, _, err = o.Redeem(t.Context(), text, uuid.Nil, true)
	require.NoError(t, err)
}

func TestTicketJanitor(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.issue(t)
	o.exec(t, `INSERT INTO stream_tickets (hash, tenant_id, token_version, expires_at, usable_until)
		SELECT sha256(n::text::bytea), gen_random_uuid(), 0, now(), now() FROM generate_series(1, $1::int) AS n`, 2*ticketJanitorChunk+1)
	o.repo.away.Store(true)
	o.deleteExpired(t.Context())
	o.repo.away.Store(false)
	o.deleteExpired(t.Context())
	conn, err := pgx.Connect(t.Context(), o.url)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(context.WithoutCancel(t.Context()))) }()
	var left int
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT count(*) FROM stream_tickets`).Scan(&left))
	require.Equal(t, 1, left)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o.RunJanitor(ctx) // ends
}

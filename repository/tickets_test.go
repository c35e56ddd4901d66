package repository

import (
	"crypto/rand"
	"crypto/sha256"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

const (
	firstUse = 30 * time.Second
	lifetime = time.Hour
	lease    = 5 * time.Second
)

// newTicket stores a ticket.
func (d *database) newTicket(t testing.TB, change ...func(*domain.Ticket)) domain.Ticket {
	t.Helper()
	secret := make([]byte, 32)
	_, _ = rand.Read(secret)
	hash := sha256.Sum256(secret)
	ticket := domain.Ticket{
		Hash: hash[:], TenantID: newID(t),
		Holder: domain.Principal{UserID: newID(t), TokenVersion: 3, ExpiresAt: time.Now().Add(lifetime).UTC().Truncate(time.Second)},
	}
	for _, c := range change {
		c(&ticket)
	}
	stored, err := d.store.InsertTicket(t.Context(), ticket, firstUse, lifetime)
	require.NoError(t, err)
	want := ticket
	want.FirstUseBy, want.ExpiresAt = stored.FirstUseBy, stored.ExpiresAt
	require.Equal(t, want, stored)
	return stored
}

// pass lets time pass for tickets.
func (d *database) pass(t testing.TB, by time.Duration) {
	t.Helper()
	_, err := d.owner.Exec(t.Context(),
		`UPDATE stream_tickets SET expires_at = expires_at - $1::interval, usable_until = usable_until - $1::interval, claimed_until = claimed_until - $1::interval`, by)
	require.NoError(t, err)
}

func TestTicketIsKept(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	other := d.open(t, Options{})
	ticket := d.newTicket(t)
	require.Equal(t, lifetime-firstUse, ticket.ExpiresAt.Sub(ticket.FirstUseBy))
	require.WithinDuration(t, time.Now().Add(lifetime), ticket.ExpiresAt, time.Minute)
	found, err := other.FindTicket(t.Context(), ticket.Hash)
	require.NoError(t, err)
	require.Equal(t, ticket, found)

	claimed, err := other.ClaimTicket(t.Context(), ticket.Hash, newID(t), domain.TicketFirst, lease)
	require.NoError(t, err)
	require.Equal(t, ticket, claimed, "as it was before")
	used := ticket
	used.FirstUseBy, used.Used = ticket.ExpiresAt, true
	found, err = other.FindTicket(t.Context(), ticket.Hash)
	require.NoError(t, err)
	require.Equal(t, used, found)

	// The built-in admin has neither an id nor an end.
	open := d.newTicket(t, func(t *domain.Ticket) { t.Holder = domain.Principal{} })
	found, err = other.FindTicket(t.Context(), open.Hash)
	require.NoError(t, err)
	require.Equal(t, domain.Principal{}, found.Holder)

	// There is no more time for the first use than for all.
	short, err := d.store.InsertTicket(t.Context(), domain.Ticket{Hash: []byte("short"), TenantID: newID(t)}, firstUse, time.Second)
	require.NoError(t, err)
	require.Equal(t, short.ExpiresAt, short.FirstUseBy)
}

func TestClaimTicket(t *testing.T) {
	t.Parallel()
	const first, again = domain.TicketFirst, domain.TicketResumed
	for name, tc := range map[string]struct {
		before func(t *testing.T, d *database, hash []byte)
		use    domain.TicketUse
		err    error
	}{
		"first":                 {func(*testing.T, *database, []byte) {}, first, nil},
		"first, resuming":       {func(*testing.T, *database, []byte) {}, again, nil},
		"first, just in time":   {func(t *testing.T, d *database, _ []byte) { t.Helper(); d.pass(t, firstUse-5*time.Second) }, first, nil},
		"first, late":           {func(t *testing.T, d *database, _ []byte) { t.Helper(); d.pass(t, firstUse) }, first, domain.ErrNotFound},
		"first, late, resuming": {func(t *testing.T, d *database, _ []byte) { t.Helper(); d.pass(t, firstUse) }, again, domain.ErrNotFound},
		"again, not resuming":   {func(t *testing.T, d *database, hash []byte) { t.Helper(); d.use(t, hash, true) }, first, domain.ErrNotFound},
		"again, late for a first": {func(t *testing.T, d *database, hash []byte) {
			t.Helper()
			d.use(t, hash, true)
			d.pass(t, time.Minute)
		}, again, nil},
		"again, expired": {func(t *testing.T, d *database, hash []byte) {
			t.Helper()
			d.use(t, hash, true)
			d.pass(t, lifetime)
		}, again, domain.ErrNotFound},
		"claimed":               {func(t *testing.T, d *database, hash []byte) { t.Helper(); d.use(t, hash, false) }, again, domain.ErrConflict},
		"claimed, not resuming": {func(t *testing.T, d *database, hash []byte) { t.Helper(); d.use(t, hash, false) }, first, domain.ErrNotFound},
		"claimed, lease ended": {func(t *testing.T, d *database, hash []byte) {
			t.Helper()
			d.use(t, hash, false)
			d.pass(t, lease)
		}, again, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			ticket := d.newTicket(t)
			tc.before(t, d, ticket.Hash)
			claim := newID(t)
			got, err := d.store.ClaimTicket(t.Context(), ticket.Hash, claim, tc.use, lease)
			if tc.err != nil {
				require.ErrorIs(t, err, tc.err)
				require.ErrorIs(t, d.renew(t, ticket.Hash, claim), domain.ErrNotFound)
				return
			}
			require.NoError(t, err)
			require.Equal(t, ticket.Holder, got.Holder)
			require.NoError(t, d.renew(t, ticket.Hash, claim))
		})
	}
}

// use opens a stream with a ticket, and ends it or not.
func (d *database) use(t testing.TB, hash []byte, release bool) uuid.UUID {
	t.Helper()
	claim := newID(t)
	_, err := d.store.ClaimTicket(t.Context(), hash, claim, domain.TicketResumed, lease)
	require.NoError(t, err)
	if release {
		require.NoError(t, d.store.ReleaseTicket(t.Context(), hash, claim))
	}
	return claim
}

// renew prolongs a claim by a lease.
func (d *database) renew(t testing.TB, hash []byte, claim uuid.UUID) error {
	t.Helper()
	_, err := d.store.RenewTicket(t.Context(), hash, claim, lease)
	return err
}

// Who comes back asks for the ticket; who has it learns that when it prolongs
// its claim, and whoever gets it then was not asked.
func TestAskingForTickets(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	ticket, other := d.newTicket(t), d.newTicket(t)
	wanted := func(hash []byte, claim uuid.UUID) bool {
		t.Helper()
		wanted, err := d.store.RenewTicket(t.Context(), hash, claim, lease)
		require.NoError(t, err)
		return wanted
	}
	ask := func(use domain.TicketUse, kind domain.Kind) {
		t.Helper()
		_, err := d.store.ClaimTicket(t.Context(), ticket.Hash, newID(t), use, lease)
		require.ErrorIs(t, err, kind)
	}
	mine, others := d.use(t, ticket.Hash, false), d.use(t, other.Hash, false)
	ask(domain.TicketFirst, domain.ErrNotFound)
	require.False(t, wanted(ticket.Hash, mine), "not by one who does not know where it was")
	for range 2 {
		ask(domain.TicketResumed, domain.ErrConflict)
		require.True(t, wanted(ticket.Hash, mine))
		require.False(t, wanted(other.Hash, others))
	}
	require.NoError(t, d.store.ReleaseTicket(t.Context(), ticket.Hash, mine))
	theirs := d.use(t, ticket.Hash, false)
	require.False(t, wanted(ticket.Hash, theirs))

	// Nobody has to be asked for the takeover.
	claim := newID(t)
	_, err := d.store.ClaimTicket(t.Context(), ticket.Hash, claim, domain.TicketTakeover, lease)
	require.NoError(t, err)
	require.ErrorIs(t, d.renew(t, ticket.Hash, theirs), domain.ErrNotFound)
	require.NoError(t, d.store.ReleaseTicket(t.Context(), ticket.Hash, theirs))
	require.False(t, wanted(ticket.Hash, claim), "it stays who has it")
	d.pass(t, lifetime)
	ask(domain.TicketTakeover, domain.ErrNotFound)
}

func TestClaimsOnTickets(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	ticket, other := d.newTicket(t), d.newTicket(t)
	mine := d.use(t, ticket.Hash, false)
	d.pass(t, lease-time.Second)
	require.NoError(t, d.renew(t, ticket.Hash, mine))
	d.pass(t, lease-time.Second)
	_, err := d.store.ClaimTicket(t.Context(), ticket.Hash, newID(t), domain.TicketResumed, lease)
	require.ErrorIs(t, err, domain.ErrConflict, "it was prolonged")

	// Nobody but its owner prolongs or ends a claim.
	stranger := newID(t)
	require.ErrorIs(t, d.renew(t, ticket.Hash, stranger), domain.ErrNotFound)
	require.ErrorIs(t, d.renew(t, other.Hash, mine), domain.ErrNotFound)
	require.NoError(t, d.store.ReleaseTicket(t.Context(), ticket.Hash, stranger))
	require.NoError(t, d.store.ReleaseTicket(t.Context(), []byte("unknown"), stranger))
	_, err = d.store.ClaimTicket(t.Context(), ticket.Hash, stranger, domain.TicketResumed, lease)
	require.ErrorIs(t, err, domain.ErrConflict)

	// Who was away for long goes on, unless somebody else has come.
	d.pass(t, 2*lease)
	require.NoError(t, d.renew(t, ticket.Hash, mine))
	d.pass(t, 2*lease)
	theirs := d.use(t, ticket.Hash, false)
	require.ErrorIs(t, d.renew(t, ticket.Hash, mine), domain.ErrNotFound)
	require.NoError(t, d.store.ReleaseTicket(t.Context(), ticket.Hash, mine))
	require.NoError(t, d.renew(t, ticket.Hash, theirs))

	d.pass(t, lifetime)
	require.ErrorIs(t, d.renew(t, ticket.Hash, theirs), domain.ErrNotFound, "a claim ends with the ticket")
}

// A claim with which no stream was opened leaves the ticket as it was, and
// never takes it from somebody else.
func TestReturnTicket(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	ticket := d.newTicket(t)
	claim := func(use domain.TicketUse) (domain.Ticket, uuid.UUID) {
		t.Helper()
		claim := newID(t)
		claimed, err := d.store.ClaimTicket(t.Context(), ticket.Hash, claim, use, lease)
		require.NoError(t, err)
		return claimed, claim
	}
	for _, use := range []domain.TicketUse{domain.TicketFirst, domain.TicketResumed, domain.TicketFirst} {
		claimed, mine := claim(use)
		_, err := d.store.ClaimTicket(t.Context(), ticket.Hash, newID(t), domain.TicketResumed, lease)
		require.ErrorIs(t, err, domain.ErrConflict, "one at a time")
		require.NoError(t, d.store.ReturnTicket(t.Context(), claimed, mine))
		found, err := d.store.FindTicket(t.Context(), ticket.Hash)
		require.NoError(t, err)
		require.Equal(t, ticket, found)
	}

	// Somebody has it now: it is theirs, and stays used.
	claimed, late := claim(domain.TicketFirst)
	d.pass(t, lease)
	theirs := d.use(t, ticket.Hash, false)
	require.NoError(t, d.store.ReturnTicket(t.Context(), claimed, late))
	require.NoError(t, d.renew(t, ticket.Hash, theirs))
	require.NoError(t, d.store.ReleaseTicket(t.Context(), ticket.Hash, theirs))
	require.NoError(t, d.store.ReturnTicket(t.Context(), claimed, late))
	_, err := d.store.ClaimTicket(t.Context(), ticket.Hash, newID(t), domain.TicketFirst, lease)
	require.ErrorIs(t, err, domain.ErrNotFound)

	// One that was used before stays so.
	claimed, again := claim(domain.TicketResumed)
	require.True(t, claimed.Used)
	require.NoError(t, d.store.ReturnTicket(t.Context(), claimed, again))
	_, err = d.store.ClaimTicket(t.Context(), ticket.Hash, newID(t), domain.TicketFirst, lease)
	require.ErrorIs(t, err, domain.ErrNotFound)
	_, _ = claim(domain.TicketResumed)

	// It is not given more time.
	ticket = d.newTicket(t)
	claimed, late = claim(domain.TicketFirst)
	require.NoError(t, d.store.ReturnTicket(t.Context(), claimed, late))
	d.pass(t, firstUse)
	_, err = d.store.ClaimTicket(t.Context(), ticket.Hash, newID(t), domain.TicketResumed, lease)
	require.ErrorIs(t, err, domain.ErrNotFound)
}

// Of many that come at once with one ticket, one gets it.
func TestClaimTicketConcurrently(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	other := d.open(t, Options{})
	for _, use := range []domain.TicketUse{domain.TicketFirst, domain.TicketResumed} {
		ticket := d.newTicket(t)
		errs := make(chan error, 16)
		var wg sync.WaitGroup
		for i := range cap(errs) {
			store := []*Store{d.store, other}[i%2]
			wg.Go(func() {
				_, err := store.ClaimTicket(t.Context(), ticket.Hash, uuid.New(), use, lease)
				errs <- err
			})
		}
		wg.Wait()
		close(errs)
		won := 0
		for err := range errs {
			switch {
			case err == nil:
				won++
			case use == domain.TicketResumed:
				require.ErrorIs(t, err, domain.ErrConflict)
			default:
				require.ErrorIs(t, err, domain.ErrNotFound)
			}
		}
		require.Equal(t, 1, won)
	}
}

func TestDeleteExpiredTickets(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	unused, used := d.newTicket(t), d.newTicket(t)
	d.use(t, used.Hash, true)
	n, err := d.store.DeleteExpiredTickets(t.Context(), 10)
	require.NoError(t, err)
	require.Zero(t, n)

	d.pass(t, firstUse)
	n, err = d.store.DeleteExpiredTickets(t.Context(), 10)
	require.NoError(t, err)
	require.Equal(t, 1, n, "nobody can use it any more")
	_, err = d.store.FindTicket(t.Context(), unused.Hash)
	require.ErrorIs(t, err, domain.ErrNotFound)
	_, err = d.store.FindTicket(t.Context(), used.Hash)
	require.NoError(t, err)

	for range 4 {
		d.newTicket(t)
	}
	d.pass(t, lifetime)
	for _, want := range []int{3, 2, 0} {
		n, err = d.store.DeleteExpiredTickets(t.Context(), 3)
		require.NoError(t, err)
		require.Equal(t, want, n)
	}
}

func TestTicketsWithoutADatabase(t *testing.T) {
	t.Parallel()
	store, err := Open(t.Context(), Options{URL: "postgres://nobody@127.0.0.1:1/nothing"})
	require.NoError(t, err)
	t.Cleanup(store.Close)
	_, err = store.InsertTicket(t.Context(), domain.Ticket{}, firstUse, lifetime)
	require.ErrorIs(t, err, domain.ErrUnavailable)
	_, err = store.FindTicket(t.Context(), nil)
	require.ErrorIs(t, err, domain.ErrUnavailable)
	_, err = store.ClaimTicket(t.Context(), nil, uuid.Nil, domain.TicketResumed, lease)
	require.ErrorIs(t, err, domain.ErrUnavailable)
	_, err = store.RenewTicket(t.Context(), nil, uuid.Nil, lease)
	require.ErrorIs(t, err, domain.ErrUnavailable)
	require.ErrorIs(t, store.ReleaseTicket(t.Context(), nil, uuid.Nil), domain.ErrUnavailable)
	_, err = store.DeleteExpiredTickets(t.Context(), 1)
	require.ErrorIs(t, err, domain.ErrUnavailable)
}

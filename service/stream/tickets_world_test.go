package stream

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/repository"
)

// ticketPatience is how long a test waits for what should happen at once.
const ticketPatience = 15 * time.Second

// office is a replica's Tickets on a database that can be taken away.
type office struct {
	*Tickets

	url  string
	repo *ticketRepository
}

// ticketRepository is a store that can be out of reach.
type ticketRepository struct {
	domain.TicketRepository

	away     atomic.Bool
	renewals atomic.Int64
	claims   atomic.Int64
}

func (r *ticketRepository) unreachable() error {
	if r.away.Load() {
		return domain.New(domain.ErrUnavailable, "database_unavailable", "Away.")
	}
	return nil
}

func (r *ticketRepository) ClaimTicket(ctx context.Context, hash []byte, claim uuid.UUID, use domain.TicketUse, lease time.Duration) (domain.Ticket, error) {
	r.claims.Add(1)
	if err := r.unreachable(); err != nil {
		return domain.Ticket{}, err
	}
	return r.TicketRepository.ClaimTicket(ctx, hash, claim, use, lease)
}

func (r *ticketRepository) RenewTicket(ctx context.Context, hash []byte, claim uuid.UUID, lease time.Duration) (bool, error) {
	r.renewals.Add(1)
	if err := r.unreachable(); err != nil {
		return false, err
	}
	return r.TicketRepository.RenewTicket(ctx, hash, claim, lease)
}

func (r *ticketRepository) ReleaseTicket(ctx context.Context, hash []byte, claim uuid.UUID) error {
	if err := r.unreachable(); err != nil {
		return err
	}
	return r.TicketRepository.ReleaseTicket(ctx, hash, claim)
}

func (r *ticketRepository) ReturnTicket(ctx context.Context, ticket domain.Ticket, claim uuid.UUID) error {
	if err := r.unreachable(); err != nil {
		return err
	}
	return r.TicketRepository.ReturnTicket(ctx, ticket, claim)
}

func (r *ticketRepository) DeleteExpiredTickets(ctx context.Context, limit int) (int, error) {
	if err := r.unreachable(); err != nil {
		return 0, err
	}
	return r.TicketRepository.DeleteExpiredTickets(ctx, limit)
}

// newOffice returns Tickets on a database of the test's own.
func newOffice(t *testing.T, change ...func(*TicketOptions)) *office {
	t.Helper()
	url := devtest.Postgres(t)
	require.NoError(t, repository.Migrate(t.Context(), url))
	return openOffice(t, url, change...)
}

func openOffice(t *testing.T, url string, change ...func(*TicketOptions)) *office {
	t.Helper()
	store, err := repository.Open(t.Context(), repository.Options{URL: url})
	require.NoError(t, err)
	t.Cleanup(store.Close)
	repo := &ticketRepository{TicketRepository: store}
	o := TicketOptions{Tickets: repo, Log: slog.New(slog.DiscardHandler)}
	for _, c := range change {
		c(&o)
	}
	return &office{NewTickets(o), url, repo}
}

// short makes leases that end soon.
func short(lease time.Duration) func(*TicketOptions) {
	return func(o *TicketOptions) { o.Lease, o.Renewal, o.Wait = lease, lease/4, lease }
}

// exec changes the database behind the back of everybody.
func (o *office) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), o.url)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(context.WithoutCancel(t.Context()))) }()
	_, err = conn.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

var (
	ticketTenant = uuid.MustParse("0197a3a2-7d2c-7c3e-8f7e-0242ac120002")
	ticketUser   = uuid.MustParse("0197a3a2-0000-7000-8000-000000000001")
)

func holder() domain.Principal {
	return domain.Principal{
		UserID: ticketUser, Role: domain.RoleMember, TenantID: ticketTenant, TokenVersion: 2,
		ExpiresAt: time.Now().Add(10 * time.Minute).UTC().Truncate(time.Second),
	}
}

func (o *office) issue(t *testing.T) string {
	t.Helper()
	ticket, _, err := o.Issue(t.Context(), holder(), ticketTenant)
	require.NoError(t, err)
	return ticket
}

// refused requires a ticket not to be taken.
func (o *office) refused(t *testing.T, ticket string, resume bool, kind domain.Kind, code string) {
	t.Helper()
	_, _, err := o.Redeem(t.Context(), ticket, uuid.Nil, resume)
	require.ErrorIs(t, err, kind)
	require.Equal(t, code, domain.CodeOf(err))
	require.NotContains(t, err.Error(), ticket)
}

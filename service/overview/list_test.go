package overview

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// Pages of any order have every tenant once, those that are equal too.
func TestPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	states := []domain.ConsumerState{domain.ConsumerRunning, domain.ConsumerFailed, domain.ConsumerReconnecting}
	for i := range 50 {
		w.add(func(s *domain.TenantSight) {
			s.Name, s.Backlog, s.Endpoints.Lag, s.DeadLetters = fmt.Sprint("Tenant ", i%7), int64(i%5)-1, int64(i%3), int64(i%11)
			s.Consumer, s.OldestAt, s.LastStoredAt = states[i%3], time.Now().Add(-time.Duration(i%4)*time.Second), time.Now().Add(-time.Duration(i%6)*time.Hour)
		})
	}
	s := New(w.options)
	for _, sort := range []domain.TenantSort{
		"", domain.SortCreated, domain.SortName, domain.SortState, domain.SortBacklog, domain.SortOldest, domain.SortRate, domain.SortStored, domain.SortLag, domain.SortDeadLetters,
	} {
		whole, err := s.Tenants(t.Context(), admin(), domain.OverviewQuery{Sort: sort, Limit: 1000})
		require.NoError(t, err)
		require.Equal(t, []any{50, 50, ""}, []any{len(whole.Tenants), whole.Total, whole.Next}, sort)
		var got []uuid.UUID
		q := domain.OverviewQuery{Sort: sort, Limit: 7}
		for pages := 1; ; pages++ {
			page, err := s.Tenants(t.Context(), admin(), q)
			require.NoError(t, err)
			got = append(got, idsOf(page)...)
			require.Equal(t, 50, page.Total)
			if q.Cursor = page.Next; q.Cursor == "" {
				require.Equal(t, 8, pages)
				break
			}
		}
		require.Equal(t, idsOf(whole), got, sort)
	}
	first := func(sort domain.TenantSort) domain.TenantOverview {
		t.Helper()
		page, err := s.Tenants(t.Context(), admin(), domain.OverviewQuery{Sort: sort, Limit: 1})
		require.NoError(t, err)
		return page.Tenants[0]
	}
	require.Equal(t, domain.StateFails, first(domain.SortState).State)
	require.EqualValues(t, 3, first(domain.SortBacklog).Backlog)
	require.EqualValues(t, 10, first(domain.SortDeadLetters).DeadLetters)
	require.Equal(t, "Tenant 0", first(domain.SortName).Name)
}

// A page goes on where the one before ended, also when the tenants have changed places
// meanwhile, or that one is gone.
func TestPagesGoOn(t *testing.T) {
	t.Parallel()
	at := time.Now()
	var tenants []*domain.TenantOverview
	for i := range 6 {
		tenants = append(tenants, &domain.TenantOverview{TenantSight: domain.TenantSight{Tenant: domain.Tenant{ID: uuid.Must(uuid.NewV7())}, Backlog: int64(60 - 10*i)}})
	}
	q := domain.OverviewQuery{Sort: domain.SortBacklog, Limit: 2}
	p, err := page(at, tenants, &q)
	require.NoError(t, err)
	require.Equal(t, []uuid.UUID{tenants[0].ID, tenants[1].ID}, idsOf(p))
	q.Cursor = p.Next
	later := append([]*domain.TenantOverview{tenants[0]}, tenants[2:]...)
	later[0].Backlog = 0
	p, err = page(at, later, &q)
	require.NoError(t, err)
	require.Equal(t, []uuid.UUID{tenants[2].ID, tenants[3].ID}, idsOf(p))

	for _, cursor := range []string{"x", "MQ", "e30", tenants[0].ID.String(), "0"} {
		_, err := page(at, tenants, &domain.OverviewQuery{Sort: domain.SortBacklog, Cursor: cursor, Limit: 2})
		require.ErrorIs(t, err, domain.ErrMalformed, cursor)
	}
	_, err = page(at, tenants, &domain.OverviewQuery{Cursor: q.Cursor, Limit: 2})
	require.ErrorIs(t, err, domain.ErrMalformed, "it is of another sort")
}

func TestFilters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := w.add(func(s *domain.TenantSight) { s.Name, s.ExternalID = "ACME Größe", "customer-1" })
	other := w.add(func(s *domain.TenantSight) { s.Name, s.Replica, s.Consumer = "other", "b", domain.ConsumerFailed })
	w.sight.Replicas = []domain.ReplicaSight{{Name: "a", SeenAt: time.Now()}, {Name: "b", SeenAt: time.Now()}, {Name: "c"}}
	s := New(w.options)
	for name, c := range map[string]struct {
		q    domain.OverviewQuery
		want []uuid.UUID
	}{
		"part of a name": {domain.OverviewQuery{Text: "me gr"}, []uuid.UUID{acme}},
		"other letters":  {domain.OverviewQuery{Text: "GRÖSSE"}, nil},
		"external id":    {domain.OverviewQuery{Text: "CUSTOMER"}, []uuid.UUID{acme}},
		"id":             {domain.OverviewQuery{Text: other.String()[:30]}, []uuid.UUID{acme, other}[1:]},
		"end of an id":   {domain.OverviewQuery{Text: other.String()[5:]}, nil},
		"state":          {domain.OverviewQuery{State: domain.StateFails}, []uuid.UUID{other}},
		"both":           {domain.OverviewQuery{State: domain.StateFails, Text: "acme"}, nil},
	} {
		c.q.Limit = 10
		p, err := s.Tenants(t.Context(), admin(), c.q)
		require.NoError(t, err)
		require.Equal(t, c.want, idsOf(p), name)
		require.Equal(t, len(c.want), p.Total, name)
	}
	p, err := s.ReplicaTenants(t.Context(), admin(), "b", domain.OverviewQuery{Limit: 10})
	require.NoError(t, err)
	require.Equal(t, []uuid.UUID{other}, idsOf(p))
	p, err = s.ReplicaTenants(t.Context(), admin(), "c", domain.OverviewQuery{Limit: 10})
	require.NoError(t, err)
	require.Empty(t, p.Tenants)
	f, err := s.Fleet(t.Context(), admin())
	require.NoError(t, err)
	require.Equal(t, []int{1, 1, 0}, []int{f.Replicas[0].Tenants, f.Replicas[1].Tenants, f.Replicas[2].Tenants})
	require.Equal(t, 2, overviewOf(t, s, admin()).Service.Replicas, "one is gone")
}

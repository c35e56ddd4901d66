package endpoint

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

func TestAttemptsOfWhatIsThere(t *testing.T) {
	t.Parallel()
	w, s, tenant, _ := newWorld()
	e, shown := create(t, s, tenant, to(hook)), w.attemptsShown()
	message, gone := uuid.New(), uuid.New()
	w.messages[message] = true
	w.attempts = []domain.Attempt{{TenantID: tenant.ID, EndpointID: uuid.New(), MessageID: gone}}
	of := func(endpoint uuid.UUID, limit int) (int, error) {
		found, _, err := shown.OfEndpoint(t.Context(), owner, domain.AttemptQuery{TenantID: tenant.ID, EndpointID: endpoint, Limit: limit})
		return len(found), err
	}
	n, err := of(e.ID, 1000)
	require.NoError(t, err)
	require.Zero(t, n)
	n, err = of(w.attempts[0].EndpointID, 10)
	require.NoError(t, err, "of an endpoint that is gone, as long as they are kept")
	require.Equal(t, 1, n)
	_, err = of(uuid.New(), 10)
	require.Equal(t, "endpoint_not_found", domain.CodeOf(err))
	for _, limit := range []int{0, 1001} {
		_, err = of(e.ID, limit)
		require.ErrorIs(t, err, domain.ErrInvalid)
	}
	for id, code := range map[uuid.UUID]string{message: "", gone: "", uuid.New(): "message_not_found"} {
		_, _, err := shown.OfMessage(t.Context(), domain.AttemptQuery{TenantID: tenant.ID, MessageID: id, Limit: 10})
		require.Equal(t, code, domain.CodeOf(err))
	}
}

func TestReplay(t *testing.T) {
	t.Parallel()
	w, s, tenant, _ := newWorld()
	e := create(t, s, tenant, to(hook))
	replays := w.replays()
	r, err := replays.Start(t.Context(), owner, tenant.ID, e.ID, &domain.ReplayRequest{FromSeq: new(3), Only: new("failed")})
	require.NoError(t, err)
	require.NotZero(t, r.ID)
	r, err = replays.Start(t.Context(), owner, tenant.ID, e.ID, &domain.ReplayRequest{DryRun: true})
	require.NoError(t, err)
	require.Zero(t, r.ID)
	require.EqualValues(t, 3, r.Total)
	require.Equal(t, []domain.ReplayQuery{
		{TenantID: tenant.ID, EndpointID: e.ID, FromSeq: 3, OnlyFailed: true, Rate: 100}, {TenantID: tenant.ID, EndpointID: e.ID, Rate: 100},
	}, w.queries)
	_, err = replays.Start(t.Context(), owner, tenant.ID, e.ID, &domain.ReplayRequest{Rate: new(0)})
	require.ErrorIs(t, err, domain.ErrInvalid)
	require.Len(t, w.queries, 2)
}

func TestDeliveries(t *testing.T) {
	t.Parallel()
	w, _, _, _ := newWorld()
	m := domain.Message{ID: uuid.New()}
	found, err := w.attemptsShown().Deliveries(t.Context(), &m)
	require.NoError(t, err)
	require.Equal(t, []domain.MessageDelivery{{EndpointID: m.ID, State: domain.DeliveryPassed}}, found)
	w.err = domain.New(domain.ErrUnavailable, "database_unavailable", "Away.")
	_, err = w.attemptsShown().Deliveries(t.Context(), &m)
	require.ErrorIs(t, err, domain.ErrUnavailable)
}

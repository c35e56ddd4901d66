package tenant_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

func TestStopAndStartConsumer(t *testing.T) {
	t.Parallel()
	p := newProcess(newWorld())
	who := member()
	id := create(t, p, who, domain.NewTenant{}).ID

	status, err := p.Consumer(t.Context(), who, id)
	require.NoError(t, err)
	require.Equal(t, domain.ConsumerStatus{TenantID: id, State: "running", Workers: 3, Replica: "r1"}, status)

	stopped := domain.ConsumerStatus{TenantID: id, State: domain.ConsumerStopped, Stopped: true, Workers: 3, Depth: -1}
	for range 2 {
		status, err = p.StopConsumer(t.Context(), who, id)
		require.NoError(t, err)
		require.Equal(t, stopped, status)
	}
	require.Empty(t, p.there(id))
	known, err := p.directory.Lookup(t.Context(), id)
	require.NoError(t, err)
	require.NoError(t, known.AcceptsMessages(), "publishing goes on")

	// Another process finds it stopped.
	later := newProcess(p.world)
	defer later.run(t)()
	_, err = later.reconciler.Await(t.Context(), id)
	require.NoError(t, err)
	status, err = later.Consumer(t.Context(), who, id)
	require.NoError(t, err)
	require.Equal(t, stopped, status)

	status, err = later.StartConsumer(t.Context(), who, id)
	require.NoError(t, err)
	require.Equal(t, domain.ConsumerRunning, status.State)
	require.False(t, status.Stopped)
}

func TestConsumerOfAnInactiveTenant(t *testing.T) {
	t.Parallel()
	p := newProcess(newWorld())
	who := member()
	id := create(t, p, who, domain.NewTenant{Status: "inactive"}).ID
	_, err := p.StartConsumer(t.Context(), who, id)
	require.ErrorIs(t, err, domain.ErrConflict)
	require.Equal(t, "tenant_inactive", domain.CodeOf(err))
	status, err := p.StopConsumer(t.Context(), who, id)
	require.NoError(t, err)
	require.True(t, status.Stopped)
	_, err = p.Change(t.Context(), who, id, domain.TenantChange{Status: new("active")})
	require.NoError(t, err)
	require.Empty(t, p.there(id), "it stays stopped")
	require.True(t, p.row(id).Stopped)
}

func TestStopAllConsumers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newProcess(newWorld())
		stop := p.run(t)
		defer stop()
		synctest.Wait()
		who := member()
		var ids []uuid.UUID
		for range 3 {
			ids = append(ids, create(t, p, who, domain.NewTenant{}).ID)
		}
		_, err := p.StopConsumer(t.Context(), who, ids[0])
		require.NoError(t, err)
		_, err = p.StopConsumers(t.Context(), who)
		require.ErrorIs(t, err, domain.ErrForbidden)
		require.Len(t, p.Running(), 2)

		n, err := p.StopConsumers(t.Context(), admin())
		require.NoError(t, err)
		require.Equal(t, 2, n)
		pass(time.Second)
		require.Empty(t, p.Running())
		later := create(t, p, who, domain.NewTenant{}).ID
		require.Contains(t, p.Running(), later, "those created later run")

		n, err = p.StartConsumers(t.Context(), admin())
		require.NoError(t, err)
		require.Equal(t, 3, n, "every stop is taken back")
		pass(time.Second)
		require.Len(t, p.Running(), 4)

		p.set(func() { p.databaseAway = true })
		_, err = p.StopConsumers(t.Context(), admin())
		require.ErrorIs(t, err, domain.ErrUnavailable)
	})
}

func TestListConsumers(t *testing.T) {
	t.Parallel()
	p := newProcess(newWorld())
	who := member()
	var want []domain.ConsumerStatus
	for range 3 {
		id := create(t, p, who, domain.NewTenant{}).ID
		want = append(want, domain.ConsumerStatus{TenantID: id, State: "running", Workers: 3, Replica: "r1"})
	}
	create(t, p, member(), domain.NewTenant{})
	_, err := p.StopConsumer(t.Context(), who, want[1].TenantID)
	require.NoError(t, err)
	want[1] = domain.ConsumerStatus{TenantID: want[1].TenantID, State: domain.ConsumerStopped, Stopped: true, Workers: 3, Depth: -1}

	got, more, err := p.Consumers(t.Context(), who, domain.TenantQuery{Limit: 2})
	require.NoError(t, err)
	require.True(t, more)
	require.Equal(t, want[:2], got)
	got, more, err = p.Consumers(t.Context(), who, domain.TenantQuery{Limit: 2, After: want[1].TenantID})
	require.NoError(t, err)
	require.False(t, more)
	require.Equal(t, want[2:], got)
	got, _, err = p.Consumers(t.Context(), admin(), domain.TenantQuery{Limit: 10})
	require.NoError(t, err)
	require.Len(t, got, 4)
	_, _, err = p.Consumers(t.Context(), admin(), domain.TenantQuery{})
	require.ErrorIs(t, err, domain.ErrInvalid)

	_, err = p.Consumer(t.Context(), member(), want[0].TenantID)
	require.ErrorIs(t, err, domain.ErrNotFound)
	viewer := domain.Principal{UserID: uuid.New(), Role: domain.RoleViewer, TenantID: want[0].TenantID}
	_, err = p.Consumer(t.Context(), viewer, want[0].TenantID)
	require.NoError(t, err)
	_, err = p.StopConsumer(t.Context(), viewer, want[0].TenantID)
	require.ErrorIs(t, err, domain.ErrForbidden)
}

package repository

import (
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// endpointOf returns an endpoint with a value in each field.
func endpointOf(t testing.TB, tenantID uuid.UUID) domain.Endpoint {
	t.Helper()
	id := newID(t)
	return domain.Endpoint{
		ID: id, TenantID: tenantID, ExternalID: "erp-" + id.String(), URL: "https://example.com/hook?a=b", Description: "Orders\nof Acme",
		Types: []domain.TypePattern{"order.*", "*"}, Timeout: 1500 * time.Millisecond, Concurrency: 7, Rate: 20,
		Ordering: domain.OrderingFIFO, OnFailure: domain.FailureSkips,
		Retry:   domain.RetryPolicy{Schedule: []time.Duration{time.Second, 72 * time.Hour}, Final: []int{400, 404}},
		Headers: map[string]string{"X-Token": "a header's secret"},
		Secret:  []byte("a secret of some length"), OldSecret: []byte("the secret before that"), OldSecretUntil: time.Unix(1_800_000_000, 0).UTC(),
		Status: domain.EndpointHeld,
	}
}

// plainEndpoint returns one with as little as there can be.
func plainEndpoint(t testing.TB, tenantID uuid.UUID) domain.Endpoint {
	t.Helper()
	return domain.Endpoint{
		ID: newID(t), TenantID: tenantID, URL: "https://example.com/", Timeout: time.Second,
		Ordering: domain.OrderingNone, OnFailure: domain.FailureBlocks, Secret: []byte("secret"), Status: domain.EndpointActive,
	}
}

func (d *database) insertEndpoint(t testing.TB, e domain.Endpoint) domain.Endpoint {
	t.Helper()
	inserted, err := d.store.InsertEndpoint(t.Context(), e, domain.NewCursor{})
	require.NoError(t, err)
	return inserted
}

// exec runs a statement that no repository has.
func (d *database) exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	_, err := d.owner.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

func (d *database) progress(t testing.TB, e *domain.Endpoint) domain.EndpointProgress {
	t.Helper()
	progress, err := d.store.EndpointProgress(t.Context(), e.TenantID, []uuid.UUID{e.ID})
	require.NoError(t, err)
	require.Len(t, progress, 1)
	return progress[e.ID]
}

func TestEndpointIsKept(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	tenants := d.newTenants(t, 2)
	for _, want := range []domain.Endpoint{endpointOf(t, tenants[0]), plainEndpoint(t, tenants[0])} {
		first := d.insertEndpoint(t, want)
		want.Version, want.CreatedAt, want.UpdatedAt = first.Version, first.CreatedAt, first.UpdatedAt
		require.Equal(t, want, first)
		require.NotZero(t, first.Version)
		found, err := d.store.FindEndpoint(t.Context(), tenants[0], want.ID)
		require.NoError(t, err)
		require.Equal(t, first, found)
		if want.ExternalID != "" {
			found, err = d.store.FindEndpointByExternalID(t.Context(), tenants[0], want.ExternalID)
			require.NoError(t, err)
			require.Equal(t, first, found)
			_, err = d.store.FindEndpointByExternalID(t.Context(), tenants[1], want.ExternalID)
			require.ErrorIs(t, err, domain.ErrNotFound)
		}
		_, err = d.store.FindEndpoint(t.Context(), tenants[1], want.ID)
		require.ErrorIs(t, err, domain.ErrNotFound)

		again := want
		again.URL = "https://example.com/other"
		require.Equal(t, first, d.insertEndpoint(t, again), "inserting it again changes nothing")
	}
	all, err := d.store.ListEndpoints(t.Context(), tenants[0])
	require.NoError(t, err)
	require.Len(t, all, 2)
	require.False(t, all[1].CreatedAt.Before(all[0].CreatedAt))
	all, err = d.store.ListEndpoints(t.Context(), tenants[1])
	require.NoError(t, err)
	require.Empty(t, all)
	_, err = d.store.FindEndpointByExternalID(t.Context(), tenants[0], "")
	require.ErrorIs(t, err, domain.ErrNotFound, "no external id is no name")
}

func TestInsertEndpointIsRefused(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	tenants := d.newTenants(t, 2)
	first := d.insertEndpoint(t, endpointOf(t, tenants[0]))
	same := endpointOf(t, tenants[0])
	same.ExternalID = first.ExternalID
	_, err := d.store.InsertEndpoint(t.Context(), same, domain.NewCursor{})
	require.ErrorIs(t, err, domain.ErrConflict)
	require.Equal(t, "external_id_taken", domain.CodeOf(err))
	same.TenantID = tenants[1]
	d.insertEndpoint(t, same)

	_, err = d.store.InsertEndpoint(t.Context(), endpointOf(t, newID(t)), domain.NewCursor{})
	require.ErrorIs(t, err, domain.ErrNotFound)
	require.Equal(t, "tenant_not_found", domain.CodeOf(err))

	// As many as there may be, however many come at once.
	var callers sync.WaitGroup
	const most = 50
	refused := make(chan error, 2*most)
	for range 2 * most {
		e := plainEndpoint(t, tenants[0])
		callers.Go(func() {
			if _, err := d.store.InsertEndpoint(t.Context(), e, domain.NewCursor{MaxEndpoints: most}); err != nil {
				refused <- err
			}
		})
	}
	callers.Wait()
	close(refused)
	for err := range refused {
		require.ErrorIs(t, err, domain.ErrLimited)
		require.Equal(t, "quota_exceeded", domain.CodeOf(err))
	}
	all, err := d.store.ListEndpoints(t.Context(), tenants[0])
	require.NoError(t, err)
	require.Len(t, all, most)
	require.Equal(t, first, d.insertEndpoint(t, first), "one that is there may be inserted again")
}

func TestNewCursor(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	tenant := d.newTenants(t, 1)
	_, err := d.store.AppendMessages(t.Context(), messagesFor(t, tenant, 5))
	require.NoError(t, err)
	d.exec(t, `UPDATE tenant_streams SET first_seq = 3`)
	for from, settled := range map[int64]int64{0: 5, 1: 2, 2: 2, 3: 2, 4: 3, 5: 4, 6: 5} {
		e, err := d.store.InsertEndpoint(t.Context(), plainEndpoint(t, tenant[0]), domain.NewCursor{FromSeq: from})
		require.NoError(t, err, from)
		p := d.progress(t, &e)
		require.Equal(t, domain.EndpointProgress{Settled: settled, Last: 5}, p, from)
		require.Equal(t, 5-settled, p.Lag())
	}
	_, err = d.store.InsertEndpoint(t.Context(), plainEndpoint(t, tenant[0]), domain.NewCursor{FromSeq: 7})
	require.ErrorIs(t, err, domain.ErrConflict)
	require.Equal(t, "cursor_ahead", domain.CodeOf(err))
}

// What commits before an endpoint is before its cursor, and what commits after it is
// after it: an append that has its seq and has not committed is waited for.
func TestNewCursorWaitsForAppends(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	tenant := d.newTenants(t, 1)[0]
	tx, err := d.connect(t).Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `UPDATE tenant_streams SET last_seq = last_seq + 3 WHERE tenant_id = $1`, tenant)
	require.NoError(t, err)
	inserted, wanted := make(chan domain.Endpoint, 1), plainEndpoint(t, tenant)
	go func() {
		e, err := d.store.InsertEndpoint(t.Context(), wanted, domain.NewCursor{})
		if err != nil {
			t.Error(err)
		}
		inserted <- e
	}()
	require.Eventually(t, func() bool {
		var waiting int
		require.NoError(t, d.owner.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%tenant_streams%'`).Scan(&waiting))
		return waiting > 0
	}, patience, time.Millisecond)
	require.NoError(t, tx.Commit(t.Context()))
	e := <-inserted
	require.EqualValues(t, 3, d.progress(t, &e).Settled)
}

func TestChangeEndpoint(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	tenants := d.newTenants(t, 2)
	before := d.insertEndpoint(t, plainEndpoint(t, tenants[0]))
	other := d.insertEndpoint(t, plainEndpoint(t, tenants[0]))
	want := endpointOf(t, tenants[0])
	want.ID, want.StatusReason = before.ID, "because"
	changed, err := d.store.ChangeEndpoint(t.Context(), tenants[0], before.ID, func(e *domain.Endpoint) error {
		require.Equal(t, before, *e)
		*e = want
		return nil
	})
	require.NoError(t, err)
	require.Greater(t, changed.Version, before.Version)
	require.True(t, changed.UpdatedAt.After(before.UpdatedAt))
	want.Version, want.CreatedAt, want.UpdatedAt = changed.Version, before.CreatedAt, changed.UpdatedAt
	require.Equal(t, want, changed)
	found, err := d.store.FindEndpoint(t.Context(), tenants[0], before.ID)
	require.NoError(t, err)
	require.Equal(t, want, found)
	var version int64
	require.NoError(t, d.owner.QueryRow(t.Context(), `SELECT version FROM endpoint_cursors WHERE endpoint_id = $1`, before.ID).Scan(&version))
	require.Equal(t, changed.Version, version)
	found, err = d.store.FindEndpoint(t.Context(), tenants[0], other.ID)
	require.NoError(t, err)
	require.Equal(t, other, found)

	refused := domain.New(domain.ErrConflict, "no", "No.")
	_, err = d.store.ChangeEndpoint(t.Context(), tenants[0], before.ID, func(e *domain.Endpoint) error { e.URL = "x"; return refused })
	require.Equal(t, refused, err)
	_, err = d.store.ChangeEndpoint(t.Context(), tenants[0], other.ID, func(e *domain.Endpoint) error { e.ExternalID = want.ExternalID; return nil })
	require.Equal(t, "external_id_taken", domain.CodeOf(err))
	for _, key := range [][2]uuid.UUID{{tenants[0], newID(t)}, {tenants[1], before.ID}} {
		_, err = d.store.ChangeEndpoint(t.Context(), key[0], key[1], func(*domain.Endpoint) error { t.Error("called"); return nil })
		require.ErrorIs(t, err, domain.ErrNotFound)
	}
	found, err = d.store.FindEndpoint(t.Context(), tenants[0], before.ID)
	require.NoError(t, err)
	require.Equal(t, want, found)
}

func TestEndpointStartsAfresh(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	tenant := d.newTenants(t, 1)[0]
	e := d.insertEndpoint(t, plainEndpoint(t, tenant))
	failed := time.Unix(1_700_000_000, 0).UTC()
	status := func(s domain.EndpointStatus) func(*domain.Endpoint) {
		return func(e *domain.Endpoint) { e.Status = s }
	}
	for _, step := range []struct {
		change func(*domain.Endpoint)
		afresh bool
	}{
		{status(domain.EndpointHeld), false},
		{status(domain.EndpointActive), false},
		{status(domain.EndpointDisabled), false},
		{func(e *domain.Endpoint) { e.Description = "x" }, false},
		{status(domain.EndpointHeld), false},
		{status(domain.EndpointDisabled), false},
		{status(domain.EndpointActive), true},
		{func(e *domain.Endpoint) { e.URL += "x" }, true},
		{func(e *domain.Endpoint) { e.Rate = 5 }, false},
	} {
		d.exec(t, `UPDATE endpoint_cursors SET breaker_opened_at = $1, failing_since = $1, reading_stopped = true`, failed)
		_, err := d.store.ChangeEndpoint(t.Context(), tenant, e.ID, func(e *domain.Endpoint) error { step.change(e); return nil })
		require.NoError(t, err)
		want := domain.EndpointHealth{BreakerOpenedAt: failed, FailingSince: failed, ReadingStopped: true}
		if step.afresh {
			want.BreakerOpenedAt, want.FailingSince = time.Time{}, time.Time{}
		}
		require.Equal(t, want, d.progress(t, &e).Health)
	}
}

// openRows writes open deliveries of an endpoint.
func (d *database) openRows(t testing.TB, e *domain.Endpoint, from, to int) {
	t.Helper()
	d.exec(t, `INSERT INTO deliveries (tenant_id, endpoint_id, seq, message_id, next_at)
		SELECT $1, $2, n, gen_random_uuid(), now() FROM generate_series($3::int, $4::int) n`, e.TenantID, e.ID, from, to)
}

func TestDeleteEndpoint(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	tenant := d.newTenants(t, 1)
	first, second := d.insertEndpoint(t, plainEndpoint(t, tenant[0])), d.insertEndpoint(t, plainEndpoint(t, tenant[0]))
	const rows = 2*endpointChunk + 1
	d.exec(t, `UPDATE tenant_streams SET last_seq = $1`, rows+4)
	d.exec(t, `UPDATE endpoint_cursors SET settled_seq = $1`, rows)
	d.openRows(t, &first, 1, rows)
	d.openRows(t, &second, 1, 2)
	for _, e := range []domain.Endpoint{first, second} {
		d.exec(t, `INSERT INTO replays (id, tenant_id, endpoint_id, from_seq, to_seq, only_failed, last_letter, types, rate, state, cursor_seq, total)
			VALUES (gen_random_uuid(), $1, $2, 1, 1, false, 0, '{}', 1, 'running', 0, 1)`, e.TenantID, e.ID)
	}
	require.EqualValues(t, 4+rows, new(d.progress(t, &first)).Lag())

	_, err := d.store.DeleteEndpoint(t.Context(), newID(t), first.ID)
	require.ErrorIs(t, err, domain.ErrNotFound)
	open, err := d.store.DeleteEndpoint(t.Context(), tenant[0], first.ID)
	require.NoError(t, err)
	require.EqualValues(t, 4+rows, open)
	_, err = d.store.DeleteEndpoint(t.Context(), tenant[0], first.ID)
	require.ErrorIs(t, err, domain.ErrNotFound)
	for table, want := range map[string]int{"endpoints": 1, "endpoint_cursors": 1, "replays": 1, "deliveries": 2} {
		var left int
		require.NoError(t, d.owner.QueryRow(t.Context(), `SELECT count(*) FROM `+table).Scan(&left))
		require.Equal(t, want, left, table)
	}
	_, err = d.store.ChangeEndpoint(t.Context(), tenant[0], first.ID, func(*domain.Endpoint) error { return nil })
	require.ErrorIs(t, err, domain.ErrNotFound)
	require.Positive(t, new(d.progress(t, &second)).Lag())
}

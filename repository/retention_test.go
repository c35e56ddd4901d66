package repository

import (
	"context"
	"errors"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// age makes the messages up to seq two days older.
func (d *database) age(t testing.TB, tenantID uuid.UUID, seq int64) {
	t.Helper()
	_, err := d.owner.Exec(t.Context(),
		`UPDATE messages SET created_at = created_at - interval '2 days' WHERE tenant_id = $1 AND seq <= $2`, tenantID, seq)
	require.NoError(t, err)
}

// expire calls ExpireMessages until there is nothing left to do.
func (d *database) expire(t testing.TB, tenantID uuid.UUID, days, limit int) (total int) {
	t.Helper()
	for {
		expiry, err := d.store.ExpireMessages(t.Context(), domain.Retention{TenantID: tenantID, Days: days}, limit)
		require.NoError(t, err)
		require.LessOrEqual(t, expiry.Deleted, limit)
		total += expiry.Deleted
		if !expiry.More {
			return total
		}
	}
}

func TestExpireMessages(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	tenants := d.newTenants(t, 2)
	messages := messagesFor(t, tenants, 40)
	_, err := d.store.AppendMessages(t.Context(), messages)
	require.NoError(t, err)
	id, other := tenants[0], tenants[1]
	for _, m := range messages[:4] {
		d.recordTransmission(t, m.TenantID, m.ID)
	}
	require.Zero(t, d.expire(t, id, 1, 3), "nothing is old")

	d.age(t, id, 10)
	d.age(t, other, 10)
	require.Zero(t, d.expire(t, id, 3, 3), "nothing is old enough")
	require.Equal(t, 10, d.expire(t, id, 1, 3))
	require.Zero(t, d.expire(t, id, 1, 3))
	require.Len(t, d.history(t, other), 20, "another tenant's stay")
	rest := d.history(t, id)
	require.Len(t, rest, 10)
	require.EqualValues(t, 11, rest[0].Seq)

	var transmissions []uuid.UUID
	require.NoError(t, d.owner.QueryRow(t.Context(), `SELECT array_agg(tenant_id) FROM transmissions`).Scan(&transmissions))
	require.Equal(t, []uuid.UUID{other, other}, transmissions, "they go with their messages")

	// Numbers go on from where they were, even when nothing is left.
	d.age(t, id, 20)
	require.Equal(t, 10, d.expire(t, id, 1, 100))
	_, err = d.store.AppendMessages(t.Context(), messagesFor(t, []uuid.UUID{id}, 2))
	require.NoError(t, err)
	require.NoError(t, d.store.CreatePartition(t.Context(), id))
	rest = d.history(t, id)
	require.Equal(t, []int64{21, 22}, []int64{rest[0].Seq, rest[1].Seq})
	require.Zero(t, d.expire(t, newID(t), 1, 3), "no such tenant")
}

func TestExpiredCursors(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	id := d.newTenants(t, 1)[0]
	_, err := d.store.AppendMessages(t.Context(), messagesFor(t, []uuid.UUID{id}, 10))
	require.NoError(t, err)
	d.age(t, id, 5)
	require.Equal(t, 5, d.expire(t, id, 1, 100))

	for name, tt := range map[string]struct {
		q       domain.HistoryQuery
		want    int64 // the first seq; 0 for none
		expired bool
	}{
		"no cursor":             {domain.HistoryQuery{}, 6, false},
		"cursor 0":              {domain.HistoryQuery{HasCursor: true}, 6, false},
		"long gone":             {domain.HistoryQuery{HasCursor: true, Cursor: 1}, 0, true},
		"just gone":             {domain.HistoryQuery{HasCursor: true, Cursor: 4}, 0, true},
		"nothing missed":        {domain.HistoryQuery{HasCursor: true, Cursor: 5}, 6, false},
		"kept":                  {domain.HistoryQuery{HasCursor: true, Cursor: 6}, 7, false},
		"at the end":            {domain.HistoryQuery{HasCursor: true, Cursor: 10}, 0, false},
		"backwards":             {domain.HistoryQuery{Descending: true}, 10, false},
		"backwards to the edge": {domain.HistoryQuery{Descending: true, HasCursor: true, Cursor: 6}, 0, false},
		"backwards beyond it":   {domain.HistoryQuery{Descending: true, HasCursor: true, Cursor: 3}, 0, false},
	} {
		tt.q.TenantID, tt.q.Limit = id, 100
		page, err := d.store.History(t.Context(), tt.q)
		if tt.expired {
			require.ErrorIs(t, err, domain.ErrGone, name)
			require.Equal(t, "cursor_expired", domain.CodeOf(err), name)
			continue
		}
		require.NoError(t, err, name)
		require.False(t, page.More, name)
		if tt.want == 0 {
			require.Empty(t, page.Messages, name)
			continue
		}
		require.Equal(t, tt.want, page.Messages[0].Seq, name)
	}

	// Nothing is left, and only who has read everything has missed nothing.
	d.age(t, id, 10)
	require.Equal(t, 5, d.expire(t, id, 1, 100))
	for cursor, expired := range map[int64]bool{6: true, 9: true, 10: false} {
		_, err := d.store.History(t.Context(), domain.HistoryQuery{TenantID: id, HasCursor: true, Cursor: cursor, Limit: 100})
		require.Equal(t, expired, errors.Is(err, domain.ErrGone), "%d: %v", cursor, err)
	}
}

// A crash between the two steps leaves rows before the beginning: nobody sees
// them, and the next call deletes them.
func TestExpiryGoesOnAfterACrash(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	id := d.newTenants(t, 1)[0]
	_, err := d.store.AppendMessages(t.Context(), messagesFor(t, []uuid.UUID{id}, 10))
	require.NoError(t, err)
	_, err = d.owner.Exec(t.Context(), `UPDATE tenant_streams SET first_seq = 8 WHERE tenant_id = $1`, id)
	require.NoError(t, err)

	page, err := d.store.History(t.Context(), domain.HistoryQuery{TenantID: id, Limit: 10})
	require.NoError(t, err)
	require.Len(t, page.Messages, 3)
	page, err = d.store.History(t.Context(), domain.HistoryQuery{TenantID: id, Limit: 10, Descending: true})
	require.NoError(t, err)
	require.Len(t, page.Messages, 3)
	require.Equal(t, 7, d.expire(t, id, 1, 3))
}

// Expiring does not stand in the way of appending to the same tenant.
func TestExpiryBesideAppends(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	id := d.newTenants(t, 1)[0]
	_, err := d.store.AppendMessages(t.Context(), messagesFor(t, []uuid.UUID{id}, 300))
	require.NoError(t, err)
	d.age(t, id, 300)
	var batches [50][]domain.Message
	for i := range batches {
		batches[i] = messagesFor(t, []uuid.UUID{id}, 4)
	}
	appended := make(chan error, 1)
	go func() {
		for _, batch := range batches {
			if _, err := d.store.AppendMessages(t.Context(), batch); err != nil {
				appended <- err
				return
			}
		}
		appended <- nil
	}()
	require.Equal(t, 300, d.expire(t, id, 1, 7))
	require.NoError(t, <-appended)
	rest := d.history(t, id)
	require.Len(t, rest, 200)
	for i, m := range rest {
		require.EqualValues(t, 301+i, m.Seq)
	}
}

func TestListRetentions(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	var want []domain.Retention
	for days, status := range []domain.TenantStatus{domain.TenantActive, domain.TenantActive, domain.TenantInactive, domain.TenantDeleting} {
		tenant := newTenant(t, uuid.Nil)
		tenant.RetentionDays = days
		require.NoError(t, d.store.InsertTenant(t.Context(), tenant, nil))
		_, err := d.store.ChangeTenant(t.Context(), tenant.ID, func(c *domain.Tenant) error { return c.Transition(status) })
		require.NoError(t, err)
		if days == 1 || days == 2 {
			want = append(want, domain.Retention{TenantID: tenant.ID, Days: days})
		}
	}
	got, err := d.store.ListRetentions(t.Context())
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestAlone(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	other := d.open(t, Options{})
	ran, err := d.store.Alone(t.Context(), "a", func(ctx context.Context) error {
		again, err := other.Alone(ctx, "a", func(context.Context) error { return nil })
		require.NoError(t, err)
		require.False(t, again)
		again, err = other.Alone(ctx, "b", func(context.Context) error { return nil })
		require.NoError(t, err)
		require.True(t, again)
		return context.Canceled
	})
	require.ErrorIs(t, err, context.Canceled)
	require.True(t, ran)
	ran, err = other.Alone(t.Context(), "a", func(context.Context) error { return nil })
	require.NoError(t, err)
	require.True(t, ran, "the lock was given back")
}

func TestSetAllStopped(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	var ids []uuid.UUID
	for _, status := range []domain.TenantStatus{domain.TenantActive, domain.TenantInactive, domain.TenantProvisioning, domain.TenantDeleting} {
		tenant := newTenant(t, uuid.Nil)
		require.NoError(t, d.store.InsertTenant(t.Context(), tenant, nil))
		_, err := d.store.ChangeTenant(t.Context(), tenant.ID, func(c *domain.Tenant) error { return c.Transition(status) })
		require.NoError(t, err)
		ids = append(ids, tenant.ID)
	}
	_, err := d.store.ChangeTenant(t.Context(), ids[1], func(c *domain.Tenant) error { c.StopConsumer(); return nil })
	require.NoError(t, err)

	changed, err := d.store.SetAllStopped(t.Context(), true)
	require.NoError(t, err)
	require.ElementsMatch(t, []uuid.UUID{ids[0], ids[2]}, changed)
	later := newTenant(t, uuid.Nil)
	require.NoError(t, d.store.InsertTenant(t.Context(), later, nil))
	found, err := d.store.FindTenant(t.Context(), later.ID)
	require.NoError(t, err)
	require.False(t, found.Stopped)

	changed, err = d.store.SetAllStopped(t.Context(), false)
	require.NoError(t, err)
	require.ElementsMatch(t, ids[:3], changed)
	changed, err = d.store.SetAllStopped(t.Context(), false)
	require.NoError(t, err)
	require.Empty(t, changed)
}

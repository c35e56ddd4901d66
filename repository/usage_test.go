package repository

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"lanekeeper/domain"
)

// usageOf returns what was counted for a tenant, however it was.
func (d *database) usageOf(t *testing.T, tenant uuid.UUID) (messages, bytes int64) {
	t.Helper()
	require.NoError(t, d.owner.QueryRow(t.Context(),
		`SELECT coalesce(sum(messages), 0), coalesce(sum(bytes), 0) FROM usage_days WHERE tenant_id = $1`, tenant).Scan(&messages, &bytes))
	return messages, bytes
}

// Whoever counts, and however often at a time: each message is counted once, on its
// day.
func TestUsageIsExact(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	tenant := newTenant(t, newID(t))
	require.NoError(t, d.store.InsertTenant(t.Context(), tenant, nil))
	require.NoError(t, d.store.CreatePartition(t.Context(), tenant.ID))
	const messages = 500
	var bytes int64
	all := make([]domain.Message, messages)
	for i := range all {
		all[i] = domain.Message{ID: newID(t), TenantID: tenant.ID, Payload: fmt.Appendf(nil, `{"n": %d}`, i)}
		bytes += int64(len(all[i].Payload))
	}
	var work errgroup.Group
	work.Go(func() error {
		for part := all; len(part) > 0; part = part[20:] {
			if _, err := d.store.AppendMessages(t.Context(), part[:20]); err != nil {
				return err
			}
		}
		return nil
	})
	for range 4 {
		work.Go(func() error {
			for range 50 {
				if _, err := d.store.CountUsage(t.Context(), tenant.ID, 7); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, work.Wait())
	uncounted, err := d.store.ListUncounted(t.Context(), nil, uuid.Nil, 10)
	require.NoError(t, err)
	if len(uncounted) > 0 {
		require.Equal(t, []uuid.UUID{tenant.ID}, uncounted)
		require.NoError(t, d.store.countAll(t.Context(), tenant.ID))
	}
	n, size := d.usageOf(t, tenant.ID)
	require.EqualValues(t, messages, n)
	require.Equal(t, bytes, size)
	uncounted, err = d.store.ListUncounted(t.Context(), nil, uuid.Nil, 10)
	require.NoError(t, err)
	require.Empty(t, uncounted)

	// Rows of earlier versions do not say how large they are.
	_, err = d.owner.Exec(t.Context(), `UPDATE messages SET bytes = NULL, created_at = '2026-01-02T23:59:59Z' WHERE tenant_id = $1 AND seq <= 100`, tenant.ID)
	require.NoError(t, err)
	_, err = d.owner.Exec(t.Context(), `UPDATE messages SET created_at = '2026-01-03T00:00:00Z' WHERE tenant_id = $1 AND seq > 100`, tenant.ID)
	require.NoError(t, err)
	_, err = d.owner.Exec(t.Context(), `DELETE FROM usage_cursors; DELETE FROM usage_days`)
	require.NoError(t, err)
	require.NoError(t, d.store.countAll(t.Context(), tenant.ID))
	day := func(day int) time.Time { return time.Date(2026, 1, day, 0, 0, 0, 0, time.UTC) }
	days, err := d.store.ListUsage(t.Context(), domain.UsageQuery{From: day(1), To: day(3), Limit: 10})
	require.NoError(t, err)
	require.Len(t, days, 2)
	require.Equal(t, domain.UsageDay{TenantID: tenant.ID, Day: day(2), Messages: 100, Bytes: 10*int64(len(`{"n": 0}`)) + 90*int64(len(`{"n": 10}`))}, days[0])
	require.EqualValues(t, messages-100, days[1].Messages)
	require.Equal(t, bytes, days[0].Bytes+days[1].Bytes)
}

// What was not counted when a tenant is deleted is counted before its messages go,
// and stays for its owner; others never see it.
func TestUsageOutlivesTheTenant(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	owner := newID(t)
	tenant := newTenant(t, owner)
	require.NoError(t, d.store.InsertTenant(t.Context(), tenant, nil))
	require.NoError(t, d.store.CreatePartition(t.Context(), tenant.ID))
	_, err := d.store.AppendMessages(t.Context(), []domain.Message{{ID: newID(t), TenantID: tenant.ID, Payload: []byte(`"1"`)}, {ID: newID(t), TenantID: tenant.ID, Payload: []byte(`"23"`)}})
	require.NoError(t, err)
	require.NoError(t, d.store.ErasePartition(t.Context(), tenant.ID))
	n, size := d.usageOf(t, tenant.ID)
	require.EqualValues(t, 2, n)
	require.EqualValues(t, 7, size)

	today := time.Now().UTC().Truncate(24 * time.Hour)
	list := func(p *domain.Principal, after time.Time, afterTenant uuid.UUID) []domain.UsageDay {
		days, err := d.store.ListUsage(t.Context(), domain.UsageQuery{
			From: today.AddDate(0, 0, -1), To: today.AddDate(0, 0, 1), VisibleTo: p, AfterDay: after, AfterTenant: afterTenant, Limit: 10,
		})
		require.NoError(t, err)
		return days
	}
	mine := list(&domain.Principal{UserID: owner, Role: domain.RoleMember}, time.Time{}, uuid.Nil)
	require.Len(t, mine, 1)
	require.Len(t, list(&domain.Principal{Role: domain.RoleAdmin}, time.Time{}, uuid.Nil), 1)
	require.Len(t, list(&domain.Principal{Role: domain.RoleViewer, TenantID: tenant.ID}, time.Time{}, uuid.Nil), 1)
	require.Empty(t, list(&domain.Principal{UserID: newID(t), Role: domain.RoleMember}, time.Time{}, uuid.Nil))
	require.Empty(t, list(&domain.Principal{Role: domain.RoleMember}, time.Time{}, uuid.Nil), "no owner is nobody's")
	require.Empty(t, list(nil, mine[0].Day, tenant.ID))

	deleted, err := d.store.DeleteUsage(t.Context(), mine[0].Day, 10)
	require.NoError(t, err)
	require.Zero(t, deleted)
	deleted, err = d.store.DeleteUsage(t.Context(), mine[0].Day.AddDate(0, 0, 1), 10)
	require.NoError(t, err)
	require.Equal(t, 1, deleted)
}

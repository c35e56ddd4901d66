package repository

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

func TestHistoryPages(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	tenants := d.newTenants(t, 2)
	_, err := d.store.AppendMessages(t.Context(), messagesFor(t, tenants, 20))
	require.NoError(t, err)
	id := tenants[0]
	query := func(q domain.HistoryQuery) domain.HistoryQuery { q.TenantID = id; return q }

	for name, tt := range map[string]struct {
		q    domain.HistoryQuery
		want []int64
		more bool
	}{
		"from the start":               {domain.HistoryQuery{Limit: 3}, []int64{1, 2, 3}, true},
		"after a cursor":               {domain.HistoryQuery{Cursor: 3, HasCursor: true, Limit: 3}, []int64{4, 5, 6}, true},
		"the last page, exactly full":  {domain.HistoryQuery{Cursor: 7, HasCursor: true, Limit: 3}, []int64{8, 9, 10}, false},
		"the last page, not full":      {domain.HistoryQuery{Cursor: 8, HasCursor: true, Limit: 3}, []int64{9, 10}, false},
		"at the end":                   {domain.HistoryQuery{Cursor: 10, HasCursor: true, Limit: 3}, nil, false},
		"beyond the end":               {domain.HistoryQuery{Cursor: 1 << 62, HasCursor: true, Limit: 3}, nil, false},
		"descending from the newest":   {domain.HistoryQuery{Descending: true, Limit: 3}, []int64{10, 9, 8}, true},
		"descending before a cursor":   {domain.HistoryQuery{Descending: true, Cursor: 4, HasCursor: true, Limit: 3}, []int64{3, 2, 1}, false},
		"descending before the oldest": {domain.HistoryQuery{Descending: true, Cursor: 1, HasCursor: true, Limit: 3}, nil, false},
		"descending before 0":          {domain.HistoryQuery{Descending: true, HasCursor: true, Limit: 3}, nil, false},
		"nothing asked for":            {domain.HistoryQuery{}, nil, false},
		"more than there is":           {domain.HistoryQuery{Limit: 1000}, []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, false},
	} {
		page, err := d.store.History(t.Context(), query(tt.q))
		require.NoError(t, err, name)
		var got []int64
		for _, m := range page.Messages {
			got = append(got, m.Seq)
			require.Equal(t, id, m.TenantID, name)
			require.NotZero(t, m.CreatedAt, name)
			require.NotEmpty(t, m.Payload, name)
		}
		require.Equal(t, tt.want, got, name)
		require.Equal(t, tt.more, page.More, name)
		if tt.q.Limit > 0 {
			require.EqualValues(t, 10, page.Last, name)
		}
	}

	page, err := d.store.History(t.Context(), domain.HistoryQuery{TenantID: newID(t), Limit: 10})
	require.NoError(t, err)
	require.Empty(t, page.Messages)
	require.False(t, page.More)
}

func TestHistoryPagesAreBoundedInBytes(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	id := d.newTenants(t, 1)[0]
	// Random text of hex digits shrinks to a half at most, a row of x to next
	// to nothing: the first is bounded by its stored size, the second only by
	// what arrives.
	var big []domain.Message
	for i := range 24 {
		filler := strings.Repeat("x", 1<<20-2)
		if i%2 == 0 {
			var text strings.Builder
			for text.Len() < 1<<20-40 {
				text.WriteString(uuid.NewString())
			}
			filler = text.String()
		}
		big = append(big, message(t, id, `"`+filler+`"`))
	}
	_, err := d.store.AppendMessages(t.Context(), big)
	require.NoError(t, err)

	for _, descending := range []bool{false, true} {
		var seen []int64
		q := domain.HistoryQuery{TenantID: id, Limit: 1000, Descending: descending}
		for {
			page, err := d.store.History(t.Context(), q)
			require.NoError(t, err)
			size := 0
			for _, m := range page.Messages {
				size += len(m.Payload)
				seen = append(seen, m.Seq)
			}
			require.LessOrEqual(t, size, maxPageBytes)
			if !page.More {
				break
			}
			require.GreaterOrEqual(t, len(page.Messages), 7)
			q.Cursor, q.HasCursor = seen[len(seen)-1], true
		}
		require.Len(t, seen, len(big))
	}

	// A message larger than a page is a page of its own.
	_, err = d.owner.Exec(t.Context(), `UPDATE messages SET payload = to_jsonb(repeat('y', 10000000)) WHERE tenant_id = $1 AND seq IN (2, 3)`, id)
	require.NoError(t, err)
	page, err := d.store.History(t.Context(), domain.HistoryQuery{TenantID: id, Cursor: 1, HasCursor: true, Limit: 10})
	require.NoError(t, err)
	require.Len(t, page.Messages, 1)
	require.True(t, page.More)
}

func TestFindMessage(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	tenants := d.newTenants(t, 2)
	m := message(t, tenants[0], `{"text": "hello"}`)
	_, err := d.store.AppendMessages(t.Context(), []domain.Message{m})
	require.NoError(t, err)
	found, _, err := d.store.FindMessage(t.Context(), tenants[0], m.ID, maxPageBytes)
	require.NoError(t, err)
	require.Equal(t, m.ID, found.ID)
	require.EqualValues(t, 1, found.Seq)
	require.JSONEq(t, `{"text": "hello"}`, string(found.Payload))
	for name, ids := range map[string][2]uuid.UUID{
		"another tenant's": {tenants[1], m.ID},
		"unknown message":  {tenants[0], newID(t)},
		"unknown tenant":   {newID(t), m.ID},
	} {
		_, _, err = d.store.FindMessage(t.Context(), ids[0], ids[1], maxPageBytes)
		require.ErrorIs(t, err, domain.ErrNotFound, name)
	}
}

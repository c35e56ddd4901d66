package repository

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// enveloped returns a message with an envelope.
func enveloped(t *testing.T, m domain.Message, typ, orderingKey string, headers map[string]string) domain.Message {
	t.Helper()
	m.Type, m.OrderingKey, m.Headers = typ, orderingKey, headers
	return m
}

// What messages carry besides their payloads is read as it was stored, whichever
// of them have something, and in whatever way they are read.
func TestEnvelopesComeBackAsStored(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	id := d.newTenants(t, 1)[0]
	plain := func() domain.Message { return message(t, id, `{"a":1}`) }
	long := make(map[string]string)
	for i := range domain.MaxHeaders {
		long[fmt.Sprintf("name-%d", i)] = strings.Repeat("x", domain.MaxHeaderValueLength)
	}
	batches := [][]domain.Message{
		{plain(), plain()},
		{plain(), enveloped(t, plain(), "order.created", "", nil), plain()},
		{enveloped(t, plain(), "", "order-1", nil), enveloped(t, plain(), "", "", map[string]string{"b": "2", "a": ""}), plain()},
		{
			enveloped(t, plain(), `with "spaces" and ü`, "schlüssel\u2028", map[string]string{"ключ": "\"\\\n\t<&>\u007f"}),
			enveloped(t, plain(), "t", "k", long), enveloped(t, plain(), "t", "k", map[string]string{}),
		},
	}
	var sent []domain.Message
	for _, batch := range batches {
		_, err := d.store.AppendMessages(t.Context(), batch)
		require.NoError(t, err)
		sent = append(sent, batch...)
	}
	sent = append(sent, enveloped(t, plain(), "after", "a duplicate", map[string]string{"c": "3"}))
	_, err := d.store.AppendMessages(t.Context(), []domain.Message{sent[4], sent[len(sent)-1]})
	require.NoError(t, err)
	sent[10].Headers = nil // what is empty is none

	streamed, more, err := d.store.ReadStream(t.Context(), id, 0, 100, testBytes)
	require.NoError(t, err)
	require.False(t, more)
	history := d.history(t, id)
	require.Len(t, history, len(sent))
	for i, m := range sent {
		found, size, err := d.store.FindMessage(t.Context(), id, m.ID, maxPageBytes)
		require.NoError(t, err)
		require.GreaterOrEqual(t, found.Size(), size-domain.RowOverhead)
		for _, got := range []domain.Message{history[i], streamed[i], found} {
			require.Equal(t, m.ID, got.ID)
			require.Equal(t, m.Envelope(), got.Envelope(), i)
			require.Equal(t, len(`{"a": 1}`), got.Bytes)
		}
	}
	var none int
	require.NoError(t, d.owner.QueryRow(t.Context(),
		`SELECT count(*) FROM messages WHERE type = '' AND ordering_key IS NULL AND headers IS NULL`).Scan(&none))
	require.Equal(t, 5, none)
}

// A message under an id that is taken is the same only with the same envelope.
// What an earlier version has stored says nothing of it.
func TestAppendComparesEnvelopes(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	id := d.newTenants(t, 1)[0]
	full := enveloped(t, message(t, id, `1`), "type", "key", map[string]string{"a": "1", "b": "2"})
	empty := message(t, id, `1`)
	_, err := d.store.AppendMessages(t.Context(), []domain.Message{full, empty})
	require.NoError(t, err)
	type change func(m *domain.Message)
	for name, tt := range map[string]struct {
		stored domain.Message
		change change
		want   domain.AppendOutcome
	}{
		"full, the same":     {full, func(*domain.Message) {}, domain.AppendDuplicate},
		"full, another type": {full, func(m *domain.Message) { m.Type = "other" }, domain.AppendConflict},
		"full, no type":      {full, func(m *domain.Message) { m.Type = "" }, domain.AppendConflict},
		"full, another key":  {full, func(m *domain.Message) { m.OrderingKey = "other" }, domain.AppendConflict},
		"full, no key":       {full, func(m *domain.Message) { m.OrderingKey = "" }, domain.AppendConflict},
		"full, no headers":   {full, func(m *domain.Message) { m.Headers = nil }, domain.AppendConflict},
		"full, fewer headers": {full, func(m *domain.Message) {
			m.Headers = map[string]string{"a": "1"}
		}, domain.AppendConflict},
		"full, another header": {full, func(m *domain.Message) {
			m.Headers = map[string]string{"a": "1", "b": "3"}
		}, domain.AppendConflict},
		"empty, the same":      {empty, func(*domain.Message) {}, domain.AppendDuplicate},
		"empty, with a type":   {empty, func(m *domain.Message) { m.Type = "type" }, domain.AppendConflict},
		"empty, with a key":    {empty, func(m *domain.Message) { m.OrderingKey = "key" }, domain.AppendConflict},
		"empty, with a header": {empty, func(m *domain.Message) { m.Headers = map[string]string{"a": "1"} }, domain.AppendConflict},
		"empty, no headers":    {empty, func(m *domain.Message) { m.Headers = map[string]string{} }, domain.AppendDuplicate},
	} {
		again := tt.stored
		again.Headers = maps.Clone(tt.stored.Headers)
		tt.change(&again)
		outcomes, err := d.store.AppendMessages(t.Context(), []domain.Message{again})
		require.NoError(t, err)
		require.Equal(t, tt.want, outcomes[0].Outcome, name)
	}

	_, err = d.owner.Exec(t.Context(), `UPDATE messages SET type = NULL, ordering_key = NULL, headers = NULL WHERE tenant_id = $1`, id)
	require.NoError(t, err)
	changed := full
	changed.Payload = []byte(`2`)
	for _, tt := range []struct {
		m    domain.Message
		want domain.AppendOutcome
	}{{full, domain.AppendDuplicate}, {empty, domain.AppendDuplicate}, {changed, domain.AppendConflict}} {
		outcomes, err := d.store.AppendMessages(t.Context(), []domain.Message{tt.m})
		require.NoError(t, err)
		require.Equal(t, tt.want, outcomes[0].Outcome, "stored by an earlier version")
	}
	require.Len(t, d.history(t, id), 2)
}

// Headers count towards what a page may take, and those that are not returned
// are not brought from the database, in partitions that are older than headers
// too.
func TestPagesCountHeaders(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	id := d.newTenants(t, 1)[0]
	headers := make(map[string]string)
	for i := range domain.MaxHeaders {
		headers[fmt.Sprint(i)] = strings.Repeat("x", domain.MaxHeaderValueLength) // which would be compressed to next to nothing
	}
	const rows = 900
	for range 3 {
		batch := messagesFor(t, []uuid.UUID{id}, rows/3)
		for i := range batch {
			batch[i].Headers = headers
		}
		_, err := d.store.AppendMessages(t.Context(), batch)
		require.NoError(t, err)
	}
	m, through := newMeter(t, d.url)
	store := d.open(t, Options{URL: through})
	const maxBytes = 1 << 20
	for name, read := range map[string]func() []domain.Message{
		"history": func() []domain.Message {
			page, err := store.History(t.Context(), domain.HistoryQuery{TenantID: id, Limit: rows, MaxBytes: maxBytes})
			require.NoError(t, err)
			require.True(t, page.More)
			return page.Messages
		},
		"history, newest first": func() []domain.Message {
			page, err := store.History(t.Context(), domain.HistoryQuery{TenantID: id, Limit: rows, MaxBytes: maxBytes, Descending: true})
			require.NoError(t, err)
			require.True(t, page.More)
			return page.Messages
		},
		"stream": func() []domain.Message {
			messages, more, err := store.ReadStream(t.Context(), id, 0, rows, maxBytes)
			require.NoError(t, err)
			require.True(t, more)
			return messages
		},
	} {
		before := m.received.Load()
		messages := read()
		size := 0
		for i := range messages {
			size += messages[i].Size()
		}
		require.LessOrEqual(t, size, maxBytes, name)
		require.GreaterOrEqual(t, size, maxBytes*9/10, name)
		require.Less(t, m.received.Load()-before, int64(maxBytes*5/4), name)
	}
	one, size, err := store.FindMessage(t.Context(), id, d.history(t, id)[0].ID, 100)
	require.NoError(t, err)
	require.Nil(t, one.Payload)
	require.Nil(t, one.Headers)
	require.Greater(t, size, domain.MaxHeaders*domain.MaxHeaderValueLength)
}

package message_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/service/message"
)

// history is a domain.MessageRepository that only reads: messages of so many
// bytes, with seq 1, 2, 3, ...
type history struct {
	domain.MessageRepository

	sizes   []int
	failAt  int64 // the cursor behind which nothing can be read; 0 for none
	queries []domain.HistoryQuery
	open    int // reservations that were not given back
	held    int
}

func (h *history) History(_ context.Context, q domain.HistoryQuery) (domain.HistoryPage, error) {
	h.queries = append(h.queries, q)
	if h.failAt > 0 && q.Cursor >= h.failAt {
		return domain.HistoryPage{}, domain.New(domain.ErrUnavailable, "away", "Away.")
	}
	page := domain.HistoryPage{Last: int64(len(h.sizes))}
	left := q.MaxBytes
	for i := int(q.Cursor); i < len(h.sizes); i++ {
		size := h.sizes[i] + domain.RowOverhead
		if len(page.Messages) == q.Limit || size > left {
			page.More = true
			if len(page.Messages) < q.Limit {
				page.NextBytes = size
			}
			break
		}
		left -= size
		page.Messages = append(page.Messages, domain.Message{TenantID: q.TenantID, Seq: int64(i + 1), Payload: make([]byte, h.sizes[i])})
	}
	return page, nil
}

func (h *history) FindMessage(context.Context, uuid.UUID, uuid.UUID, int) (domain.Message, int, error) {
	return domain.Message{}, 0, domain.MessageNotFound()
}

func (h *history) Reserve(_ context.Context, _ uuid.UUID, bytes int) (func(), error) {
	h.open++
	h.held = bytes
	return func() { h.open--; h.held = 0 }, nil
}

func TestPagesComeInParts(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	for name, tt := range map[string]struct {
		sizes  []int
		limit  int
		failAt int64
		want   int
		more   bool
		reads  int
	}{
		"nothing":             {nil, 1000, 0, 0, false, 1},
		"small":               {slices.Repeat([]int{100}, 50), 50, 0, 50, false, 1},
		"small, more follow":  {slices.Repeat([]int{100}, 60), 50, 0, 50, true, 1},
		"many that are tiny":  {slices.Repeat([]int{1}, 1000), 1000, 0, 1000, false, 2},
		"large ones":          {slices.Repeat([]int{mib}, 5), 1000, 0, 5, false, 6},
		"too many large ones": {slices.Repeat([]int{mib}, 50), 1000, 0, 7, true, 8},
		"small, then large":   {append(slices.Repeat([]int{10}, 9), 2*mib), 10, 0, 10, false, 2},
		"one that is huge":    {[]int{20 * mib, 1}, 1000, 0, 1, true, 2},
		"fails in the middle": {slices.Repeat([]int{mib}, 5), 1000, 3, 3, true, 5},
	} {
		h := &history{sizes: tt.sizes, failAt: tt.failAt}
		f := newFixture(func(o *message.Options) { o.Messages, o.Memory = h, h })
		var got []int64
		var more, ended bool
		q := domain.HistoryQuery{TenantID: f.tenant.ID, Limit: tt.limit}
		err := f.History(t.Context(), q, func(part domain.HistoryPage, last bool) error {
			require.False(t, ended, name)
			bytes := 0
			for i := range part.Messages {
				got = append(got, part.Messages[i].Seq)
				bytes += len(part.Messages[i].Payload) + domain.RowOverhead
			}
			require.LessOrEqual(t, bytes, max(h.held, domain.SmallAnswer), "%s: what is held is reserved", name)
			more, ended = part.More, last
			return nil
		})
		require.NoError(t, err, name)
		require.True(t, ended, name)
		require.Len(t, got, tt.want, name)
		for i, seq := range got {
			require.EqualValues(t, i+1, seq, name)
		}
		require.Equal(t, tt.more, more, name)
		require.Len(t, h.queries, tt.reads, name)
		require.Zero(t, h.open, "%s: everything is given back", name)
	}
}

// Headers count towards a page as payloads do.
func TestPagesCountEnvelopes(t *testing.T) {
	t.Parallel()
	heavy := &heavyHistory{headers: make(map[string]string)}
	for i := range domain.MaxHeaders {
		heavy.headers[string(rune('a'+i))] = strings.Repeat("v", domain.MaxHeaderValueLength)
	}
	f := newFixture(func(o *message.Options) { o.Messages = heavy })
	size, last := 0, domain.HistoryPage{}
	err := f.History(t.Context(), domain.HistoryQuery{TenantID: f.tenant.ID, Limit: 1000}, func(part domain.HistoryPage, _ bool) error {
		for i := range part.Messages {
			size += part.Messages[i].Size()
		}
		last = part
		return nil
	})
	require.NoError(t, err)
	require.True(t, last.More)
	require.Less(t, size, domain.MaxAnswer*11/10)
	require.Greater(t, size, domain.MaxAnswer*9/10)
}

// heavyHistory has messages without end that have small payloads and large headers,
// and gives some at a time.
type heavyHistory struct {
	domain.MessageRepository

	headers map[string]string
}

func (h *heavyHistory) History(_ context.Context, q domain.HistoryQuery) (domain.HistoryPage, error) {
	page := domain.HistoryPage{More: true}
	for i := range min(q.Limit, 10) {
		page.Messages = append(page.Messages, domain.Message{Seq: q.Cursor + int64(i) + 1, Payload: []byte(`1`), Headers: h.headers})
	}
	return page, nil
}

func TestReading(t *testing.T) {
	t.Parallel()
	h := &history{sizes: slices.Repeat([]int{1 << 20}, 3)}
	f := newFixture(func(o *message.Options) { o.Messages, o.Memory = h, h })
	broken := errors.New("broken")
	calls := 0
	err := f.History(t.Context(), domain.HistoryQuery{Limit: message.MaxPageSize}, func(domain.HistoryPage, bool) error {
		calls++
		return broken
	})
	require.ErrorIs(t, err, broken)
	require.Equal(t, 1, calls)
	require.Zero(t, h.open)

	never := func(domain.HistoryPage, bool) error { panic("not called") }
	h.failAt = 1
	err = f.History(t.Context(), domain.HistoryQuery{Limit: 1, Cursor: 1, HasCursor: true}, never)
	require.ErrorIs(t, err, domain.ErrUnavailable)
	for _, limit := range []int{-1, 0, message.MaxPageSize + 1} {
		err = f.History(t.Context(), domain.HistoryQuery{Limit: limit, Cursor: -1}, never)
		var problem *domain.Error
		require.ErrorAs(t, err, &problem)
		require.Equal(t, domain.ErrInvalid, problem.Kind)
		require.Len(t, problem.Fields, 2)
	}
	err = f.Get(t.Context(), f.tenant, uuid.New(), nil)
	require.ErrorIs(t, err, domain.ErrNotFound)
}

// twice is a message that is read whole only when there is room for it.
type twice struct {
	domain.MessageRepository

	rooms []int
}

func (r *twice) FindMessage(_ context.Context, tenantID, id uuid.UUID, maxBytes int) (domain.Message, int, error) {
	const size = 1 << 20
	r.rooms = append(r.rooms, maxBytes)
	m := domain.Message{ID: id, TenantID: tenantID}
	if maxBytes >= size {
		m.Payload = []byte("1")
	}
	return m, size, nil
}

func TestALargeMessageIsReadOnceThereIsRoom(t *testing.T) {
	t.Parallel()
	r, id := &twice{}, uuid.New()
	f := newFixture(func(o *message.Options) { o.Messages = r })
	require.NoError(t, f.Get(t.Context(), f.tenant, id, func(m domain.Message) error {
		require.Equal(t, id, m.ID)
		require.Equal(t, "1", string(m.Payload))
		return nil
	}))
	require.Equal(t, []int{domain.SmallAnswer, 1 << 20}, r.rooms)
}

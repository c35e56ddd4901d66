package consumer

import (
	"context"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// What is stored already is said to have come back before it is acknowledged, and
// nothing else is.
func TestDuplicatesCameBack(t *testing.T) {
	t.Parallel()
	l := newHarness(t)
	p := l.processor()
	one, two := uuid.New(), uuid.New()
	process := func(ids ...uuid.UUID) {
		var chunk []domain.Delivery
		for i, id := range ids {
			chunk = append(chunk, domain.Delivery{Tag: uint64(i + 1), MessageID: id.String(), Body: []byte(`1`)})
		}
		acked := 0
		p.process(t.Context(), chunk, func(tags []uint64) {
			acked += len(tags)
			for _, tag := range tags {
				stored := len(l.store.Stored(l.tenant)) == 1
				l.with(func() { require.Equal(t, stored || ids[tag-1] == two, l.returned[ids[tag-1]] == 0) })
			}
		})
		require.Equal(t, len(ids), acked)
	}
	process(one)
	require.Empty(t, l.returned)
	process(one, two)
	require.Equal(t, map[uuid.UUID]int{one: 1}, l.returned)
}

// What an earlier version had stored is not given up for an envelope that no message
// can have any more.
func TestUnreadableEnvelopesMayHaveComeBack(t *testing.T) {
	t.Parallel()
	l := newHarness(t)
	p := l.processor()
	earlier, other := uuid.New(), uuid.New()
	l.earlier = map[uuid.UUID]bool{earlier: true}
	headers := map[string]any{"baggage": strings.Repeat("x", domain.MaxHeaderValueLength+1)}
	var acked []uint64
	p.process(t.Context(), []domain.Delivery{
		{Tag: 1, MessageID: earlier.String(), Body: []byte(`1`), Headers: headers},
		{Tag: 2, MessageID: other.String(), Body: []byte(`1`), Headers: headers},
		{Tag: 3, Body: []byte(`1`), Headers: headers},
	}, func(tags []uint64) { acked = append(acked, tags...) })
	require.Equal(t, []uint64{1, 2, 3}, acked)
	require.Equal(t, 1, l.returned[earlier])
	require.Len(t, l.letters, 2)
	require.Equal(t, other.String(), l.letters[0].MessageID)
	require.Equal(t, domain.ReasonInvalidHeaders, l.letters[0].Reason)
	require.Empty(t, l.store.Stored(l.tenant))
}

// While deliveries cannot be opened nothing that came back is acknowledged. It is
// stored once more in between, which waits for a store that is away.
func TestWhatCameBackIsKeptUntilItIsTakenOver(t *testing.T) {
	t.Parallel()
	l := newHarness(t)
	id := uuid.New()
	delivery := domain.Delivery{Tag: 1, MessageID: id.String(), Body: []byte(`1`)}
	l.processor().process(t.Context(), []domain.Delivery{delivery}, func([]uint64) {})

	l.returnedFail = domain.New(domain.ErrUnavailable, "away", "")
	l.queue = []domain.Delivery{delivery}
	l.start(1)
	again := func() (n int) {
		for _, batch := range l.store.Batches() {
			if len(batch) == 1 && batch[0].ID == id {
				n++
			}
		}
		return n
	}
	l.eventually(func() bool { return again() >= 3 })
	l.with(func() {
		require.Zero(t, l.acked[id.String()])
		l.returnedFail = nil
	})
	l.eventually(func() bool { return l.acked[id.String()] == 1 && l.returned[id] == 1 })
}

// It waits no longer than the work on the subscription goes on, and what did not
// come back does not wait for it.
func TestWhatCameBackGoesBackToTheQueueInTheEnd(t *testing.T) {
	t.Parallel()
	l := newHarness(t)
	p := l.processor()
	chunk := []domain.Delivery{{Tag: 1, MessageID: uuid.NewString(), Body: []byte(`1`)}}
	p.process(t.Context(), chunk, func([]uint64) {})
	l.returnedFail = domain.New(domain.ErrUnavailable, "away", "")
	chunk = append(chunk, domain.Delivery{Tag: 2, MessageID: uuid.NewString(), Body: []byte(`2`)})
	ctx, cancel := context.WithCancel(t.Context())
	acked, ended := make(chan []uint64, 2), make(chan struct{})
	go func() {
		defer close(ended)
		p.process(ctx, chunk, func(tags []uint64) { acked <- tags })
	}()
	require.Equal(t, []uint64{2}, <-acked)
	cancel()
	<-ended
	require.Empty(t, acked)
}

package stream

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

func TestWindowsAreBoundedInBytes(t *testing.T) {
	t.Parallel()
	tenant := uuid.New()
	store := newMemory(tenant)
	s := start(t, store)
	slow, quick := open(t, s, tenant, nil, 0), open(t, s, tenant, nil, 0)
	const size = 100_000
	for range 20 {
		last := store.add(tenant, 20, size)
		s.Committed([]uuid.UUID{tenant})
		require.NoError(t, quick.until(t.Context(), last))
	}
	f := s.feedOf(tenant)
	f.window.mu.RLock()
	require.LessOrEqual(t, f.window.bytes, windowBytes)
	held := 0
	for _, c := range f.window.chunks {
		held += len(c.data)
		require.LessOrEqual(t, cap(c.data), chunkBytes)
	}
	require.Equal(t, f.window.bytes, held)
	f.window.mu.RUnlock()
	for slow.last < 400 {
		data, err := slow.stream.Next(t.Context())
		require.NoError(t, err)
		require.LessOrEqual(t, len(data), chunkBytes)
		seqs, err := decodeEvents(data)
		require.NoError(t, err)
		require.Equal(t, slow.last+1, seqs[0])
		slow.last = seqs[len(seqs)-1]
	}

	// An event that is larger than a piece is a piece of its own, on both ways.
	store.add(tenant, 1, 10)
	store.add(tenant, 1, 3*chunkBytes)
	last := store.add(tenant, 1, 10)
	s.Committed([]uuid.UUID{tenant})
	require.NoError(t, quick.until(t.Context(), last))
	late := open(t, s, tenant, new(int64(0)), 0)
	require.NoError(t, late.until(t.Context(), last))
}

// Many busy tenants share what windows may hold, their clients lose nothing,
// and what ends gives back its part.
func TestWindowsAreBoundedTogether(t *testing.T) {
	t.Parallel()
	const tenants, size, bound = 8, 100_000, 8 << 20
	ids := make([]uuid.UUID, tenants)
	for i := range ids {
		ids[i] = uuid.New()
	}
	store := newMemory(ids...)
	s := start(t, store, func(s *Service) { s.memory = bound })
	var slow, quick []*reader
	for _, id := range ids {
		slow, quick = append(slow, open(t, s, id, nil, 0)), append(quick, open(t, s, id, nil, 0))
	}
	for range 10 {
		for i, id := range ids {
			last := store.add(id, 10, size)
			s.Committed([]uuid.UUID{id})
			require.NoError(t, quick[i].until(t.Context(), last))
		}
	}
	held := 0
	for _, id := range ids {
		held += s.feedOf(id).window.size()
	}
	require.LessOrEqual(t, held, bound+11*size, "all and what one has read")
	require.Greater(t, held, bound/2, "not less than needs be")
	require.Eventually(t, func() bool { return s.held.Load() == int64(held) }, patience, time.Millisecond)
	for i := range ids {
		require.NoError(t, slow[i].until(t.Context(), 100))
		slow[i].stream.Close()
		quick[i].stream.Close()
	}
	require.Eventually(t, func() bool { return s.held.Load() == 0 }, patience, time.Millisecond)
}

// What a quiet tenant's clients have taken long ago is not kept in memory.
func TestOldEventsAreForgotten(t *testing.T) {
	t.Parallel()
	var w window
	w.init()
	now := time.Now()
	for i := range int64(4) {
		m := []domain.Message{{Seq: i + 1}}
		w.add(encode(m, encodeEvent, now.Add(time.Duration(i)*time.Second)), windowBytes)
	}
	w.trim(now.Add(windowAge + 1500*time.Millisecond))
	require.Len(t, w.chunks, 2)
	start, end := w.bounds()
	require.EqualValues(t, 2, start)
	require.EqualValues(t, 4, end)
	require.True(t, w.after(1, 0).behind)
	require.EqualValues(t, 4, w.after(2, 0).last)
	w.trim(now.Add(time.Hour))
	require.Empty(t, w.chunks)
	require.Zero(t, w.events)
	require.Zero(t, w.bytes)
	require.True(t, w.after(3, 0).behind)
	require.Zero(t, w.after(4, 0).last)
	require.False(t, w.after(4, 0).behind)
}

// Whatever the sizes of chunks and wherever a client is, it sees every event
// once: a model of a window and its reader.
func TestWindowsLoseNothing(t *testing.T) {
	t.Parallel()
	var w window
	w.init()
	var seq int64
	for round := range 400 {
		messages := make([]domain.Message, 1+rand.IntN(150))
		for i := range messages {
			seq++
			messages[i] = domain.Message{Seq: seq, Payload: bytes.Repeat([]byte{'x'}, rand.IntN(4000))}
			if rand.IntN(50) == 0 {
				seq += int64(rand.IntN(3)) // a hole
			}
		}
		w.add(encode(messages, encodeEvent, time.Now()), windowBytes)
		if round%20 != 0 {
			continue
		}
		var all []int64
		for _, c := range w.chunks {
			all = append(all, c.seqs...)
		}
		cursor := w.start + rand.Int64N(w.end-w.start+1)
		var want []int64
		for _, s := range all {
			if s > cursor {
				want = append(want, s)
			}
		}
		var got []int64
		for {
			v := w.after(cursor, 0)
			require.False(t, v.behind)
			if v.last == 0 {
				break
			}
			seqs, err := decodeEvents(v.data)
			require.NoError(t, err)
			require.Equal(t, v.last, seqs[len(seqs)-1])
			require.True(t, len(v.data) <= chunkBytes || len(seqs) == 1)
			got = append(got, seqs...)
			cursor = v.last
		}
		require.Equal(t, want, got)
	}
}

package stream

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// What is handed over is in memory: feeds do not read the database, and clients get
// what it has.
func TestFeedsReadMemory(t *testing.T) {
	t.Parallel()
	tenant := uuid.New()
	store := newMemory(tenant)
	last := store.add(tenant, 3, 10)
	s := start(t, store)
	var readers []*reader
	for range 3 {
		readers = append(readers, open(t, s, tenant, nil, last))
	}
	s.awaitEnd(t, tenant, last)
	var got [][]byte
	for n := range 50 {
		batch, appended := make([]domain.Message, 1+n), make([]domain.AppendResult, 1+n)
		for i := range batch {
			last++
			batch[i] = domain.Message{ID: uuid.New(), TenantID: tenant, Payload: fmt.Appendf(nil, `{"n":%d,"":1e1}`, last)}
			appended[i] = domain.AppendResult{Outcome: domain.AppendStored, Seq: last}
			got = append(got, fmt.Appendf(nil, "id: %d\ndata: {\"\": 10, \"n\": %d}\n\n", last, last))
		}
		s.tails.Committed(batch, appended)
		for _, r := range readers {
			require.NoError(t, r.until(t.Context(), last))
		}
	}
	reads, _ := store.counts()
	require.Zero(t, reads)
	first := readers[0].client().feed.window.chunks
	for _, c := range first {
		require.Equal(t, bytes.Join(got[:len(c.seqs)], nil), c.data)
		got = got[len(c.seqs):]
	}
	require.Empty(t, got)
}

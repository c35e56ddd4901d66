package repository

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// BenchmarkAppendMessages stores batches of 512 messages of 256 bytes with one
// writer, spread over 1 to 1,000 tenants.
func BenchmarkAppendMessages(b *testing.B) {
	for _, tenants := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("tenants=%d", tenants), func(b *testing.B) {
			d := newDatabase(b)
			ids := d.newTenants(b, tenants)
			payload := payloadOf(256)
			next := 0
			for b.Loop() {
				b.StopTimer()
				batch := make([]domain.Message, 512)
				for i := range batch {
					batch[i] = domain.Message{ID: newID(b), TenantID: ids[next%len(ids)], Payload: payload}
					next++
				}
				b.StartTimer()
				_, err := d.store.AppendMessages(b.Context(), batch)
				require.NoError(b, err)
			}
			b.ReportMetric(float64(512*b.N)/b.Elapsed().Seconds(), "rows/s")
			b.ReportAllocs()
		})
	}
}

// BenchmarkAppendEnveloped stores batches of 512 messages of 256 bytes with one
// writer, where none, all, or one in 100 has a type, a key and two headers.
func BenchmarkAppendEnveloped(b *testing.B) {
	for _, every := range []int{0, 100, 1} {
		b.Run(fmt.Sprintf("every=%d", every), func(b *testing.B) {
			d := newDatabase(b)
			ids := d.newTenants(b, 10)
			payload := payloadOf(256)
			headers := map[string]string{"source": "shop", "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
			for b.Loop() {
				b.StopTimer()
				batch := make([]domain.Message, 512)
				for i := range batch {
					batch[i] = domain.Message{ID: newID(b), TenantID: ids[i%len(ids)], Payload: payload}
					if every > 0 && i%every == 0 {
						batch[i].Type, batch[i].OrderingKey, batch[i].Headers = "order.created", "order-1842", headers
					}
				}
				b.StartTimer()
				_, err := d.store.AppendMessages(b.Context(), batch)
				require.NoError(b, err)
			}
			b.ReportMetric(float64(512*b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// BenchmarkAppendRedelivered stores batches of which one message is known.
func BenchmarkAppendRedelivered(b *testing.B) {
	d := newDatabase(b)
	ids := d.newTenants(b, 10)
	known := messagesFor(b, ids, 1)[0]
	_, err := d.store.AppendMessages(b.Context(), []domain.Message{known})
	require.NoError(b, err)
	for b.Loop() {
		b.StopTimer()
		batch := messagesFor(b, ids, 512)
		batch[100] = known
		b.StartTimer()
		_, err := d.store.AppendMessages(b.Context(), batch)
		require.NoError(b, err)
	}
	b.ReportMetric(float64(512*b.N)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkHistory reads pages of 50 out of 10,000 messages of 256 bytes.
func BenchmarkHistory(b *testing.B) {
	d := newDatabase(b)
	ids := d.newTenants(b, 100)
	payload := payloadOf(256)
	for range 20 {
		batch := make([]domain.Message, 500)
		for i := range batch {
			batch[i] = domain.Message{ID: newID(b), TenantID: ids[0], Payload: payload}
		}
		_, err := d.store.AppendMessages(b.Context(), batch)
		require.NoError(b, err)
	}
	cursor := int64(0)
	for b.Loop() {
		page, err := d.store.History(b.Context(), domain.HistoryQuery{TenantID: ids[0], Cursor: cursor, HasCursor: true, Limit: 50})
		require.NoError(b, err)
		cursor = (cursor + int64(len(page.Messages))) % 9000
	}
	b.ReportAllocs()
}

// BenchmarkClaimKeys claims 100 fresh keys at a time.
func BenchmarkClaimKeys(b *testing.B) {
	d := newDatabase(b)
	scope := uuid.New()
	for b.Loop() {
		claims := make([]domain.IdempotencyClaim, 100)
		for i := range claims {
			claims[i] = claim(b, scope, uuid.NewString(), 1)
		}
		_, err := d.store.ClaimKeys(b.Context(), claims)
		require.NoError(b, err)
	}
	b.ReportMetric(float64(100*b.N)/b.Elapsed().Seconds(), "keys/s")
}

func payloadOf(size int) []byte {
	const frame = `{"text":""}`
	return []byte(`{"text":"` + strings.Repeat("x", size-len(frame)) + `"}`)
}

// Keys of one tenant, 500 at a time: what a key costs does not grow with how many there
// are.
func BenchmarkKeysOfATenant(b *testing.B) {
	const batch = 500
	d := newDatabase(b)
	scope := newID(b)
	for n := 0; b.Loop(); n++ {
		claims, confirmed := make([]domain.IdempotencyClaim, batch), make([]domain.ConfirmedKey, batch)
		for i := range claims {
			claims[i] = claim(b, scope, fmt.Sprintf("line %d", n*batch+i), 1)
			confirmed[i] = domain.ConfirmedKey{Key: claims[i].Key, ID: claims[i].ID}
		}
		_, err := d.store.ClaimKeys(b.Context(), claims)
		require.NoError(b, err)
		require.NoError(b, d.store.ConfirmKeys(b.Context(), scope, confirmed))
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*batch), "µs/key")
}

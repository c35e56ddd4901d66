package repository

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// BenchmarkRowSecurity does the same with the roles and as the owner, whom no policy
// holds, in turns on one database, and reports the medians and their ratio.
func BenchmarkRowSecurity(b *testing.B) {
	const tenants = 1000
	d := newDatabase(b)
	ids := d.newTenants(b, tenants)
	owner := d.open(b, Options{AwaitRoles: true})
	owner.ActAs(Roles{})
	history := make([]domain.Message, 500)
	for i := range history {
		history[i] = domain.Message{ID: newID(b), TenantID: ids[0], Payload: payloadOf(250)}
	}
	_, err := d.store.AppendMessages(b.Context(), history)
	require.NoError(b, err)
	d.exec(b, `INSERT INTO tenants (id, name, status, workers) SELECT tenant_id, 'n', 'active', 1 FROM tenant_streams`)
	next := 0
	batchOf := func(n, spread int) func(*testing.B) []domain.Message {
		return func(b *testing.B) []domain.Message {
			b.Helper()
			batch := make([]domain.Message, n)
			for i := range batch {
				batch[i] = domain.Message{ID: newID(b), TenantID: ids[1+(next+i%spread)%(tenants-1)], Payload: payloadOf(256)}
			}
			next += spread
			return batch
		}
	}
	none := func(*testing.B) []domain.Message { return nil }
	store := func(b *testing.B, s *Store, batch []domain.Message) {
		b.Helper()
		_, err := s.AppendMessages(b.Context(), batch)
		require.NoError(b, err)
	}
	for _, op := range []struct {
		name    string
		prepare func(*testing.B) []domain.Message
		run     func(*testing.B, *Store, []domain.Message)
	}{
		{"append 512 of 1", batchOf(512, 1), store},
		{"append 512 of 256", batchOf(512, 256), store},
		{"append 1", batchOf(1, 1), store},
		{"append 512 of 256, one stored", func(b *testing.B) []domain.Message {
			b.Helper()
			return append(batchOf(511, 256)(b), history[0])
		}, store},
		{"page of 50", none, func(b *testing.B, s *Store, _ []domain.Message) {
			b.Helper()
			page, err := s.History(b.Context(), domain.HistoryQuery{TenantID: ids[0], HasCursor: true, Cursor: 100, Limit: 50})
			require.NoError(b, err)
			require.Len(b, page.Messages, 50)
		}},
		{"page of 500", none, func(b *testing.B, s *Store, _ []domain.Message) {
			b.Helper()
			page, err := s.History(b.Context(), domain.HistoryQuery{TenantID: ids[0], Limit: 500, HasCursor: true})
			require.NoError(b, err)
			require.Len(b, page.Messages, 500)
		}},
		{"message", none, func(b *testing.B, s *Store, _ []domain.Message) {
			b.Helper()
			_, _, err := s.FindMessage(b.Context(), ids[0], history[7].ID, maxPageBytes)
			require.NoError(b, err)
		}},
		{"tenant", none, func(b *testing.B, s *Store, _ []domain.Message) {
			b.Helper()
			_, err := s.FindTenant(b.Context(), ids[0])
			require.NoError(b, err)
		}},
	} {
		b.Run(op.name, func(b *testing.B) {
			stores := [2]*Store{d.store, owner}
			var took [2][]time.Duration
			measure := func(which int) {
				batch := op.prepare(b)
				begun := time.Now()
				op.run(b, stores[which], batch)
				took[which] = append(took[which], time.Since(begun))
			}
			for range 20 { // statements are prepared, and partitions known
				measure(0)
				measure(1)
			}
			took[0], took[1] = nil, nil
			first := 0
			for b.Loop() {
				measure(first)
				measure(1 - first)
				first = 1 - first
			}
			with, without := median(took[0]), median(took[1])
			b.ReportMetric(float64(with.Microseconds()), "with-µs")
			b.ReportMetric(float64(without.Microseconds()), "without-µs")
			b.ReportMetric(float64(with)/float64(without), "ratio")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

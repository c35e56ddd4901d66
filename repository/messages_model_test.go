package repository

import (
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"lanekeeper/domain"
)

// Whatever the mixture of new, repeated and changed messages for tenants that
// are there or not, the store does what a list per tenant would do.
func TestAppendAgainstModel(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	rapid.Check(t, func(rt *rapid.T) {
		tenants := append(d.newTenants(t, 2), newID(t))
		ids := make([]uuid.UUID, 6)
		for i := range ids {
			ids[i] = newID(t)
		}
		type key struct{ tenant, id int }
		type content struct {
			payload          int
			typ, orderingKey string
			header           string
		}
		contents := make(map[key]content)
		lists := make([][]key, len(tenants))
		for range rapid.IntRange(1, 5).Draw(rt, "batches") {
			var batch []domain.Message
			var want []domain.AppendOutcome
			used := make(map[key]bool)
			for range rapid.IntRange(1, 8).Draw(rt, "size") {
				k := key{rapid.IntRange(0, len(tenants)-1).Draw(rt, "tenant"), rapid.IntRange(0, len(ids)-1).Draw(rt, "id")}
				if used[k] {
					continue
				}
				used[k] = true
				now := content{payload: rapid.IntRange(0, 1).Draw(rt, "payload")}
				for _, part := range []*string{&now.typ, &now.orderingKey, &now.header} {
					*part = rapid.SampledFrom([]string{"", "", "", "a"}).Draw(rt, "part of the envelope")
				}
				m := domain.Message{
					ID: ids[k.id], TenantID: tenants[k.tenant], Payload: fmt.Append(nil, now.payload), Type: now.typ, OrderingKey: now.orderingKey,
				}
				if now.header != "" {
					m.Headers = map[string]string{"header": now.header}
				}
				batch = append(batch, m)
				switch before, known := contents[k]; {
				case k.tenant == len(tenants)-1:
					want = append(want, domain.AppendNoTenant)
				case !known:
					want = append(want, domain.AppendStored)
					contents[k] = now
					lists[k.tenant] = append(lists[k.tenant], k)
				case before == now:
					want = append(want, domain.AppendDuplicate)
				default:
					want = append(want, domain.AppendConflict)
				}
			}
			got, err := d.store.AppendMessages(t.Context(), batch)
			require.NoError(rt, err)
			require.Equal(rt, want, outcomesOf(got))
			d.requireAppended(rt, batch, got)
		}
		for i, id := range tenants {
			history := d.history(t, id)
			require.Len(rt, history, len(lists[i]))
			for at, m := range history {
				k := lists[i][at]
				require.EqualValues(rt, at+1, m.Seq)
				require.Equal(rt, ids[k.id], m.ID)
				got := content{int(m.Payload[0] - '0'), m.Type, m.OrderingKey, m.Headers["header"]}
				require.Equal(rt, contents[k], got)
			}
		}
	})
}

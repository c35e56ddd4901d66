package writer

import (
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/service/writer/writertest"
)

// Why a tenant is not stored is known as long as it is not, and of no other tenant.
func TestWriterSaysWhyATenantIsNotStored(t *testing.T) {
	t.Parallel()
	for kind, fault := range map[domain.StoreTroubleKind]error{
		domain.StoreLocked:           domain.New(domain.ErrContended, "locked", "locked"),
		domain.StorePartitionMissing: domain.New(domain.ErrPartitionMissing, "missing", "missing"),
		domain.StoreAway:             domain.New(domain.ErrUnavailable, "away", "away"),
	} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			store := writertest.NewStore()
			w := startWriter(t, Options{Repository: store})
			blocked, other := uuid.New(), uuid.New()
			require.Zero(t, w.Trouble(blocked))
			store.SetFault(func(batch []domain.Message) error {
				if writertest.Has(batch, blocked) {
					return fault
				}
				return nil
			})
			var wg sync.WaitGroup
			storing(t, &wg, w, messagesOf(blocked, 3))
			require.Eventually(t, func() bool { return w.Trouble(blocked).Kind == kind }, 10*time.Second, time.Millisecond)
			require.WithinDuration(t, time.Now(), w.Trouble(blocked).Since, 10*time.Second)
			if kind != domain.StoreAway { // then it is everybody's
				require.Zero(t, w.Trouble(other))
			}
			store.SetFault(nil)
			wg.Wait()
			require.Eventually(t, func() bool { return w.Trouble(blocked) == domain.StoreTrouble{} }, 10*time.Second, time.Millisecond)
		})
	}
}

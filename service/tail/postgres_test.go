package tail

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/repository"
	"lanekeeper/tests/servicetest"
)

// What is in memory is what the database gives, in every part of it.
func TestMemoryIsWhatTheHistoryGives(t *testing.T) {
	t.Parallel()
	url := devtest.Postgres(t)
	store := servicetest.NewStore(t, repository.Options{URL: url})
	s := NewService(Options{Histories: store, Log: slog.New(slog.DiscardHandler)})
	stop := make(chan struct{})
	go func() { defer close(stop); s.Run(t.Context()) }()
	t.Cleanup(func() { <-stop })
	tenants := make([]uuid.UUID, 3)
	tails := make([]domain.Tail, len(tenants))
	for i := range tenants {
		tenants[i] = uuid.Must(uuid.NewV7())
		require.NoError(t, store.CreatePartition(t.Context(), tenants[i]))
		tails[i] = s.Open(tenants[i])
		t.Cleanup(tails[i].Close)
	}
	payloads := []string{
		`null`, ` [ 1 , -0 , 1.50e1 , "\u00e9\/\n" ] `, `{"bb":1,"a":{"d":2,"c":3},"a":{"y":1,"x":[]},"":0}`, `"😀\ud83d\ude00"`, `1e100`,
	}
	var known domain.Message
	for n := range 20 {
		var batch []domain.Message
		for range 1 + rand.IntN(100) {
			payload := payloads[rand.IntN(len(payloads))]
			if rand.IntN(2) == 0 {
				payload = fmt.Sprintf(`{"z%d":1,"n":%d}`, n, rand.IntN(100))
			}
			m := domain.Message{ID: uuid.New(), TenantID: tenants[rand.IntN(len(tenants))], Payload: []byte(payload)}
			if rand.IntN(2) == 0 {
				m.Type, m.OrderingKey = "order.paid", fmt.Sprint("key ", n)
				m.Headers = map[string]string{"longer name": "\u00e9\n\"", "name": payload}
			}
			batch = append(batch, m)
		}
		if n > 10 {
			batch = append(batch, known) // a duplicate
		}
		known = batch[0]
		appended, err := store.AppendMessages(t.Context(), batch)
		require.NoError(t, err)
		s.Committed(batch, appended)
	}
	for i, tenant := range tenants {
		for cursor := int64(0); ; {
			want, more, err := store.ReadStream(t.Context(), tenant, cursor, 7, 1<<20)
			require.NoError(t, err)
			var v domain.TailView
			require.Eventually(t, func() bool {
				v = tails[i].After(cursor, 7, 1<<20)
				return len(v.Messages) > 0
			}, patience, time.Millisecond)
			require.Equal(t, want[:len(v.Messages)], v.Messages)
			cursor += int64(len(v.Messages))
			if !more && len(v.Messages) == len(want) {
				require.NotNil(t, tails[i].After(cursor, 1, 1).Changed)
				break
			}
		}
	}
}

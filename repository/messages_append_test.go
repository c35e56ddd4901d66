package repository

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"lanekeeper/domain"
)

func isKind(err error, kind domain.Kind) bool { return errors.Is(err, kind) }

func TestAppendOutcomes(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	tenants := d.newTenants(t, 2)
	gone := newID(t)
	a, b := message(t, tenants[0], `{"a": 1, "b": [1.0, null]}`), message(t, tenants[1], `"b"`)
	first, err := d.store.AppendMessages(t.Context(), []domain.Message{a, b})
	require.NoError(t, err)
	require.Equal(t, []domain.AppendOutcome{domain.AppendStored, domain.AppendStored}, outcomesOf(first))

	respelled := a
	respelled.Payload = []byte(` { "b":[1.0,null], "a":1 } `)
	changed := b
	changed.Payload = []byte(`"c"`)
	moved := a // ids belong to their tenant
	moved.TenantID = tenants[1]
	batch := []domain.Message{
		message(t, tenants[0], `1`), respelled, message(t, gone, `2`), changed, moved, message(t, tenants[0], `null`),
	}
	second, err := d.store.AppendMessages(t.Context(), batch)
	require.NoError(t, err)
	d.requireAppended(t, batch, second)
	require.Equal(t, []domain.AppendOutcome{
		domain.AppendStored, domain.AppendDuplicate, domain.AppendNoTenant, domain.AppendConflict, domain.AppendStored, domain.AppendStored,
	}, outcomesOf(second))

	one, two := d.history(t, tenants[0]), d.history(t, tenants[1])
	requireDense(t, one)
	requireDense(t, two)
	require.Len(t, one, 3)
	require.Len(t, two, 2)
	require.JSONEq(t, `"b"`, string(two[0].Payload))
	require.Equal(t, `null`, string(one[2].Payload))

	onlyGone, err := d.store.AppendMessages(t.Context(), messagesFor(t, []uuid.UUID{gone}, 2))
	require.NoError(t, err)
	require.Equal(t, []domain.AppendOutcome{domain.AppendNoTenant, domain.AppendNoTenant}, outcomesOf(onlyGone))

	onlyKnown, err := d.store.AppendMessages(t.Context(), []domain.Message{a, b})
	require.NoError(t, err)
	require.Equal(t, []domain.AppendOutcome{domain.AppendDuplicate, domain.AppendDuplicate}, outcomesOf(onlyKnown))

	none, err := d.store.AppendMessages(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestAppendKeepsTheOrderOfTheBatch(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	tenants := d.newTenants(t, 3)
	batch := messagesFor(t, tenants, 500)
	slices.Reverse(batch)
	appended, err := d.store.AppendMessages(t.Context(), batch)
	require.NoError(t, err)
	d.requireAppended(t, batch, appended)
	for _, id := range tenants {
		history := d.history(t, id)
		requireDense(t, history)
		var want, got []uuid.UUID
		for _, m := range batch {
			if m.TenantID == id {
				want = append(want, m.ID)
			}
		}
		for i, m := range history {
			got = append(got, m.ID)
			require.False(t, i > 0 && m.CreatedAt.Before(history[i-1].CreatedAt))
		}
		require.Equal(t, want, got)
	}
}

func TestPayloadsComeBackAsSent(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	id := d.newTenants(t, 1)[0]
	big, err := json.Marshal(strings.Repeat("ü🥐\n", 30_000))
	require.NoError(t, err)
	for _, payload := range []string{
		`null`, `true`, `0`, `-1.50`, `1e10`, `123456789012345678901234567890.123456789`, `""`, `"\"\\\u001f€🥐"`,
		`[]`, `{}`, `[[[[{"a":[null,{"b":{}}]}]]]]`, `{"ключ":"значение","":"empty key"}`, string(big),
		"[" + strings.Repeat("[", 127) + strings.Repeat("]", 127) + "]", `1e999`,
	} {
		m := message(t, id, payload)
		outcomes, err := d.store.AppendMessages(t.Context(), []domain.Message{m})
		require.NoError(t, err, "%.80s", payload)
		require.Equal(t, domain.AppendStored, outcomes[0].Outcome)
		found, _, err := d.store.FindMessage(t.Context(), id, m.ID, maxPageBytes)
		require.NoError(t, err)
		var same bool
		require.NoError(t, d.owner.QueryRow(t.Context(), `SELECT $1::jsonb = $2::jsonb`, payload, string(found.Payload)).Scan(&same))
		require.True(t, same, "%.80s came back as %.80s", payload, found.Payload)
		again, err := d.store.AppendMessages(t.Context(), []domain.Message{m})
		require.NoError(t, err)
		require.Equal(t, domain.AppendDuplicate, again[0].Outcome)
	}
}

// Eight appenders on two replicas deliver everything at least twice to the
// same tenants, in different batches; readers follow the cursor meanwhile.
func TestAppendConcurrently(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	stores := []*Store{d.store, d.open(t, Options{WriterConns: 4})}
	tenants := d.newTenants(t, 5)
	messages := messagesFor(t, tenants, 2000)
	perTenant := len(messages) / len(tenants)

	var readers, writers errgroup.Group
	followed := make([][]domain.Message, len(tenants))
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	for i, id := range tenants {
		readers.Go(func() error {
			q := domain.HistoryQuery{TenantID: id, HasCursor: true, Limit: 7}
			for len(followed[i]) < perTenant {
				page, err := stores[i%2].History(ctx, q)
				if err != nil {
					return err
				}
				if n := len(page.Messages); n > 0 {
					followed[i] = append(followed[i], page.Messages...)
					q.Cursor = page.Messages[n-1].Seq
				}
			}
			return nil
		})
	}
	var mu sync.Mutex
	stored := make(map[uuid.UUID]int)
	for i := range 8 {
		writers.Go(func() error {
			// Writers 0..3 cover everything, and so do 4..7 in another order.
			var mine []domain.Message
			for j := i % 4; j < len(messages); j += 4 {
				mine = append(mine, messages[j])
			}
			random := rand.New(rand.NewPCG(uint64(i), 1))
			random.Shuffle(len(mine), func(a, b int) { mine[a], mine[b] = mine[b], mine[a] })
			for batch := range slices.Chunk(mine, 40) {
				outcomes, err := appendPatiently(ctx, stores[i%2], batch)
				if err != nil {
					return err
				}
				mu.Lock()
				for at, appended := range outcomes {
					switch appended.Outcome {
					case domain.AppendStored:
						stored[batch[at].ID]++
					case domain.AppendDuplicate:
					case domain.AppendConflict, domain.AppendNoTenant:
						mu.Unlock()
						return errors.New("unexpected outcome")
					}
				}
				mu.Unlock()
			}
			return nil
		})
	}
	require.NoError(t, writers.Wait())
	require.NoError(t, readers.Wait())
	require.Len(t, stored, len(messages))
	for id, times := range stored {
		require.Equal(t, 1, times, "message %s was stored more than once", id)
	}
	for i, id := range tenants {
		require.Len(t, followed[i], perTenant)
		requireDense(t, followed[i])
		require.Equal(t, d.history(t, id), followed[i])
	}
}

package repository

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"lanekeeper/domain"
)

func claim(t testing.TB, scope uuid.UUID, key string, body byte) domain.IdempotencyClaim {
	t.Helper()
	return domain.IdempotencyClaim{Scope: scope, Key: key, Hash: [32]byte{body}, ID: newID(t)}
}

func TestClaimKeys(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	scope, other := newID(t), newID(t)
	first := []domain.IdempotencyClaim{claim(t, scope, "z", 1), claim(t, other, "a", 2), claim(t, scope, "Ä b", 3), claim(t, scope, "a", 4)}
	grants, err := d.store.ClaimKeys(t.Context(), first)
	require.NoError(t, err)
	for i, grant := range grants {
		require.Equal(t, domain.IdempotencyGrant{ID: first[i].ID}, grant)
	}
	require.NoError(t, d.store.ConfirmKeys(t.Context(), scope, []domain.ConfirmedKey{{Key: "z", ID: first[0].ID}, {Key: "unknown", ID: newID(t)}}))

	second := []domain.IdempotencyClaim{claim(t, scope, "a", 4), claim(t, scope, "new", 5), claim(t, scope, "z", 1), claim(t, other, "a", 9)}
	grants, err = d.store.ClaimKeys(t.Context(), second)
	require.NoError(t, err)
	require.Equal(t, []domain.IdempotencyGrant{
		{ID: first[3].ID}, {ID: second[1].ID}, {ID: first[0].ID, Confirmed: true}, {ID: first[1].ID, Mismatch: true},
	}, grants)

	// A key lives for 24 hours by the clock of the database, from the first
	// claim on.
	var ok bool
	require.NoError(t, d.owner.QueryRow(t.Context(),
		`SELECT bool_and(expires_at - now() BETWEEN interval '23 hours 59 minutes' AND interval '24 hours') FROM idempotency`).Scan(&ok))
	require.True(t, ok)
	_, err = d.owner.Exec(t.Context(), `UPDATE idempotency SET expires_at = now() - interval '1 second' WHERE key = 'z'`)
	require.NoError(t, err)
	third := claim(t, scope, "z", 7)
	grants, err = d.store.ClaimKeys(t.Context(), []domain.IdempotencyClaim{third})
	require.NoError(t, err)
	require.Equal(t, []domain.IdempotencyGrant{{ID: third.ID}}, grants)
	// Who held the key before was slow: that is not about the claim in force.
	require.NoError(t, d.store.ConfirmKeys(t.Context(), scope, []domain.ConfirmedKey{{Key: "z", ID: first[0].ID}}))
	grants, err = d.store.ClaimKeys(t.Context(), []domain.IdempotencyClaim{claim(t, scope, "z", 7)})
	require.NoError(t, err)
	require.Equal(t, []domain.IdempotencyGrant{{ID: third.ID}}, grants)

	none, err := d.store.ClaimKeys(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, none)
	require.NoError(t, d.store.ConfirmKeys(t.Context(), scope, nil))
}

// Batches with the same keys in different orders: nobody is locked out, and
// for each key all agree on one id.
func TestClaimKeysConcurrently(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	stores := []*Store{d.store, d.open(t, Options{})}
	scope := newID(t)
	keys := make([]string, 60)
	for i := range keys {
		keys[i] = fmt.Sprintf("key %d", i)
	}
	for range 5 {
		var mu sync.Mutex
		granted := make(map[string]map[uuid.UUID]bool)
		var g errgroup.Group
		for worker := range 12 {
			g.Go(func() error {
				mine := slices.Clone(keys)
				rand.New(rand.NewPCG(uint64(worker), 2)).Shuffle(len(mine), func(a, b int) { mine[a], mine[b] = mine[b], mine[a] })
				claims := make([]domain.IdempotencyClaim, len(mine))
				for i, key := range mine {
					claims[i] = claim(t, scope, key, 1)
				}
				grants, err := stores[worker%2].ClaimKeys(t.Context(), claims)
				if err != nil {
					return err
				}
				confirmed := make([]domain.ConfirmedKey, len(mine))
				mu.Lock()
				for i, grant := range grants {
					confirmed[i] = domain.ConfirmedKey{Key: mine[i], ID: grant.ID}
					if granted[mine[i]] == nil {
						granted[mine[i]] = make(map[uuid.UUID]bool)
					}
					granted[mine[i]][grant.ID] = true
				}
				mu.Unlock()
				return stores[worker%2].ConfirmKeys(t.Context(), scope, confirmed)
			})
		}
		require.NoError(t, g.Wait())
		require.Len(t, granted, len(keys))
		for key, ids := range granted {
			require.Len(t, ids, 1, key)
		}
		var unconfirmed int
		require.NoError(t, d.owner.QueryRow(t.Context(), `SELECT count(*) FROM idempotency WHERE NOT confirmed`).Scan(&unconfirmed))
		require.Zero(t, unconfirmed)
		_, err := d.owner.Exec(t.Context(), `UPDATE idempotency SET expires_at = now()`)
		require.NoError(t, err)
	}
}

func TestDeleteExpiredKeys(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	scope := newID(t)
	var claims []domain.IdempotencyClaim
	for i := range 10 {
		claims = append(claims, claim(t, scope, fmt.Sprint(i), 1))
	}
	_, err := d.store.ClaimKeys(t.Context(), claims)
	require.NoError(t, err)
	_, err = d.owner.Exec(t.Context(), `UPDATE idempotency SET expires_at = now() - interval '1 second' WHERE key < '7'`)
	require.NoError(t, err)

	// One of them is in somebody's hands.
	tx, err := d.connect(t).Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `SELECT 1 FROM idempotency WHERE key = '0' FOR UPDATE`)
	require.NoError(t, err)
	for _, want := range []int{4, 2, 0} {
		n, err := d.store.DeleteExpiredKeys(t.Context(), 4)
		require.NoError(t, err)
		require.Equal(t, want, n)
	}
	require.NoError(t, tx.Rollback(t.Context()))
	n, err := d.store.DeleteExpiredKeys(t.Context(), 4)
	require.NoError(t, err)
	require.Equal(t, 1, n)
}

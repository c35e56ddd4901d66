package message_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/service/message"
)

// keeper is a domain.RetentionRepository in memory: it counts the expired
// messages that each tenant has left.
type keeper struct {
	mu         sync.Mutex // guards the rest
	retentions []domain.Retention
	expired    map[uuid.UUID]int
	broken     map[uuid.UUID]bool
	busy       bool
	away       bool
	turns      []uuid.UUID
	// lost is what each tenant's endpoint loses with its next turn.
	lost map[uuid.UUID]int64
}

func (k *keeper) set(change func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change()
}

// seen returns whose turn it was, one after the other.
func (k *keeper) seen() []uuid.UUID {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.turns)
}

// left returns how many messages of these tenants are to be deleted.
func (k *keeper) left(ids ...uuid.UUID) (n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, id := range ids {
		n += k.expired[id]
	}
	return n
}

func (k *keeper) Alone(ctx context.Context, purpose string, fn func(context.Context) error) (bool, error) {
	k.mu.Lock()
	busy := k.busy
	k.mu.Unlock()
	if busy || purpose != "retention" {
		return false, nil
	}
	return true, fn(ctx)
}

func (k *keeper) ListRetentions(context.Context) ([]domain.Retention, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.away && len(k.turns) > 0 {
		return nil, errors.New("away")
	}
	return slices.Clone(k.retentions), nil
}

func (k *keeper) ExpireMessages(_ context.Context, r domain.Retention, limit int) (domain.Expiry, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.turns = append(k.turns, r.TenantID)
	if k.broken[r.TenantID] {
		return domain.Expiry{}, errors.New("broken")
	}
	n := min(limit, k.expired[r.TenantID])
	k.expired[r.TenantID] -= n
	expiry := domain.Expiry{Deleted: n, More: k.expired[r.TenantID] > 0}
	if lost := k.lost[r.TenantID]; lost > 0 {
		expiry.Lost = map[uuid.UUID]int64{r.TenantID: lost}
		delete(k.lost, r.TenantID)
	}
	return expiry, nil
}

// What endpoints lose is warned of and counted.
func TestRetentionTellsWhatEndpointsLose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := uuid.New(), uuid.New()
		k := &keeper{
			retentions: []domain.Retention{{TenantID: a, Days: 1}, {TenantID: b, Days: 2}},
			expired:    map[uuid.UUID]int{a: 2500, b: 10}, lost: map[uuid.UUID]int64{a: 7},
		}
		var log strings.Builder
		lost := make(map[uuid.UUID]int64)
		r := message.NewRetention(message.RetentionOptions{
			Store: k, Log: slog.New(slog.NewJSONHandler(&log, nil)), Lost: func(id uuid.UUID, n int64) { lost[id] += n },
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			r.Run(ctx)
		}()
		<-time.After(2 * time.Minute)
		cancel()
		<-ended
		require.Equal(t, map[uuid.UUID]int64{a: 7}, lost)
		require.Equal(t, 1, strings.Count(log.String(), `"level":"WARN"`))
		require.Contains(t, log.String(), `"messages_at_most":7`)
		require.Contains(t, log.String(), `"endpoint_id":"`+a.String())
	})
}

func TestRetention(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b, c := uuid.New(), uuid.New(), uuid.New()
		k := &keeper{
			retentions: []domain.Retention{{TenantID: a, Days: 1}, {TenantID: b, Days: 2}, {TenantID: c, Days: 3}},
			expired:    map[uuid.UUID]int{a: 2500, b: 10, c: 5}, broken: map[uuid.UUID]bool{b: true},
		}
		r := message.NewRetention(message.RetentionOptions{Store: k, Log: slog.New(slog.DiscardHandler)})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			r.Run(ctx)
		}()
		rounds := func(n int) {
			<-time.After(time.Duration(n)*time.Minute + time.Second)
			synctest.Wait()
		}
		rounds(1)
		require.Equal(t, []uuid.UUID{a, b, c, a, a}, k.seen(), "they take turns, and one that fails stops nobody")
		require.Zero(t, k.left(a, c))

		k.set(func() { k.broken = nil })
		rounds(1)
		require.Zero(t, k.left(b))

		// Any number in trouble stop nobody, and keep nobody waiting the next time.
		d := uuid.New()
		k.set(func() {
			k.turns, k.broken = nil, map[uuid.UUID]bool{a: true, b: true, c: true}
			k.retentions = append(k.retentions, domain.Retention{TenantID: d, Days: 4})
			k.expired = map[uuid.UUID]int{a: 1, b: 1, c: 1, d: 1500}
		})
		rounds(1)
		require.Equal(t, []uuid.UUID{a, b, c, d, d}, k.seen())
		rounds(1)
		require.Equal(t, []uuid.UUID{d, a, b, c}, k.seen()[5:])

		// The round ends when it is the database that is away.
		k.set(func() { k.turns, k.away, k.broken[d] = nil, true, true })
		rounds(1)
		require.Len(t, k.seen(), 1)
		k.set(func() { k.away = false })

		k.set(func() { k.turns, k.busy = nil, true })
		rounds(2)
		require.Empty(t, k.seen(), "another replica does it")
		cancel()
		<-ended
	})
}

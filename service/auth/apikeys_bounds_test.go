package auth

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// Made-up keys cost a bounded number of questions, and do not keep others out.
func TestKeysThatSomebodyMakesUp(t *testing.T) {
	t.Parallel()
	k := newKeyBench(t)
	attacker, other := domain.WithOwner(t.Context(), "address a"), domain.WithOwner(t.Context(), "address b")
	_, text := k.issue(t, principal(&k.ada), k.acme, "read")
	limited := 0
	for range 10 * missBurst {
		made, _ := newAPIKey(uuid.New())
		_, err := k.Authenticate(attacker, made)
		if errors.Is(err, domain.ErrLimited) {
			require.Equal(t, "too_many_keys", domain.CodeOf(err))
			limited++
		} else {
			require.ErrorIs(t, err, domain.ErrUnauthenticated)
		}
	}
	require.Equal(t, missBurst, k.keyMem.asked())
	require.Equal(t, 9*missBurst, limited)
	_, err := k.Authenticate(attacker, text)
	require.ErrorIs(t, err, domain.ErrLimited, "nothing is known of it yet")
	_, err = k.Authenticate(other, text)
	require.NoError(t, err)
	_, err = k.Authenticate(attacker, text)
	require.NoError(t, err, "and now it is")
	k.clock.move(time.Second)
	made, _ := newAPIKey(uuid.New())
	_, err = k.Authenticate(attacker, made)
	require.ErrorIs(t, err, domain.ErrUnauthenticated)
}

func TestUnknownKeysTakeTurns(t *testing.T) {
	t.Parallel()
	k := newKeyBench(t)
	_, text := k.issue(t, principal(&k.ada), k.acme, "read")
	block := make(chan struct{})
	k.keyMem.set(func() { k.keyMem.block = block })
	var wg sync.WaitGroup
	ask := func(address, text string) {
		wg.Go(func() {
			if _, err := k.Authenticate(domain.WithOwner(t.Context(), address), text); err == nil {
				t.Error("made up, and let in")
			}
		})
	}
	for i := range 4 {
		for range 10 {
			made, _ := newAPIKey(uuid.New())
			ask(fmt.Sprint("address ", i), made)
		}
	}
	require.Eventually(t, func() bool { return k.keyMem.asked() == strangerTurns }, 5*time.Second, time.Millisecond)
	close(block)
	k.keyMem.set(func() { k.keyMem.block = nil })
	wg.Wait()
	require.Equal(t, strangerTurns, k.keyMem.atOnce)
	for range 3 * missBurst { // all at once get no further than one after the other
		made, _ := newAPIKey(uuid.New())
		ask("address of many", made)
	}
	wg.Wait()
	require.LessOrEqual(t, k.keyMem.asked(), 40+missBurst)
	_, err := k.Authenticate(domain.WithOwner(t.Context(), "address 5"), text)
	require.NoError(t, err)
}

func TestAddressesOfMadeUpKeysAreBounded(t *testing.T) {
	t.Parallel()
	s := newStrangers(time.Now)
	for i := range 3 * maxMissing {
		s.missed(fmt.Sprint(i), 1)
		require.LessOrEqual(t, len(s.misses), maxMissing)
	}
}

func TestUsesAreRecorded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := newKeyBench(t, func(o *Options) { o.Now = time.Now })
		key, text := k.issue(t, principal(&k.ada), k.acme, "read")
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { k.keys.Run(ctx) })
		recorded := func() []map[uuid.UUID]time.Time {
			k.keyMem.mu.Lock()
			defer k.keyMem.mu.Unlock()
			return k.keyMem.uses
		}
		minute := time.Now().UTC().Truncate(time.Minute)
		for range 40 { // within one minute
			k.by(t, text)
			<-time.After(time.Second)
		}
		require.Equal(t, []map[uuid.UUID]time.Time{{key.ID: minute}}, recorded(), "once, although it was used 40 times")

		k.keyMem.set(func() { k.keyMem.err = errors.New("away") })
		<-time.After(time.Minute)
		k.keyMem.set(func() { k.keyMem.err = nil })
		k.by(t, text)
		used := time.Now().UTC().Truncate(time.Minute)
		k.keyMem.set(func() { k.keyMem.err = errors.New("away") })
		<-time.After(time.Minute)
		k.keyMem.set(func() { k.keyMem.err = nil })
		<-time.After(recordEvery)
		require.Equal(t, map[uuid.UUID]time.Time{key.ID: used}, recorded()[1], "when the database is back")

		<-time.After(time.Minute)
		k.by(t, text)
		used = time.Now().UTC().Truncate(time.Minute)
		stop()
		running.Wait()
		require.Equal(t, map[uuid.UUID]time.Time{key.ID: used}, recorded()[2], "what is left at the end, too")
	})
}

func TestUsesAreBounded(t *testing.T) {
	t.Parallel()
	u := newKeyUses()
	for range 2 * maxKeys {
		u.note(uuid.New(), time.Now())
	}
	require.Len(t, u.noted, maxKeys)
	require.Len(t, u.pending, maxKeys)
	wrote := 0
	require.NoError(t, u.flush(t.Context(), func(_ context.Context, uses map[uuid.UUID]time.Time) error {
		wrote += len(uses)
		return nil
	}))
	require.Equal(t, maxKeys, wrote)
	require.Empty(t, u.noted)
}

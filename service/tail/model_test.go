package tail

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// Writers commit, whose rows come late or in another order, as duplicates or not at
// all; the database is away now and then, windows are far too small, readers come
// and go. None of them ever misses a message or gets one twice, or another one than
// the history has; and none waits for somebody to look by himself.
func TestNobodyMissesAnything(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		synctest.Test(t, func(t *testing.T) { modelRun(t, seed) })
	}
}

// The model finds who does not look into the database, and a window that closes a
// gap.
func TestTheModelFindsFaults(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{}, testTenant)
		w.commit(testTenant, 3, 10)
		f := w.follow(t, testTenant, 0)
		f.wrong = func(v domain.TailView) domain.TailView {
			if v.Behind {
				v.Behind, v.Changed = false, make(chan struct{})
			}
			return v
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		require.ErrorIs(t, f.until(ctx, 3), context.DeadlineExceeded)

		f = w.follow(t, testTenant, 3)
		synctest.Wait()
		w.store(testTenant, 1, 10)
		w.commit(testTenant, 1, 10)
		f.wrong = func(v domain.TailView) domain.TailView {
			if v.Behind {
				v.Behind, v.Messages = false, slices.Clone(w.windows.find(testTenant).chunks[0].messages)
			}
			return v
		}
		require.ErrorContains(t, f.until(t.Context(), 5), "5 follows 3")
	})
}

var testTenant = uuid.MustParse("0195f3a2-7c1e-7d4b-9a55-6b1f0c2d3e4f")

func modelRun(t *testing.T, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 1))
	var mu sync.Mutex // guards random
	roll := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return random.IntN(n)
	}
	tenants := []uuid.UUID{uuid.New(), uuid.New(), uuid.New()}
	w := newWorld(t, Options{Memory: int64(1000 + roll(60_000))}, tenants...)
	w.setFault(func(ctx context.Context) error {
		if roll(4) > 0 {
			return nil
		}
		return errors.New("away")
	})
	var writers, readers, late sync.WaitGroup
	const perWriter = 60
	for i := range 4 {
		writers.Go(func() {
			for n := range perWriter {
				pass(time.Duration(roll(50)) * time.Millisecond)
				tenant := tenants[(i+n)%len(tenants)]
				messages, appended := w.store(tenant, 1+roll(5), roll(400))
				hand := func() { w.Committed(messages, appended) }
				switch roll(6) {
				case 0: // the reply to the commit is lost
					w.Doubt([]uuid.UUID{tenant})
				case 1: // and then it is tried again, or the store does not say where it is
					for at := range appended {
						appended[at] = domain.AppendResult{Outcome: domain.AppendDuplicate - domain.AppendOutcome(n%2)}
					}
					hand()
				case 2: // by another replica, and the wake-up takes its time
					wait := time.Duration(roll(40)) * time.Millisecond
					late.Go(func() { pass(wait); w.Doubt(nil) })
				case 3:
					wait := time.Duration(roll(40)) * time.Millisecond
					late.Go(func() { pass(wait); hand() })
				default:
					hand()
				}
			}
		})
	}
	end := func(tenant uuid.UUID) int64 {
		w.mu.Lock()
		defer w.mu.Unlock()
		return int64(len(w.histories[tenant]))
	}
	written := make(chan struct{})
	for i := range 9 {
		tenant := tenants[i%len(tenants)]
		readers.Go(func() {
			cursor := int64(0)
			for done := false; !done; {
				f := &follower{world: w, tail: w.Open(tenant), tenant: tenant, cursor: cursor}
				last := end(tenant)
				select {
				case <-written:
					done = true
					last = end(tenant)
				default:
				}
				if err := f.until(t.Context(), last); err != nil {
					t.Errorf("seed %d: %v", seed, err)
					return
				}
				if i%2 == 0 { // this one comes and goes
					f.tail.Close()
				} else {
					defer f.tail.Close()
				}
				cursor = f.cursor
				pass(time.Duration(roll(30)) * time.Millisecond)
			}
		})
	}
	writers.Wait()
	late.Wait()
	begun := time.Now()
	close(written)
	readers.Wait()
	if took := time.Since(begun); took > time.Minute {
		t.Errorf("seed %d: it took %v", seed, took)
	}
	synctest.Wait()
	if held := w.Bytes(); held != 0 {
		t.Errorf("seed %d: %d bytes are held for nobody", seed, held)
	}
}

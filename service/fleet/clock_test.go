package fleet

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A jump of the database's clock makes every row look old, or from the future.
func TestJumpsOfTheClockMoveNothing(t *testing.T) {
	t.Parallel()
	for _, jump := range []time.Duration{7 * time.Second, time.Minute, 3 * time.Hour, 1000 * time.Hour} {
		for _, direction := range []time.Duration{1, -1} {
			t.Run((direction * jump).String(), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					b := newTable()
					replicas := joinAll(t, b, "a", "b", "c")
					pass(10*time.Second + 300*time.Millisecond)
					told := tolds(replicas)
					b.set(func() { b.jump += direction * jump })
					pass(10 * time.Minute)
					for _, r := range replicas {
						requireMembers(t, r, "a", "b", "c")
					}
					require.Equal(t, told, tolds(replicas))

					// A death is noticed all the same, also just before a jump.
					replicas[0].kill()
					b.set(func() { b.jump += direction * jump })
					pass(moveLimit)
					told = tolds(replicas)
					for range 100 {
						pass(min(jump, time.Minute) / 50)
						requireMembers(t, replicas[1], "b", "c")
						requireMembers(t, replicas[2], "b", "c")
					}
					require.Equal(t, told, tolds(replicas), "it does not come alive again")
				})
			})
		}
	}
}

// Nor does anybody delete the rows that only look old.
func TestAJumpBeforeTheDeadAreForgotten(t *testing.T) {
	t.Parallel()
	for phase := time.Duration(0); phase < 2*forgetEvery; phase += readEvery / 2 {
		synctest.Test(t, func(t *testing.T) {
			b := newTable()
			replicas := joinAll(t, b, "a", "b")
			pass(phase)
			b.set(func() { b.jump += 2 * forgetAfter })
			pass(heartbeatEvery)
			for _, r := range replicas {
				requireMembers(t, r, "a", "b")
				require.LessOrEqual(t, r.told(), 2)
			}
			b.set(func() { require.Len(t, b.rows, 2) })
		})
	}
}

package delivery

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// The answer to a question for rows may be from before a row ended.
func TestRowsThatEndedAreNotTakenAgain(t *testing.T) {
	t.Parallel()
	l := newLedger()
	row := domain.OpenDelivery{Seq: 5, Message: &domain.Message{Seq: 5}}
	l.addRow(&entry{seq: 5})
	l.takeRow(&row, time.Now())
	e := l.due.list[0]
	l.due.remove(e)
	e.state = entryRunning
	l.due.begin(time.Now())
	l.finished(e)
	l.settled(&domain.Settlement{Settled: 9, Done: []int64{5}})
	l.takeRow(&row, time.Now())
	require.Empty(t, l.due.list)
	l.due.begin(time.Now())
	l.takeRow(&row, time.Now())
	require.Len(t, l.due.list, 1, "it was asked after that: somebody had it sent again")
}

// While the breaker is open, what waits gets a row where others behind it are done: a
// crash must not repeat these.
func TestWhatWaitsForTheBreakerIsPassed(t *testing.T) {
	t.Parallel()
	for _, held := range []bool{true, false} {
		l := newLedger()
		old := time.Now().Add(-2 * passAfter)
		entries := []*entry{anEntry(1), anEntry(2), anEntry(3)}
		for _, e := range entries {
			e.since = old
			l.window.add(e)
		}
		l.window.readTo = 3
		l.window.done(entries[1])
		l.passPins(time.Now(), pinRules{held: held})
		if !held {
			require.Zero(t, l.window.cursor(), "it is about to run")
			continue
		}
		require.EqualValues(t, 2, l.window.cursor())
		require.Len(t, l.delta.Open, 1)
		require.EqualValues(t, 1, l.delta.Open[0].Seq)
		require.False(t, l.delta.Open[0].Waits)
	}
}

// What was delivered while its row was made is not delivered again when that did not
// take effect.
func TestDeliveredWhileItsRowWasRefused(t *testing.T) {
	t.Parallel()
	l := newLedger()
	e := anEntry(1)
	e.state = entryRunning
	l.running[1] = e
	l.window.add(e)
	l.window.readTo = 1
	l.pass(e, false)
	lost := domain.Settlement{Settled: 1, Open: []domain.OpenDelivery{{Seq: 1}}}
	delete(l.running, 1)
	l.finished(e)
	done := domain.Settlement{Settled: 1, Done: []int64{1}}
	l.reset(domain.DeliveryStart{}, false, lost, done)
	l.take(&domain.DeliveryTarget{}, []domain.Message{{Seq: 1}}, 1)
	require.EqualValues(t, 1, l.window.cursor())
	require.Nil(t, l.window.firstWaiting(always))
}

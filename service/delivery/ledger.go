package delivery

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

// ledger is what a dispatcher knows of messages until it is settled: those it has
// read, those that have rows, and what became of them. It belongs to the goroutine
// of the dispatcher.
type ledger struct {
	window window
	keys   *keys
	due    dueRows
	// answered is what became of messages of the window, held are the rows that are
	// known here: they wait for a slot, run, or have a settlement that is pending or
	// under way.
	answered map[int64]disposition
	held     map[int64]*entry
	// running are the messages that run, rows or not, but for those of a replay.
	running map[int64]*entry
	// beyond are the messages behind the stored cursor that have had rows since before
	// it was read, until they are read, too: to the window they are done.
	beyond map[int64]struct{}

	// changes counts what changes the number of rows, and answers the answers.
	changes int
	answers int64

	outbox *outbox
	delta  domain.Settlement // to be put into the outbox
	putTo  int64             // the cursor when that was done last
}

func newLedger() ledger {
	return ledger{
		keys: newKeys(nil), beyond: make(map[int64]struct{}), answered: make(map[int64]disposition), held: make(map[int64]*entry),
		running: make(map[int64]*entry), outbox: newOutbox(),
	}
}

// disposition is what became of a message: delivered when it has neither.
type disposition struct {
	open    *domain.OpenDelivery
	givenUp *domain.GivenUp
}

// put puts it into a settlement.
func (x disposition) put(s *domain.Settlement) {
	if x.open != nil {
		s.Open = append(s.Open, *x.open)
	}
	if x.givenUp != nil {
		s.GivenUp = append(s.GivenUp, *x.givenUp)
	}
}

// reset begins at the stored cursor. What was answered or runs, and is not stored,
// is kept for when it is read again; lost is what was to be settled and was not.
func (l *ledger) reset(start domain.DeliveryStart, byKey bool, lost ...domain.Settlement) {
	l.window = window{readTo: start.Settled}
	l.putTo = start.Settled
	l.due.rows = start.Rows
	l.keys = newKeys(nil)
	if byKey {
		l.keys = newKeys(start.Keys)
	}
	l.beyond = make(map[int64]struct{}, len(start.Beyond))
	for _, seq := range start.Beyond {
		l.beyond[seq] = struct{}{}
	}
	for seq, e := range l.running {
		switch _, stored := l.beyond[seq]; {
		case seq <= start.Settled:
		case stored, e.in == nil: // it has a row, or was one until somebody deleted it
			e.row, e.passed = true, true
			l.held[seq] = e
		default:
			e.row, e.passed = false, false
			delete(l.held, seq)
		}
		if byKey {
			l.keys.begin(e.key)
		}
	}
	for _, s := range lost {
		l.carry(&s, start.Settled)
	}
	for seq := range l.answered {
		if l.stored(seq, start.Settled) {
			delete(l.answered, seq)
		}
	}
}

// stored reports whether a message is settled, or has had a row since the cursor was
// read: what becomes of it is not found out by reading it.
func (l *ledger) stored(seq, settled int64) bool {
	_, beyond := l.beyond[seq]
	return beyond || seq <= settled
}

// carry settles again what a settlement that did not take effect said of rows that
// there were before it.
func (l *ledger) carry(s *domain.Settlement, upTo int64) {
	for _, row := range s.Open {
		if l.stored(row.Seq, upTo) || row.ReplayID != uuid.Nil {
			l.putOpen(row)
		}
	}
	for _, seq := range s.Done {
		if l.stored(seq, upTo) {
			l.delta.Done = append(l.delta.Done, seq)
		}
	}
	for _, g := range s.GivenUp {
		if l.stored(g.Seq, upTo) {
			l.delta.GivenUp = append(l.delta.GivenUp, g)
		}
	}
	for _, key := range s.Keys {
		l.delta.Keys = appendKey(l.delta.Keys, key)
	}
	if s.Health != nil && l.delta.Health == nil {
		l.delta.Health = s.Health
	}
	if s.Disable != "" {
		l.delta.Disable = s.Disable
	}
	l.delta.Replay = mergeReplay(l.delta.Replay, s.Replay)
}

// finished notes that a message is delivered.
func (l *ledger) finished(e *entry) {
	if !e.row {
		l.left(e, disposition{})
		return
	}
	e.state = entryDone
	if e.replay == uuid.Nil {
		l.answered[e.seq] = disposition{} // should the cursor not have passed it after all
	}
	l.delta.Done = append(l.delta.Done, e.seq)
	l.delta.Keys = appendKey(l.delta.Keys, e.key)
}

// gaveUp notes that a message becomes a dead letter.
func (l *ledger) gaveUp(e *entry, letter domain.DeadLetter) {
	g := domain.GivenUp{Letter: letter, Seq: e.seq, Round: e.round}
	l.delta.GivenUp = append(l.delta.GivenUp, g)
	if !e.row {
		l.left(e, disposition{givenUp: &g})
		return
	}
	e.state = entryDone
	l.delta.Keys = appendKey(l.delta.Keys, e.key)
}

// opened notes that a message is due again in the time that the row says.
func (l *ledger) opened(e *entry, row domain.OpenDelivery) {
	row.Seq, row.MessageID, row.OrderingKey = e.seq, e.message.ID, e.key
	row.Round, row.ReplayID, row.Known = e.round, e.replay, e.row
	if e.row {
		e.state = entryDone // until it is asked for again
		l.putOpen(row)
		return
	}
	l.putOpen(row)
	l.addRow(e)
	l.left(e, disposition{open: &row})
}

// left notes what became of a message that has had no row: the cursor may pass it.
func (l *ledger) left(e *entry, x disposition) {
	if e.replay == uuid.Nil {
		l.answered[e.seq] = x
	}
	if x.open == nil && l.keys.rows[e.key] > 0 {
		l.delta.Keys = appendKey(l.delta.Keys, e.key) // they waited for it
	}
	e.in.done(e)
}

// pass notes that the cursor passes a message that runs, or waits. Its row is due at
// once, unless it waits for its key: should this process end, it is delivered again.
func (l *ledger) pass(e *entry, waits bool) {
	row := domain.OpenDelivery{
		Seq: e.seq, MessageID: e.message.ID, OrderingKey: e.key, Attempts: e.attempts, Round: e.round, ReplayID: e.replay,
		Waits: waits,
	}
	l.putOpen(row)
	l.addRow(e)
	if e.state == entryRunning {
		l.held[e.seq] = e
		e.in.pass(e)
		return
	}
	l.left(e, disposition{open: &row})
}

// rowsAreStored reports whether the rows that there are in the store are those that are
// known.
func (l *ledger) rowsAreStored() bool { return !changesRows(&l.delta) && l.outbox.rowsAreStored() }

func (l *ledger) addRow(e *entry) {
	l.due.rows++
	l.changes++
	l.keys.addRow(e.key)
}

// putOpen puts a row into what is to be settled, in the place of what was said of
// it before, if that is not under way yet.
func (l *ledger) putOpen(row domain.OpenDelivery) {
	if row.Known {
		for i := range l.delta.Open {
			if l.delta.Open[i].Seq == row.Seq {
				row.Known = l.delta.Open[i].Known
				l.delta.Open[i] = row
				return
			}
		}
	}
	l.delta.Open = append(l.delta.Open, row)
}

// flush puts what there is into the outbox. It reports whether the settler has to be
// told, and how many results were added.
func (l *ledger) flush(head domain.Settlement) (tell bool, added int) {
	d := &l.delta
	cursor := l.window.cursor()
	if d.Size() == 0 && len(d.Keys) == 0 && d.Health == nil && d.Disable == "" && d.Replay == nil && cursor == l.putTo {
		return false, 0
	}
	l.putTo = cursor
	tell, added = l.outbox.put(func(s *domain.Settlement) {
		s.TenantID, s.EndpointID, s.Epoch, s.Version = head.TenantID, head.EndpointID, head.Epoch, head.Version
		s.Settled = cursor
		s.Attempts = append(s.Attempts, d.Attempts...)
		for _, row := range d.Open {
			s.Open = replaceOpen(s.Open, row)
		}
		s.Done = append(s.Done, d.Done...)
		s.GivenUp = append(s.GivenUp, d.GivenUp...)
		for _, key := range d.Keys {
			s.Keys = appendKey(s.Keys, key)
		}
		if d.Health != nil {
			s.Health = d.Health
		}
		if d.Disable != "" {
			s.Disable = d.Disable
		}
		s.Replay = mergeReplay(s.Replay, d.Replay)
	})
	l.delta = domain.Settlement{Attempts: d.Attempts[:0], Open: d.Open[:0], Done: d.Done[:0]}
	return tell, added
}

// replaceOpen puts a row into the list, in the place of what is said of it there.
func replaceOpen(list []domain.OpenDelivery, row domain.OpenDelivery) []domain.OpenDelivery {
	if row.Known {
		for i := range list {
			if list[i].Seq == row.Seq {
				row.Known = list[i].Known
				list[i] = row
				return list
			}
		}
	}
	return append(list, row)
}

// settled notes that a settlement took effect. Next is when a row of it is due, in
// how long; negative for none.
func (l *ledger) settled(s *domain.Settlement) (next time.Duration) {
	next = -1
	if len(s.Keys) > 0 {
		next = 0
	}
	for seq := range l.answered {
		if seq <= s.Settled {
			delete(l.answered, seq)
		}
	}
	for i := range s.Open {
		row := &s.Open[i]
		if e := l.held[row.Seq]; e != nil {
			if e.state != entryDone {
				continue // it runs
			}
			delete(l.held, row.Seq)
		}
		if in := max(0, row.NextIn); !row.Waits && (next < 0 || in < next) {
			next = in
		}
	}
	ended := func(seq int64) {
		if seq > s.Settled {
			l.answered[seq] = disposition{} // its row is gone
		}
		l.due.noteEnded(seq)
		e := l.held[seq]
		if e == nil {
			return
		}
		delete(l.held, seq)
		l.due.rows--
		l.changes++
		if _, beyond := l.beyond[seq]; beyond {
			delete(l.beyond, seq) // it is not counted among those of its key yet
			return
		}
		if l.keys.removeRow(e.key) {
			l.delta.Keys = appendKey(l.delta.Keys, e.key) // rows that came meanwhile
		}
	}
	for _, seq := range s.Done {
		ended(seq)
	}
	for i := range s.GivenUp {
		ended(s.GivenUp[i].Seq)
	}
	return next
}

// appendKey adds a key, once; the empty key is none.
func appendKey(list []string, key string) []string {
	if key == "" || slices.Contains(list, key) {
		return list
	}
	return append(list, key)
}

// mergeReplay returns the progress of both.
func mergeReplay(before, after *domain.ReplayProgress) *domain.ReplayProgress {
	if before == nil || after == nil || before.ID != after.ID {
		if after == nil {
			return before
		}
		return after
	}
	merged := *after
	merged.Cursor = max(before.Cursor, after.Cursor)
	merged.Done += before.Done
	merged.Ended = before.Ended || after.Ended
	return &merged
}

package delivery

import (
	"time"

	"lanekeeper/domain"
)

// answeredBehind reports whether something was answered that is not read yet: the
// cursor began again at an earlier place.
func (l *ledger) answeredBehind() bool {
	for seq := range l.answered {
		if seq > l.window.readTo {
			return true
		}
	}
	return false
}

// take takes messages into the window that are for the endpoint; next is up to where
// the history was read. What was answered before is settled again.
func (l *ledger) take(target *domain.DeliveryTarget, messages []domain.Message, next int64) {
	now := time.Now()
	few := fewWanted(target, messages)
	for i := range messages {
		m := &messages[i]
		if _, ok := l.beyond[m.Seq]; ok {
			l.takeBeyond(target, m)
			continue
		}
		if known, ok := l.answered[m.Seq]; ok {
			known.put(&l.delta)
			e := &entry{seq: m.Seq, message: owned(m, few), state: entryDone}
			if known.open != nil {
				e.key = known.open.OrderingKey
				l.addRow(e)
			}
			l.window.add(e)
			continue
		}
		e := l.running[m.Seq]
		if e == nil {
			if !target.Wants(m.Type) {
				continue
			}
			e = &entry{seq: m.Seq, message: owned(m, few), since: now, answers: l.answers}
			if target.Ordering == domain.OrderingKey {
				e.key = m.OrderingKey
			}
		}
		if !e.row {
			l.window.add(e)
		}
	}
	l.window.readTo = next
	l.window.drop()
}

// takeBeyond takes a message in that has a row, for which others of its key wait from
// here on. Those of the window that are before it get rows, too, so that theirs comes
// first. One that runs makes the first row due when it ends.
func (l *ledger) takeBeyond(target *domain.DeliveryTarget, m *domain.Message) {
	delete(l.beyond, m.Seq)
	if target.Ordering != domain.OrderingKey || m.OrderingKey == "" {
		return
	}
	l.keys.addRow(m.OrderingKey)
	waits := !l.keys.idle(m.OrderingKey)
	for _, e := range l.window.waiting(m.OrderingKey) {
		l.pass(e, waits)
		waits = true
	}
	if !waits {
		l.delta.Keys = appendKey(l.delta.Keys, m.OrderingKey)
	}
}

// recount takes into account how many rows there are. When there are fewer than there
// should be, somebody has deleted some; it reports whether it has to be found out
// of which keys, for which the ledger begins again.
func (l *ledger) recount(r *dueResult, now time.Time, byKey bool) (reopen bool) {
	counted := l.changes == r.changes && l.rowsAreStored()
	switch vanished := l.due.vanished(r.found.Rows); {
	case vanished && counted && byKey && !l.outbox.settling():
		return true
	case vanished && (!counted || byKey):
		l.due.at(now.Add(retryFirst)) // it may be counted by then
	case counted:
		l.due.counted(r.found.Rows)
	}
	return false
}

// takeFound takes the rows in that were found, as far as they may run, and returns how
// many of their messages are not kept any longer.
func (l *ledger) takeFound(r *dueResult, now time.Time, probing bool) (expired int) {
	for i := range r.found.Deliveries {
		row := &r.found.Deliveries[i]
		if r.query.Any && !probing && row.NextIn > 0 { // the oldest is not due
			l.due.at(now.Add(row.NextIn))
			continue
		}
		if l.takeRow(row, now) {
			expired++
		}
	}
	return expired
}

// takeRow takes a row in that may run, unless it is known. It reports whether its
// message is not kept any longer, so that it is settled.
func (l *ledger) takeRow(row *domain.OpenDelivery, now time.Time) (expired bool) {
	if l.held[row.Seq] != nil || l.due.hasEnded(row.Seq) {
		return false
	}
	e := &entry{
		seq: row.Seq, message: row.Message, key: row.OrderingKey, row: true, passed: true,
		attempts: row.Attempts, round: row.Round, replay: row.ReplayID, since: now,
	}
	l.held[e.seq] = e
	if row.Message != nil {
		l.due.list = append(l.due.list, e)
		return false
	}
	e.state = entryDone
	l.delta.Done = append(l.delta.Done, e.seq)
	l.delta.Keys = appendKey(l.delta.Keys, e.key)
	return true
}

// pinRules say which messages the cursor has to wait for.
type pinRules struct {
	fifo     bool // all
	stopping bool // none but those that run
	held     bool // those that wait do so because the breaker is open
	answers  int64
}

// passPins has the cursor pass what has kept it for long from passing others that
// are done. It returns when to look again; zero for never.
func (l *ledger) passPins(now time.Time, rules pinRules) (next time.Time) {
	if rules.fifo && !rules.stopping {
		return time.Time{}
	}
	var blocked func(*entry) bool
	if !l.keys.none() {
		blocked = func(e *entry) bool { return e.state == entryWaiting && !l.keys.free(e.key) }
	}
	pins, next := l.window.pinning(blocked, func(e *entry) (bool, time.Time) {
		waits := e.state == entryWaiting
		switch {
		case waits && rules.stopping:
			return true, time.Time{}
		case waits && !rules.held && l.keys.free(e.key):
			return false, time.Time{}
		}
		return now.Sub(e.since) >= passAfter || rules.answers-e.answers >= passAnswers, e.since.Add(passAfter)
	})
	for _, e := range pins {
		l.pass(e, blocked != nil && blocked(e))
	}
	return next
}

package delivery

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

const (
	// windowEntries is how many messages a dispatcher has read and not passed at
	// most, and windowBytes how much they may take, unless it is a single one.
	windowEntries = 1024
	windowBytes   = 1 << 20
)

// entryState is how far a message is in its dispatcher.
type entryState uint8

const (
	entryWaiting entryState = iota // to be delivered, when it is its turn
	entryRunning
	entryDone // delivered, given up, or open with a row: the cursor may pass it
)

// entry is a message that a dispatcher is to deliver.
type entry struct {
	seq     int64
	message *domain.Message
	// key is its ordering key where order is by key, else "".
	key   string
	state entryState
	// row says that there is a row for it, or that the settlement which makes one
	// is pending or under way; passed that the cursor has passed it for that reason
	// while it runs.
	row, passed bool
	// asRow: it runs in the part of the slots that rows have.
	asRow bool
	// in is where it was read to; nil for a row.
	in       *window
	attempts int
	round    int
	replay   uuid.UUID
	probe    bool
	// since is when it was read, or began to run, and answers how many answers the
	// dispatcher had got by then.
	since   time.Time
	answers int64
}

func (e *entry) size() int { return e.message.Size() }

// window has the messages that a dispatcher has read and its cursor has not
// passed, in the order of seq. It belongs to the goroutine of the dispatcher.
type window struct {
	entries []*entry // the first is not done
	bytes   int
	// readTo is up to where the history was read.
	readTo int64
	// next is where the first entry that waits may be found.
	next int
	// dropped counts the entries that the cursor has passed.
	dropped int64
}

// cursor returns up to where everything is done.
func (w *window) cursor() int64 {
	if len(w.entries) == 0 {
		return w.readTo
	}
	return w.entries[0].seq - 1
}

// hasRoom reports whether more should be read: a window that is read on when half
// of it is done never runs dry.
func (w *window) hasRoom() bool {
	return len(w.entries) == 0 || len(w.entries) < windowEntries/2 && w.bytes < windowBytes/2
}

func (w *window) add(e *entry) {
	e.in = w
	w.entries = append(w.entries, e)
	w.bytes += e.size()
}

// done marks an entry as done.
func (w *window) done(e *entry) {
	e.state = entryDone
	w.drop()
}

// pass has the cursor pass an entry that is not done: there is a row for it.
func (w *window) pass(e *entry) {
	e.row, e.passed = true, true
	w.drop()
}

// over reports whether the cursor may pass the entry.
func (e *entry) over() bool { return e.state == entryDone || e.passed }

// drop drops the entries at the front that the cursor may pass.
func (w *window) drop() {
	n := 0
	for n < len(w.entries) && w.entries[n].over() {
		w.bytes -= w.entries[n].size()
		w.entries[n] = nil
		n++
	}
	w.entries = w.entries[n:]
	w.next = max(0, w.next-n)
	w.dropped += int64(n)
}

// again has an entry wait that was running.
func (w *window) again(e *entry) {
	e.state = entryWaiting
	w.next = 0
}

// firstWaiting returns the first entry that waits and may run; nil for none.
func (w *window) firstWaiting(may func(*entry) bool) *entry {
	first := true
	for i := w.next; i < len(w.entries); i++ {
		e := w.entries[i]
		if e.state != entryWaiting || e.passed {
			continue
		}
		if may(e) {
			if first {
				w.next = i
			}
			return e
		}
		if first {
			w.next, first = i, false
		}
	}
	if first {
		w.next = len(w.entries)
	}
	return nil
}

// lastWaiting returns the newest entry that waits, may run, and is the first of its
// key; nil for none.
func (w *window) lastWaiting(may func(*entry) bool) (last *entry) {
	seen := make(map[string]struct{})
	for _, e := range w.entries {
		_, behind := seen[e.key]
		if e.over() || behind {
			continue
		}
		if e.key != "" {
			seen[e.key] = struct{}{}
		}
		if e.state == entryWaiting && may(e) {
			last = e
		}
	}
	return last
}

// waiting returns the entries of a key that wait.
func (w *window) waiting(key string) (list []*entry) {
	for _, e := range w.entries {
		if e.key == key && e.state == entryWaiting && !e.over() {
			list = append(list, e)
		}
	}
	return list
}

// pinning returns the entries that keep the cursor from passing others that are
// done, or that are blocked and leave no room for others, as far as they are old; and
// when the next of them will be, zero for none. Where none can be blocked that is nil.
func (w *window) pinning(blocked func(*entry) bool, old func(*entry) (bool, time.Time)) (pins []*entry, next time.Time) {
	last := -1
	for i, e := range slices.Backward(w.entries) {
		if e.state == entryDone {
			last = i
			break
		}
	}
	among := w.entries[:last+1]
	if blocked != nil && !w.hasRoom() {
		among = w.entries
	}
	for i, e := range among {
		if e.over() || i > last && !blocked(e) {
			continue
		}
		yes, at := old(e)
		if yes {
			pins = append(pins, e)
			continue
		}
		if !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return pins, next
}

package tail

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

const (
	// windowRows is how many rows a window has at most.
	windowRows = 32 << 10
	// chunkRows and chunkBytes bound what one look into a window returns, unless
	// a single row is larger.
	chunkRows  = 256
	chunkBytes = 1 << 20
	// maxAge is for how long rows are kept that nobody asks for any more.
	maxAge = time.Minute
)

// window holds the newest rows of a tenant, and knows where its history ends.
type window struct {
	tenant  uuid.UUID
	readers int // guarded by the service's mutex

	mu sync.Mutex // guards the rest; nothing waits while it is held
	// chunks are in order, and may have gaps between them.
	chunks []*chunk
	rows   int
	bytes  int64
	closed bool
	// last is the highest seq known, -1 for none; gone says that there is no
	// history.
	last int64
	gone bool
	// entries counts how often rows entered: what was read from the database
	// meanwhile may be old.
	entries uint64
	// ahead is the highest cursor beyond last with which somebody asked since
	// last_seq was read, and beyond the one that is ahead of it for certain.
	ahead, beyond int64
	// changed is closed when something changes; nil when nobody waits.
	changed chan struct{}
}

// chunk is a run of rows without gaps. Those it has do not change, and readers
// share them; more may be appended.
type chunk struct {
	messages []domain.Message
	bytes    int64
	entered  time.Time // the newest of them
}

func newWindow(tenant uuid.UUID) *window { return &window{tenant: tenant, last: -1, beyond: -1} }

func (c *chunk) first() int64 { return c.messages[0].Seq }
func (c *chunk) end() int64   { return c.messages[len(c.messages)-1].Seq }

// sizeOf returns how many bytes a row counts for.
func sizeOf(m *domain.Message) int64 { return int64(m.Size()) }

// after implements domain.Tail. Doubt reports that last_seq has to be read.
func (w *window) after(cursor int64, limit, maxBytes int) (v domain.TailView, doubt bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	v.Last = max(0, w.last)
	if w.gone || w.closed {
		// The next who asks has seen that, or somebody has made it anew.
		v.Behind, w.gone = true, false
		return v, false
	}
	if v.Messages = w.find(cursor+1, limit, maxBytes); v.Messages != nil {
		return v, false
	}
	switch {
	case cursor < w.last:
		v.Behind = true
		return v, false
	case cursor > w.last && cursor <= w.beyond:
		// The next who asks may have read the database since.
		w.beyond = -1
		v.Behind = true
		return v, false
	case cursor > w.last:
		w.ahead = max(w.ahead, cursor)
		doubt = true
	}
	if w.changed == nil {
		w.changed = make(chan struct{})
	}
	v.Changed = w.changed
	return v, doubt
}

// find returns rows from seq on; nil when that is not here.
func (w *window) find(seq int64, limit, maxBytes int) []domain.Message {
	i := w.at(seq)
	if i == len(w.chunks) || w.chunks[i].first() > seq {
		return nil
	}
	messages := w.chunks[i].messages[seq-w.chunks[i].first():]
	n, taken := 0, 0
	for n < len(messages) && n < max(1, limit) {
		if taken += messages[n].Size(); taken > maxBytes && n > 0 {
			break
		}
		n++
	}
	return messages[:n:n]
}

// at returns the index of the first chunk that ends at seq or later.
func (w *window) at(seq int64) int {
	if n := len(w.chunks); n > 0 && w.chunks[n-1].end() < seq {
		return n
	}
	i, _ := slices.BinarySearchFunc(w.chunks, seq, func(c *chunk, seq int64) int { return cmp.Compare(c.end(), seq) })
	return i
}

// enter takes rows, and returns how many bytes the window has grown by. Without
// room for them it notes only that they are there.
func (w *window) enter(rows []domain.Message, room bool, at time.Time) (grown int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return 0
	}
	before := w.bytes
	w.entries++
	w.gone = false
	for i := range rows {
		m := &rows[i]
		if w.replaces(m) {
			w.truncate(m.Seq - 1)
			w.last = m.Seq - 1
		}
		w.last = max(w.last, m.Seq)
		if room {
			w.insert(m, at)
		}
	}
	w.wake()
	return w.bytes - before
}

// replaces reports whether another row is here in the place of this one: then
// the history was restored from an older copy.
func (w *window) replaces(m *domain.Message) bool {
	found := w.find(m.Seq, 1, 0)
	return found != nil && found[0].ID != m.ID
}

// insert puts a row where it belongs, unless it is here.
func (w *window) insert(m *domain.Message, at time.Time) {
	size := sizeOf(m)
	i := w.at(m.Seq)
	if i < len(w.chunks) && w.chunks[i].first() <= m.Seq {
		return
	}
	w.rows++
	w.bytes += size
	if i > 0 {
		c := w.chunks[i-1]
		if c.end()+1 == m.Seq && len(c.messages) < chunkRows && c.bytes+size <= chunkBytes {
			c.messages = append(c.messages, *m)
			c.bytes += size
			c.entered = at
			return
		}
	}
	w.chunks = slices.Insert(w.chunks, i, &chunk{messages: []domain.Message{*m}, bytes: size, entered: at})
}

// truncate drops the rows after seq.
func (w *window) truncate(seq int64) {
	for n := len(w.chunks); n > 0 && w.chunks[n-1].end() > seq; n-- {
		c := w.chunks[n-1]
		keep := max(0, seq-c.first()+1)
		for i := keep; i < int64(len(c.messages)); i++ {
			w.forget(c, &c.messages[i])
		}
		if keep > 0 {
			// Others may read behind what is kept, so that must not be appended to.
			c.messages = slices.Clone(c.messages[:keep])
			return
		}
		w.chunks[n-1] = nil
		w.chunks = w.chunks[:n-1]
	}
}

// forget counts a row that is dropped.
func (w *window) forget(c *chunk, m *domain.Message) {
	size := sizeOf(m)
	w.rows--
	w.bytes -= size
	c.bytes -= size
}

// trim drops the oldest rows until there are at most so many and so many bytes,
// and returns how many bytes it has dropped.
func (w *window) trim(rows int, bytes int64) (dropped int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.trimTo(rows, bytes)
}

// trimOld does that with what entered before a time.
func (w *window) trimOld(before time.Time) (dropped int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	young := 0
	for _, c := range w.chunks {
		if !c.entered.Before(before) {
			young += len(c.messages)
		}
	}
	return w.trimTo(young, w.bytes)
}

func (w *window) trimTo(rows int, bytes int64) (dropped int64) {
	held := w.bytes
	for len(w.chunks) > 0 && (w.rows > rows || w.bytes > bytes) {
		c := w.chunks[0]
		n := 0
		for n < len(c.messages) && (w.rows > rows || w.bytes > bytes) {
			w.forget(c, &c.messages[n])
			n++
		}
		if n < len(c.messages) {
			// A copy: what is dropped must not stay in memory.
			c.messages = slices.Clone(c.messages[n:])
			break
		}
		w.chunks[0] = nil
		w.chunks = w.chunks[1:]
	}
	return held - w.bytes
}

func (w *window) size() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.bytes
}

// close drops everything.
func (w *window) close() (dropped int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	dropped = w.bytes
	w.chunks, w.rows, w.bytes, w.closed = nil, 0, 0, true
	w.wake()
	return dropped
}

// wake makes all who wait look again.
func (w *window) wake() {
	if w.changed != nil {
		close(w.changed)
		w.changed = nil
	}
}

// mark is what a window knew when last_seq was about to be read.
type mark struct {
	window  *window
	entries uint64
	ahead   int64
}

func (w *window) mark() mark {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := mark{w, w.entries, w.ahead}
	w.ahead = 0
	return m
}

// undo is for when last_seq could not be read.
func (m mark) undo() {
	m.window.mu.Lock()
	defer m.window.mu.Unlock()
	m.window.ahead = max(m.window.ahead, m.ahead)
}

// settle takes what last_seq was; found is false for no history.
func (m mark) settle(last int64, found bool) (dropped int64) {
	w := m.window
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.bytes
	quiet := w.entries == m.entries // nothing entered that may be later
	switch {
	case w.closed || !found && !quiet:
	case !found:
		w.truncate(0)
		w.gone, w.last = true, -1
		w.wake()
	case last > w.last:
		w.gone, w.last = false, last
		w.wake()
	case last < w.last && quiet:
		// Whoever has got so far is ahead.
		w.beyond = max(w.beyond, w.last)
		w.truncate(last)
		w.last = last
		w.wake()
	}
	if found && m.ahead > w.last {
		w.beyond = max(w.beyond, m.ahead)
		w.wake()
	}
	return before - w.bytes
}

package stream

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"lanekeeper/domain"
)

const (
	// The bounds of a window. Its newest chunk stays in any case.
	windowEvents = 2048
	windowBytes  = 8 << 20
	windowAge    = 10 * time.Second
	// allWindowsBytes is from where on windows get smaller, so that their sum
	// stays near it however many tenants are busy.
	allWindowsBytes = 256 << 20
	// chunkBytes is how much a chunk holds, and so what Next returns at most,
	// unless a single event is larger.
	chunkBytes = 256 << 10
	// gatherBytes is below which what is left of a chunk is not worth a write
	// of its own when others follow.
	gatherBytes = 16 << 10
	// groups is into how many groups clients are divided, so that many are
	// not all woken in the same moment.
	groups = 16
)

// chunk is a run of encoded events. It does not change once it is made, so
// clients share its bytes.
type chunk struct {
	last int64   // the seq of its last event
	seqs []int64 // of each event
	ends []int   // where each event ends in data
	data []byte
	at   time.Time
}

// after returns the events after cursor.
func (c *chunk) after(cursor int64) []byte {
	i, _ := slices.BinarySearch(c.seqs, cursor+1)
	if i == 0 {
		return slices.Clip(c.data)
	}
	return slices.Clip(c.data[c.ends[i-1]:])
}

// encode turns messages into chunks.
func encode(messages []domain.Message, event func(*domain.Message) []byte, at time.Time) []*chunk {
	events := make([][]byte, len(messages))
	for i := range messages {
		events[i] = event(&messages[i])
	}
	var chunks []*chunk
	for begin := 0; begin < len(events); {
		size, end := len(events[begin]), begin+1
		for end < len(events) && size+len(events[end]) <= chunkBytes {
			size += len(events[end])
			end++
		}
		c := &chunk{
			last: messages[end-1].Seq, at: at, data: make([]byte, 0, size),
			seqs: make([]int64, 0, end-begin), ends: make([]int, 0, end-begin),
		}
		for i := begin; i < end; i++ {
			c.data = append(c.data, events[i]...)
			c.seqs = append(c.seqs, messages[i].Seq)
			c.ends = append(c.ends, len(c.data))
		}
		chunks = append(chunks, c)
		begin = end
	}
	return chunks
}

// window holds the newest events of a tenant. It is written by the feed and
// read by its clients.
type window struct {
	mu     sync.RWMutex
	chunks []*chunk // oldest first
	start  int64    // the seq after which the first chunk begins
	end    int64    // the last seq that was read
	events int
	bytes  int
	err    error // why nothing follows any more
	// changed has a channel for each group of clients, which is closed, and
	// replaced, when there is something new.
	changed [groups]chan struct{}
}

func (w *window) init() {
	for i := range w.changed {
		w.changed[i] = make(chan struct{})
	}
}

func (w *window) reset(at int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.start, w.end = at, at
}

// add puts chunks at the end and drops the oldest, down to limit bytes.
func (w *window) add(chunks []*chunk, limit int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range chunks {
		w.chunks = append(w.chunks, c)
		w.events += len(c.seqs)
		w.bytes += len(c.data)
		w.end = c.last
	}
	for len(w.chunks) > 1 && (w.events > windowEvents || w.bytes > limit) {
		w.dropOldest()
	}
}

// pass says that there is nothing up to last.
func (w *window) pass(last int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end = max(w.end, last)
}

// size returns how many bytes the window holds.
func (w *window) size() int {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.bytes
}

// trim drops what is old, so that a tenant that has become quiet does not
// hold memory.
func (w *window) trim(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.chunks) > 0 && now.Sub(w.chunks[0].at) > windowAge {
		w.dropOldest()
	}
}

func (w *window) dropOldest() {
	c := w.chunks[0]
	w.chunks[0] = nil
	w.chunks = w.chunks[1:]
	w.events -= len(c.seqs)
	w.bytes -= len(c.data)
	w.start = c.last
}

// fail ends the window: nothing follows what it holds.
func (w *window) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = err
	for group := range w.changed {
		w.wakeLocked(group)
	}
}

// wake makes a group of clients look at the window again.
func (w *window) wake(group int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wakeLocked(group)
}

func (w *window) wakeLocked(group int) {
	close(w.changed[group])
	w.changed[group] = make(chan struct{})
}

// bounds returns the seqs after which the window begins, and of its end.
func (w *window) bounds() (start, end int64) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.start, w.end
}

// crowded reports whether a client at cursor is within the window, but so far
// behind that it would soon fall out of it.
func (w *window) crowded(cursor int64) bool {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if cursor < w.start {
		return false
	}
	events, bytes := 0, 0
	for _, c := range slices.Backward(w.chunks) {
		if c.last <= cursor {
			break
		}
		events += len(c.seqs)
		bytes += len(c.data)
	}
	return events > windowEvents/2 || bytes > windowBytes/2
}

// view is what a client finds in a window: data up to seq last; or, when last
// is 0, that the window begins behind its cursor, at start; or why nothing
// follows; or else a channel that is closed when it is to look again.
type view struct {
	data    []byte
	last    int64
	behind  bool
	start   int64
	err     error
	changed <-chan struct{}
}

// after returns what follows the cursor, at most chunkBytes or one chunk, to a
// client of the group.
func (w *window) after(cursor int64, group int) view {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if cursor < w.start {
		return view{behind: true, start: w.start}
	}
	i, _ := slices.BinarySearchFunc(w.chunks, cursor+1, func(c *chunk, seq int64) int { return cmp.Compare(c.last, seq) })
	if i == len(w.chunks) {
		return view{err: w.err, changed: w.changed[group]}
	}
	data, last := w.chunks[i].after(cursor), w.chunks[i].last
	if len(data) < gatherBytes && i+1 < len(w.chunks) {
		data, last = gather(data, last, w.chunks[i+1:])
	}
	return view{data: data, last: last}
}

// gather joins chunks that are too small to be sent one by one.
func gather(data []byte, last int64, following []*chunk) ([]byte, int64) {
	size, n := len(data), 0
	for n < len(following) && size+len(following[n].data) <= chunkBytes {
		size += len(following[n].data)
		n++
	}
	joined := append(make([]byte, 0, size), data...)
	for _, c := range following[:n] {
		joined = append(joined, c.data...)
		last = c.last
	}
	return joined, last
}

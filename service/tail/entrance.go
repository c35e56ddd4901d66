package tail

import (
	"bytes"
	"context"
	"sync/atomic"

	"lanekeeper/domain"
	"lanekeeper/pkg/jsonb"
)

const (
	// queuedCommits and queuedBytes bound what waits to enter.
	queuedCommits = 256
	queuedBytes   = 16 << 20
	// arenaBytes is from where on payloads that enter together are not kept in one
	// piece of memory, which is held as long as one of them.
	arenaBytes = 32 << 10
)

// entrance is where rows that were committed wait to enter their windows. Their
// payloads are as they were sent, which is why they wait: to write them as the
// database does takes time, that those who store should not spend.
type entrance struct {
	windows *windows
	commits chan []domain.Message
	bytes   atomic.Int64 // of what waits

	// Those of run: what writes payloads, and room for it.
	canonical jsonb.Canonical
	scratch   []byte
	ends      []int
}

func newEntrance(w *windows) *entrance {
	return &entrance{windows: w, commits: make(chan []domain.Message, queuedCommits)}
}

// add has rows enter soon, and reports whether there was room for them to wait.
func (e *entrance) add(rows []domain.Message) bool {
	size := sizeOfAll(rows)
	if held := e.bytes.Add(size); held > queuedBytes && held > size {
		e.bytes.Add(-size)
		return false
	}
	select {
	case e.commits <- rows:
		return true
	default:
		e.bytes.Add(-size)
		return false
	}
}

// run lets rows enter until ctx ends.
func (e *entrance) run(ctx context.Context) {
	for {
		select {
		case rows := <-e.commits:
			size := sizeOfAll(rows)
			for len(rows) > 0 {
				n := 1
				for n < len(rows) && rows[n].TenantID == rows[0].TenantID {
					n++
				}
				e.enter(rows[:n:n])
				rows = rows[n:]
			}
			e.bytes.Add(-size)
		case <-ctx.Done():
			return
		}
	}
}

// enter lets rows of one tenant enter.
func (e *entrance) enter(rows []domain.Message) {
	w := e.windows.find(rows[0].TenantID)
	for w != nil && len(rows) > 0 {
		n := e.write(rows)
		e.windows.enter(w, rows[:n])
		rows = rows[n:]
	}
}

// write makes the payloads of the first rows what the history gives, of as many as
// fit into one piece of memory, and returns how many that are.
func (e *entrance) write(rows []domain.Message) (n int) {
	e.scratch, e.ends = e.scratch[:0], e.ends[:0]
	for n < len(rows) && (n == 0 || len(e.scratch)+len(rows[n].Payload) <= arenaBytes) {
		e.scratch = e.canonical.Append(e.scratch, rows[n].Payload)
		e.ends = append(e.ends, len(e.scratch))
		n++
	}
	arena, begin := bytes.Clone(e.scratch), 0
	for i, end := range e.ends {
		rows[i].Payload, rows[i].Bytes = arena[begin:end:end], end-begin
		begin = end
	}
	if cap(e.scratch) > 8*arenaBytes {
		e.scratch = nil
	}
	return n
}

func sizeOfAll(rows []domain.Message) (size int64) {
	for i := range rows {
		size += sizeOf(&rows[i])
	}
	return size
}

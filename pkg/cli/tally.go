package cli

import (
	"errors"
	"sync"

	"lanekeeper/pkg/cli/terminal"
	"lanekeeper/pkg/client"
)

// toldRefusals is how many refused lines are told one by one.
const toldRefusals = 10

// tally is what became of lines. Those who hand them over and those who hear what
// became of them are different goroutines.
type tally struct {
	progress *terminal.Progress
	size     int64 // of the file; 0 where it is not known
	// stop is called when publishing more makes no sense.
	stop func()

	mu      sync.Mutex
	handed  int64           // how many were handed over
	open    map[int64]int64 // lines of those of which nothing is known, by their place
	settled map[int64]bool  // lines that are settled, from next on
	next    int64           // line to go on with: all before it are settled
	bytes   int64           // read

	accepted, replayed, refused, unknown int64

	failure error // why it was stopped
}

func newTally(progress *terminal.Progress, first int64, stop func()) *tally {
	return &tally{progress: progress, stop: stop, open: make(map[int64]int64), settled: make(map[int64]bool), next: first}
}

// read counts bytes of the input.
func (t *tally) read(n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.bytes += n
}

// take notes which line the message is that is handed over next.
func (t *tally) take(line int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open[t.handed] = line
	t.handed++
}

// settle notes that a line needs no more.
func (t *tally) settle(line int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.settleLocked(line)
}

func (t *tally) settleLocked(line int64) {
	t.settled[line] = true
	for t.settled[t.next] {
		delete(t.settled, t.next)
		t.next++
	}
}

// refuse notes that a line was refused, and always will be.
func (t *tally) refuse(line int64, err error) {
	t.mu.Lock()
	t.settleLocked(line)
	t.refused++
	n := t.refused
	t.mu.Unlock()
	switch {
	case n <= toldRefusals:
		t.progress.Note("line %d: %v", line, err)
	case n == toldRefusals+1:
		t.progress.Note("and more lines that are refused, which are only counted")
	}
}

// result notes what became of a message.
func (t *tally) result(p client.Published) {
	if line, refused := t.note(p); refused {
		t.refuse(line, p.Err)
	}
	t.progress.Set(t.reached())
}

// note counts a result, and reports whether it is a refusal, and of which line.
func (t *tally) note(p client.Published) (line int64, refused bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	line = t.open[p.Index]
	delete(t.open, p.Index)
	switch {
	case p.Err == nil:
		t.accepted++
		if p.Replayed {
			t.replayed++
		}
		t.settleLocked(line)
	case ofMessage(p.Err):
		return line, true
	default:
		if t.unknown++; t.failure == nil {
			t.failure = p.Err
			t.stop()
		}
	}
	return line, false
}

// reached returns how many messages are accepted, and which part of the input is read;
// below 0 where that is not known.
func (t *tally) reached() (accepted int64, part float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.size == 0 {
		return t.accepted, -1
	}
	return t.accepted, float64(t.bytes) / float64(t.size)
}

// ofMessage reports whether an error is about one message, and not about all: those
// of a whole call have the id of a request, and what the service could not take at the
// moment it might take later.
func ofMessage(err error) bool {
	const busy = 429
	const broken = 500
	e, ok := errors.AsType[*client.Error](err)
	return ok && e.RequestID == "" && e.Status != busy && e.Status < broken
}

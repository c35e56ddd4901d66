package rabbitmq

import (
	"net"
	"sync"
)

// maxGathered is how many bytes wait for a write at most, besides those of the last
// call of Write.
const maxGathered = 256 << 10

// gatherer writes what comes while a write is under way with the next one: the
// library makes a system call for each publication and each acknowledgement, and the
// broker wakes up for each.
//
//	idle --Write--> flushing --nothing left--> idle
//	                flushing --write failed--> broken
//
// The goroutine that flushes is there only while there is something to write, and
// each of its writes has the time limit of the connection below. Write returns before
// the bytes are written; when they cannot be, the connection is closed, which its
// reader learns, and later calls return why. It is safe for concurrent use.
type gatherer struct {
	net.Conn

	mu       sync.Mutex
	room     sync.Cond // there is less than maxGathered, or err
	pending  []byte    // grows while written is on its way
	spare    []byte    // what pending becomes next
	flushing bool
	err      error
}

func newGatherer(conn net.Conn) *gatherer {
	g := &gatherer{Conn: conn}
	g.room.L = &g.mu
	return g
}

// Write implements net.Conn. It waits while too much is to be written, and returns
// the error of an earlier write.
func (g *gatherer) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.pending) >= maxGathered && g.err == nil {
		g.room.Wait()
	}
	if g.err != nil {
		return 0, g.err
	}
	g.pending = append(g.pending, p...)
	if !g.flushing {
		g.flushing = true
		go g.flush()
	}
	return len(p), nil
}

// flush writes until nothing is left.
func (g *gatherer) flush() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.pending) > 0 && g.err == nil {
		out := g.pending
		g.pending, g.spare = g.spare[:0], nil
		g.room.Broadcast()
		g.mu.Unlock()
		_, err := g.Conn.Write(out)
		if err != nil {
			_ = g.Close()
		}
		g.mu.Lock()
		if err != nil {
			g.err = err
			break
		}
		if cap(out) <= 2*maxGathered {
			g.spare = out
		}
	}
	g.flushing = false
	g.room.Broadcast()
}

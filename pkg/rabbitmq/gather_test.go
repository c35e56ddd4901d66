package rabbitmq

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// slowConn takes a write when it is let to.
type slowConn struct {
	net.Conn
	turns chan error

	mu     sync.Mutex
	writes [][]byte
	closed int
}

func (s *slowConn) Write(p []byte) (int, error) {
	err := <-s.turns
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes = append(s.writes, bytes.Clone(p))
	return len(p), err
}

func (s *slowConn) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed++
	return nil
}

func (s *slowConn) written() [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writes
}

func write(t *testing.T, g *gatherer, text string) {
	t.Helper()
	n, err := g.Write([]byte(text))
	require.NoError(t, err)
	require.Equal(t, len(text), n)
}

func TestGathererWritesTogetherWhatComesDuringAWrite(t *testing.T) {
	t.Parallel()
	conn := &slowConn{turns: make(chan error)}
	g := newGatherer(conn)
	write(t, g, "a")
	require.Eventually(t, func() bool { g.mu.Lock(); defer g.mu.Unlock(); return len(g.pending) == 0 }, time.Second, time.Millisecond)
	for _, text := range []string{"b", "c", "d"} {
		write(t, g, text)
	}
	conn.turns <- nil
	conn.turns <- nil
	require.Eventually(t, func() bool { g.mu.Lock(); defer g.mu.Unlock(); return !g.flushing }, time.Second, time.Millisecond)
	require.Equal(t, [][]byte{[]byte("a"), []byte("bcd")}, conn.written())
	write(t, g, "e")
	conn.turns <- nil
	require.Eventually(t, func() bool { return len(conn.written()) == 3 }, time.Second, time.Millisecond)
}

// Who writes more than the peer takes waits, and what it holds is bounded.
func TestGathererIsBounded(t *testing.T) {
	t.Parallel()
	conn := &slowConn{turns: make(chan error)}
	g := newGatherer(conn)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range 100 {
			if _, err := g.Write(make([]byte, 32<<10)); err != nil {
				return
			}
		}
	}()
	select {
	case <-ended:
		require.FailNow(t, "nothing waited")
	case <-time.After(50 * time.Millisecond):
	}
	g.mu.Lock()
	require.LessOrEqual(t, len(g.pending), maxGathered+32<<10)
	g.mu.Unlock()
	close(conn.turns) // from here on it takes everything
	<-ended
	require.Eventually(t, func() bool {
		total := 0
		for _, w := range conn.written() {
			total += len(w)
		}
		return total == 100*32<<10
	}, 5*time.Second, time.Millisecond)
}

// When a write fails, the connection is closed, those who wait hear why, and so does
// whoever comes later.
func TestGathererFails(t *testing.T) {
	t.Parallel()
	conn := &slowConn{turns: make(chan error)}
	g := newGatherer(conn)
	write(t, g, "a")
	waiting := make(chan error)
	go func() {
		for {
			if _, err := g.Write(make([]byte, maxGathered)); err != nil {
				waiting <- err
				return
			}
		}
	}()
	reset := errors.New("connection reset")
	conn.turns <- reset
	require.ErrorIs(t, <-waiting, reset)
	_, err := g.Write([]byte("b"))
	require.ErrorIs(t, err, reset)
	conn.mu.Lock()
	defer conn.mu.Unlock()
	require.Equal(t, 1, conn.closed)
}

// What several write at a time arrives whole, and in the order of each.
func TestGathererKeepsTheOrder(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	g := newGatherer(ours)
	const writers, each = 8, 2000
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				_, _ = g.Write([]byte{byte(w), byte(i >> 8), byte(i)})
			}
		})
	}
	next := make([]int, writers)
	record := make([]byte, 3)
	for range writers * each {
		_, err := io.ReadFull(theirs, record)
		require.NoError(t, err)
		require.Equal(t, next[record[0]], int(record[1])<<8|int(record[2]))
		next[record[0]]++
	}
	wg.Wait()
}

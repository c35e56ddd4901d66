package terminal

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

const (
	// drawEvery is how often a line is drawn at most, and lineEvery how often one is
	// written where there is no terminal.
	drawEvery = 100 * time.Millisecond
	lineEvery = 5 * time.Second
)

// Line is a line whose text changes: on a terminal it is drawn again in its place,
// elsewhere it is written every 5 seconds. It is safe for concurrent use.
type Line struct {
	screen Screen

	mu    sync.Mutex // guards what follows, and writing
	last  time.Time  // when something was written
	drawn bool       // it is on the screen
}

// NewLine returns a line on w, which is empty.
func NewLine(w io.Writer) *Line {
	return &Line{screen: NewScreen(w), last: time.Now()}
}

// Set shows a text, unless one was shown just now. Text is called with how many columns
// there are, 0 where there is no terminal, and only if it is shown; what it returns is cut
// to fit.
func (l *Line) Set(text func(width int) string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	every := lineEvery
	if l.screen.Width > 0 {
		every = drawEvery
	}
	now := time.Now()
	if now.Sub(l.last) < every {
		return
	}
	l.last = now
	shown := Clean(text(l.screen.Width))
	if l.screen.Width == 0 {
		fmt.Fprintln(l.screen, strings.TrimLeft(shown, " "))
		return
	}
	l.drawn = true
	fmt.Fprint(l.screen, "\r"+Cut(shown, l.screen.Width-1)+"\x1b[K")
}

// Note writes a line that stays.
func (l *Line) Note(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.erase()
	fmt.Fprintln(l.screen, Clean(fmt.Sprintf(format, args...)))
}

// End removes the line from a terminal.
func (l *Line) End() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.erase()
}

func (l *Line) erase() {
	if l.drawn {
		fmt.Fprint(l.screen, "\r\x1b[K")
		l.drawn = false
	}
}

package terminal

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"lanekeeper/pkg/digits"
)

const (
	barWidth = 20
	percent  = 100
)

// Progress shows how far some long work has got: a bar on a terminal, elsewhere a line
// every 5 seconds. It is safe for concurrent use.
type Progress struct {
	line  *Line
	what  string
	begun time.Time

	mu   sync.Mutex // guards done and part
	done int64
	part float64
}

// NewProgress returns progress that is shown on w. What says in a word of which there
// are many, such as "messages".
func NewProgress(w io.Writer, what string) *Progress {
	return &Progress{line: NewLine(w), what: what, begun: time.Now()}
}

// Set says how many are done, and which part of the work that is, from 0 to 1; below 0
// where that is not known.
func (p *Progress) Set(done int64, part float64) {
	p.mu.Lock()
	p.done, p.part = done, part
	p.mu.Unlock()
	p.line.Set(p.text)
}

// Note writes a line that stays.
func (p *Progress) Note(format string, args ...any) { p.line.Note(format, args...) }

// End removes the bar. Nothing is shown any longer.
func (p *Progress) End() { p.line.End() }

// Rate returns how many were done a second, for as long as there is progress.
func (p *Progress) Rate() float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rate()
}

func (p *Progress) rate() float64 {
	seconds := time.Since(p.begun).Seconds()
	if seconds <= 0 {
		return 0
	}
	return float64(p.done) / seconds
}

// text returns what is shown in so many columns, with a bar where there is room for it.
func (p *Progress) text(width int) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	text := fmt.Sprintf("%s %s, %s/s", digits.Grouped(p.done), p.what, digits.Grouped(int64(p.rate())))
	if p.part >= 0 {
		text = fmt.Sprintf("%3.0f %%  %s", percent*min(p.part, 1), text)
	}
	if full := int(barWidth * min(p.part, 1)); p.part >= 0 && columns(text)+barWidth+4 < width {
		text = "[" + strings.Repeat("#", full) + strings.Repeat(".", barWidth-full) + "] " + text
	}
	return text
}

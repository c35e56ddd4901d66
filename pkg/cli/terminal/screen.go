package terminal

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/term"
	"golang.org/x/text/width"
)

// Screen is what is written to, and what it can show.
type Screen struct {
	io.Writer

	// Width is how many columns there are; 0 where the output is no terminal, so that
	// nothing is cut.
	Width int
	// Styled is whether bold text and colors are shown.
	Styled bool
}

// NewScreen returns what w can show. COLUMNS says how wide a terminal is that does not
// tell itself; NO_COLOR, with any value, and TERM=dumb keep text plain.
func NewScreen(w io.Writer) Screen {
	s := Screen{Writer: w}
	if !IsTerminal(w) {
		return s
	}
	const usual = 80
	s.Width = usual
	if file, ok := w.(interface{ Fd() uintptr }); ok {
		if columns, _, err := term.GetSize(int(file.Fd())); err == nil && columns > 0 {
			s.Width = columns
		} else if columns, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && columns > 0 {
			s.Width = columns
		}
	}
	s.Styled = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return s
}

// IsTerminal reports whether w, or what is read, is a terminal.
func IsTerminal(w any) bool {
	file, ok := w.(interface{ Fd() uintptr })
	return ok && term.IsTerminal(int(file.Fd()))
}

// Clean returns text without what would control a terminal: control characters, and
// those that change the direction of text, are written as in Go.
func Clean(text string) string {
	if strings.IndexFunc(text, controls) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if !controls(r) {
			b.WriteRune(r)
			continue
		}
		fmt.Fprintf(&b, `\u%04x`, r)
	}
	return b.String()
}

// controls reports whether a terminal would do something else than show r.
func controls(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' || r == unicode.ReplacementChar
}

// columns returns how many columns text takes.
func columns(text string) int {
	n := 0
	for _, r := range text {
		n += runeColumns(r)
	}
	return n
}

func runeColumns(r rune) int {
	const ascii = 0x80
	switch {
	case r < ascii:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	}
	switch width.LookupRune(r).Kind() { //nolint:exhaustive // all others take one
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// Cut returns text as it fits into so many columns, with a dot-dot-dot where something
// is missing.
func Cut(text string, most int) string {
	if columns(text) <= most {
		return text
	}
	if most < 1 {
		return ""
	}
	var b strings.Builder
	n := 0
	for _, r := range text {
		if n += runeColumns(r); n > most-1 {
			break
		}
		b.WriteRune(r)
	}
	return b.String() + "…"
}

package apptest

import (
	"context"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

// newLog returns a logger that writes to the test's output. Errors, which the
// service logs for panics and answers of status 500, fail the test.
func newLog(t testing.TB, w *warnings) *slog.Logger {
	var out io.Writer = io.Discard
	if testing.Verbose() || os.Getenv("CI") != "" {
		out = t.Output()
	}
	return slog.New(strictHandler{
		Handler: slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelInfo}), t: t, warned: w,
	})
}

// strictHandler fails its test when an error is logged.
type strictHandler struct {
	slog.Handler

	t      testing.TB
	warned *warnings
}

// Handle implements slog.Handler.
func (h strictHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		text := r.Message
		r.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
		h.warned.add(text)
		if r.Level >= slog.LevelError && !h.warned.expects(r.Message) {
			h.t.Errorf("the service logged an error: %s", text)
		}
	}
	return h.Handler.Handle(ctx, r) //nolint:wrapcheck // passes on
}

// WithAttrs implements slog.Handler.
func (h strictHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return strictHandler{h.Handler.WithAttrs(attrs), h.t, h.warned}
}

// WithGroup implements slog.Handler.
func (h strictHandler) WithGroup(name string) slog.Handler {
	return strictHandler{h.Handler.WithGroup(name), h.t, h.warned}
}

// warnings are what was logged that calls for attention.
type warnings struct {
	mu       sync.Mutex
	lines    []string // guarded by mu
	expected []string // messages of errors that fail no test; guarded by mu
}

func (w *warnings) expects(message string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Contains(w.expected, message)
}

// ExpectError lets the service log errors with this message, which fail the test
// otherwise.
func (a *App) ExpectError(message string) {
	a.warned.mu.Lock()
	defer a.warned.mu.Unlock()
	a.warned.expected = append(a.warned.expected, message)
}

func (w *warnings) add(line string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, line)
}

// Warned returns the lines of the log, at the level of a warning and above,
// that have all of the texts in them.
func (a *App) Warned(texts ...string) []string {
	a.warned.mu.Lock()
	defer a.warned.mu.Unlock()
	var found []string
	for _, line := range a.warned.lines {
		if !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(line, text) }) {
			found = append(found, line)
		}
	}
	return found
}

// LockedBuffer is a buffer for a log, which several may write at a time.
type LockedBuffer struct {
	mu   sync.Mutex
	text strings.Builder // guarded by mu
}

// Write implements io.Writer.
func (b *LockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// String returns what was written.
func (b *LockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

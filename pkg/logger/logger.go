package logger

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// The formats.
const (
	FormatText = "text"
	FormatJSON = "json"
)

// timeLayout is RFC 3339 in UTC with milliseconds.
const timeLayout = "2006-01-02T15:04:05.000Z"

// Options configure New.
type Options struct {
	// Level is debug, info, warn or error, in any case; "" means info.
	Level string
	// Format is FormatText or FormatJSON, in any case; "" means FormatText.
	Format string
	// FromContext returns the attributes that every record of a call with
	// ctx carries; nil for none. They stand beside the record's own
	// attributes, outside of groups.
	FromContext func(ctx context.Context) []slog.Attr
}

// New returns a logger that writes to w, one record a line. It is safe for
// concurrent use. It returns an error for an unknown level or format.
func New(w io.Writer, o Options) (*slog.Logger, error) {
	var level slog.Level
	if o.Level != "" {
		if err := level.UnmarshalText([]byte(o.Level)); err != nil {
			return nil, fmt.Errorf("log level %q: %w", o.Level, err)
		}
	}
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: formatTime}
	var base slog.Handler
	switch strings.ToLower(o.Format) {
	case FormatText, "":
		base = slog.NewTextHandler(w, options)
	case FormatJSON:
		base = slog.NewJSONHandler(w, options)
	default:
		return nil, fmt.Errorf("log format %q: must be %q or %q", o.Format, FormatText, FormatJSON)
	}
	if o.FromContext == nil {
		return slog.New(base), nil
	}
	return slog.New(&handler{base: base, full: base, fromContext: o.FromContext}), nil
}

// Milliseconds returns a duration as a number of milliseconds, to the microsecond: its
// key should end with _ms. A time.Duration would be nanoseconds in JSON, and something
// else in text.
func Milliseconds(key string, d time.Duration) slog.Attr {
	return slog.Float64(key, float64(d.Microseconds())/1000)
}

func formatTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey && a.Value.Kind() == slog.KindTime {
		a.Value = slog.StringValue(a.Value.Time().UTC().Format(timeLayout))
	}
	return a
}

// handler adds the attributes of the context to each record.
type handler struct {
	// base is the handler before the first group was opened.
	base slog.Handler
	// full is base with what inGroups does to it.
	full        slog.Handler
	inGroups    []func(slog.Handler) slog.Handler
	fromContext func(context.Context) []slog.Attr
}

// Enabled implements slog.Handler.
func (h *handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.base.Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	attrs := h.fromContext(ctx)
	if len(attrs) == 0 {
		return h.full.Handle(ctx, r)
	}
	if len(h.inGroups) == 0 {
		r = r.Clone()
		r.AddAttrs(attrs...)
		return h.full.Handle(ctx, r)
	}
	full := h.base.WithAttrs(attrs)
	for _, apply := range h.inGroups {
		full = apply(full)
	}
	return full.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := func(next slog.Handler) slog.Handler { return next.WithAttrs(attrs) }
	if len(h.inGroups) > 0 {
		return h.push(with)
	}
	changed := *h
	changed.base = with(h.base)
	changed.full = changed.base
	return &changed
}

// WithGroup implements slog.Handler.
func (h *handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return h.push(func(next slog.Handler) slog.Handler { return next.WithGroup(name) })
}

func (h *handler) push(apply func(slog.Handler) slog.Handler) slog.Handler {
	changed := *h
	changed.full = apply(h.full)
	changed.inGroups = append(slices.Clip(h.inGroups), apply)
	return &changed
}

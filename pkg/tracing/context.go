package tracing

import (
	"context"
	"encoding/hex"

	"go.opentelemetry.io/otel/trace"
)

// Where the parts of a traceparent of version 00 are.
const (
	parentLength = 55
	idBegin      = 3
	idEnd        = 35
	spanBegin    = 36
	spanEnd      = 52
	flagsBegin   = 53
)

// ID returns the id of the trace that ctx is part of, in hexadecimal digits, or "".
func ID(ctx context.Context) string {
	sc := trace.SpanContextFromContext(ctx)
	if !sc.HasTraceID() {
		return ""
	}
	return sc.TraceID().String()
}

// Carried returns what has others go on with the trace that ctx is part of, below its
// span: a traceparent and a tracestate of W3C Trace Context. Both are "" for no trace.
func Carried(ctx context.Context) (parent, state string) {
	return Format(trace.SpanContextFromContext(ctx))
}

// Format returns a span's context as Carried does.
func Format(sc trace.SpanContext) (parent, state string) {
	if !sc.IsValid() {
		return "", ""
	}
	id, span, flags := sc.TraceID(), sc.SpanID(), [1]byte{byte(sc.TraceFlags())}
	var text [parentLength]byte
	copy(text[:], "00-")
	hex.Encode(text[idBegin:idEnd], id[:])
	text[idEnd] = '-'
	hex.Encode(text[spanBegin:spanEnd], span[:])
	text[spanEnd] = '-'
	hex.Encode(text[flagsBegin:], flags[:])
	return string(text[:]), sc.TraceState().String()
}

// Below returns a context that is part of the trace that a traceparent of version 00 and
// a tracestate name, below the span that they name. It is ctx where they name none.
func Below(ctx context.Context, parent, state string) context.Context {
	sc := Parse(parent, state)
	if !sc.IsValid() {
		return ctx
	}
	return trace.ContextWithRemoteSpanContext(ctx, sc)
}

// Parse returns the context that a traceparent of version 00 and a tracestate name, which
// is not valid where they name none. A tracestate that cannot be read counts as none.
func Parse(parent, state string) trace.SpanContext {
	if len(parent) != parentLength {
		return trace.SpanContext{}
	}
	var c trace.SpanContextConfig
	var err error
	if c.TraceID, err = trace.TraceIDFromHex(parent[idBegin:idEnd]); err != nil {
		return trace.SpanContext{}
	}
	if c.SpanID, err = trace.SpanIDFromHex(parent[spanBegin:spanEnd]); err != nil {
		return trace.SpanContext{}
	}
	flags, err := hex.DecodeString(parent[flagsBegin:])
	if err != nil {
		return trace.SpanContext{}
	}
	c.TraceFlags = trace.TraceFlags(flags[0])
	if state != "" {
		if parsed, err := trace.ParseTraceState(state); err == nil {
			c.TraceState = parsed
		}
	}
	c.Remote = true
	return trace.NewSpanContext(c)
}

package domain

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/google/uuid"
)

// HeaderTraceParent and HeaderTraceState are the AMQP headers in which a message
// carries the trace that it belongs to, unless its own headers say that. They are
// not those of W3C Trace Context, because they are none of the message: one that
// is published again under its id is the same message, in another trace.
const (
	HeaderTraceParent = "x-traceparent"
	HeaderTraceState  = "x-tracestate"
)

// The headers of W3C Trace Context, with which a publisher says of a message which
// trace it belongs to.
const (
	traceParent = "traceparent"
	traceState  = "tracestate"
)

const (
	// traceParentLength is that of version 00: version, trace, span and flags.
	traceParentLength = 55
	traceIDBegin      = 3
	traceIDEnd        = 35
	spanIDEnd         = 52
	// maxTraceState is in bytes; what is longer is left out, as a whole.
	maxTraceState = 512
)

// TraceContext says which trace something belongs to, below which of its spans, and
// whether that is recorded: a traceparent of W3C Trace Context, and behind a space the
// tracestate, if there is one. It is "" for none.
type TraceContext string

// NewTraceContext returns the context of two headers, and "" where traceparent is none.
// A tracestate that is too long, or that a header cannot have, is left out.
func NewTraceContext(parent, state string) TraceContext {
	if !isTraceParent(parent) {
		return ""
	}
	if parent[:2] != "00" { // of a later version these are the parts that are known
		parent = "00" + parent[2:traceParentLength]
	}
	if state == "" || len(state) > maxTraceState || strings.ContainsFunc(state, func(r rune) bool { return r < ' ' || r > '~' }) {
		return TraceContext(parent)
	}
	return TraceContext(parent + " " + state)
}

// UnrecordedTrace returns the context of a trace of which nothing is recorded, for a
// message of which none is known. It is the same for all attempts to deliver the message,
// and its ids are as evenly spread as random ones, because there are samplers that go by
// them.
func UnrecordedTrace(message uuid.UUID) TraceContext {
	ids := sha256.Sum256(message[:])
	var text [traceParentLength]byte
	copy(text[:], "00-")
	hex.Encode(text[traceIDBegin:], ids[:16])
	text[traceIDEnd] = '-'
	hex.Encode(text[traceIDEnd+1:], ids[16:24])
	copy(text[spanIDEnd:], "-00")
	return TraceContext(text[:])
}

// Parent returns the traceparent, or "".
func (c TraceContext) Parent() string { return string(c[:min(len(c), traceParentLength)]) }

// State returns the tracestate, or "".
func (c TraceContext) State() string {
	if len(c) <= traceParentLength+1 {
		return ""
	}
	return string(c[traceParentLength+1:])
}

// TraceID returns the id of the trace in hexadecimal digits, or "".
func (c TraceContext) TraceID() string {
	if len(c) < traceParentLength {
		return ""
	}
	return string(c[traceIDBegin:traceIDEnd])
}

// Sampled reports whether whoever began the trace wants it to be recorded.
func (c TraceContext) Sampled() bool {
	if len(c) < traceParentLength {
		return false
	}
	digit := c[traceParentLength-1]
	return digit >= 'a' && (digit-'a')%2 == 1 || digit < 'a' && (digit-'0')%2 == 1
}

// isTraceParent reports whether text is a traceparent, of this version or of a later
// one.
func isTraceParent(text string) bool {
	switch {
	case len(text) < traceParentLength,
		text[2] != '-' || text[traceIDEnd] != '-' || text[spanIDEnd] != '-',
		text[:2] == "ff",
		text[:2] == "00" && len(text) > traceParentLength,
		len(text) > traceParentLength && text[traceParentLength] != '-':
		return false
	}
	id, span := text[traceIDBegin:traceIDEnd], text[traceIDEnd+1:spanIDEnd]
	return isLowerHex(text[:2]) && isLowerHex(id) && isLowerHex(span) && isLowerHex(text[spanIDEnd+1:traceParentLength]) &&
		strings.Trim(id, "0") != "" && strings.Trim(span, "0") != ""
}

func isLowerHex(text string) bool {
	for i := range len(text) {
		if c := text[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// OwnTrace returns the trace that the headers of a message say it belongs to, or "".
func OwnTrace(headers map[string]string) TraceContext {
	if len(headers) == 0 {
		return ""
	}
	parent, found := headers[traceParent]
	state := headers[traceState]
	for name, value := range headers { // which are few, and by AMQP may be written otherwise
		switch {
		case !found && len(name) == len(traceParent) && strings.EqualFold(name, traceParent):
			parent = value
		case state == "" && len(name) == len(traceState) && strings.EqualFold(name, traceState):
			state = value
		}
	}
	return NewTraceContext(parent, state)
}

// CarriedTrace returns the trace that this service says a message belongs to, of which
// these are the AMQP headers, or "".
func CarriedTrace(headers map[string]any) TraceContext {
	parent, _ := headers[HeaderTraceParent].(string)
	if parent == "" {
		return ""
	}
	state, _ := headers[HeaderTraceState].(string)
	return NewTraceContext(parent, state)
}

// TraceOf returns the trace that the AMQP headers of a message name, its own or the
// service's, or "".
func TraceOf(headers map[string]any) TraceContext {
	if carried := CarriedTrace(headers); carried != "" {
		return carried
	}
	parent, _ := headers[traceParent].(string)
	state, _ := headers[traceState].(string)
	return NewTraceContext(parent, state)
}

// TraceContext returns the trace that the message belongs to: what its publisher says
// in its headers, or else Trace.
func (m *Message) TraceContext() TraceContext {
	if own := OwnTrace(m.Headers); own != "" {
		return own
	}
	return m.Trace
}

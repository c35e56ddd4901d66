package domain

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Bounds of what a message may carry besides its payload.
const (
	// MaxTypeLength is in characters, of which there are few to choose from.
	MaxTypeLength = 128
	// MaxOrderingKeyLength, MaxHeaderNameLength and MaxHeaderValueLength are in
	// bytes.
	MaxOrderingKeyLength = 128
	MaxHeaderNameLength  = 128
	MaxHeaderValueLength = 1000
	// MaxHeaders is how many headers a message may have.
	MaxHeaders = 20

	// maxForeignType is what AMQP allows a type to have, in bytes.
	maxForeignType = 255
)

// HeaderOrderingKey is the AMQP header in which a message carries its ordering
// key.
const HeaderOrderingKey = "x-ordering-key"

// Envelope is what a message carries besides its payload. See Message for its
// fields.
type Envelope struct {
	Type        string
	OrderingKey string
	Headers     map[string]string
}

// Envelope returns what the message carries besides its payload.
func (m *Message) Envelope() Envelope { return Envelope{m.Type, m.OrderingKey, m.Headers} }

// Envelope returns what the message carries besides its payload.
func (s *Submission) Envelope() Envelope { return Envelope{s.Type, s.OrderingKey, s.Headers} }

// Size returns about how many bytes the message takes in an answer, its
// envelope, its trace and RowOverhead included.
func (m *Message) Size() int {
	e := m.Envelope()
	return len(m.Payload) + len(m.Trace) + e.Size() + RowOverhead
}

// headerOverhead is what a header takes besides its name and value: in JSON four
// quotes and what is between them, and as much in the store; and it is what all
// of them together take besides.
const headerOverhead = 8

// Size returns about how many bytes an envelope takes in an answer; 0 for one
// that is empty.
func (e *Envelope) Size() int {
	size := len(e.Type) + len(e.OrderingKey)
	if len(e.Headers) > 0 {
		size += headerOverhead
	}
	for name, value := range e.Headers {
		size += len(name) + len(value) + headerOverhead
	}
	return size
}

// Empty reports whether there is nothing in it.
func (e *Envelope) Empty() bool {
	return e.Type == "" && e.OrderingKey == "" && len(e.Headers) == 0
}

// Equal reports whether two envelopes say the same.
func (e *Envelope) Equal(other *Envelope) bool {
	return e.Type == other.Type && e.OrderingKey == other.OrderingKey && maps.Equal(e.Headers, other.Headers)
}

// AMQPHeaders returns the headers in which the envelope travels by AMQP, and in
// which dead letters keep it: all of it but the type.
func (e *Envelope) AMQPHeaders() map[string]any {
	headers := make(map[string]any, len(e.Headers)+1)
	for name, value := range e.Headers {
		headers[name] = value
	}
	if e.OrderingKey != "" {
		headers[HeaderOrderingKey] = e.OrderingKey
	}
	return headers
}

// Check returns an ErrInvalid that names what is wrong with the envelope of a
// message that comes by the API, or nil. It is stricter than ReadEnvelope.
func (e *Envelope) Check() error {
	var wrong []FieldError
	if len(e.Type) > MaxTypeLength || !isToken(e.Type) {
		wrong = append(wrong, FieldError{Pointer("type"), fmt.Sprintf("must have at most %d characters of A-Z, a-z, 0-9, '.', '_' and '-'", MaxTypeLength)})
	}
	if len(e.OrderingKey) > MaxOrderingKeyLength || !isLine(e.OrderingKey) {
		wrong = append(wrong, FieldError{Pointer("ordering_key"), fmt.Sprintf("must have at most %d bytes of UTF-8 without control characters", MaxOrderingKeyLength)})
	}
	if len(e.Headers) > MaxHeaders {
		wrong = append(wrong, FieldError{Pointer("headers"), fmt.Sprintf("must not have more than %d members", MaxHeaders)})
		return WithFields(wrong...)
	}
	fine := len(wrong)
	for name, value := range e.Headers {
		if message := wrongHeader(name, value); message != "" {
			wrong = append(wrong, FieldError{Pointer("headers", name), message})
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	slices.SortFunc(wrong[fine:], func(a, b FieldError) int { return strings.Compare(a.Pointer, b.Pointer) })
	return WithFields(wrong...)
}

// wrongHeader returns what is wrong with a header that comes by the API, or "".
func wrongHeader(name, value string) string {
	switch {
	case name == "" || len(name) > MaxHeaderNameLength || !isToken(name):
		return fmt.Sprintf("must be named with 1 to %d characters of A-Z, a-z, 0-9, '.', '_' and '-'", MaxHeaderNameLength)
	case ReservedHeader(name):
		return "must be named otherwise: CC, BCC, timestamp_in_ms and what begins with x- belongs to the message broker"
	case len(value) > MaxHeaderValueLength || !isLine(value):
		return fmt.Sprintf("must have at most %d bytes of UTF-8 without control characters", MaxHeaderValueLength)
	}
	return ""
}

// isToken reports whether text has letters, digits, '.', '_' and '-' only.
func isToken(text string) bool {
	for i := range len(text) {
		switch c := text[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

// isLine reports whether text is UTF-8 without control characters.
func isLine(text string) bool {
	return utf8.ValidString(text) && strings.IndexFunc(text, unicode.IsControl) < 0
}

// ReservedHeader reports whether a header has a meaning for the broker, or is
// added by it, and so is not one of the message. CC and BCC would have RabbitMQ
// put the message into other queues ("Sender-selected Distribution"), and
// timestamp_in_ms is added by an interceptor, anew each time a message is
// published.
func ReservedHeader(name string) bool {
	return len(name) >= 2 && strings.EqualFold(name[:2], "x-") ||
		strings.EqualFold(name, "cc") || strings.EqualFold(name, "bcc") || name == "timestamp_in_ms"
}

// ReadEnvelope returns the envelope of a message that came by AMQP, from its
// property type and its headers; or, of a dead letter, from those that were
// recorded of it. Everything is kept that can be stored: a type with spaces,
// headers with names and line breaks that the API does not allow. Numbers,
// truth values and times become text; what is neither these nor text (tables,
// arrays, nothing at all) is left out, as is what belongs to the broker.
//
// The error, which may be shown to callers, is about the first thing that a
// message cannot have; the envelope is what it can have nevertheless.
func ReadEnvelope(typ string, headers map[string]any) (e Envelope, err error) {
	wrong := func(format string, args ...any) {
		if err == nil {
			err = fmt.Errorf(format, args...)
		}
	}
	if len(typ) > maxForeignType || !isLine(typ) {
		wrong("the type must have at most %d bytes of UTF-8 without control characters", maxForeignType)
	} else {
		e.Type = typ
	}
	if value, ok := headers[HeaderOrderingKey]; ok {
		switch key, isText := headerText(value); {
		case !isText || len(key) > MaxOrderingKeyLength || !isLine(key):
			wrong("the header %s must be text of at most %d bytes of UTF-8 without control characters", HeaderOrderingKey, MaxOrderingKeyLength)
		default:
			e.OrderingKey = key
		}
	}
	var names []string
	for name := range headers {
		if !ReservedHeader(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		value, ok := headerText(headers[name])
		switch {
		case !ok:
		case name == "" || len(name) > MaxHeaderNameLength || !isLine(name):
			wrong("the name of the header %s must have 1 to %d bytes of UTF-8 without control characters", quoted(name), MaxHeaderNameLength)
		case len(value) > MaxHeaderValueLength || !utf8.ValidString(value) || strings.Contains(value, "\x00"):
			wrong("the header %s must have at most %d bytes of UTF-8 without U+0000", quoted(name), MaxHeaderValueLength)
		case len(e.Headers) == MaxHeaders:
			wrong("there must not be more than %d headers", MaxHeaders)
		default:
			if e.Headers == nil {
				e.Headers = make(map[string]string, min(len(names), MaxHeaders))
			}
			e.Headers[name] = value
		}
	}
	return e, err
}

// quoted returns a name as it can be shown in an error.
func quoted(name string) string {
	const most = 60
	if len(name) > most {
		return strconv.QuoteToASCII(name[:most]) + "..."
	}
	return strconv.QuoteToASCII(name)
}

// HeaderBytes returns how much text there is in headers of AMQP, in bytes, as far
// as it is in tables and arrays of the kinds that Delivery and DeadLetter name.
func HeaderBytes(headers map[string]any) int {
	size := 0
	for name, value := range headers {
		size += len(name) + valueBytes(value)
	}
	return size
}

func valueBytes(value any) int {
	switch v := value.(type) {
	case string:
		return len(v)
	case []byte:
		return len(v)
	case map[string]any:
		return HeaderBytes(v)
	case []any:
		size := 0
		for i := range v {
			size += valueBytes(v[i])
		}
		return size
	}
	return 0
}

// headerText returns a header as text, and false for what is none. It is the
// same for what came by AMQP and for what jsonb made of that: numbers are
// written without exponents.
func headerText(value any) (text string, ok bool) {
	switch v := value.(type) {
	case string:
		return v, true
	case []byte:
		return string(v), true
	case bool:
		return strconv.FormatBool(v), true
	case int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64:
		return fmt.Sprint(v), true
	case float32:
		return decimal(float64(v)), true
	case float64:
		return decimal(v), true
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano), true
	case fmt.Stringer: // a number of JSON, as it is written
		return v.String(), true
	}
	return "", false
}

func decimal(f float64) string {
	switch {
	case math.IsNaN(f) || math.IsInf(f, 0):
		return fmt.Sprint(f)
	case f == 0: // jsonb knows no negative zero
		return "0"
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}

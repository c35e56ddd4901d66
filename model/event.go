package model

import (
	"encoding/binary"
	"slices"
	"strconv"
	"time"

	"lanekeeper/domain"
)

// EventType is the type of the events that carry messages.
const EventType = "message"

// eventOverhead is about what an event has beside its payload and its envelope.
const eventOverhead = 256

// EncodeEvent returns a stored message as a whole event of a realtime stream
// ("Server-sent events" of the HTML standard), the blank line at its end
// included. Its data is, byte for byte, what Message becomes in the answers of
// GET /messages, and one line. It is written by hand because every stored
// message passes here. The payload must be valid JSON.
func EncodeEvent(m *domain.Message) []byte {
	envelope := m.Envelope()
	b := make([]byte, 0, eventOverhead+envelope.Size()+len(m.Payload))
	b = append(b, "id: "...)
	b = strconv.AppendInt(b, m.Seq, 10)
	b = append(b, "\nevent: "+EventType+"\ndata: "...)
	b = appendMessage(b, m)
	return append(b, "\n\n"...)
}

// appendMessage appends the JSON of FromMessage(m).
func appendMessage(b []byte, m *domain.Message) []byte {
	b = AppendMessageHead(b, m)
	b = appendCompact(b, m.Payload)
	return append(AppendMessageTail(b, m), '}')
}

// AppendMessageHead appends what comes before the payload in the JSON of
// FromMessage(m), and AppendMessageTail what comes after it, but for the brace
// at the end. With PayloadOf between them large payloads are written where they
// are.
func AppendMessageHead(b []byte, m *domain.Message) []byte {
	b = append(b, `{"id":"`...)
	b = append(b, m.ID.String()...)
	b = append(b, `","tenant_id":"`...)
	b = append(b, m.TenantID.String()...)
	b = append(b, `","seq":`...)
	b = strconv.AppendInt(b, m.Seq, 10)
	if m.Type != "" {
		b = appendText(append(b, `,"type":`...), m.Type)
	}
	if m.OrderingKey != "" {
		b = appendText(append(b, `,"ordering_key":`...), m.OrderingKey)
	}
	if len(m.Headers) > 0 {
		b = appendTexts(append(b, `,"headers":`...), m.Headers)
	}
	return append(b, `,"payload":`...)
}

// appendTexts appends an object of text, in the order of the names.
func appendTexts(b []byte, texts map[string]string) []byte {
	names := make([]string, 0, domain.MaxHeaders)
	for name := range texts {
		names = append(names, name)
	}
	slices.Sort(names)
	separator := byte('{')
	for _, name := range names {
		b = appendText(append(b, separator), name)
		b = appendText(append(b, ':'), texts[name])
		separator = ','
	}
	return append(b, '}')
}

// appendText appends text as JSON, as encode does.
func appendText(b []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			quoted, err := encode(text)
			if err != nil { // text can always be encoded
				return append(b, `""`...)
			}
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, text...)
	return append(b, '"')
}

// AppendMessageTail is described at AppendMessageHead.
func AppendMessageTail(b []byte, m *domain.Message) []byte {
	b = append(b, `,"created_at":"`...)
	b = m.CreatedAt.UTC().AppendFormat(b, time.RFC3339Nano)
	return append(b, '"')
}

// PayloadOf returns the payload as it is sent, in the memory of m, whose payload
// must not be used afterwards.
func PayloadOf(m *domain.Message) []byte { return compactInPlace(m.Payload) }

// compactInPlace is appendCompact in the memory of the value.
func compactInPlace(value []byte) []byte {
	if len(value) == 0 {
		return []byte("null")
	}
	return appendCompact(value[:0], value) // never ahead of what it reads
}

// appendCompact appends a JSON value without the white space between its
// tokens; no value at all is null. Line breaks never pass, not even in what is
// not JSON.
func appendCompact(b, value []byte) []byte {
	if len(value) == 0 {
		return append(b, "null"...)
	}
	kept := 0 // what is before it is in b, or is white space
	inString := false
	for i := 0; i < len(value); i++ {
		if inString {
			if i += plainText(value[i:]); i == len(value) {
				break
			}
		}
		switch c := value[i]; {
		case inString && c == '\\' && i+1 < len(value) && value[i+1] > ' ':
			i++
		case c == '"':
			inString = !inString
		case c > ' ', inString && c == ' ':
		default: // white space; in a string it would not be JSON
			b = append(b, value[kept:i]...)
			kept = i + 1
		}
	}
	return append(b, value[min(kept, len(value)):]...)
}

// plainText returns how many bytes of a string come before a multiple of eight
// that has its end, an escape or a control character among them, or before the
// last few: eight bytes are looked at a time, as in "Determine if a word has a
// byte less than n" of the Bit Twiddling Hacks.
func plainText(value []byte) int {
	const (
		ones  = 0x0101010101010101
		tops  = ones << 7
		quote = ones * '"'
		slash = ones * '\\'
		space = ones * ' '
	)
	n := 0
	for ; n+8 <= len(value); n += 8 {
		word := binary.LittleEndian.Uint64(value[n:])
		q, s := word^quote, word^slash
		if ((word-space)&^word|(q-ones)&^q|(s-ones)&^s)&tops != 0 {
			break
		}
	}
	return n
}

package jsonb

import "fmt"

// Limits of what Check accepts.
const (
	// MaxSize is the length of the text in bytes.
	MaxSize = 1 << 20
	// MaxDepth is how deep arrays and objects may be nested.
	MaxDepth = 128
	// MaxDigits is how many digits a number may have, before and after the
	// decimal point together, once it is written without an exponent.
	MaxDigits = 1000
	// MaxGrowth is by how many bytes the text may grow when all of its
	// numbers are written without exponents.
	MaxGrowth = 1 << 20
)

// Code says which rule a text breaks.
type Code string

// The rules.
const (
	CodeTooLarge       Code = "payload_too_large"
	CodeTooDeep        Code = "payload_too_deep"
	CodeNotJSON        Code = "payload_not_json"
	CodeNumberTooLarge Code = "payload_number_too_large"
	CodeNul            Code = "payload_nul"
	CodeBadUnicode     Code = "payload_bad_unicode"
)

// Error says why a text is refused.
type Error struct {
	Code Code
	// Offset is the position of the offending byte, counted from 0.
	Offset int
	// Message is a sentence that may be shown to the sender of the text. It
	// quotes nothing of it.
	Message string
}

// Error returns the message with the offset.
func (e *Error) Error() string { return fmt.Sprintf("%s (at byte %d)", e.Message, e.Offset) }

// Check returns nil when body can be stored as jsonb and read back, else an
// *Error about the first thing in it that cannot. It reads body once and
// allocates nothing unless it refuses. It is safe for concurrent use.
func Check(body []byte) error {
	_, err := Scan(body)
	return err
}

// Scan is Check, and reports whether body is compact: without white space between
// its tokens, so that Compact would return it as it is.
func Scan(body []byte) (compact bool, err error) {
	if len(body) > MaxSize {
		return false, &Error{CodeTooLarge, MaxSize, fmt.Sprintf("The payload must not be larger than %d bytes.", MaxSize)}
	}
	var objects [MaxDepth / 64]uint64
	s := scanner{text: body, maxDepth: MaxDepth, objects: objects[:]}
	if code := s.scan(); code != "" {
		return false, &Error{code, s.pos, code.message()}
	}
	return !s.spaced, nil
}

// MaxDocumentDepth is how deep Valid goes, which is as deep as encoding/json.
const MaxDocumentDepth = 10_000

// Valid reports whether doc is one JSON value and nothing else, in valid UTF-8 and
// not nested deeper than MaxDocumentDepth, whether it could be stored or not. It
// reads doc once and allocates nothing. It is safe for concurrent use.
func Valid(doc []byte) bool {
	var objects [(MaxDocumentDepth + 63) / 64]uint64
	s := scanner{text: doc, syntax: true, maxDepth: MaxDocumentDepth, objects: objects[:]}
	return s.scan() == ""
}

// Compact appends src without the white space between its tokens to dst and
// returns the extended slice. Src must have passed Check.
func Compact(dst, src []byte) []byte {
	start := 0
	for i := 0; i < len(src); {
		switch src[i] {
		case ' ', '\t', '\n', '\r':
			dst = append(dst, src[start:i]...)
			i++
			start = i
		case '"':
			for i++; i < len(src) && src[i] != '"'; i++ {
				if src[i] == '\\' {
					i++
				}
			}
			i++
		default:
			i++
		}
	}
	return append(dst, src[start:]...)
}

func (c Code) message() string {
	switch c {
	case CodeTooDeep:
		return fmt.Sprintf("The payload must not be nested deeper than %d levels.", MaxDepth)
	case CodeNotJSON:
		return "The payload is not valid JSON."
	case CodeNumberTooLarge:
		return fmt.Sprintf("Numbers must not have more than %d digits when written without an exponent, and must not make the payload grow by more than %d bytes.", MaxDigits, MaxGrowth)
	case CodeNul:
		return `The payload must not contain the character U+0000.`
	case CodeBadUnicode:
		return "The payload must be valid UTF-8 without lone surrogates."
	case CodeTooLarge:
	}
	return ""
}

package jsonb

import (
	"encoding/binary"
	"unicode/utf8"
)

// scanner walks over a text once. Its methods leave pos behind what they
// read, or at the offending byte when they return a code.
type scanner struct {
	text []byte
	pos  int
	// syntax says that only syntax and encoding count, and not what can be stored.
	syntax bool
	// spaced says that there was white space between tokens.
	spaced bool
	growth int
	depth  int
	// maxDepth is how many containers there may be inside each other. Objects has
	// bit n set when the one at depth n+1 is an object.
	maxDepth int
	objects  []uint64
}

// scan reads one value and nothing after it. It keeps the open containers in
// bits instead of recursing, so that depth costs no stack.
func (s *scanner) scan() Code {
	s.skipSpace()
	for {
		// Here a value begins.
		var code Code
		switch c := s.peek(); c {
		case '{', '[':
			if s.depth == s.maxDepth {
				return CodeTooDeep
			}
			s.open(c == '{')
			if s.peek() == closer(c) { // empty
				s.close()
				break
			}
			if c == '{' {
				if code = s.key(); code != "" {
					return code
				}
			}
			continue
		case '"':
			code = s.str()
		case 't':
			code = s.literal("true")
		case 'f':
			code = s.literal("false")
		case 'n':
			code = s.literal("null")
		case 0:
			return s.unexpected()
		default:
			code = s.number()
		}
		if code != "" {
			return code
		}
		// Here a value has ended.
		if done, code := s.next(); done || code != "" {
			return code
		}
	}
}

// next goes from the end of a value to the beginning of the following one,
// closing containers on the way. Done means that the text has ended properly.
func (s *scanner) next() (done bool, code Code) {
	for {
		s.skipSpace()
		if s.depth == 0 {
			if s.pos == len(s.text) {
				return true, ""
			}
			return false, s.unexpected()
		}
		inObject := s.inObject()
		switch c := s.peek(); {
		case c == ',':
			s.pos++
			s.skipSpace()
			if inObject {
				return false, s.key()
			}
			return false, ""
		case c == '}' && inObject, c == ']' && !inObject:
			s.close()
		default:
			return false, s.unexpected()
		}
	}
}

// key reads an object's key and the colon after it.
func (s *scanner) key() Code {
	if s.peek() != '"' {
		return s.unexpected()
	}
	if code := s.str(); code != "" {
		return code
	}
	s.skipSpace()
	if s.peek() != ':' {
		return s.unexpected()
	}
	s.pos++
	s.skipSpace()
	return ""
}

func (s *scanner) open(object bool) {
	word, bit := s.depth/64, uint64(1)<<(s.depth%64)
	if object {
		s.objects[word] |= bit
	} else {
		s.objects[word] &^= bit
	}
	s.depth++
	s.pos++
	s.skipSpace()
}

func (s *scanner) close() {
	s.depth--
	s.pos++
}

func (s *scanner) inObject() bool {
	n := s.depth - 1
	return s.objects[n/64]&(1<<(n%64)) != 0
}

func (s *scanner) skipSpace() {
	for s.pos < len(s.text) {
		switch s.text[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.spaced = true
			s.pos++
		default:
			return
		}
	}
}

// peek returns the byte at pos, or 0 at the end: a NUL is never right either.
func (s *scanner) peek() byte {
	if s.pos < len(s.text) {
		return s.text[s.pos]
	}
	return 0
}

func (s *scanner) unexpected() Code {
	if s.pos < len(s.text) && s.text[s.pos] == 0 {
		return CodeNul
	}
	return CodeNotJSON
}

func (s *scanner) literal(word string) Code {
	if len(s.text)-s.pos < len(word) || string(s.text[s.pos:s.pos+len(word)]) != word {
		return CodeNotJSON
	}
	s.pos += len(word)
	return ""
}

// str reads a string, from the opening quote to behind the closing one.
func (s *scanner) str() Code {
	i := s.pos + 1
	for {
		for len(s.text)-i >= 8 && plain(binary.LittleEndian.Uint64(s.text[i:])) {
			i += 8
		}
		if i >= len(s.text) {
			s.pos = len(s.text)
			return CodeNotJSON
		}
		switch c := s.text[i]; {
		case c == '"':
			s.pos = i + 1
			return ""
		case c == '\\':
			s.pos = i
			if code := s.escape(); code != "" {
				return code
			}
			i = s.pos
		case c < 0x20:
			s.pos = i
			return s.unexpected()
		case c < utf8.RuneSelf:
			i++
		default:
			r, size := utf8.DecodeRune(s.text[i:])
			if r == utf8.RuneError && size == 1 {
				s.pos = i
				return CodeBadUnicode
			}
			i += size
		}
	}
}

// plain reports whether all 8 bytes of w are ASCII and neither control
// characters nor quotes nor backslashes. In each of the four terms the top
// bit of a byte is set if it is one of these; a borrow can only make it say
// so too often, and then the caller looks at the bytes one by one.
func plain(w uint64) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	quote, backslash := w^('"'*ones), w^('\\'*ones)
	return (w|(w-0x20*ones)|(quote-ones)|(backslash-ones))&tops == 0
}

// escape reads one escape sequence, or two that make a surrogate pair.
func (s *scanner) escape() Code {
	if s.pos+1 >= len(s.text) {
		return CodeNotJSON
	}
	switch s.text[s.pos+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.pos += 2
		return ""
	case 'u':
	default:
		return CodeNotJSON
	}
	unit, ok := s.codeUnit(s.pos)
	switch {
	case !ok:
		return CodeNotJSON
	case s.syntax:
		s.pos += 6
		return ""
	case unit == 0:
		return CodeNul
	case unit < 0xd800 || unit > 0xdfff:
		s.pos += 6
		return ""
	case unit > 0xdbff: // the second half first
		return CodeBadUnicode
	}
	if low, ok := s.codeUnit(s.pos + 6); !ok || low < 0xdc00 || low > 0xdfff {
		return CodeBadUnicode
	}
	s.pos += 12
	return ""
}

// codeUnit reads the six bytes \uXXXX at i.
func (s *scanner) codeUnit(i int) (unit uint16, ok bool) {
	if len(s.text)-i < 6 || s.text[i] != '\\' || s.text[i+1] != 'u' {
		return 0, false
	}
	for _, c := range s.text[i+2 : i+6] {
		unit <<= 4
		switch {
		case '0' <= c && c <= '9':
			unit |= uint16(c - '0')
		case 'a' <= c && c <= 'f':
			unit |= uint16(c - 'a' + 10)
		case 'A' <= c && c <= 'F':
			unit |= uint16(c - 'A' + 10)
		default:
			return 0, false
		}
	}
	return unit, true
}

// hugeExponent is where reading an exponent stops counting. It is beyond what
// any number of MaxSize bytes could make up for with its other digits.
const hugeExponent = 1 << 24

// number reads a number and counts the digits it has without its exponent:
// with i digits before the point, f after it, z zeros in front and exponent e
// they are max(1, i+e-z) + max(0, f-e).
func (s *scanner) number() Code {
	start := s.pos
	i := start
	if s.text[i] == '-' {
		i++
	}
	s.pos = i // for errors
	whole := s.digits(i)
	if whole == 0 || whole > 1 && s.text[i] == '0' {
		return s.notNumber(i + min(whole, 1))
	}
	zeros := s.zeros(i)
	i += whole
	fraction := 0
	if i < len(s.text) && s.text[i] == '.' {
		if fraction = s.digits(i + 1); fraction == 0 {
			return s.notNumber(i + 1)
		}
		if zeros == whole {
			zeros += s.zeros(i + 1)
		}
		i += 1 + fraction
	}
	exponent := 0
	if i < len(s.text) && (s.text[i] == 'e' || s.text[i] == 'E') {
		i++
		negative := false
		if i < len(s.text) && (s.text[i] == '+' || s.text[i] == '-') {
			negative = s.text[i] == '-'
			i++
		}
		n := s.digits(i)
		if n == 0 {
			return s.notNumber(i)
		}
		for _, c := range s.text[i : i+n] {
			exponent = min(exponent*10+int(c-'0'), hugeExponent)
		}
		if negative {
			exponent = -exponent
		}
		i += n
	}
	if s.syntax {
		s.pos = i
		return ""
	}
	zeros = min(zeros, whole+fraction-1) // a zero is a digit too
	digits := max(1, whole+exponent-zeros) + max(0, fraction-exponent)
	if digits > MaxDigits {
		s.pos = start
		return CodeNumberTooLarge
	}
	if length := i - start; digits > length {
		if s.growth += digits - length; s.growth > MaxGrowth {
			s.pos = start
			return CodeNumberTooLarge
		}
	}
	s.pos = i
	return ""
}

func (s *scanner) notNumber(at int) Code {
	s.pos = at
	return s.unexpected()
}

// digits returns how many decimal digits there are from i on.
func (s *scanner) digits(i int) int {
	n := 0
	for i+n < len(s.text) && s.text[i+n]-'0' <= 9 {
		n++
	}
	return n
}

// zeros returns how many zeros there are from i on.
func (s *scanner) zeros(i int) int {
	n := 0
	for i+n < len(s.text) && s.text[i+n] == '0' {
		n++
	}
	return n
}

func closer(opener byte) byte {
	return opener + 2 // '[' and ']', '{' and '}' are two apart
}

package jsonb

import (
	"bytes"
	"cmp"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

// sort notes the members of an object in jsonb's order, each key once.
func (c *Canonical) sort(o *object, members []member) {
	slices.SortFunc(members, func(a, b member) int {
		return cmp.Or(c.compare(&a, &b), cmp.Compare(a.begin, b.begin))
	})
	o.from = place(len(c.sorted))
	for i := range members {
		if i+1 < len(members) && c.compare(&members[i], &members[i+1]) == 0 {
			continue // the last one counts
		}
		c.sorted = append(c.sorted, members[i])
	}
	o.to = place(len(c.sorted))
}

// compare compares the keys of two members as jsonb does.
func (c *Canonical) compare(a, b *member) int {
	if a.size != b.size {
		return cmp.Compare(a.size, b.size)
	}
	x, y := c.keyOf(a), c.keyOf(b)
	if len(x) == int(a.size) && len(y) == int(b.size) {
		return bytes.Compare(x, y)
	}
	return bytes.Compare(unescape(x), unescape(y))
}

// keyOf returns a key as it is written, without its quotes.
func (c *Canonical) keyOf(m *member) []byte {
	return c.out[c.base+int(m.begin)+1 : c.base+int(m.keyEnd)]
}

// The control characters that have escapes of their own, and their letters.
const (
	shortEscapes = "\b\f\n\r\t"
	shortLetters = "bfnrt"
)

// escape writes the character of one escape sequence, or of two that make a
// surrogate pair, and returns how many bytes it has without escapes.
func (c *Canonical) escape() int {
	switch b := c.text[c.pos+1]; b {
	case 'u':
		r, n := codePoint(c.text[c.pos:])
		c.pos += n
		c.char(r)
		return utf8.RuneLen(r)
	case '/':
		c.pos++
		c.take(1)
	default:
		c.take(2)
	}
	return 1
}

// char writes a character that was given as a number.
func (c *Canonical) char(r rune) {
	const hex = "0123456789abcdef"
	switch {
	case r == '"' || r == '\\':
		c.out = append(c.out, '\\', byte(r))
	case r >= ' ':
		c.out = utf8.AppendRune(c.out, r)
	default:
		for i := range len(shortEscapes) {
			if rune(shortEscapes[i]) == r {
				c.out = append(c.out, '\\', shortLetters[i])
				return
			}
		}
		c.out = append(c.out, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
	}
}

// codePoint returns the character of the escape \uXXXX at the beginning of text,
// or of two of them that make a surrogate pair, and how many bytes these have.
func codePoint(text []byte) (r rune, n int) {
	r = hexRune(text[2:6])
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	return utf16.DecodeRune(r, hexRune(text[8:12])), 12
}

func hexRune(digits []byte) rune {
	var r rune
	for _, d := range digits {
		if d > '9' {
			d = d&^0x20 - 'A' + '0' + 10
		}
		r = r<<4 | rune(d-'0')
	}
	return r
}

// unescape returns what a string means that was written here.
func unescape(s []byte) []byte {
	i := bytes.IndexByte(s, '\\')
	if i < 0 {
		return s
	}
	plain := append(make([]byte, 0, len(s)), s[:i]...)
	for i < len(s) {
		if s[i] != '\\' {
			plain = append(plain, s[i])
			i++
			continue
		}
		b := s[i+1]
		i += 2
		if b == 'u' {
			b = byte(hexRune(s[i : i+4])) //nolint:gosec // a control character
			i += 4
		} else if at := bytes.IndexByte([]byte(shortLetters), b); at >= 0 {
			b = shortEscapes[at]
		}
		plain = append(plain, b)
	}
	return plain
}

// number writes a number as numeric does.
func (c *Canonical) number() {
	begin := c.pos
	end, zero := begin, true
	for ; end < len(c.text); end++ {
		b := c.text[end]
		if b-'1' <= 8 {
			zero = false
		} else if b == 'e' || b == 'E' {
			c.power(end)
			return
		} else if b != '0' && b != '.' && b != '-' {
			break
		}
	}
	if zero && c.text[begin] == '-' {
		c.pos++
	}
	c.take(end - c.pos)
}

// power writes a number with an exponent, whose e is at index e: the digits in
// front of it with the point where the exponent puts it. Nothing is left of the
// zeros in front but one before a point.
func (c *Canonical) power(e int) {
	digits := c.text[c.pos:e] // with the point
	negative := digits[0] == '-'
	if negative {
		digits = digits[1:]
	}
	exponent := c.exponent(e + 1)
	point := bytes.IndexByte(digits, '.') // how many digits are before it
	fraction := 0
	if point >= 0 {
		fraction = len(digits) - point - 1
	} else {
		point = len(digits)
	}
	scale := max(0, fraction-exponent)
	// Digits without the point, from the first that is not zero, are numbered from 0.
	digit := func(i int) byte {
		if i >= point {
			i++
		}
		return digits[i]
	}
	total := len(digits)
	if fraction > 0 {
		total--
	}
	leading := 0
	for leading < total && digit(leading) == '0' {
		leading++
	}
	if negative && leading < total {
		c.out = append(c.out, '-')
	}
	whole := point + exponent // digits before the new point
	if leading >= min(whole, total) {
		c.out = append(c.out, '0')
	}
	for i := leading; i < whole; i++ {
		if i < total {
			c.out = append(c.out, digit(i))
		} else if leading < total {
			c.out = append(c.out, '0')
		}
	}
	if scale == 0 {
		return
	}
	c.out = append(c.out, '.')
	for i := total - scale; i < total; i++ {
		if i < 0 {
			c.out = append(c.out, '0')
		} else {
			c.out = append(c.out, digit(i))
		}
	}
}

// exponent reads an exponent from index i on, and goes behind it.
func (c *Canonical) exponent(i int) int {
	negative := c.text[i] == '-'
	if negative || c.text[i] == '+' {
		i++
	}
	n := 0
	for ; i < len(c.text) && c.text[i]-'0' <= 9; i++ {
		n = min(n*10+int(c.text[i]-'0'), hugeExponent)
	}
	c.pos = i
	if negative {
		return -n
	}
	return n
}

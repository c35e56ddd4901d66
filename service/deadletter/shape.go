package deadletter

import (
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
)

const (
	// maxShape bounds the text of a group, in bytes.
	maxShape = 200

	uuidLength = 36
)

// What stands in a text for what differs between texts that mean the same.
const (
	anyText    = "<text>"
	anyAddress = "<address>"
	anyUUID    = "<uuid>"
	anyHex     = "<hex>"
	anyID      = "<id>"
	anyNumber  = "<number>"
)

// shapeOf returns the text of an error with placeholders for quoted texts, addresses
// (of hosts, URLs and mail), UUIDs, hexadecimal numbers, ids of letters and digits,
// and numbers. The status of an answer stays: what it means is not its size.
func shapeOf(text string) string {
	var out strings.Builder
	word, at := "", -1 // the last one, and what was left of the text behind it
	for text != "" && out.Len() < maxShape {
		if n := quoted(text, at == len(text)); n > 0 {
			out.WriteString(anyText)
			text = text[n:]
			continue
		}
		if n := bracketed(text); n > 0 {
			out.WriteString(anyAddress)
			text = text[n:]
			continue
		}
		if !isWordByte(text[0]) {
			out.WriteByte(text[0])
			text = text[1:]
			continue
		}
		last := word
		word = wordAt(text)
		follows := at == len(text)+1 // with one space between them
		text = text[len(word):]
		at = len(text)
		if follows && len(word) == 3 && strings.EqualFold(last, "status") {
			out.WriteString(word)
			continue
		}
		writeWord(&out, word)
	}
	shape := out.String()
	if len(shape) <= maxShape {
		return shape
	}
	end := maxShape
	for !utf8.RuneStart(shape[end]) {
		end--
	}
	return shape[:end]
}

// quoted returns how long the quoted text is that text begins with; 0 for none. An
// apostrophe right behind a word is none, and a quotation mark that nothing closes,
// because the text was cut, closes at the end.
func quoted(text string, behindWord bool) int {
	quote := text[0]
	switch {
	case quote != '"' && quote != '\'' && quote != '`', quote == '\'' && behindWord:
		return 0
	}
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '\\' && quote == '"':
			i++
		case text[i] == quote:
			return i + 1
		}
	}
	if quote == '"' {
		return len(text)
	}
	return 0
}

// bracketed returns how long the IPv6 address in brackets is that text begins with,
// its port included; 0 for none.
func bracketed(text string) int {
	end := strings.IndexByte(text, ']')
	if text[0] != '[' || end < 0 {
		return 0
	}
	if _, err := netip.ParseAddr(text[1:end]); err != nil {
		return 0
	}
	end++
	if rest := text[end:]; len(rest) > 1 && rest[0] == ':' && isDigit(rest[1]) {
		for end++; end < len(text) && isDigit(text[end]); {
			end++
		}
	}
	return end
}

// isWordByte reports whether words begin with this.
func isWordByte(c byte) bool { return isDigit(c) || isLetter(c) || c == '_' || c >= utf8.RuneSelf }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

func isHex(c byte) bool { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }

// wordAt returns what text begins with up to the next space, quotation mark, bracket
// or other punctuation that is in no word, without the punctuation at its end. A URL
// is one word.
func wordAt(text string) string {
	word := before(text, " \t\r\n\"'`,;()[]{}<>=|")
	if strings.Contains(word, "://") {
		word = before(text, " \t\r\n\"'`()[]{}<>|")
	}
	return strings.TrimRight(word, ".,;:!?/-@&%+*#\\~^$=")
}

// before returns what is before the first of these characters.
func before(text, chars string) string {
	if end := strings.IndexAny(text, chars); end >= 0 {
		return text[:end]
	}
	return text
}

// writeWord writes a word, or what stands for it, whole or in parts.
func writeWord(out *strings.Builder, word string) {
	if isAddress(word) {
		out.WriteString(anyAddress)
		return
	}
	for word != "" {
		if isUUID(word) {
			out.WriteString(anyUUID)
			word = word[uuidLength:]
			continue
		}
		n := 0
		for n < len(word) && isWordByte(word[n]) {
			n++
		}
		switch name := nameOf(word[:n]); {
		case n == 0:
			out.WriteByte(word[0])
			n = 1
		case name != "":
			out.WriteString(name)
		case isDigit(word[0]): // what follows is a unit
			out.WriteString(anyNumber)
			n = numberAt(word)
		default:
			out.WriteString(word[:n])
		}
		word = word[n:]
	}
}

// isUUID reports whether a word begins with a UUID.
func isUUID(word string) bool {
	if len(word) < uuidLength || word[8] != '-' || len(word) > uuidLength && isWordByte(word[uuidLength]) {
		return false
	}
	_, err := uuid.Parse(word[:uuidLength])
	return err == nil
}

// numberAt returns how long the number is that a word begins with.
func numberAt(word string) int {
	n := 0
	for n < len(word) && (isDigit(word[n]) || word[n] == '.' && n+1 < len(word) && isDigit(word[n+1])) {
		n++
	}
	return n
}

// nameOf returns what stands for letters and digits that are a hexadecimal number or
// an id; "" for others.
func nameOf(part string) string {
	digits, hex := 0, 0
	for i := range len(part) {
		if isDigit(part[i]) {
			digits++
		}
		if isHex(part[i]) {
			hex++
		}
	}
	const least = 8 // characters; sha256 is no id
	switch {
	case len(part) > 2 && part[0] == '0' && part[1]|0x20 == 'x' && hex == len(part)-1:
		return anyHex
	case digits == len(part) || len(part) < least:
		return ""
	case hex == len(part) && digits > 0:
		return anyHex
	case digits > 1 && (!isDigit(part[0]) || len(part) >= 2*least):
		return anyID
	}
	return ""
}

// isAddress reports whether a word is a URL, the address of a host with or without a
// port, or one of mail.
func isAddress(word string) bool {
	switch {
	case !strings.ContainsAny(word, ".:@"):
		return false
	case strings.Contains(word, "://"):
		return true
	}
	if _, err := netip.ParseAddr(word); err == nil {
		return true
	}
	if _, err := netip.ParseAddrPort(word); err == nil {
		return true
	}
	if user, host, ok := strings.Cut(word, "@"); ok && user != "" && strings.Contains(host, ".") {
		return true
	}
	host, port, ok := strings.Cut(word, ":")
	if !ok || host != "localhost" && !strings.Contains(host, ".") {
		return false
	}
	_, err := strconv.ParseUint(port, 10, 16)
	return err == nil
}

package domain

import (
	"fmt"
	"strings"
)

// Limits of the patterns of an endpoint.
const (
	MaxTypePatterns      = 50
	MaxTypePatternLength = 128 // bytes
)

// TypePattern selects types of messages. Types have segments, which dots
// separate; * stands for one or more of them, and everything else for itself:
//
//	order.*      order.created, order.item.added, not order
//	order.*.done order.item.done, order.a.b.done
//	*            every type, but no message without one
type TypePattern string

// anySegments is what a segment of a pattern is that stands for one or more.
const anySegments = "*"

// ParseTypePattern returns the pattern that a caller asks for, or what is wrong
// with it.
func ParseTypePattern(text string) (p TypePattern, problem string) {
	switch {
	case text == "":
		return "", "must not be empty"
	case len(text) > MaxTypePatternLength:
		return "", fmt.Sprintf("must have at most %d bytes", MaxTypePatternLength)
	}
	for segment := range strings.SplitSeq(text, ".") {
		switch {
		case segment == "":
			return "", "must not have empty segments: dots separate segments"
		case segment != anySegments && strings.ContainsFunc(segment, func(r rune) bool { return !isTypeCharacter(r) }):
			return "", "must have segments of letters, digits, _ and -, or * in the place of one or more"
		}
	}
	return TypePattern(text), ""
}

// isTypeCharacter reports whether r may be in a segment of a type.
func isTypeCharacter(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-'
}

// Matches reports whether the pattern selects a type; "" is no type, and nothing
// selects it. Types that came by AMQP may have any characters.
func (p TypePattern) Matches(messageType string) bool {
	if messageType == "" {
		return false
	}
	return matchSegments(strings.Split(string(p), "."), strings.Split(messageType, "."))
}

// matchSegments takes time in the product of the numbers of segments at most: of
// several * only the last that was met has to give way.
func matchSegments(pattern, segments []string) bool {
	at, star, mark := 0, -1, 0
	for i := 0; i < len(segments); {
		switch {
		case at < len(pattern) && pattern[at] == anySegments:
			star, mark = at, i+1 // it takes this one
			at, i = at+1, i+1
		case at < len(pattern) && pattern[at] == segments[i]:
			at, i = at+1, i+1
		case star >= 0: // it takes one more
			mark++
			at, i = star+1, mark
		default:
			return false
		}
	}
	return at == len(pattern)
}

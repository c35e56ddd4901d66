package jsonb

import (
	"encoding/binary"
	"iter"
)

// Members yields the names (in quotes) and values of the JSON object doc, in
// order. Doc must have passed Valid, and be an object; the slices share its memory.
func Members(doc []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		i := skipSpace(doc, skipSpace(doc, 0)+1)
		for doc[i] != '}' {
			name := doc[i:skipString(doc, i)]
			i = skipSpace(doc, i+len(name))
			i = skipSpace(doc, i+1) // the colon
			value := doc[i:skipValue(doc, i)]
			if !yield(name, value) {
				return
			}
			i = skipSpace(doc, i+len(value))
			if doc[i] == ',' {
				i = skipSpace(doc, i+1)
			}
		}
	}
}

// Elements yields the elements of the JSON array doc. Doc must have passed Valid,
// and be an array; the slices share its memory.
func Elements(doc []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		i := skipSpace(doc, skipSpace(doc, 0)+1)
		for doc[i] != ']' {
			value := doc[i:skipValue(doc, i)]
			if !yield(value) {
				return
			}
			i = skipSpace(doc, i+len(value))
			if doc[i] == ',' {
				i = skipSpace(doc, i+1)
			}
		}
	}
}

// Opening returns the first byte of doc that is not white space, or 0.
func Opening(doc []byte) byte {
	if i := skipSpace(doc, 0); i < len(doc) {
		return doc[i]
	}
	return 0
}

func skipSpace(doc []byte, i int) int {
	for i < len(doc) && (doc[i] == ' ' || doc[i] == '\n' || doc[i] == '\t' || doc[i] == '\r') {
		i++
	}
	return i
}

// skipString returns the index after the string that begins at i.
func skipString(doc []byte, i int) int {
	for i++; i < len(doc); i++ {
		for len(doc)-i >= 8 && plain(binary.LittleEndian.Uint64(doc[i:])) {
			i += 8
		}
		if i == len(doc) || doc[i] == '"' {
			break
		}
		if doc[i] == '\\' {
			i++
		}
	}
	return min(i+1, len(doc))
}

// skipValue returns the index after the value that begins at i.
func skipValue(doc []byte, i int) int {
	switch doc[i] {
	case '"':
		return skipString(doc, i)
	case '{', '[':
		return skipNested(doc, i)
	}
	for i < len(doc) {
		switch doc[i] {
		case ',', ']', '}', ' ', '\n', '\t', '\r':
			return i
		}
		i++
	}
	return i
}

// skipNested returns the index after the array or object that begins at i.
func skipNested(doc []byte, i int) int {
	for depth := 0; i < len(doc); {
		switch doc[i] {
		case '"':
			i = skipString(doc, i)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		i++
		if depth == 0 {
			return i
		}
	}
	return i
}

// DeeperThan reports whether doc, which need not be valid JSON, opens more than
// limit arrays and objects inside each other.
func DeeperThan(doc []byte, limit int) bool {
	for i, depth := 0, 0; i < len(doc); {
		switch doc[i] {
		case '"':
			i = skipString(doc, i)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		if depth > limit {
			return true
		}
		i++
	}
	return false
}

package controller

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"

	"lanekeeper/domain"
	"lanekeeper/pkg/jsonb"
)

const (
	maxFieldErrors = 20
	// maxText is how long a text within a map may be, in JSON: more than any that
	// is valid has, even when all of it is escaped.
	maxText = 8 << 10
)

// decodeObject stores the members of doc, which must be valid JSON, in the
// fields of the struct target points to, by their json tags. It is stricter
// than encoding/json: names must match exactly and may occur once, and null is
// only taken by fields that decode themselves. The error is an ErrInvalid that
// names every member at fault. A json.RawMessage shares doc's memory.
func decodeObject(doc []byte, target any) error {
	if jsonb.Opening(doc) != '{' {
		return domain.WithFields(domain.FieldError{Pointer: "", Message: "must be a JSON object"})
	}
	fields := reflect.ValueOf(target).Elem()
	var seen uint64 // a bit for each field
	var wrong []domain.FieldError
	for quoted, value := range jsonb.Members(doc) {
		if len(wrong) == maxFieldErrors {
			break
		}
		index := fieldIndex(fields.Type(), quoted)
		message := ""
		switch {
		case index < 0:
			message = "is not a known field"
		case seen&(1<<index) != 0:
			message = "must be given once"
		default:
			seen |= 1 << index
			target := fields.Field(index).Addr().Interface()
			if texts, ok := target.(*map[string]string); ok {
				wrong = append(wrong, decodeTexts(value, unquote(quoted), texts)...)
				continue
			}
			message = decodeField(value, target)
		}
		if message != "" {
			wrong = append(wrong, domain.FieldError{Pointer: domain.Pointer(unquote(quoted)), Message: message})
		}
	}
	if len(wrong) > 0 {
		return domain.WithFields(wrong[:min(len(wrong), maxFieldErrors)]...)
	}
	return nil
}

// decodeTexts stores the field of this name, an object of text, in target, and
// returns what is wrong with it. An empty one is nil.
func decodeTexts(value []byte, field string, target *map[string]string) []domain.FieldError {
	if value[0] != '{' {
		return []domain.FieldError{{Pointer: domain.Pointer(field), Message: "must be an object of text"}}
	}
	var texts map[string]string
	var wrong []domain.FieldError
	members := 0
	for quoted, value := range jsonb.Members(value) {
		if members++; members > domain.MaxHeaders {
			return []domain.FieldError{{Pointer: domain.Pointer(field), Message: fmt.Sprintf("must not have more than %d members", domain.MaxHeaders)}}
		}
		if texts == nil {
			texts = make(map[string]string)
		}
		name := unquote(quoted[:min(len(quoted), maxText)])
		var text *string
		message := ""
		switch _, again := texts[name]; {
		case len(quoted) > maxText:
			message = "has too long a name"
		case again:
			message = "must be given once"
		case len(value) > maxText:
			message = "is too long"
		default:
			message = decodeField(value, &text)
		}
		if message != "" {
			wrong = append(wrong, domain.FieldError{Pointer: domain.Pointer(field, name), Message: message})
			continue
		}
		texts[name] = *text
	}
	*target = texts
	return wrong
}

// decodeField stores value in target, and returns what is wrong with it or "".
func decodeField(value []byte, target any) string {
	switch target := target.(type) {
	case *json.RawMessage:
		*target = value
		return ""
	case *map[string]*int:
		return decodeNumbers(value, target)
	case json.Unmarshaler:
		if json.Unmarshal(value, target) != nil {
			return "must be a string or null"
		}
		return ""
	case **string:
		if value[0] != '"' {
			return "must be a string"
		}
		if bytes.IndexByte(value, '\\') < 0 { // the document is valid, so it stands there as it is
			text := string(value[1 : len(value)-1])
			*target = &text
			return ""
		}
		if json.Unmarshal(value, target) != nil {
			return "must be a string"
		}
		if strings.ContainsRune(**target, utf8.RuneError) && loneSurrogate(value) {
			return "must not contain lone surrogates"
		}
		return ""
	case **bool:
		if value[0] == 'n' || json.Unmarshal(value, target) != nil {
			return "must be true or false"
		}
		return ""
	case **int:
		if value[0] == 'n' || json.Unmarshal(value, target) != nil {
			return "must be an integer"
		}
		return ""
	}
	return "cannot be set"
}

// decodeNumbers stores an object of integers, or nulls, in target, and returns what is
// wrong with it or "".
func decodeNumbers(value []byte, target *map[string]*int) string {
	const message = "must be an object of integers, each given once, or nulls"
	if value[0] != '{' {
		return message
	}
	numbers := make(map[string]*int)
	for quoted, value := range jsonb.Members(value) {
		name := unquote(quoted[:min(len(quoted), maxText)])
		var n *int
		if _, again := numbers[name]; again || json.Unmarshal(value, &n) != nil {
			return message
		}
		numbers[name] = n
	}
	*target = numbers
	return ""
}

// loneSurrogate reports whether a JSON string that decodes to text with U+FFFD
// names that character nowhere, so that it must stand for something else.
func loneSurrogate(quoted []byte) bool {
	return !bytes.ContainsRune(quoted, utf8.RuneError) && !bytes.Contains(bytes.ToLower(quoted), []byte(`\ufffd`))
}

// fieldIndex returns which field of the struct has the name, which is in quotes, or -1.
func fieldIndex(structType reflect.Type, quoted []byte) int {
	name := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(name, '\\') >= 0 {
		name = []byte(unquote(quoted))
	}
	for i := range structType.NumField() {
		if tag, _, _ := strings.Cut(structType.Field(i).Tag.Get("json"), ","); tag == string(name) {
			return i
		}
	}
	return -1
}

func unquote(quoted []byte) string {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1 : len(quoted)-1])
	}
	var name string
	if err := json.Unmarshal(quoted, &name); err != nil {
		return string(quoted)
	}
	return name
}

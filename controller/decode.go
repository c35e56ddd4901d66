package controller

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"unicode/utf8"

	"lanekeeper/domain"
	"lanekeeper/pkg/jsonb"
)

const (
	maxFieldErrors   = 20
	maxPointerLength = 100
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
		name := unquote(quoted)
		index := fieldIndex(fields.Type(), name)
		message := ""
		switch {
		case index < 0:
			message = "is not a known field"
		case seen&(1<<index) != 0:
			message = "must be given once"
		default:
			seen |= 1 << index
			message = decodeField(value, fields.Field(index).Addr().Interface())
		}
		if message != "" {
			wrong = append(wrong, domain.FieldError{Pointer: pointer(name), Message: message})
		}
	}
	if len(wrong) > 0 {
		return domain.WithFields(wrong...)
	}
	return nil
}

// decodeField stores value in target, and returns what is wrong with it or "".
func decodeField(value []byte, target any) string {
	switch target := target.(type) {
	case *json.RawMessage:
		*target = value
		return ""
	case json.Unmarshaler:
		if json.Unmarshal(value, target) != nil {
			return "must be a string or null"
		}
		return ""
	case **string:
		if value[0] != '"' || json.Unmarshal(value, target) != nil {
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

// loneSurrogate reports whether a JSON string that decodes to text with U+FFFD
// names that character nowhere, so that it must stand for something else.
func loneSurrogate(quoted []byte) bool {
	return !bytes.ContainsRune(quoted, utf8.RuneError) && !bytes.Contains(bytes.ToLower(quoted), []byte(`\ufffd`))
}

func fieldIndex(structType reflect.Type, name string) int {
	for i := range structType.NumField() {
		if tag, _, _ := strings.Cut(structType.Field(i).Tag.Get("json"), ","); tag == name {
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

// pointer returns the JSON pointer (RFC 6901) of a member, cut to a length
// that can be shown. A batch may have thousands of members at fault, so what
// will be cut off is not looked at.
func pointer(name string) string {
	long := len(name) > maxPointerLength
	if long {
		name = name[:maxPointerLength]
	}
	escaped := "/" + strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
	if long || len(escaped) > maxPointerLength {
		return strings.ToValidUTF8(escaped[:maxPointerLength], "") + "..."
	}
	return escaped
}

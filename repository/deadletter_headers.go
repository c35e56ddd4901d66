package repository

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// maxHeaderDepth is how deep headers may be nested and still be kept as they
// are; the server refuses JSON that is very deep.
const maxHeaderDepth = 64

// encodeHeaders returns the headers of a message as JSON that jsonb takes,
// whatever is in them: who may publish to a queue may write anything there.
// The same headers always become the same JSON. Values that JSON cannot hold
// turn into text, and text that jsonb cannot hold into {"base64": "..."}.
func encodeHeaders(headers map[string]any) ([]byte, error) {
	return json.Marshal(storableTable(headers, 0)) //nolint:wrapcheck // the caller says what it is
}

// decodeHeaders keeps numbers as they are written.
func decodeHeaders(text []byte) (map[string]any, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var headers map[string]any
	if err := decoder.Decode(&headers); err != nil {
		return nil, fmt.Errorf("decode headers: %w", err)
	}
	return headers, nil
}

func storableTable(table map[string]any, depth int) map[string]any {
	stored := make(map[string]any, len(table))
	for _, name := range slices.Sorted(maps.Keys(table)) { // of names that become the same the last one stays
		stored[storableText(name)] = storableValue(table[name], depth+1)
	}
	return stored
}

func storableValue(value any, depth int) any {
	if depth > maxHeaderDepth {
		return "nested too deep to be kept"
	}
	switch v := value.(type) {
	case nil, bool, int, int8, int16, int32, int64, uint8, uint16, uint32, uint64:
		return v
	case float32:
		return storableNumber(float64(v))
	case float64:
		return storableNumber(v)
	case string:
		return storableString(v)
	case []byte:
		return storableString(string(v))
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	case map[string]any:
		return storableTable(v, depth)
	case []any:
		items := make([]any, len(v))
		for i := range v {
			items[i] = storableValue(v[i], depth+1)
		}
		return items
	}
	return storableString(fmt.Sprint(value))
}

func storableNumber(f float64) any {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return fmt.Sprint(f)
	}
	return f
}

func storableString(s string) any {
	if utf8.ValidString(s) && !strings.Contains(s, "\x00") {
		return s
	}
	return map[string]any{"base64": base64.StdEncoding.EncodeToString([]byte(s))}
}

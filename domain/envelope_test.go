package domain

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// many returns n headers, or so many names of AMQP.
func many(n int) map[string]string {
	headers := make(map[string]string)
	for i := range n {
		headers[fmt.Sprintf("name-%02d", i)] = "value"
	}
	return headers
}

func TestEnvelopesOfTheAPI(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		envelope Envelope
		pointers []string
	}{
		"empty":                    {Envelope{}, nil},
		"no headers":               {Envelope{Headers: map[string]string{}}, nil},
		"everything":               {Envelope{"order.created_V2-a", "kunde Müller\u200d", map[string]string{"a": "", "B.c_d-9": "text, <with> \"anything\" 日本"}}, nil},
		"as much as there may be":  {Envelope{strings.Repeat("t", 128), strings.Repeat("ü", 64), many(20)}, nil},
		"the longest header":       {Envelope{Headers: map[string]string{strings.Repeat("n", 128): strings.Repeat("ü", 500)}}, nil},
		"type too long":            {Envelope{Type: strings.Repeat("t", 129)}, []string{"/type"}},
		"type with a space":        {Envelope{Type: "order created"}, []string{"/type"}},
		"type with an umlaut":      {Envelope{Type: "ä"}, []string{"/type"}},
		"type with a wildcard":     {Envelope{Type: "order.*"}, []string{"/type"}},
		"type with a NUL":          {Envelope{Type: "\x00"}, []string{"/type"}},
		"key too long":             {Envelope{OrderingKey: strings.Repeat("ü", 64) + "k"}, []string{"/ordering_key"}},
		"key with a NUL":           {Envelope{OrderingKey: "a\x00"}, []string{"/ordering_key"}},
		"key with a line break":    {Envelope{OrderingKey: "a\nb"}, []string{"/ordering_key"}},
		"key with DEL":             {Envelope{OrderingKey: "\x7f"}, []string{"/ordering_key"}},
		"key with a C1 control":    {Envelope{OrderingKey: "\u0085"}, []string{"/ordering_key"}},
		"key that is not UTF-8":    {Envelope{OrderingKey: "\xff"}, []string{"/ordering_key"}},
		"too many headers":         {Envelope{Headers: many(21)}, []string{"/headers"}},
		"header without a name":    {Envelope{Headers: map[string]string{"": "x"}}, []string{"/headers/"}},
		"header with a long name":  {Envelope{Headers: map[string]string{strings.Repeat("n", 129): "x"}}, []string{"/headers/" + strings.Repeat("n", 91) + "..."}},
		"header with a wrong name": {Envelope{Headers: map[string]string{"a b": "x", "a:b": "x", "ü": "x", "a/~": "x", "ok": "x"}}, []string{"/headers/a b", "/headers/a:b", "/headers/a~1~0", "/headers/ü"}},
		"headers of the broker":    {Envelope{Headers: map[string]string{"x-death": "1", "X-Request-Id": "1", "CC": "q", "bcc": "q", "timestamp_in_ms": "1", "x": "ok", "xx": "ok"}}, []string{"/headers/CC", "/headers/X-Request-Id", "/headers/bcc", "/headers/timestamp_in_ms", "/headers/x-death"}},
		"header too long":          {Envelope{Headers: map[string]string{"a": strings.Repeat("v", 1001)}}, []string{"/headers/a"}},
		"header with a control":    {Envelope{Headers: map[string]string{"a": "x\r\ny", "b": "\x00", "c": "\xff"}}, []string{"/headers/a", "/headers/b", "/headers/c"}},
		"everything is wrong":      {Envelope{" ", "\n", map[string]string{"": ""}}, []string{"/type", "/ordering_key", "/headers/"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := tt.envelope.Check()
			if tt.pointers == nil {
				require.NoError(t, err)
				headers := make(map[string]any)
				for name, value := range tt.envelope.Headers {
					headers[name] = value
				}
				headers[HeaderOrderingKey] = tt.envelope.OrderingKey
				back, err := ReadEnvelope(tt.envelope.Type, headers)
				require.NoError(t, err, "by AMQP, too")
				require.True(t, back.Equal(&tt.envelope), "%v", back)
				return
			}
			require.ErrorIs(t, err, ErrInvalid)
			e, ok := errors.AsType[*Error](err)
			require.True(t, ok)
			var pointers []string
			for _, field := range e.Fields {
				pointers = append(pointers, field.Pointer)
				require.NotEmpty(t, field.Message)
			}
			require.Equal(t, tt.pointers, pointers)
		})
	}
}

func TestEnvelopesByAMQP(t *testing.T) {
	t.Parallel()
	crowd := make(map[string]any)
	for name, value := range many(21) {
		crowd[name] = value
	}
	for name, tt := range map[string]struct {
		typ     string
		headers map[string]any
		want    Envelope
		wrong   string // part of the error
	}{
		"nothing":                   {},
		"only what is the broker's": {headers: map[string]any{"x-death": []any{}, "CC": []any{"q"}, "BCC": "q", "X-Foo": "1", "timestamp_in_ms": int64(7), "x-published-ms": int64(1)}},
		"a type of another kind":    {typ: `order created "now" ü`, want: Envelope{Type: `order created "now" ü`}},
		"a long type":               {typ: strings.Repeat("t", 255), want: Envelope{Type: strings.Repeat("t", 255)}},
		"scalars": {
			headers: map[string]any{
				"text": "a\r\n\tb", "empty": "", "bytes": []byte("b"), "yes": true, "i8": int8(-8), "u8": uint8(8), "i16": int16(-16), "i32": int32(32),
				"i64": int64(math.MinInt64), "f32": float32(0.5), "f64": 1e21, "small": 1e-7, "zero": math.Copysign(0, -1), "nan": math.NaN(),
				"time": time.Date(2026, 11, 21, 11, 0, 0, 0, time.FixedZone("x", 3600)), "number": json.Number("1.50"),
				HeaderOrderingKey: int32(7),
			},
			want: Envelope{OrderingKey: "7", Headers: map[string]string{
				"text": "a\r\n\tb", "empty": "", "bytes": "b", "yes": "true", "i8": "-8", "u8": "8", "i16": "-16", "i32": "32",
				"i64": "-9223372036854775808", "f32": "0.5", "f64": "1000000000000000000000", "small": "0.0000001", "zero": "0", "nan": "NaN",
				"time": "2026-11-21T10:00:00Z", "number": "1.50",
			}},
		},
		"what is not text": {
			headers: map[string]any{"table": map[string]any{"a": 1}, "list": []any{"a"}, "nil": nil, "name": "x"},
			want:    Envelope{Headers: map[string]string{"name": "x"}},
		},
		"names that the API does not have": {
			headers: map[string]any{"a b": "1", "ü:/~": "2"}, want: Envelope{Headers: map[string]string{"a b": "1", "ü:/~": "2"}},
		},
		"a type with a control":   {typ: "a\nb", headers: map[string]any{"a": "1"}, want: Envelope{Headers: map[string]string{"a": "1"}}, wrong: "type"},
		"a type that is no UTF-8": {typ: "\xff", wrong: "type"},
		"a key that is too long":  {typ: "t", headers: map[string]any{HeaderOrderingKey: strings.Repeat("k", 129)}, want: Envelope{Type: "t"}, wrong: HeaderOrderingKey},
		"a key with a NUL":        {headers: map[string]any{HeaderOrderingKey: "a\x00"}, wrong: HeaderOrderingKey},
		"a key that is a table":   {headers: map[string]any{HeaderOrderingKey: map[string]any{}}, wrong: HeaderOrderingKey},
		"a long value":            {headers: map[string]any{"a": strings.Repeat("v", 1001), "b": "1"}, want: Envelope{Headers: map[string]string{"b": "1"}}, wrong: `header "a"`},
		"a value with a NUL":      {headers: map[string]any{"a": "\x00"}, wrong: `header "a"`},
		"a value that is no text": {headers: map[string]any{"a": []byte("\xff")}, wrong: `header "a"`},
		"a name with a control":   {headers: map[string]any{"a\n": "1"}, wrong: `header "a\n"`},
		"a name that is no UTF-8": {headers: map[string]any{"\xff": "1"}, wrong: `header "\xff"`},
		"a name that is too long": {headers: map[string]any{strings.Repeat("n", 129): "1"}, wrong: strings.Repeat("n", 60) + `"...`},
		"no name":                 {headers: map[string]any{"": "1"}, wrong: `header ""`},
		"too many":                {headers: crowd, want: Envelope{Headers: many(20)}, wrong: "more than 20"},
		"the first thing counts":  {typ: "\n", headers: map[string]any{"a": "\x00"}, wrong: "type"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := ReadEnvelope(tt.typ, tt.headers)
			require.Equal(t, tt.want, got)
			if tt.wrong == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tt.wrong)
		})
	}
}

// A letter that is sent again has the envelope that its message had, although
// jsonb has kept its headers meanwhile.
func FuzzEnvelopeOfLetters(f *testing.F) {
	f.Add("type", "name", "value", 1.5, int64(7))
	f.Add("", "x-ordering-key", "k", -1e300, int64(-1))
	f.Add("a b", "n", "\n", 5e-324, int64(math.MinInt64))
	f.Fuzz(func(t *testing.T, typ, name, value string, number float64, whole int64) {
		if !utf8.ValidString(name) || math.IsNaN(number) || math.IsInf(number, 0) {
			t.Skip("kept as text by the store")
		}
		headers := map[string]any{name: value, "number": number, "whole": whole, "yes": whole > 0}
		direct, err := ReadEnvelope(typ, headers)
		if err != nil {
			t.Skip("no such message")
		}
		require.LessOrEqual(t, len(direct.Headers), MaxHeaders)
		recorded := maps.Clone(headers)
		// As jsonb writes a number.
		recorded["number"] = json.Number(decimal(number))
		recorded["whole"] = json.Number(strconv.FormatInt(whole, 10))
		if text, ok := headers[name].(string); ok {
			recorded[name] = text
		}
		letter := DeadLetter{Type: typ, Headers: recorded}
		again := letter.Envelope()
		require.Equal(t, direct, again)
		require.Equal(t, direct.Size(), again.Size())
	})
}

func TestSizesOfMessages(t *testing.T) {
	t.Parallel()
	m := Message{Payload: []byte("12345")}
	require.Equal(t, 5+RowOverhead, m.Size())
	e := m.Envelope()
	require.True(t, e.Empty())
	require.Zero(t, e.Size())
	m.Type, m.OrderingKey = "type", "key"
	require.Equal(t, 5+7+RowOverhead, m.Size())
	m.Headers = map[string]string{"a": "bc", "de": "f"}
	require.Equal(t, 5+7+RowOverhead+6+3*headerOverhead, m.Size())
	e = m.Envelope()
	require.False(t, e.Empty())
	for _, other := range []Envelope{{}, {"type", "key", nil}, {"type", "key", map[string]string{"a": "bc", "de": "g"}}, {"", "key", m.Headers}, {"type", "", m.Headers}} {
		require.False(t, e.Equal(&other))
	}
	require.True(t, e.Equal(&Envelope{"type", "key", map[string]string{"de": "f", "a": "bc"}}))
}

func TestHeaderBytes(t *testing.T) {
	t.Parallel()
	require.Zero(t, HeaderBytes(nil))
	require.Equal(t, 26, HeaderBytes(map[string]any{
		"ab": "cde", "f": []byte("gh"), "i": int64(7), "jk": []any{"lmn", map[string]any{"o": "pq", "r": nil}, []any{"s"}}, "t": map[string]any{"uvw": "xyz"},
	}))
}

// ReservedHeader is about what AMQP adds, so every header of ours is reserved.
func TestReservedHeaders(t *testing.T) {
	t.Parallel()
	for _, name := range []string{HeaderOrderingKey, HeaderContentEncoding, "x-", "X-", "CC", "Cc", "BCC", "timestamp_in_ms"} {
		require.True(t, ReservedHeader(name), name)
	}
	for _, name := range slices.Concat([]string{"", "x", "xa", "ccc", "b", "timestamp"}, slices.Collect(maps.Keys(many(3)))) {
		require.False(t, ReservedHeader(name), name)
	}
}

package jsonb_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/jsonb"
)

// canonicalTexts are texts with what jsonb makes of them.
var canonicalTexts = map[string]string{
	`null`: `null`, ` true `: `true`, "\tfalse\r\n": `false`,
	`"a"`: `"a"`, `""`: `""`, ` [ ] `: `[]`, `{ }`: `{}`, `[[],{},[{}]]`: `[[], {}, [{}]]`,
	"[ 1 ,\n2 ]": `[1, 2]`, `{"a" :1}`: `{"a": 1}`,

	// Keys: by length, then by bytes; the last of equal ones.
	`{"bb":1,"a":2,"":3}`:                          `{"": 3, "a": 2, "bb": 1}`,
	`{"b":1,"a":2,"c":3,"B":4}`:                    `{"B": 4, "a": 2, "b": 1, "c": 3}`,
	`{"a":1,"a":2}`:                                `{"a": 2}`,
	`{"a":1,"b":2,"a":3}`:                          `{"a": 3, "b": 2}`,
	`{"b":{"d":1,"c":2},"a":[{"y":1,"x":2}]}`:      `{"a": [{"x": 2, "y": 1}], "b": {"c": 2, "d": 1}}`,
	`{"a":{"d":1,"c":2},"b":{"y":1,"x":{"q":[]}}}`: `{"a": {"c": 2, "d": 1}, "b": {"x": {"q": []}, "y": 1}}`,
	`{"b":{"z":1,"y":2},"b":{"x":{}},"a":{}}`:      `{"a": {}, "b": {"x": {}}}`,
	`{"é":1,"zz":2,"z":3}`:                         `{"z": 3, "zz": 2, "é": 1}`,
	`{"\u00e9":1,"é":2}`:                           `{"é": 2}`,
	`{"\"":1,"a":2,"bb":3,"\\":4}`:                 `{"\"": 1, "\\": 4, "a": 2, "bb": 3}`,
	`{"\n":1,"\u000a":2,"\t":3,"a":4,"\u0001":5}`:  `{"\u0001": 5, "\t": 3, "\n": 2, "a": 4}`,
	`{"ab\u0008":1,"ab\b":2,"abc":3,"ab\u0007":4}`: `{"ab\u0007": 4, "ab\b": 2, "abc": 3}`,
	`{"a\/b":1,"a/b":2}`:                           `{"a/b": 2}`,

	// Strings.
	`"\"\\\/\b\f\n\r\t"`: `"\"\\/\b\f\n\r\t"`,
	`"\u0022\u005c\u002f\u0008\u000c\u000a\u000d\u0009"`: `"\"\\/\b\f\n\r\t"`,
	`"\u0001\u001F\u007f\u0080"`:                         `"\u0001\u001f` + "\x7f\u0080" + `"`,
	`"\uD83D\ude00 \uFFFF\uE000"`:                        "\"😀 \uffff\ue000\"",
	`"😀 é ` + "\x7f" + `"`:                               `"😀 é ` + "\x7f" + `"`,
	`"12345678\"12345678\u00e9123456789"`:                `"12345678\"12345678é123456789"`,

	// Numbers.
	`0`: `0`, `-0`: `0`, `-0.00`: `0.00`, `0.10`: `0.10`, `-1.50`: `-1.50`, `10`: `10`,
	`1e0`: `1`, `1E+2`: `100`, `-1.5e3`: `-1500`, `1.50e1`: `15.0`, `1.50e2`: `150`, `1.234e2`: `123.4`,
	`1e-3`: `0.001`, `1.0e-3`: `0.0010`, `12.5e-1`: `1.25`, `125e-2`: `1.25`, `125e-3`: `0.125`, `125e-4`: `0.0125`,
	`0e5`: `0`, `-0e5`: `0`, `0e-5`: `0.00000`, `-0.0e1`: `0`, `0.00e1`: `0.0`, `0.05e1`: `0.5`, `0.05e2`: `5`, `0.05e3`: `50`,
	`0.0005e2`: `0.05`, `-0.0005e5`: `-50`, `1e00000000000002`: `100`, `[1e1,2e-1]`: `[10, 0.2]`,
}

func TestCanonical(t *testing.T) {
	t.Parallel()
	for text, want := range canonicalTexts {
		require.NoError(t, jsonb.Check([]byte(text)), text)
		require.Equal(t, want, string(new(jsonb.Canonical).Append(nil, []byte(text))), text)
		require.Equal(t, "x"+want, string(new(jsonb.Canonical).Append([]byte("x"), []byte(text))), text)
		require.Equal(t, want, string(new(jsonb.Canonical).Append(nil, []byte(want))), "it stays as it is")
	}
}

// The table, the edges of what Check accepts, and many thousands of texts that
// are made at random are what the server says they are.
func TestCanonicalIsWhatPostgresWrites(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var texts []string
	for text := range canonicalTexts {
		texts = append(texts, text)
	}
	half := jsonb.MaxSize / 2
	texts = append(
		texts,
		strings.Repeat("[", 128)+strings.Repeat("]", 128),
		strings.Repeat(`{"b":`, 127)+"{}"+strings.Repeat(`,"a":1}`, 127),
		strings.Repeat(`[{"b":`, 64)+"0"+strings.Repeat(`,"a":1,"a":2}]`, 64),
		strings.Repeat("9", 1000), "-0."+strings.Repeat("9", 999), "9e999", "9e-999", "[0e999,0e-999,0.0e-998,-0e999]",
		"0."+strings.Repeat("0", 30_000)+"1e30001", "0."+strings.Repeat("0", 30_000)+"123e30001", "0."+strings.Repeat("0", 30_000)+"e30001",
		"[1e"+strings.Repeat("0", 5000)+"9]", "["+strings.Repeat("1e999,", 1050)+"0]", "["+strings.Repeat("1,", half-2)+"1]",
		"{"+pairs(80_000)+"}", `"`+strings.Repeat("x", jsonb.MaxSize-2)+`"`, `"`+strings.Repeat(`\u0001`, 100_000)+`"`,
		`{"`+strings.Repeat("k", half)+`":1,"`+strings.Repeat("k", half-20)+`":2}`,
		`"`+strings.Repeat("\U0001F950", 10_000)+`"`, "{"+strings.Repeat(`"":1,`, 200_000)+`"":2}`,
	)
	var c jsonb.Canonical // of which one text must leave nothing to the next
	random := rand.New(rand.NewPCG(10, 22))
	for len(texts) < 40_000 {
		text := string(appendRandomValue(nil, random, 4))
		if jsonb.Check([]byte(text)) == nil {
			texts = append(texts, text)
		}
	}
	want := canonicalByPostgres(t, conn, texts)
	disordered := 0
	for i, text := range texts {
		got := c.Append(nil, []byte(text))
		if string(got) != want[i] {
			t.Fatalf("%.500q\n   is %.500q\nnot %.500q", text, want[i], got)
		}
		if i%10 > 0 {
			continue
		}
		var compact bytes.Buffer
		require.NoError(t, json.Compact(&compact, []byte(text)))
		if strings.ReplaceAll(strings.ReplaceAll(want[i], ", ", ","), ": ", ":") != compact.String() {
			disordered++
		}
	}
	require.Greater(t, disordered, len(texts)/10/4, "most texts must not be the easy ones")
}

// canonicalByPostgres asks the server what it makes of all texts, in a few
// statements.
func canonicalByPostgres(t testing.TB, conn *pgx.Conn, texts []string) []string {
	t.Helper()
	var canonical []string
	for len(texts) > 0 {
		n, size := 0, 0
		for n < len(texts) && size < 16<<20 {
			size += len(texts[n])
			n++
		}
		rows, err := conn.Query(context.WithoutCancel(t.Context()), `SELECT t.x::jsonb::text FROM unnest($1::text[]) WITH ORDINALITY AS t (x, n) ORDER BY n`, texts[:n])
		require.NoError(t, err)
		some, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		canonical = append(canonical, some...)
		texts = texts[n:]
	}
	return canonical
}

// FuzzCanonical compares with the server, too.
func FuzzCanonical(f *testing.F) {
	for text := range canonicalTexts {
		f.Add([]byte(text))
	}
	conn := connect(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		if jsonb.Check(text) != nil {
			return
		}
		before := bytes.Clone(text)
		got := new(jsonb.Canonical).Append(nil, text)
		require.Equal(t, before, text)
		require.Equal(t, canonicalByPostgres(t, conn, []string{string(text)})[0], string(got))
		require.Equal(t, got, new(jsonb.Canonical).Append(nil, got))
	})
}

// appendRandomValue appends a value with much of what jsonb writes otherwise:
// keys that are nearly alike, escapes, exponents, white space. Some are refused.
func appendRandomValue(b []byte, r *rand.Rand, depth int) []byte {
	b = appendRandomSpace(b, r)
	kind := r.IntN(10)
	if depth == 0 {
		kind = r.IntN(6)
	}
	switch {
	case kind == 0:
		b = append(b, []string{"null", "true", "false"}[r.IntN(3)]...)
	case kind < 3:
		b = appendRandomString(b, r)
	case kind < 6:
		b = appendRandomNumber(b, r)
	case kind == 6:
		b = append(b, '[')
		for i := range r.IntN(5) {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendRandomValue(b, r, depth-1)
		}
		b = append(appendRandomSpace(b, r), ']')
	default:
		b = append(b, '{')
		n := r.IntN(6)
		if r.IntN(20) == 0 {
			n = r.IntN(60)
		}
		for i := range n {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendRandomSpace(appendRandomString(appendRandomSpace(b, r), r), r)
			b = appendRandomValue(append(b, ':'), r, depth-1)
		}
		b = append(appendRandomSpace(b, r), '}')
	}
	return appendRandomSpace(b, r)
}

func appendRandomSpace(b []byte, r *rand.Rand) []byte {
	for r.IntN(8) == 0 {
		b = append(b, " \t\r\n"[r.IntN(4)])
	}
	return b
}

func appendRandomString(b []byte, r *rand.Rand) []byte {
	b = append(b, '"')
	for range r.IntN(4) {
		switch r.IntN(12) {
		case 0:
			b = append(b, '\\', `"\/bfnrt`[r.IntN(8)])
		case 1:
			b = fmt.Appendf(b, `\u%04x`, r.IntN(0x80))
		case 2:
			b = fmt.Appendf(b, `\u%04X`, r.IntN(0x10000))
		case 3:
			b = fmt.Appendf(b, `\ud8%02x\udC%02x`, r.IntN(256), r.IntN(256))
		case 4:
			b = append(b, []string{"é", "漢", "😀", "\x7f", "\u2028", "\uffff", "10 ASCII let"}[r.IntN(7)]...)
		default:
			b = append(b, "abAB/ "[r.IntN(6)])
		}
	}
	return append(b, '"')
}

func appendRandomNumber(b []byte, r *rand.Rand) []byte {
	digits := func(n int) {
		for range n {
			b = append(b, "0001234567899"[r.IntN(13)])
		}
	}
	if r.IntN(3) == 0 {
		b = append(b, '-')
	}
	if r.IntN(3) == 0 {
		b = append(b, '0')
	} else {
		b = append(b, '1'+byte(r.IntN(9)))
		digits(r.IntN(12))
	}
	if r.IntN(2) == 0 {
		b = append(b, '.')
		digits(1 + r.IntN(12))
	}
	if r.IntN(2) == 0 {
		b = append(b, "eE"[r.IntN(2)])
		b = append(b, []string{"", "+", "-"}[r.IntN(3)]...)
		exponent := r.IntN(20)
		if r.IntN(30) == 0 {
			exponent = r.IntN(1010)
		}
		b = fmt.Append(b, exponent)
	}
	return b
}

func TestCanonicalAllocatesNothing(t *testing.T) {
	text := document(2_000)
	dst := make([]byte, 0, 3*len(text))
	var c jsonb.Canonical
	require.Zero(t, testing.AllocsPerRun(20, func() { _ = c.Append(dst, text) }))
}

// Deep texts whose every object is out of order take no longer, for their size,
// than flat ones.
func BenchmarkCanonical(b *testing.B) {
	deep := func(times int) string {
		item := strings.Repeat(`{"b":`, 126) + "{}" + strings.Repeat(`,"a":1}`, 126)
		return "[" + strings.Repeat(item+",", times) + "0]"
	}
	for name, text := range map[string][]byte{
		"256B":         document(256),
		"10KB":         document(10_000),
		"in order":     new(jsonb.Canonical).Append(nil, document(10_000)),
		"string":       []byte(`"` + strings.Repeat("lorem ipsum ", 1000) + `"`),
		"numbers":      []byte("[" + strings.Repeat("3.14159,", 1000) + "1]"),
		"exponents":    []byte("[" + strings.Repeat("31.4159e-1,", 1000) + "1]"),
		"escapes":      []byte(`"` + strings.Repeat(`a\n\u00e9 text`, 1000) + `"`),
		"1MiB nested":  []byte(deep(660)),
		"1MiB of keys": []byte("{" + pairs(80_000) + "}"),
	} {
		b.Run(name, func(b *testing.B) {
			require.NoError(b, jsonb.Check(text))
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			var dst []byte
			var c jsonb.Canonical
			for b.Loop() {
				dst = c.Append(dst[:0], text)
			}
		})
	}
}

package jsonb_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/jsonb"
)

func TestCheckAccepts(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"null":                     `null`,
		"true":                     `true`,
		"false":                    `false`,
		"string":                   `"hello"`,
		"empty string":             `""`,
		"zero":                     `0`,
		"negative zero":            `-0`,
		"number":                   `-12.50e+3`,
		"empty array":              `[]`,
		"empty object":             ` { } `,
		"white space":              "\t\r\n [ 1 , { \"a\" : [ ] } ] \n",
		"duplicate keys":           `{"a":1,"a":2}`,
		"nested":                   `{"a":[{"b":[[],{}]},"x"]}`,
		"escapes":                  `"\"\\\/\b\f\n\r\t\u00e9\uFFFF"`,
		"surrogate pair":           `"\uD83D\ude00"`,
		"raw unicode":              `"é漢😀\u2028"`,
		"NUL that is only spelled": `"\\u0000"`,
		"128 levels":               strings.Repeat("[", 128) + strings.Repeat("]", 128),
		"128 levels of objects":    strings.Repeat(`{"a":`, 127) + "{}" + strings.Repeat("}", 127),
		"1e999":                    `1e999`,
		"1e-999":                   `1e-999`,
		"0.5e1000":                 `0.5e1000`,
		"0.000e-3":                 `0.000e-3`,
		"1000 digits":              strings.Repeat("9", 1000),
		"1000 digits, fraction":    "0." + strings.Repeat("9", 999),
		"the exponent makes up":    `0.` + strings.Repeat("0", 5000) + `1e5001`,
		"0e999":                    `0e999`,
		"exponent of many zeros":   `1e` + strings.Repeat("0", 5000) + `9`,
		"1 MiB":                    `"` + strings.Repeat("x", jsonb.MaxSize-2) + `"`,
		"a little growth":          `[` + strings.Repeat(`1e999,`, 1000) + `1]`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.NoError(t, jsonb.Check([]byte(text)))
			require.True(t, json.Valid([]byte(text)))
		})
	}
}

func TestCheckRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text   string
		code   jsonb.Code
		offset int
	}{
		"empty":                    {``, jsonb.CodeNotJSON, 0},
		"white space":              {"  ", jsonb.CodeNotJSON, 2},
		"text":                     {`hello`, jsonb.CodeNotJSON, 0},
		"two values":               {`1 2`, jsonb.CodeNotJSON, 2},
		"byte order mark":          {"\ufeff1", jsonb.CodeNotJSON, 0},
		"half a literal":           {`tru`, jsonb.CodeNotJSON, 0},
		"long literal":             {`nulll`, jsonb.CodeNotJSON, 4},
		"NaN":                      {`NaN`, jsonb.CodeNotJSON, 0},
		"Infinity":                 {`-Infinity`, jsonb.CodeNotJSON, 1},
		"plus":                     {`+1`, jsonb.CodeNotJSON, 0},
		"leading zero":             {`01`, jsonb.CodeNotJSON, 1},
		"no digits after point":    {`1.`, jsonb.CodeNotJSON, 2},
		"no digits before point":   {`.5`, jsonb.CodeNotJSON, 0},
		"no digits in exponent":    {`1e+`, jsonb.CodeNotJSON, 3},
		"hexadecimal":              {`0x10`, jsonb.CodeNotJSON, 1},
		"only minus":               {`-`, jsonb.CodeNotJSON, 1},
		"single quotes":            {`'a'`, jsonb.CodeNotJSON, 0},
		"open string":              {`"abc`, jsonb.CodeNotJSON, 4},
		"open escape":              {`"\`, jsonb.CodeNotJSON, 1},
		"unknown escape":           {`"\x41"`, jsonb.CodeNotJSON, 1},
		"short escape":             {`"\u12"`, jsonb.CodeNotJSON, 1},
		"raw line break":           {"\"a\nb\"", jsonb.CodeNotJSON, 2},
		"trailing comma":           {`[1,]`, jsonb.CodeNotJSON, 3},
		"trailing comma in object": {`{"a":1,}`, jsonb.CodeNotJSON, 7},
		"missing comma":            {`[1 2]`, jsonb.CodeNotJSON, 3},
		"missing colon":            {`{"a" 1}`, jsonb.CodeNotJSON, 5},
		"missing value":            {`{"a":}`, jsonb.CodeNotJSON, 5},
		"key is a number":          {`{1:2}`, jsonb.CodeNotJSON, 1},
		"wrong bracket":            {`[1}`, jsonb.CodeNotJSON, 2},
		"wrong brace":              {`{"a":1]`, jsonb.CodeNotJSON, 6},
		"open array":               {`[1`, jsonb.CodeNotJSON, 2},
		"comment":                  {`1 // one`, jsonb.CodeNotJSON, 2},
		"NUL escape":               {`{"a":"x\u0000"}`, jsonb.CodeNul, 7},
		"NUL escape in a key":      {`{"\u0000":1}`, jsonb.CodeNul, 2},
		"raw NUL":                  {"\"a\x00\"", jsonb.CodeNul, 2},
		"raw NUL after the value":  {"1\x00", jsonb.CodeNul, 1},
		"lone high surrogate":      {`"\ud800"`, jsonb.CodeBadUnicode, 1},
		"lone low surrogate":       {`"\udc00"`, jsonb.CodeBadUnicode, 1},
		"surrogates swapped":       {`"\udc00\ud800"`, jsonb.CodeBadUnicode, 1},
		"two high surrogates":      {`"\ud800\ud800"`, jsonb.CodeBadUnicode, 1},
		"surrogate and letter":     {`"\ud800x"`, jsonb.CodeBadUnicode, 1},
		"invalid UTF-8":            {"\"\xff\"", jsonb.CodeBadUnicode, 1},
		"overlong UTF-8":           {"\"\xc0\x80\"", jsonb.CodeBadUnicode, 1},
		"surrogate in UTF-8":       {"\"\xed\xa0\x80\"", jsonb.CodeBadUnicode, 1},
		"cut UTF-8":                {"\"12345678\xe6\xbc\"", jsonb.CodeBadUnicode, 9},
		"129 levels":               {strings.Repeat("[", 129) + strings.Repeat("]", 129), jsonb.CodeTooDeep, 128},
		"depth 10,000":             {strings.Repeat(`{"a":`, 10000), jsonb.CodeTooDeep, 128 * 5},
		"1e1000":                   {`1e1000`, jsonb.CodeNumberTooLarge, 0},
		"1e-1000":                  {`[1e-1000]`, jsonb.CodeNumberTooLarge, 1},
		"1e999999":                 {`1e999999`, jsonb.CodeNumberTooLarge, 0},
		"0e999999":                 {`0e999999`, jsonb.CodeNumberTooLarge, 0},
		"0e-999999":                {`0e-999999`, jsonb.CodeNumberTooLarge, 0},
		"exponent beyond int64":    {`-1E+99999999999999999999999`, jsonb.CodeNumberTooLarge, 0},
		"exponent below int64":     {`1e-99999999999999999999999`, jsonb.CodeNumberTooLarge, 0},
		"1001 digits":              {strings.Repeat("9", 1001), jsonb.CodeNumberTooLarge, 0},
		"1001 digits, fraction":    {"0." + strings.Repeat("0", 1000), jsonb.CodeNumberTooLarge, 0},
		"numbers that grow":        {`[` + strings.Repeat(`1e999,`, 2000) + `1]`, jsonb.CodeNumberTooLarge, 6319},
		"1e131071 again and again": {`[` + strings.Repeat(`1e131071,`, 9000) + `1]`, jsonb.CodeNumberTooLarge, 1},
		"over 1 MiB":               {`"` + strings.Repeat("x", jsonb.MaxSize-1) + `"`, jsonb.CodeTooLarge, jsonb.MaxSize},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var refused *jsonb.Error
			require.ErrorAs(t, jsonb.Check([]byte(c.text)), &refused)
			require.Equal(t, c.code, refused.Code)
			require.Equal(t, c.offset, refused.Offset)
			require.NotEmpty(t, refused.Message)
		})
	}
}

// Whatever byte of a valid text is replaced by a quote, a control character
// or half a rune must be seen, wherever the eight-byte steps happen to fall.
func TestCheckSeesEveryPosition(t *testing.T) {
	t.Parallel()
	for length := range 40 {
		text := []byte(`"` + strings.Repeat("a", length) + `"`)
		require.NoError(t, jsonb.Check(text))
		for at := 1; at <= length; at++ {
			for _, b := range []byte{0, 1, 0x1f, '"', '\\', 0x80, 0xff} {
				broken := bytes.Clone(text)
				broken[at] = b
				require.Error(t, jsonb.Check(broken), "%q", broken)
			}
			for _, b := range []byte{' ', '!', '#', '[', ']', 0x7f} {
				whole := bytes.Clone(text)
				whole[at] = b
				require.NoError(t, jsonb.Check(whole), "%q", whole)
			}
		}
	}
}

func TestCheckAllocatesNothing(t *testing.T) {
	body := document(10_000)
	require.Zero(t, testing.AllocsPerRun(20, func() {
		if err := jsonb.Check(body); err != nil {
			t.Error(err)
		}
	}))
}

func TestCompact(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`1`, ` "a b" `, "{ \"a \\\" b\" : [ 1 , 2 ] ,\n\t\"\\\\\" : null }", `[]`, `{"a":{"b":" "}}`,
	} {
		require.NoError(t, jsonb.Check([]byte(text)))
		var want bytes.Buffer
		require.NoError(t, json.Compact(&want, []byte(text)))
		require.Equal(t, want.String(), string(jsonb.Compact(nil, []byte(text))))
		require.Equal(t, "x"+want.String(), string(jsonb.Compact([]byte("x"), []byte(text))))
	}
}

func TestScanKnowsWhatIsCompact(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		`1`: true, `{"a":[1,"b c",{}]}`: true, `[]`: true, `" "`: true,
		` 1`: false, `1 `: false, `{"a": 1}`: false, `[1, 2]`: false, `{ }`: false, "[1\n]": false,
	} {
		compact, err := jsonb.Scan([]byte(text))
		require.NoError(t, err)
		require.Equal(t, want, compact, text)
		require.Equal(t, want, string(jsonb.Compact(nil, []byte(text))) == text, text)
	}
}

func TestValid(t *testing.T) {
	t.Parallel()
	nested := func(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }
	for text, want := range map[string]bool{
		``: false, ` `: false, `{}`: true, `{"a":1}{}`: false, `"\u0000\ud800"`: true, `"\u12"`: false, `1e999999`: true, `01`: false,
		"\"\xff\"": false, "\xff": false, "\"a\x00\"": false, "{\"\u00e9\":[null,true,false]}": true,
		nested(200): true, nested(jsonb.MaxDocumentDepth): true, nested(jsonb.MaxDocumentDepth + 1): false,
	} {
		require.Equal(t, want, jsonb.Valid([]byte(text)), "%.100q", text)
		require.Equal(t, want, json.Valid([]byte(text)) && utf8.ValidString(text), "%.100q", text)
	}
}

// Valid accepts what encoding/json does, in valid UTF-8.
func FuzzValid(f *testing.F) {
	for _, seed := range []string{
		`{"a":[1,2.5e-3,"x\u00e9",null,true,{}]}`, `"\ud83d\ude00"`, `"\ud83d"`, `1e999`, `-0.0e+12`, "[[[]]]", "\"\xff\"", "\x00", `"\u0000"`, ` 1e`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if got, want := jsonb.Valid(text), json.Valid(text) && utf8.Valid(text); got != want {
			t.Fatalf("Valid(%q) = %v", text, got)
		}
	})
}

func FuzzCheck(f *testing.F) {
	for _, seed := range []string{
		`{"a":[1,2.5e-3,"x\u00e9",null,true,{}]}`, `"\ud83d\ude00"`, `"\ud83d"`, `1e999`, `-0.0e+12`, "[[[]]]", "\"\xff\"", "\x00",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if jsonb.Check(text) != nil {
			return
		}
		if !json.Valid(text) {
			t.Fatalf("encoding/json refuses %q", text)
		}
		var want bytes.Buffer
		if err := json.Compact(&want, text); err != nil {
			t.Fatal(err)
		}
		if compact, err := jsonb.Scan(text); err != nil || compact != bytes.Equal(text, want.Bytes()) {
			t.Fatalf("Scan(%q) = %v, %v", text, compact, err)
		}
		if got := jsonb.Compact(nil, text); !bytes.Equal(got, want.Bytes()) {
			t.Fatalf("Compact(%q) = %q, want %q", text, got, want.Bytes())
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	for name, body := range map[string][]byte{
		"256B":    document(256),
		"10KB":    document(10_000),
		"string":  []byte(`"` + strings.Repeat("lorem ipsum ", 1000) + `"`),
		"numbers": []byte("[" + strings.Repeat("3.14159,", 1000) + "1]"),
		"unicode": []byte(`"` + strings.Repeat("héllo 漢字 ", 1000) + `"`),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if err := jsonb.Check(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// document returns an order-like JSON document of about size bytes.
func document(size int) []byte {
	const item = `{"id":"0195f3a2-7c1e-7d4b-9a55-6b1f0c2d3e4f","name":"Widget, large","price":12.50,"tags":["a","b"],"in_stock":true,"note":null}`
	body := []byte(`{"order":4711,"items":[` + item)
	for len(body) < size-len(item) {
		body = append(append(body, ','), item...)
	}
	return append(body, `]}`...)
}

package deadletter

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestShapeOf(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                           "",
		"status 503":                 "status 503",
		"status 500: such redirects": "status 500: such redirects",
		"Status 404 after 3 of 8":    "Status 404 after <number> of <number>",
		"status 50312":               "status <number>",
		"the status: 503":            "the status: <number>",
		"not JSON at byte 17":        "not JSON at byte <number>",
		"took 1.5s of 10ms, 12:30":   "took <number>s of <number>ms, <number>:<number>",
		"version 1.2.3.":             "version <number>.",
		"number 17.":                 "number <number>.",
		"-17, +3, 1_000":             "-<number>, +<number>, <number>_000",
		"the sha256 and base64 of x509, HTTP/2 and utf-8":                    "the sha256 and base64 of x509, HTTP/<number> and utf-<number>",
		"message 0197a3a2-7d2c-7c3e-8f7e-0242ac120002 is gone":               "message <uuid> is gone",
		"order-0197a3a2-7d2c-7c3e-8f7e-0242ac120002":                         "order-<uuid>",
		"x0197a3a2-7d2c-7c3e-8f7e-0242ac120002-1":                            "<id>-<number>d2c-<number>c3e-<number>f7e-<hex>-<number>",
		"hash deadbeef01, 0xFF, 0xzz, deadbeef":                              "hash <hex>, <hex>, <number>xzz, deadbeef",
		"event evt_1Mx7Kq92LkdIwH, key AKIA12345":                            "event <id>, key <id>",
		`unknown field "order-17" in 'x y'`:                                  "unknown field <text> in <text>",
		`it's the customer's 'a "b" c' and` + " `d`":                         "it's the customer's <text> and <text>",
		`a "quoted \" mark" and "one that is cut off at 17`:                  "a <text> and <text>",
		"dial tcp 10.0.0.17:8443: connection refused":                        "dial tcp <address>: connection refused",
		"dial tcp [2001:db8::1]:443: refused, [::1], 2001:db8::7, [1 2]":     "dial tcp <address>: refused, <address>, <address>, [<number> <number>]",
		"lookup hooks.example.com:443 and localhost:80: no":                  "lookup <address> and <address>: no",
		"Post https://example.com/x?y=17: EOF":                               "Post <address>: EOF",
		"mail to ada@example.com.":                                           "mail to <address>.",
		"ünï 17 (größe 3)":                                                   "ünï <number> (größe <number>)",
		"a:1 b=2 c/3":                                                        "a:<number> b=<number> c/<number>",
		"another payload is stored under this message id":                    "another payload is stored under this message id",
		"the broker dead-lettered it: maxlen":                                "the broker dead-lettered it: maxlen",
		"nested deeper than 128, at most 1048576 bytes, \u0000 and \xff too": "nested deeper than <number>, at most <number> bytes, \u0000 and \xff too",
	} {
		require.Equal(t, want, shapeOf(text), text)
		require.Equal(t, want, shapeOf(want), "it stays as it is")
	}
	long := shapeOf(strings.Repeat("ü ", 1000))
	require.LessOrEqual(t, len(long), maxShape)
	require.True(t, utf8.ValidString(long))
}

func FuzzShapeOf(f *testing.F) {
	for _, text := range []string{"", "status 503", `"`, "'", "[", "[::1]:", "0x", "a@b.c", "1.", "\xff\xfe"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		shape := shapeOf(text)
		if len(shape) > maxShape {
			t.Fatal(len(shape))
		}
		if utf8.ValidString(text) && !utf8.ValidString(shape) {
			t.Fatalf("%q of %q", shape, text)
		}
	})
}

func BenchmarkShapeOf(b *testing.B) {
	for b.Loop() {
		shapeOf(`dial tcp 10.0.0.17:8443: connection refused after 1.5s, message 0197a3a2-7d2c-7c3e-8f7e-0242ac120002 "order 17"`)
	}
}

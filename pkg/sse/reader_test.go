package sse_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/sse"
)

// seen is an event that can be kept.
type seen struct {
	id, name, data, comment string
	retry                   time.Duration
}

const none = "(none)"

func keep(e sse.Event) seen {
	text := func(field []byte) string {
		if field == nil {
			return none
		}
		return string(field)
	}
	return seen{text(e.ID), text(e.Name), text(e.Data), text(e.Comment), e.Retry}
}

// readAll returns all events and what ended them.
func readAll(from io.Reader) (all []seen, end error) {
	r := sse.NewReader(from, 16)
	for {
		e, err := r.Next()
		if err != nil {
			return all, err
		}
		all = append(all, keep(e))
	}
}

// The rules of the standard, however the stream is cut into pieces.
func TestReader(t *testing.T) {
	t.Parallel()
	message := seen{"7", "message", `{"seq":7}`, none, 0}
	for name, c := range map[string]struct {
		stream string
		want   []seen
	}{
		"as the service sends it": {
			"retry: 3000\nid: 6\n: open\n\nid: 7\nevent: message\ndata: {\"seq\":7}\n\n: \n\n",
			[]seen{{"6", none, none, "open", 3 * time.Second}, message, {none, none, none, "", 0}},
		},
		"CRLF":                   {"id: 7\r\nevent: message\r\ndata: {\"seq\":7}\r\n\r\n", []seen{message}},
		"CR alone":               {"id: 7\revent: message\rdata: {\"seq\":7}\r\r", []seen{message}},
		"all three":              {"id: 7\revent: message\ndata: {\"seq\":7}\r\n\n", []seen{message}},
		"several lines":          {"data: one\ndata:\ndata: three\n\ndata: next\n\n", []seen{{none, none, "one\n\nthree", none, 0}, {none, none, "next", none, 0}}},
		"a comment within":       {"id: 7\n: alive\nevent: message\n: still\ndata: {\"seq\":7}\n\n", []seen{{"7", "message", `{"seq":7}`, "alive\nstill", 0}}},
		"end without blank line": {"data: one\n\ndata: two\n", []seen{{none, none, "one", none, 0}}},
		"end within a line":      {"data: one\n\ndata: tw", []seen{{none, none, "one", none, 0}}},
		"end after a CR":         {"data: one\r\n\r", []seen{{none, none, "one", none, 0}}},
		"one space is taken away": {"data:one\n\ndata:  two \n\n", []seen{
			{none, none, "one", none, 0}, {none, none, " two ", none, 0},
		}},
		"colons in values":       {"data: a: b:c\n\n", []seen{{none, none, "a: b:c", none, 0}}},
		"fields without a value": {"data\n\nid\nevent:\n\n", []seen{{none, none, "", none, 0}, {"", "", none, none, 0}}},
		"the last counts":        {"id: 1\nid: 2\nevent: a\nevent: b\n\n", []seen{{"2", "b", none, none, 0}}},
		"nothing is inherited":   {"id: 1\nevent: a\ndata: b\n: c\nretry: 1\n\ndata: d\n\n", []seen{{"1", "a", "b", "c", time.Millisecond}, {none, none, "d", none, 0}}},
		"an id with a zero byte": {"id: 1\x002\ndata: a\n\n", []seen{{none, none, "a", none, 0}}},
		"retry that is no number": {"retry: 3s\n\nretry: -1\n\nretry: +1\n\nretry: 99999999999999999999\n\nretry:\n\nretry: 007\n\n", []seen{
			{none, none, none, none, 7 * time.Millisecond},
		}},
		"unknown fields":     {"Data: a\nfoo: b\n data: c\n\n", nil},
		"byte order mark":    {"\ufeffdata: a\n\n\ufeffdata: b\n\n", []seen{{none, none, "a", none, 0}}},
		"many blank lines":   {"\n\n\r\n\ndata: a\n\n\n\n", []seen{{none, none, "a", none, 0}}},
		"nothing":            {"", nil},
		"longer than buffer": {"data: " + strings.Repeat("x", 100_000) + "\n\n", []seen{{none, none, strings.Repeat("x", 100_000), none, 0}}},
	} {
		for pieces, cut := range map[string]func(io.Reader) io.Reader{
			"whole":     func(r io.Reader) io.Reader { return r },
			"bytes":     iotest.OneByteReader,
			"halves":    iotest.HalfReader,
			"early end": iotest.DataErrReader,
		} {
			got, end := readAll(cut(strings.NewReader(c.stream)))
			require.Equal(t, c.want, got, "%s, %s", name, pieces)
			require.ErrorIs(t, end, io.EOF, "%s, %s", name, pieces)
		}
	}
}

// waiting is a stream of which nothing more comes for now.
type waiting struct {
	here   string
	waited bool // more was asked for
}

func (w *waiting) Read(p []byte) (int, error) {
	if w.here == "" {
		w.waited = true
		return 0, io.ErrUnexpectedEOF
	}
	n := copy(p, w.here)
	w.here = w.here[n:]
	return n, nil
}

// An event is told when its last byte is there: what comes after it may take
// for ever.
func TestReaderWaitsForNothing(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"\n", "\r\n", "\r"} {
		from := &waiting{here: "data: one" + end + end}
		e, err := sse.NewReader(from, 64).Next()
		require.NoError(t, err, "%q", end)
		require.Equal(t, "one", string(e.Data), "%q", end)
		require.False(t, from.waited, "%q", end)
	}
}

func TestReaderPassesErrorsOn(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken off")
	got, end := readAll(io.MultiReader(strings.NewReader("data: a\n\ndata: b\n"), iotest.ErrReader(broken)))
	require.Equal(t, []seen{{none, none, "a", none, 0}}, got)
	require.ErrorIs(t, end, broken)
	require.NotErrorIs(t, end, io.EOF)
}

// Nothing makes the reader take memory without end.
func TestReaderHasLimits(t *testing.T) {
	t.Parallel()
	longest := strings.Repeat("x", sse.LongestLine-len("data: \n"))
	got, end := readAll(strings.NewReader("data: " + longest + "\n\n"))
	require.ErrorIs(t, end, io.EOF)
	require.Len(t, got, 1)
	require.Equal(t, longest, got[0].data)
	half := longest[:len(longest)/2]
	for name, stream := range map[string]string{
		"a line":             "data: " + longest + "x\n\n",
		"a line without end": longest + longest,
		"lines of data":      "data: " + half + "\ndata: " + half + "\ndata: a few more\n\n",
		"comments":           ":" + half + "\n:" + half + "\n:a few more bytes\n\n",
	} {
		got, end := readAll(strings.NewReader(stream))
		require.ErrorIs(t, end, sse.ErrTooLong, name)
		require.Empty(t, got, name)
	}
}

// endless repeats a piece of a stream.
type endless struct {
	piece string
	at    int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.piece[e.at:])
	e.at = (e.at + n) % len(e.piece)
	return n, nil
}

// serviceEvent is as long as those of the benchmark.
var serviceEvent = "id: 123456\nevent: message\ndata: {\"id\":\"0190a6c2-5a1e-7c3e-8d0a-0123456789ab\",\"payload\":{\"number\": 123456, \"text\": \"" +
	strings.Repeat("x", 200) + "\"}}\n\n"

func TestReaderTakesNoMemoryForAnEvent(t *testing.T) {
	r := sse.NewReader(&endless{piece: serviceEvent}, 16<<10)
	perEvent := testing.AllocsPerRun(1000, func() {
		if e, err := r.Next(); err != nil || string(e.ID) != "123456" {
			panic("not the event")
		}
	})
	require.Zero(t, perEvent)
}

func BenchmarkReader(b *testing.B) {
	r := sse.NewReader(&endless{piece: serviceEvent}, 16<<10)
	b.ReportAllocs()
	b.SetBytes(int64(len(serviceEvent)))
	for b.Loop() {
		if _, err := r.Next(); err != nil {
			b.Fatal(err)
		}
	}
}

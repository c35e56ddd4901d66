package sse

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
)

// LongestLine is how many bytes a line may have at most, its end included. It
// is more than the longest message that the service takes.
const LongestLine = 4 << 20

// ErrTooLong: a line, or what one event has of data, is longer than
// LongestLine.
var ErrTooLong = errors.New("longer than an event may be")

// Event is what stood between two blank lines. Those with data are what a
// browser would call an event; without, it is something else about the stream:
// a comment by which it shows that it is alive, when to come back, or where it
// is. A field that was not sent is nil, one without a value is empty.
type Event struct {
	ID      []byte // its own; a browser would remember that of the last one
	Name    []byte // of the field "event"; a browser takes none for "message"
	Data    []byte // its lines with a line feed between them
	Comment []byte // likewise
	Retry   time.Duration
}

// Reader reads events. It takes no memory for an event but what the longest so
// far needed. It is not safe for concurrent use.
type Reader struct {
	lines                   *bufio.Scanner
	afterCR                 bool // a line feed that comes now ended that line, too
	begun                   bool
	id, name, data, comment []byte
}

// NewReader returns a reader with a buffer of this size, which grows when a
// line needs it.
func NewReader(from io.Reader, size int) *Reader {
	r := &Reader{
		lines: bufio.NewScanner(from),
		id:    make([]byte, 0, 32), name: make([]byte, 0, 32), data: make([]byte, 0, 1024), comment: make([]byte, 0, 32),
	}
	r.lines.Buffer(make([]byte, 0, size), LongestLine)
	r.lines.Split(r.split)
	return r
}

// Next returns the next event, which is valid until the next call. An event
// whose end did not come is none. The error is io.EOF when the stream ended in
// good order, and otherwise that of the underlying reader, or ErrTooLong.
func (r *Reader) Next() (Event, error) {
	var e Event
	for r.lines.Scan() {
		line := r.lines.Bytes()
		if !r.begun {
			line = bytes.TrimPrefix(line, []byte("\ufeff"))
			r.begun = true
		}
		if len(line) > 0 {
			if err := r.take(&e, line); err != nil {
				return Event{}, err
			}
			continue
		}
		if e.ID != nil || e.Name != nil || e.Data != nil || e.Comment != nil || e.Retry != 0 {
			return e, nil
		}
	}
	switch err := r.lines.Err(); {
	case err == nil:
		return Event{}, io.EOF
	case errors.Is(err, bufio.ErrTooLong):
		return Event{}, ErrTooLong
	default:
		return Event{}, fmt.Errorf("read events: %w", err)
	}
}

// take adds a line to the event. Unknown fields are passed over.
func (r *Reader) take(e *Event, line []byte) error {
	field, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(field) {
	case "":
		r.comment = joined(r.comment, e.Comment, value)
		e.Comment = r.comment
	case "data":
		r.data = joined(r.data, e.Data, value)
		e.Data = r.data
	case "event":
		r.name = append(r.name[:0], value...)
		e.Name = r.name
	case "id":
		if bytes.IndexByte(value, 0) < 0 {
			r.id = append(r.id[:0], value...)
			e.ID = r.id
		}
	case "retry":
		if n, err := strconv.ParseUint(string(value), 10, 32); err == nil {
			e.Retry = time.Duration(n) * time.Millisecond
		}
	}
	if len(e.Data) > LongestLine || len(e.Comment) > LongestLine {
		return ErrTooLong
	}
	return nil
}

// joined writes the lines so far and one more to the buffer, which has those
// so far already. Nil for none.
func joined(buffer, soFar, line []byte) []byte {
	if soFar == nil {
		return append(buffer[:0], line...)
	}
	return append(append(soFar, '\n'), line...)
}

// split is a bufio.SplitFunc for lines that end with CR, LF, or both. It does
// not wait for the byte after a CR: that may come with the next event only.
func (r *Reader) split(data []byte, atEOF bool) (advance int, line []byte, err error) {
	if len(data) > 0 && r.afterCR {
		r.afterCR = false
		if data[0] == '\n' {
			advance, data = 1, data[1:]
		}
	}
	end := bytes.IndexByte(data, '\n')
	if end < 0 {
		end = len(data)
	}
	if cr := bytes.IndexByte(data[:end], '\r'); cr >= 0 {
		end, r.afterCR = cr, true
	}
	switch {
	case end < len(data):
		return advance + end + 1, data[:end], nil
	case atEOF && end > 0:
		return advance + end, data, nil
	}
	return advance, nil, nil
}

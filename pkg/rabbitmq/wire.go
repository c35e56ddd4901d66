package rabbitmq

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"slices"
)

// Headers of a message that the library could not read, in place of those it
// came with.
const (
	// HeaderUnreadable says why, in words that may be shown.
	HeaderUnreadable = "x-unreadable"
	// HeaderUnreadableHeaders is the table of headers as it came, or its
	// beginning, as bytes in the encoding of AMQP 0-9-1.
	HeaderUnreadableHeaders = "x-unreadable-headers"
)

const (
	// maxKeptHeaders bounds HeaderUnreadableHeaders. With the rest it has to
	// fit into one frame, and into those of a dead letter.
	maxKeptHeaders = 48 << 10
	// cut follows the reason where not all is kept.
	cut = "; only their beginning is kept"

	// tableHead is what the table of both takes besides their values.
	tableHead = 4 + 2*(1+1+4) + len(HeaderUnreadable+HeaderUnreadableHeaders+cut)

	// readBuffer is what a connection reads at once: a hundred small deliveries.
	readBuffer = 32 << 10

	// minFrame is the least that a frame's payload may be allowed to have;
	// maxFrame is the library's limit of a frame.
	minFrame      = 4096 - frameHead - 1
	maxFrame      = 128 << 10
	frameHead     = 7 // type, channel, size of the payload
	frameEnd      = 0xCE
	methodFrame   = 1
	contentFrame  = 2
	maxPassedOver = 1 << 20 // of a content header: larger ones are no such
)

// wire is a connection whose content headers can all be read by the library:
// for one that it cannot read, it closes the connection with everybody on it,
// again and again as the message comes back. Such a message gets the headers
// above instead; its body, id and timestamp stay. What is no content header
// passes as it is.
//
// Only the library's reader reads, and it writes under a lock of its own.
type wire struct {
	net.Conn
	in *bufio.Reader
	// passing is how much of the present frame is still to be passed on, ready
	// what replaces one.
	passing int64
	ready   []byte
	frame   []byte // room for a content header
	// largest is the largest payload of a frame that the broker proposed. What
	// is agreed upon is not larger than the library's own limit.
	largest int
	guard   guard // of what is sent
}

func newWire(conn net.Conn) *wire {
	return &wire{Conn: conn, in: bufio.NewReaderSize(conn, readBuffer), largest: minFrame, guard: guard{shut: make(map[uint16]bool)}}
}

// Read implements net.Conn.
func (w *wire) Read(p []byte) (int, error) {
	for len(w.ready) == 0 && w.passing == 0 {
		if err := w.next(); err != nil {
			return 0, err
		}
	}
	if len(w.ready) > 0 {
		n := copy(p, w.ready)
		w.ready = w.ready[n:]
		return n, nil
	}
	n, err := w.in.Read(p[:min(int64(len(p)), w.passing)])
	w.passing -= int64(n)
	return n, err
}

// next looks at the beginning of a frame.
func (w *wire) next() error {
	head, err := w.in.Peek(frameHead)
	if err != nil {
		if w.passing = int64(len(head)); w.passing > 0 {
			return nil // the library sees where it ends
		}
		return err
	}
	size := binary.BigEndian.Uint32(head[3:])
	if err := w.noteTune(head, size); err != nil {
		return err
	}
	if head[0] != contentFrame || size > maxPassedOver {
		w.passing = frameHead + int64(size) + 1
		return nil
	}
	w.frame = slices.Grow(w.frame[:0], frameHead+int(size)+1)[:frameHead+int(size)+1]
	if _, err := io.ReadFull(w.in, w.frame); err != nil {
		return err
	}
	w.ready = readable(w.frame, w.largest)
	return nil
}

// noteTune reads in connection.tune how large a frame may be.
func (w *wire) noteTune(head []byte, size uint32) error {
	const (
		tune      = 10<<16 | 30 // class and method
		tuneSize  = 12          // with the limits of channels, frames and heartbeats
		frameAt   = frameHead + 6
		withFrame = frameHead + 10
	)
	if head[0] != methodFrame || size != tuneSize {
		return nil
	}
	begin, err := w.in.Peek(withFrame)
	if err != nil {
		return err
	}
	if binary.BigEndian.Uint16(begin[1:]) == 0 && binary.BigEndian.Uint32(begin[frameHead:]) == tune {
		proposed := binary.BigEndian.Uint32(begin[frameAt:])
		if proposed == 0 || proposed > maxFrame {
			proposed = maxFrame
		}
		w.largest = max(minFrame, int(proposed)-frameHead-1)
	}
	return nil
}

// readable returns the frame of a content header, or one that takes its place
// and whose payload is not larger than largest.
func readable(frame []byte, largest int) []byte {
	payload := frame[frameHead : len(frame)-1]
	h, err := readContentHeader(payload)
	if err == nil || len(payload) < propertiesAt-2 || frame[len(frame)-1] != frameEnd {
		return frame
	}
	flags := uint16(flagHeaders)
	var before, after []byte
	if len(h.encoding) > 0 {
		flags |= flagEncoding
		before = appendShort(before, h.encoding)
	}
	if len(h.messageID) > 0 {
		flags |= flagMessageID
		after = appendShort(after, h.messageID)
	}
	if len(h.timestamp) > 0 {
		flags |= flagTimestamp
		after = append(after, h.timestamp...)
	}
	room := largest - propertiesAt - len(before) - len(after) - tableHead - len(err.Error())
	table := headersInstead(err.Error(), h.headers, min(room, maxKeptHeaders))

	out := make([]byte, 0, frameHead+propertiesAt+len(before)+len(table)+len(after)+1)
	out = append(out, frame[:3]...)
	out = binary.BigEndian.AppendUint32(out, uint32(propertiesAt+len(before)+len(table)+len(after))) //nolint:gosec // bounded
	out = append(out, payload[:propertiesAt-2]...)
	out = binary.BigEndian.AppendUint16(out, flags)
	out = append(append(append(out, before...), table...), after...)
	return append(out, frameEnd)
}

// headersInstead returns a table with its length, in which are the reason and
// as much of the headers as there is room.
func headersInstead(why string, headers []byte, room int) []byte {
	if len(headers) > room {
		why, headers = why+cut, headers[:room]
	}
	fields := appendField(nil, HeaderUnreadable, 'S', []byte(why))
	fields = appendField(fields, HeaderUnreadableHeaders, 'x', headers)
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(fields))), fields...) //nolint:gosec // bounded
}

// appendField appends a field of a table whose value has a length.
func appendField(table []byte, name string, kind byte, value []byte) []byte {
	table = appendShort(table, []byte(name))
	table = binary.BigEndian.AppendUint32(append(table, kind), uint32(len(value))) //nolint:gosec // bounded
	return append(table, value...)
}

// appendShort appends a value with its length in one byte. It takes what was
// read as such, or the name of a header: 255 bytes at most.
func appendShort(out, value []byte) []byte {
	return append(append(out, byte(len(value))), value...) //nolint:gosec // bounded
}

package rabbitmq

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"
)

// method returns the payload of a method frame.
func method(class, id uint16, arguments ...byte) []byte {
	return append(binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, class), id), arguments...)
}

func frame(kind byte, channel uint16, payload []byte) []byte {
	f := binary.BigEndian.AppendUint16([]byte{kind}, channel)
	f = append(binary.BigEndian.AppendUint32(f, uint32(len(payload))), payload...)
	return append(f, frameEnd)
}

func longText(s string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(s))), s...)
}

// content returns the payload of a content header for a body of two bytes.
func content(flags uint16, properties ...byte) []byte {
	h := append(binary.BigEndian.AppendUint16(nil, 60), 0, 0)
	h = binary.BigEndian.AppendUint64(h, 2)
	return append(binary.BigEndian.AppendUint16(h, flags), properties...)
}

// withHeaders returns one with this table of headers, a message id and a
// timestamp.
func withHeaders(table string) []byte {
	properties := append([]byte{2, 'g', 'z'}, longText(table)...)
	properties = append(properties, 2, 'i', 'd')
	return content(flagEncoding|flagHeaders|flagMessageID|flagTimestamp, append(properties, 0, 0, 0, 0, 0, 0, 0, 42)...)
}

// nested returns a field that is a table, or an array, with so many others in
// it.
func nested(kind string, depth int) string {
	value := ""
	for range depth {
		if kind == "A" {
			value = kind + string(longText(value))
		} else {
			value = kind + string(longText(value))
			value = "\x01k" + value
		}
	}
	if kind == "A" {
		return "\x01k" + value
	}
	return value
}

// deliver has the library read one message that a broker of the test sends,
// through a wire or not.
func deliver(t *testing.T, payload []byte, through func(net.Conn) net.Conn) (amqp.Delivery, error) {
	t.Helper()
	client, server := net.Pipe()
	t.Cleanup(func() { _ = server.Close() })
	asked := methodsOf(server)
	received := make(chan struct{})
	go func() {
		start := append([]byte{0, 9}, longText("")...)
		start = append(append(start, longText("PLAIN")...), longText("en_US")...)
		for _, f := range [][]byte{
			frame(1, 0, method(10, 10, start...)),
			frame(1, 0, method(10, 30, 0, 8, 0, 2, 0, 0, 0, 0)),
			frame(1, 0, method(10, 41, 0)),
		} {
			_, _ = server.Write(f)
		}
		// The library takes no answer for a channel that it has not opened yet.
		await(asked, 20, 10)
		_, _ = server.Write(frame(1, 1, method(20, 11, longText("")...)))
		await(asked, 60, 20)
		for _, f := range [][]byte{
			frame(1, 1, method(60, 21, 1, 't')),
			frame(1, 1, method(60, 60, 1, 't', 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 'q')),
			frame(2, 1, payload), frame(3, 1, []byte("{}")),
		} {
			_, _ = server.Write(f)
		}
		<-received
		_, _ = server.Write(frame(1, 1, method(20, 40, 0, 200, 0, 0, 0, 0, 0))) // closes the channel, not the connection
	}()
	conn, err := amqp.Open(through(client), amqp.Config{SASL: []amqp.Authentication{&amqp.PlainAuth{}}, Heartbeat: time.Minute, Locale: "en_US"})
	require.NoError(t, err)
	closed := conn.NotifyClose(make(chan *amqp.Error, 1))
	ch, err := conn.Channel()
	require.NoError(t, err)
	ended := ch.NotifyClose(make(chan *amqp.Error, 1))
	deliveries, err := ch.Consume("q", "t", false, false, false, false, nil)
	if err != nil {
		return amqp.Delivery{}, err
	}
	select {
	case d := <-deliveries:
		close(received)
		if why := <-ended; conn.IsClosed() {
			return d, fmt.Errorf("connection closed: %w", why)
		}
		return d, nil
	case err := <-closed:
		return amqp.Delivery{}, err
	}
}

// methodsOf returns the classes and methods that the other side sends, until it
// is gone.
func methodsOf(server net.Conn) <-chan [2]uint16 {
	methods := make(chan [2]uint16, 64)
	go func() {
		defer close(methods)
		in := bufio.NewReader(server)
		if _, err := in.Discard(len("AMQP\x00\x00\x09\x01")); err != nil {
			return
		}
		for {
			head := make([]byte, frameHead)
			if _, err := io.ReadFull(in, head); err != nil {
				return
			}
			rest := make([]byte, binary.BigEndian.Uint32(head[3:])+1)
			if _, err := io.ReadFull(in, rest); err != nil {
				return
			}
			if head[0] == methodFrame {
				methods <- [2]uint16{binary.BigEndian.Uint16(rest), binary.BigEndian.Uint16(rest[2:])}
			}
		}
	}()
	return methods
}

// await returns when the method has been sent, or nothing more is.
func await(methods <-chan [2]uint16, class, method uint16) {
	for m := range methods {
		if m == [2]uint16{class, method} {
			return
		}
	}
}

func plain(c net.Conn) net.Conn   { return c }
func through(c net.Conn) net.Conn { return newWire(c) }

// What the library cannot read ends its connection, and arrives through a wire
// with the reason, and with all else that it has. What it can read arrives as
// it is.
func TestNoMessageEndsAConnection(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("\x01kx"+string(longText(strings.Repeat("x", 1000))), 70)
	for name, c := range map[string]struct {
		header []byte
		why    string // "" for what the library reads
		kept   string
		bare   bool // nothing but the body can be told
	}{
		"no properties":         {header: content(0), bare: true},
		"an empty table":        {header: withHeaders("")},
		"tables 32 deep":        {header: withHeaders(nested("F", 32))},
		"arrays 32 deep":        {header: withHeaders(nested("A", 32))},
		"tables 33 deep":        {header: withHeaders(nested("F", 33)), why: errTooDeep.Error(), kept: nested("F", 33)},
		"arrays 33 deep":        {header: withHeaders(nested("A", 33)), why: errTooDeep.Error(), kept: nested("A", 33)},
		"tables 1000 deep":      {header: withHeaders(nested("F", 1000)), why: errTooDeep.Error(), kept: nested("F", 1000)},
		"8192 elements":         {header: withHeaders("\x01kA" + string(longText(strings.Repeat("V", 8192))))},
		"8193 elements":         {header: withHeaders("\x01kA" + string(longText(strings.Repeat("V", 8193)))), why: errTooMany.Error(), kept: "\x01kA" + string(longText(strings.Repeat("V", 8193)))},
		"every kind of field":   {header: withHeaders("\x01at\x01\x01bB\x01\x01cb\x01\x01ds\x00\x01\x01eu\x00\x01\x01fI\x00\x00\x00\x01\x01gi\x00\x00\x00\x01\x01hf\x00\x00\x00\x01\x01iD\x02\x00\x00\x00\x01\x01jl\x00\x00\x00\x00\x00\x00\x00\x01\x01kd\x00\x00\x00\x00\x00\x00\x00\x01\x01lT\x7f\x00\x00\x00\x00\x00\x00\x01\x01mS\x00\x00\x00\x01s\x01nx\x00\x00\x00\x01x\x01oV")},
		"an unknown kind":       {header: withHeaders("\x01kL\x00\x00\x00\x00\x00\x00\x00\x00"), why: errFieldType.Error(), kept: "\x01kL\x00\x00\x00\x00\x00\x00\x00\x00"},
		"a name without value":  {header: withHeaders("\x01k"), why: errMalformed.Error(), kept: "\x01k"},
		"a name cut off":        {header: withHeaders("\x09k"), why: errMalformed.Error(), kept: "\x09k"},
		"a text cut off":        {header: withHeaders("\x01kS\x00\x00\x00\x09s"), why: errMalformed.Error(), kept: "\x01kS\x00\x00\x00\x09s"},
		"bytes less than none":  {header: withHeaders("\x01kx\xff\xff\xff\xff"), why: errMalformed.Error(), kept: "\x01kx\xff\xff\xff\xff"},
		"a number cut off":      {header: withHeaders("\x01kl\x00"), why: errMalformed.Error(), kept: "\x01kl\x00"},
		"a table cut off":       {header: content(flagHeaders, 0, 0, 0, 9, 1), why: errMalformed.Error(), bare: true},
		"a property cut off":    {header: content(flagFirst, 9, 'x'), why: errMalformed.Error(), bare: true},
		"a property missing":    {header: content(flagLast), why: errMalformed.Error(), bare: true},
		"more than can be kept": {header: withHeaders(large + "\x01kL"), why: errFieldType.Error() + cut, kept: large[:maxKeptHeaders]},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := deliver(t, c.header, plain)
			if c.why == "" {
				require.NoError(t, err, "the library reads it")
			} else {
				require.Error(t, err, "the library does not read it")
			}
			for _, way := range []func(net.Conn) net.Conn{
				through,
				func(c net.Conn) net.Conn { return slow{through(c), iotest.OneByteReader(through(c))} },
				func(c net.Conn) net.Conn { return newWire(slow{c, iotest.OneByteReader(c)}) },
			} {
				d, err := deliver(t, c.header, way)
				require.NoError(t, err)
				require.Equal(t, "{}", string(d.Body))
				if !c.bare {
					require.Equal(t, "gz", d.ContentEncoding)
					require.Equal(t, "id", d.MessageId)
					require.Equal(t, time.Unix(42, 0), d.Timestamp)
				}
				if c.why == "" {
					require.NotContains(t, d.Headers, HeaderUnreadable)
					continue
				}
				require.Equal(t, amqp.Table{HeaderUnreadable: c.why, HeaderUnreadableHeaders: []byte(c.kept)}, d.Headers)
			}
		})
	}
}

// Whatever the largest frame is that was agreed upon, what takes the place of a
// content header is not larger.
func TestReadableFramesAreNotTooLarge(t *testing.T) {
	t.Parallel()
	for n := range 6000 {
		f := frame(contentFrame, 1, withHeaders("\x01kL"+strings.Repeat("x", n)))
		out := readable(f, minFrame)
		require.LessOrEqual(t, len(out), 4096)
		h, err := readContentHeader(out[frameHead : len(out)-1])
		require.NoError(t, err)
		require.Equal(t, "id", string(h.messageID))
	}
}

// slow reads from elsewhere.
type slow struct {
	net.Conn
	from io.Reader
}

func (s slow) Read(p []byte) (int, error) { return s.from.Read(p) }

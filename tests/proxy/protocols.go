package proxy

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
)

// maxMessage is larger than anything that the service sends or gets.
const maxMessage = 64 << 20

var errProtocol = errors.New("not the protocol that was expected")

// Protocol finds the messages in what is sent: Postgres, AMQP, or Bytes where
// there are none to tell apart.
type Protocol interface {
	// greet reads what comes before the first message of this side.
	greet(in *bufio.Reader, to Side) ([]byte, error)
	// next reads one message into buf.
	next(in *bufio.Reader, buf []byte) ([]byte, error)
}

// Postgres is the frontend/backend protocol, version 3, without TLS; see
// "Message Formats" in the PostgreSQL manual.
type Postgres struct{}

// greet reads the startup message, the only one without a type.
func (Postgres) greet(in *bufio.Reader, to Side) ([]byte, error) {
	const length = 4
	if to == ToClient {
		return nil, nil
	}
	return read(in, nil, length, func(head []byte) int { return int(binary.BigEndian.Uint32(head)) - length })
}

func (Postgres) next(in *bufio.Reader, buf []byte) ([]byte, error) {
	const header, length = 5, 4
	return read(in, buf, header, func(head []byte) int { return int(binary.BigEndian.Uint32(head[1:])) - length })
}

// Bytes is any protocol: whatever is there to be read is a message.
type Bytes struct{}

func (Bytes) greet(*bufio.Reader, Side) ([]byte, error) { return nil, nil }

func (Bytes) next(in *bufio.Reader, buf []byte) ([]byte, error) {
	if _, err := in.Peek(1); err != nil {
		return nil, err //nolint:wrapcheck // ends the connection, whatever it is
	}
	waiting, err := in.Peek(in.Buffered())
	buf = append(buf[:0], waiting...)
	_, _ = in.Discard(len(buf)) // they are in the buffer
	return buf, err             //nolint:wrapcheck // as above
}

// AMQP is AMQP 0-9-1; see chapter 4 of its specification. Its messages are
// frames.
type AMQP struct{}

// The layout of a frame: type, channel, size, payload, end.
const (
	frameHeader = 7
	frameEnd    = 1
	methodFrame = 1
	methodID    = 4
)

// greet reads the protocol header, which only the client sends.
func (AMQP) greet(in *bufio.Reader, to Side) ([]byte, error) {
	const length = 8
	if to == ToClient {
		return nil, nil
	}
	return read(in, nil, length, func([]byte) int { return 0 })
}

func (AMQP) next(in *bufio.Reader, buf []byte) ([]byte, error) {
	return read(in, buf, frameHeader, func(head []byte) int { return int(binary.BigEndian.Uint32(head[3:])) + frameEnd })
}

// Heartbeat reports whether a frame is one.
func Heartbeat(frame []byte) bool {
	const heartbeat = 8
	return frame[0] == heartbeat
}

// The methods that tests look for, class and method in one number.
const (
	ExchangeDeclare = 40<<16 | 10
	ExchangeDelete  = 40<<16 | 20
	QueueDeclare    = 50<<16 | 10
	QueueBind       = 50<<16 | 20
	QueuePurge      = 50<<16 | 30
	QueueDelete     = 50<<16 | 40
	BasicConsume    = 60<<16 | 20
	BasicDeliver    = 60<<16 | 60
	BasicAck        = 60<<16 | 80
)

// Method returns what a frame calls, with its arguments; 0 for a frame that
// calls nothing.
func Method(frame []byte) (id uint32, arguments []byte) {
	if frame[0] != methodFrame || len(frame) < frameHeader+methodID+frameEnd {
		return 0, nil
	}
	return binary.BigEndian.Uint32(frame[frameHeader:]), frame[frameHeader+methodID : len(frame)-frameEnd]
}

// ConnectionClose returns the frame with which a broker ends a connection.
func ConnectionClose(code uint16, text string) []byte {
	const connectionClose = 10<<16 | 50
	payload := binary.BigEndian.AppendUint32(nil, connectionClose)
	payload = binary.BigEndian.AppendUint16(payload, code)
	payload = append(payload, byte(len(text))) //nolint:gosec // texts of tests are short
	payload = append(payload, text...)
	payload = append(payload, 0, 0, 0, 0) // the class and the method that failed
	frame := []byte{methodFrame, 0, 0}
	frame = binary.BigEndian.AppendUint32(frame, uint32(len(payload))) //nolint:gosec // as above
	return append(append(frame, payload...), 0xCE)
}

// ShortString splits arguments after a string.
func ShortString(arguments []byte) (text string, rest []byte) {
	n := int(arguments[0])
	return string(arguments[1 : 1+n]), arguments[1+n:]
}

// read makes buf hold the header of a message and what it says is behind it.
func read(in io.Reader, buf []byte, header int, rest func(head []byte) int) ([]byte, error) {
	if cap(buf) < header {
		buf = make([]byte, header, 64<<10)
	}
	buf = buf[:header]
	if _, err := io.ReadFull(in, buf); err != nil {
		return nil, err //nolint:wrapcheck // ends the connection, whatever it is
	}
	size := rest(buf)
	if size < 0 || size > maxMessage {
		return nil, errProtocol
	}
	whole := header + size
	if cap(buf) < whole {
		buf = append(make([]byte, 0, whole), buf...)
	}
	buf = buf[:whole]
	_, err := io.ReadFull(in, buf[header:])
	return buf, err //nolint:wrapcheck // as above
}

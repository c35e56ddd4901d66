package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
)

// maxMessage is larger than anything that the service sends or gets.
const maxMessage = 64 << 20

// postgresProtocol is the frontend/backend protocol, version 3, without TLS;
// see "Message Formats" in the PostgreSQL manual.
type postgresProtocol struct{}

// greet reads the startup message, the only one without a type.
func (postgresProtocol) greet(in *bufio.Reader, from side) ([]byte, error) {
	if from == toClient {
		return nil, nil
	}
	const length = 4
	buf, err := head(in, nil, length)
	if err != nil {
		return nil, err
	}
	size := int(binary.BigEndian.Uint32(buf)) - length
	if size < 0 || size > maxMessage {
		return nil, errProtocol
	}
	return fill(in, buf, length, size)
}

func (postgresProtocol) next(in *bufio.Reader, buf []byte) ([]byte, error) {
	const header, length = 5, 4
	buf, err := head(in, buf, header)
	if err != nil {
		return nil, err
	}
	size := int(binary.BigEndian.Uint32(buf[1:])) - length
	if size < 0 || size > maxMessage {
		return nil, errProtocol
	}
	return fill(in, buf, header, size)
}

// isCommitted tells the CommandComplete message of a COMMIT: the server has
// committed, and the service is about to be told.
func isCommitted(message []byte, to side) bool {
	return to == toClient && message[0] == 'C' && bytes.Equal(message[5:], []byte("COMMIT\x00"))
}

// amqpProtocol is AMQP 0-9-1; see chapter 4 of its specification.
type amqpProtocol struct{}

// greet reads the protocol header, which only the client sends.
func (amqpProtocol) greet(in *bufio.Reader, from side) ([]byte, error) {
	if from == toClient {
		return nil, nil
	}
	const length = 8
	return head(in, nil, length)
}

func (amqpProtocol) next(in *bufio.Reader, buf []byte) ([]byte, error) {
	const header, end = 7, 1
	buf, err := head(in, buf, header)
	if err != nil {
		return nil, err
	}
	size := int(binary.BigEndian.Uint32(buf[3:]))
	if size > maxMessage {
		return nil, errProtocol
	}
	return fill(in, buf, header, size+end)
}

// isConfirm tells a basic.ack from the broker: it has the message, and the
// service is about to be told.
func isConfirm(frame []byte, to side) bool {
	const header, methodFrame, basicAck = 7, 1, 60<<16 | 80
	return to == toClient && frame[0] == methodFrame && len(frame) >= header+4 && binary.BigEndian.Uint32(frame[header:]) == basicAck
}

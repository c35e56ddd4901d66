package rabbitmq

import (
	"encoding/binary"
	"errors"
	"math"
)

// What the library reads of the fields of a message (its read.go, 1.16.0). It
// closes the connection for anything else.
const (
	maxDepth    = 32   // of containers within the headers
	maxElements = 8192 // of one container
)

// Why the library cannot read a message.
var (
	errTooDeep   = errors.New("the headers are nested deeper than 32")
	errTooMany   = errors.New("a table or an array in the headers has more than 8192 elements")
	errFieldType = errors.New("the headers have a field of an unknown type")
	errMalformed = errors.New("the properties are malformed")
)

// Flags of a content header, which tell the properties that follow. All but
// headers, mode, priority and timestamp are short texts; see basic.properties in the specification of
// AMQP 0-9-1.
const (
	flagEncoding     = 1 << 14
	flagHeaders      = 1 << 13
	flagDeliveryMode = 1 << 12
	flagPriority     = 1 << 11
	flagTimestamp    = 1 << 6
	flagMessageID    = 1 << 7
	flagFirst        = 1 << 15
	flagLast         = 1 << 2
)

// propertiesAt is where the properties begin in a content header: behind
// class, weight, size of the body, and flags.
const propertiesAt = 14

// contentHeader is the payload of a content header frame, read as far as it
// can be.
type contentHeader struct {
	encoding  []byte // of the body
	headers   []byte // the table, without its length; nil for none
	messageID []byte
	timestamp []byte
}

// readContentHeader reads a content header. The error says why the library
// could not; what is returned with it is what can be told nevertheless.
func readContentHeader(payload []byte) (contentHeader, error) {
	var h contentHeader
	if len(payload) < propertiesAt {
		return h, errMalformed
	}
	flags := binary.BigEndian.Uint16(payload[propertiesAt-2:])
	rest := fields{payload[propertiesAt:]}
	var fault error
	for flag := uint16(flagFirst); flag >= flagLast; flag >>= 1 {
		if flags&flag == 0 {
			continue
		}
		var ok bool
		var value []byte
		switch flag {
		case flagHeaders:
			if value, ok = rest.long(); ok {
				h.headers = value
				fault = checkTable(value, 0)
			}
		case flagDeliveryMode, flagPriority:
			_, ok = rest.take(1)
		case flagTimestamp:
			h.timestamp, ok = rest.take(8)
		case flagEncoding:
			h.encoding, ok = rest.short()
		case flagMessageID:
			h.messageID, ok = rest.short()
		default:
			_, ok = rest.short()
		}
		if !ok {
			return h, errMalformed
		}
	}
	return h, fault
}

// fields is what is left to be read of a sequence of fields.
type fields struct{ rest []byte }

// take returns the next n bytes.
func (f *fields) take(n int) (value []byte, ok bool) {
	if n < 0 || n > len(f.rest) {
		return nil, false
	}
	value, f.rest = f.rest[:n:n], f.rest[n:]
	return value, true
}

// short returns what follows with its length in one byte.
func (f *fields) short() (value []byte, ok bool) {
	length, ok := f.take(1)
	if !ok {
		return nil, false
	}
	return f.take(int(length[0]))
}

// long returns what follows with its length in four bytes.
func (f *fields) long() (value []byte, ok bool) {
	length, ok := f.take(4)
	if !ok {
		return nil, false
	}
	n := binary.BigEndian.Uint32(length)
	if n > math.MaxInt32 {
		return nil, false
	}
	return f.take(int(n))
}

// checkTable returns nil when the library can read the table. Depth counts the
// containers that it is in.
func checkTable(table []byte, depth int) error {
	if depth > maxDepth {
		return errTooDeep
	}
	f := fields{table}
	// The library counts the names that differ. A table that repeats one need not
	// be read.
	for n := 0; len(f.rest) > 0; n++ {
		if n >= maxElements {
			return errTooMany
		}
		if _, ok := f.short(); !ok {
			return errMalformed
		}
		if err := f.check(depth); err != nil {
			return err
		}
	}
	return nil
}

func checkArray(array []byte, depth int) error {
	if depth > maxDepth {
		return errTooDeep
	}
	f := fields{array}
	for n := 0; len(f.rest) > 0; n++ {
		if n >= maxElements {
			return errTooMany
		}
		if err := f.check(depth); err != nil {
			return err
		}
	}
	return nil
}

// check reads one field, with its type.
func (f *fields) check(depth int) error {
	kind, ok := f.take(1)
	if !ok {
		return errMalformed
	}
	var value []byte
	switch kind[0] {
	case 'V':
	case 't', 'B', 'b':
		_, ok = f.take(1)
	case 's', 'u':
		_, ok = f.take(2)
	case 'I', 'i', 'f':
		_, ok = f.take(4)
	case 'D':
		_, ok = f.take(5)
	case 'l', 'd', 'T':
		_, ok = f.take(8)
	case 'S', 'x':
		_, ok = f.long()
	case 'F':
		if value, ok = f.long(); ok {
			return checkTable(value, depth+1)
		}
	case 'A':
		if value, ok = f.long(); ok {
			return checkArray(value, depth+1)
		}
	default:
		return errFieldType
	}
	if !ok {
		return errMalformed
	}
	return nil
}

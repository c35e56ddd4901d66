package publisher

import (
	"maps"
	"slices"

	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	// fieldOverhead is at least what a field needs besides its text: its type,
	// and the lengths of its name and value, or a number.
	fieldOverhead = 16
	// otherProperties is what the properties of a message need at most besides its
	// headers: four short texts, numbers, and what surrounds them.
	otherProperties = 4*256 + 128
)

// fitting returns the headers, or, where those do not fit into one frame, our own
// and as many of the others as do. The broker would end the connection, and again
// each time the message is published. A frame size of 0 is any.
func fitting(headers amqp.Table, own []string, frameSize int) amqp.Table {
	if frameSize == 0 {
		return headers
	}
	left, size := frameSize-otherProperties, 0
	for name, value := range headers {
		size += len(name) + headerSize(value)
	}
	if size <= left {
		return headers
	}
	fitted := make(amqp.Table)
	for _, name := range own {
		if value, there := headers[name]; there {
			fitted[name] = value
			left -= len(name) + headerSize(value)
		}
	}
	AddHeaders(fitted, headers, left)
	return fitted
}

// AddHeaders adds headers that a message came with, as many as fit into maxBytes,
// but for those that are set already, those that the broker adds, and those that
// would make it route the message by them.
func AddHeaders(to amqp.Table, from map[string]any, maxBytes int) {
	left := maxBytes
	for _, name := range slices.Sorted(maps.Keys(from)) {
		switch name {
		case "x-death", "x-first-death-exchange", "x-first-death-queue", "x-first-death-reason",
			"x-last-death-exchange", "x-last-death-queue", "x-last-death-reason", "x-delivery-count", "CC", "BCC":
			continue
		}
		if _, set := to[name]; set {
			continue
		}
		value := from[name]
		if size := len(name) + headerSize(value); size <= left {
			left -= size
			to[name] = value
		}
	}
}

// headerSize returns at least as many bytes as the value needs in a frame.
func headerSize(value any) int {
	size := fieldOverhead
	switch v := value.(type) {
	case string:
		size += len(v)
	case []byte:
		size += len(v)
	case []any:
		for _, element := range v {
			size += headerSize(element)
		}
	case amqp.Table:
		for name, element := range v {
			size += len(name) + headerSize(element)
		}
	}
	return size
}

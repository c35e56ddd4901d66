package broker

import (
	"maps"
	"slices"

	amqp "github.com/rabbitmq/amqp091-go"

	"lanekeeper/domain"
)

const (
	// maxForeignHeaders is how much of the headers that a message came with
	// goes along, in bytes, and half of a frame if that is less. All properties of
	// a message have to fit into one frame, of 128 KiB mostly, or the broker closes
	// the connection and would do so again at every retry.
	maxForeignHeaders = 64 << 10
	// fieldOverhead is at least what a field needs besides its text: its type,
	// and the lengths of its name and value, or a number.
	fieldOverhead = 16
)

// deadLetterHeaders returns the headers of a dead letter: ours, and those it
// came with.
func deadLetterHeaders(letter *domain.DeadLetter, most int) amqp.Table {
	headers := amqp.Table{
		HeaderReason: string(letter.Reason), HeaderError: letter.Error,
		HeaderAttempts: int64(letter.Attempts), HeaderDeadLetterID: letter.ID.String(),
	}
	carryOver(headers, letter.Headers, most)
	return headers
}

// carryOver adds headers that a message came with, at most so many bytes, but for
// those that are set already, those that the broker adds, and those that
// would make it route the message by them.
func carryOver(to amqp.Table, from map[string]any, most int) {
	left := most
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

// maxHeaders returns how many bytes of headers may be carried over on any of the
// connections for publishing.
func (b *Broker) maxHeaders() int {
	most := maxForeignHeaders
	for _, c := range b.publish {
		if frame := c.Limits().FrameSize; frame > 0 {
			most = min(most, frame/2)
		}
	}
	return most
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

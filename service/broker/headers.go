package broker

import (
	"maps"
	"slices"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"lanekeeper/domain"
	"lanekeeper/pkg/rabbitmq"
)

const (
	// maxForeignHeaders is how much of the headers that a message came with
	// goes along, in bytes. All properties of a message have to fit into one frame
	// of 128 KiB, or the broker closes the connection and would do so again at
	// every retry.
	maxForeignHeaders = 64 << 10
	// fieldOverhead is at least what a field needs besides its text: its type,
	// and the lengths of its name and value, or a number.
	fieldOverhead = 16
)

// deadLetterHeaders returns the headers of a dead letter: ours, and those it
// came with.
func deadLetterHeaders(letter *domain.DeadLetter) amqp.Table {
	headers := amqp.Table{
		HeaderReason: string(letter.Reason), HeaderError: letter.Error,
		HeaderAttempts: int64(letter.Attempts), HeaderDeadLetterID: letter.ID.String(),
		HeaderDiedAt: time.Now().UnixMilli(),
	}
	carryOver(headers, letter.Headers)
	return headers
}

// otherProperties is what the properties of a message need at most besides its
// headers: three short texts, numbers, and what surrounds them.
const otherProperties = 3*256 + 128

// fitting returns the headers, or, where those do not fit into one frame, ours
// and as many of the others as do. The broker would end the connection, and
// again as often as the message is tried.
func fitting(headers amqp.Table, frameSize int) amqp.Table {
	if frameSize == 0 { // any
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
	for _, name := range ourHeaders() {
		if value, there := headers[name]; there {
			fitted[name] = value
			left -= len(name) + headerSize(value)
		}
	}
	add(fitted, headers, left)
	return fitted
}

// ourHeaders returns the names of the headers that we add to messages.
func ourHeaders() []string {
	return []string{
		HeaderPublished, HeaderReason, HeaderError, HeaderAttempts, HeaderDeadLetterID, HeaderDiedAt, HeaderAttempt,
		domain.HeaderContentEncoding, rabbitmq.HeaderUnreadable,
	}
}

// carryOver adds headers that a message came with, as many as fit, but for
// those that are set already, those that the broker adds, and those that
// would make it route the message by them.
func carryOver(to amqp.Table, from map[string]any) {
	add(to, from, maxForeignHeaders)
}

// add does so for as many bytes as are left.
func add(to amqp.Table, from map[string]any, left int) {
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

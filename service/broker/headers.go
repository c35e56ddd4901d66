package broker

import (
	"maps"
	"slices"

	amqp "github.com/rabbitmq/amqp091-go"

	"lanekeeper/domain"
)

const (
	// maxForeignHeaders is how much of a dead letter's own headers comes
	// along, in bytes. All properties of a message have to fit into one frame
	// of 128 KiB, or the broker closes the connection and would do so again at
	// every retry.
	maxForeignHeaders = 64 << 10
	// fieldOverhead is at least what a field needs besides its text: its type,
	// and the lengths of its name and value, or a number.
	fieldOverhead = 16
)

// deadLetterHeaders returns the headers of a dead letter: ours, and of those
// it came with as many as fit, without what would send it elsewhere.
func deadLetterHeaders(letter *domain.DeadLetter) amqp.Table {
	headers := amqp.Table{
		HeaderReason: string(letter.Reason), HeaderError: letter.Error,
		HeaderAttempts: int64(letter.Attempts), HeaderDeadLetterID: letter.ID.String(),
	}
	left := maxForeignHeaders
	for _, name := range slices.Sorted(maps.Keys(letter.Headers)) {
		if _, ours := headers[name]; ours || name == "x-death" || name == "CC" || name == "BCC" {
			continue
		}
		value := letter.Headers[name]
		if size := len(name) + headerSize(value); size <= left {
			left -= size
			headers[name] = value
		}
	}
	return headers
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
